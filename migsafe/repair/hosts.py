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
"""What all hosts that have to do with an instance say of it, taken together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

from migsafe.audit.activity import ARRIVED, ENDED
from migsafe.audit.facts import Case, Migration
from migsafe.audit.findings import Finding
from migsafe.audit.rules.placement import EVACUATED
from migsafe.repair.word import Word
from migsafe.text import shell
from migsafe.transaction.evidence import GuestState

#: Pairs of a target and a LUN, as a host is asked for them.
Leads = Sequence[tuple[str, int]]
#: Asks a host for its word of a guest, and of disks that lead somewhere; one that does not answer
#: is UNKNOWN.
Ask = Callable[[str, str, Leads], Word]
#: migration_type of what waits in a queue.
LIVE = 'live-migration'
#: Types of connections whose disks the kernel names by a target and a LUN.
SCSI = frozenset(('iscsi', 'iser', 'fibre_channel'))


class Undecided(Exception):
    """Nothing may be done about it; the text says why, and what a person has to find out."""


@dataclasses.dataclass(frozen=True)
class Words:
    """The words of all hosts that the instance may be on.

    :ivar at: the one host that has the guest; None if it runs nowhere
    """

    by_host: Mapping[str, Word]
    at: Word | None

    def gone_but_from(self, host: str | None) -> bool:
        """Whether the guest runs on this host alone, or on none."""
        return self.at is None or self.at.host == host


def heard(case: Case, findings: tuple[Finding, ...], ask: Ask,
          more: Iterable[str | None] = ()) -> Words:
    """Ask every host that the instance, its migrations and what was found of it name.

    :param more: other hosts that may have the guest
    :raises Undecided: they do not say together where the guest is
    """
    names = {case.instance.host, *(host for one in findings for host in one.hosts),
             *(one.host for one in case.attachments), *more}
    names |= {host for one in _of_interest(case) for host in (one.source, one.dest)}
    words = {host: ask(host, case.instance.uuid, _leads(case, host))
             for host in sorted(filter(None, names))}
    for host, word in words.items():
        _refuse(host, word)
    _refuse_queue(case, words)
    here = [word for word in words.values() if word.here]
    if len(here) > 1:
        raise Undecided(
            f'The guest runs on {" and ".join(one.host for one in here)} at once. Find out which '
            'of them its users see, and end the other before anything is written: virsh destroy.')
    return Words(words, here[0] if here else None)


def _of_interest(case: Case) -> list[Migration]:
    """Migrations of which a host may still have a guest.

    A host that was evacuated has not been back, or has not cleaned up, for as long as its record
    says done. After one that arrived, those before it have left nothing that runs.
    """
    arrived = max((one.number for one in case.migrations if one.status in ARRIVED
                   and one.status != EVACUATED), default=0)
    newest = case.newest()
    return [one for one in case.migrations if one is newest or one.status == EVACUATED
            or one.status not in ENDED or one.number > arrived]


def _refuse_queue(case: Case, words: Mapping[str, Word]) -> None:
    """:raises Undecided: a live migration may still begin, whatever its record says"""
    for one in case.migrations:
        if one.status in ENDED or one.kind != LIVE or one.source is None:
            continue
        if words[one.source].waiting is None:
            raise Undecided(
                f'{one.source} has not said whether migration {one.number} still waits in the '
                'queue of its nova-compute. Upgrade migsafe there and restart it, which ends what '
                'waits.')


def _leads(case: Case, host: str) -> list[tuple[str, int]]:
    """Where attachments of the instance for a host lead to, and rows without one."""
    given = [one.connection for one in case.attachments if one.host == host] + [
        row.connection for row in case.rows
        if row.attachment is None and row.connection.host == host]
    return sorted({(target.lower().removeprefix('0x'), int(lun)) for one in given
                   if one.kind in SCSI for target, lun in one.parts if lun.isdigit()})


def _refuse(host: str, word: Word) -> None:
    """:raises Undecided: nothing may be done as long as this is what the host says"""
    if word.unsettled:
        raise Undecided(
            f'The journal of {host} has an open transaction of this instance, which its '
            f'nova-compute settles: see migsafe status there, or migsafe --host {shell(host)} '
            'settle.')
    if word.waiting:
        raise Undecided(
            f'A live migration of it waits in the queue of nova-compute on {host}, and will begin '
            'whatever its record says. Wait for it, or take it out: openstack server migration '
            'abort.')
    if word.evidence.guest is GuestState.UNKNOWN:
        raise Undecided(
            f'{host} has not said what it has of the guest ({word.evidence.detail}). Have migsafe '
            'answer there, or find out with virsh list --all and multipath -ll on that host, and '
            'repair it by hand.')
    if not word.here and not word.gone:
        raise Undecided(
            f'A migration of the guest is under way on {host} ({word.evidence.guest.value}). Wait '
            'until it has ended, or look at it with virsh domjobinfo.')
