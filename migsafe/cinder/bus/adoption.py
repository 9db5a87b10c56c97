# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""Takes what was recorded under a former name, and Cinder's attachments, for the truth.

After the guard was off for a while, or another host has served the backend with a ledger of its
own, the ledger has exports whose attachments are gone, and none of those that were made meanwhile.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from oslo_log import log as logging

from migsafe import exceptions
from migsafe.cinder.facts import attachments, backend_volumes, services
from migsafe.cinder.facts.looks import Seen
from migsafe.ledger import former, records
from migsafe.ledger.records import Thing
from migsafe.text import masked

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing to be done.

    :param what: in words
    :param act: does it; None where nothing is to be done by this
    """

    volume: str
    what: str
    act: Callable[[], object] | None = None


def page(guard: Any, after: str, who: str) -> dict[str, Any]:
    """Plan a page, or carry it out.

    :param after: id of the volume at which the last page has ended; empty: begin, with what was
        recorded under former names
    :param who: says that it is to be carried out; empty: nothing is done
    :returns: ``steps``: pairs of a volume and what is to be done or was done; ``left``: how many
        of them this cannot do; ``after``: for the next page, empty at the end
    """
    taken = list(_former(guard, who))
    steps = [] if after else [step for step, _row in taken]
    found = next(backend_volumes.pages(guard, after), [])
    for volume in found:
        steps += _volume(guard, volume.id, who, [row for _step, row in taken])
    ended = len(found) < backend_volumes.PAGE
    if who and ended:
        guard.standing.reconsider()
        guard.recovery.nudge()
    return {'steps': [[step.volume, step.what] for step in steps],
            'left': sum(step.act is None for step in steps),
            'after': '' if ended else found[-1].id}


def _former(guard: Any, who: str) -> Iterator[tuple[Step, records.Export]]:
    """What was recorded under names that nobody has any more."""
    own = guard.ledger
    with former.ledgers(guard.conf, own, services.is_served) as found:
        for one in found:
            for row in list(backend_volumes.here(guard, one.rows.exports())):
                yield _do(who, Step(row.resource, f'{row} is {row.state} in {one}: it is '
                                    'taken over',
                                    functools.partial(former.take_over, own, one, row))), row


def _volume(guard: Any, identifier: str, who: str,
            taken: Sequence[records.Export]) -> list[Step]:
    thing = Thing('volume', identifier)
    try:
        with guard.lines.waiting(thing):
            volume = attachments.thing('volume', identifier)
            if volume is None or not guard.has(volume):
                return []
            return [_do(who, step) for step in (*_made(guard, thing, taken),
                                                *_ended(guard, thing, volume, who))]
    except Exception as error:
        # NOTE: one volume that is busy, or whose LUN hangs, is not all of them.
        return [Step(identifier, f'it could not be looked at: {masked(error)}')]


def _do(who: str, step: Step) -> Step:
    if not who or step.act is None:
        return step
    try:
        LOG.warning('%s has Cinder and former ledgers taken for the truth: volume %s: %s', who,
                    step.volume, step.what)
        step.act()
    except Exception as error:
        return Step(step.volume, f'{step.what}, which failed: {masked(error)}')
    return step


def _made(guard: Any, thing: Thing, taken: Sequence[records.Export]) -> Iterator[Step]:
    """Attachments that the ledger does not have, nor what is taken over."""
    page = attachments.rows_of((thing.id,))
    for one in backend_volumes.missing(guard.ledger, page, guarded=False):
        peer = attachments.peer_of(one)
        if any((row.resource, row.peer) == (thing.id, peer.key) for row in taken):
            continue
        yield Step(thing.id, f'attachment {one.id} has it on host {peer.host or "(not named)"}, '
                   'and the ledger does not: it is recorded',
                   functools.partial(_record, guard.ledger, thing, peer, one.id))


def _record(ledger: Any, thing: Thing, peer: records.Peer, attachment: str) -> None:
    keys = ['', peer.key]
    ledger.intend(thing, [records.Peer(), peer], 'mapping', attachment=attachment)
    if not ledger.settle(thing, keys, 'mapped', attachment=attachment):
        raise exceptions.MigsafeError('another call has taken it up meanwhile')


def _ended(guard: Any, thing: Thing, volume: Any, who: str) -> Iterator[Step]:
    """Exports that were made for an attachment which is gone."""
    attached = attachments.of_volume(thing.id)
    for row in guard.ledger.of(thing):
        if not row.peer or row.state != 'mapped' or row.fenced or row.problems() \
                or attachments.explain(attached, row):
            continue
        where = f'{row} is {row.state}, and no attachment has it: '
        if row.attachment in ('', records.COPY):
            yield Step(thing.id, f'{where}it was not made for one, and is left. See "export '
                       'revert"')
            continue
        seen = guard.looks.at(thing, volume, row)
        if seen in (Seen.THERE, Seen.ONCE):
            yield Step(thing.id, f'{where}{seen.value}, so that it is left')
            continue
        yield Step(thing.id, f'{where}{seen.value}; it is recorded as gone',
                   functools.partial(
                       guard.ledger.settle, thing, [row.peer], 'gone', read=row,
                       look_at_target=True, error=f'no attachment has it, says {who}'))
