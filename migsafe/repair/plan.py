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
"""Out of what was found of one instance, and what its hosts say: what to write, and what not."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Mapping
from typing import Any

from migsafe.audit import address, scan
from migsafe.audit.facts import Attachment, Case, Life
from migsafe.audit.findings import Finding
from migsafe.audit.report import Asked
from migsafe.repair import charges, detach, hosts, rows, states, unseen
from migsafe.repair.acts import Act
from migsafe.repair.ground import Ground
from migsafe.repair.hosts import Ask, Undecided, Words
from migsafe.repair.requests import Call, Request, Unanswered

#: An allocation is seen to be of the wrong host only when the right one is on record.
SEEN_LATER = frozenset(('R7',))
BY_HAND = 'migsafe does not change that. '


@dataclasses.dataclass(frozen=True)
class Left:
    """A finding about which nothing is done.

    :ivar why: what a person has to find out, or to do
    """

    finding: Finding
    why: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is to be done about one instance.

    :ivar requests: what services are asked for when all acts are made
    :ivar mended: what is gone when all of both is done
    """

    ground: Ground
    acts: tuple[Act, ...] = ()
    requests: tuple[Request, ...] = ()
    mended: tuple[Finding, ...] = ()
    left: tuple[Left, ...] = ()

    @property
    def changes(self) -> tuple[Act | Request, ...]:
        """Those that write; the others only have to find what they found before."""
        return (*(one for one in self.acts if one.after), *self.requests)


def made(ground: Ground, ask: Ask, asked: Asked, call: Call | None = None) -> Plan:
    """The plan; nothing in it is guessed.

    :param ask: a host for its word
    :param asked: which findings are to be mended; the others are told only if these would make
        them
    :param call: asks services; None: there is no account for it
    """
    wanted = tuple(filter(asked.wants, ground.findings))
    try:
        words = hosts.heard(ground.case, ground.findings, ask, ground.places)
    except Undecided as error:
        return Plan(ground, left=tuple(Left(one, str(error)) for one in wanted))
    acts: dict[tuple[str, int], Act] = {}
    why: dict[tuple[str, ...], str] = {}
    for one in wanted:
        try:
            acts.update({(act.table, act.key): act for act in _acts(ground, words, one)})
        except Undecided as error:
            why[one.identity] = str(error)
    return _weighed(ground, words, wanted, tuple(acts.values()),
                    _requests(ground, words, wanted, tuple(acts.values()), call, why), why)


def _requests(ground: Ground, words: Words, wanted: tuple[Finding, ...], acts: tuple[Act, ...],
              call: Call | None, why: dict[tuple[str, ...], str]) -> tuple[Request, ...]:
    """What services are to be asked for.

    :param why: gets why nothing may be done about a finding
    """
    case, found = imagined(ground.case, acts), []
    given = {one.uuid for one in case.attachments}
    groups = [([one], functools.partial(detach.made, ground, words, case, one.key))
              for one in wanted if one.rule == 'R3' and one.key in given]
    charged = [one for one in wanted if one.rule == 'R7']
    if charged:
        groups.append((charged, functools.partial(charges.made, ground, words, charged)))
    for findings, make in groups:
        try:
            found.append(make(call))
        except (Undecided, Unanswered) as error:
            why.update({one.identity: f'{error} {BY_HAND}{one.repair}' if call is None
                        else str(error) for one in findings})
    return tuple(found)


def _acts(ground: Ground, words: Words, one: Finding) -> list[Act]:
    """:raises Undecided: nothing may be done about this finding, or only by a service"""
    if one.rule in ('R1', 'R2') and ground.case.instance.host is None:
        raise Undecided(BY_HAND + one.repair)
    if one.rule == 'R5':
        return states.host(ground, words)
    if one.rule == 'R6':
        return [states.state(ground, words)]
    if one.rule == 'R12':
        return [states.migration(ground, words, int(one.key))]
    if one.rule in ('R1', 'R2') and one.key.isdigit():
        return [rows.made_right(ground, words, int(one.key))]
    if one.rule == 'R2' and one.key == 'twice':
        return rows.one_of(ground, words, str(one.volume))
    raise Undecided(BY_HAND + one.repair)


def _weighed(ground: Ground, words: Words, wanted: tuple[Finding, ...], acts: tuple[Act, ...],
             requests: tuple[Request, ...], why: Mapping[tuple[str, ...], str]) -> Plan:
    """Leave nothing out of the plan that its acts would make worse."""
    known = {one.identity: one for one in ground.findings}
    after = {one.identity: one for one in scan.judged(
        imagined(ground.case, acts, requests), ground.clock, Asked())}
    worse = [one for name, one in after.items()
             if name not in known and one.rule not in SEEN_LATER]
    if worse:
        return Plan(ground, left=tuple(Left(one, why.get(
            one.identity, f'To mend it would leave this: {worse[0].what}'))
            for one in wanted))
    hidden = {one.identity: text for name, one in known.items() if name not in after
              and (text := unseen.why(ground, words, one, acts))}
    left = [Left(one, hidden.get(one.identity) or why.get(
        one.identity, 'It is not mended by what can be done.'))
            for one in wanted if one.identity in after or one.identity in hidden]
    mended = tuple(one for name, one in known.items()
                   if name not in after and name not in hidden)
    return Plan(ground, _guarded(ground, acts), requests, mended, tuple(left))


def _guarded(ground: Ground, acts: tuple[Act, ...]) -> tuple[Act, ...]:
    """The same, all of which stand on this: the instance is as it was read."""
    instance = ground.case.instance
    if instance.life is not Life.LIVE or not acts:
        return acts
    guard = Act('instances', instance.number, {
        'uuid': instance.uuid, 'host': instance.host, 'vm_state': instance.vm_state,
        'task_state': instance.task_state}, {}, '')
    own = [one for one in acts if one.table == 'instances']
    return (*(one for one in acts if one.table != 'instances'),
            *(dataclasses.replace(one, before={**guard.before, **one.before})
              for one in own or [guard]))


def imagined(case: Case, acts: tuple[Act, ...], requests: tuple[Request, ...] = ()) -> Case:
    """The case as it is when all of it is done."""
    after: dict[tuple[str, int], Mapping[str, Any]] = {
        (one.table, one.key): one.after for one in acts}

    def changed(table: str, one: Any, **names: str) -> Any:
        values = after.get((table, one.number), {})
        return one._replace(**{field: values[column] for field, column in names.items()
                               if column in values})
    found = []
    for row in case.rows:
        new = changed('block_device_mapping', row, attachment='attachment_id')
        if 'deleted' in after.get(('block_device_mapping', row.number), {}):
            continue
        text = after.get(('block_device_mapping', row.number), {}).get('connection_info')
        found.append(new._replace(connection=address.read(text)) if text else new)
    gone = {one.key for one in requests if one.kind == detach.KIND}
    return dataclasses.replace(
        case, rows=tuple(found), attachments=_without(case.attachments, gone),
        sharing={volume: _without(held, gone) for volume, held in case.sharing.items()},
        allocations=functools.reduce(charges.imagined, (
            one for one in requests if one.kind == charges.KIND), case.allocations),
        instance=changed(
            'instances', case.instance, host='host', node='node', task_state='task_state',
            vm_state='vm_state'),
        migrations=tuple(changed('migrations', one, status='status')
                         for one in case.migrations))


def _without(attachments: tuple[Attachment, ...],
             gone: Collection[str]) -> tuple[Attachment, ...]:
    return tuple(one for one in attachments if one.uuid not in gone)
