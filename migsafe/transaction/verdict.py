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
"""From evidence to a verdict: one table, read by one pure function.

A verdict says which host owns the guest. Whether the *other* host may be torn
down is a separate column: when the guest is seen running on one side and the
other side does not answer, the records can be put right (from then on a
reboot or an evacuation does the right thing), but no device and no export of
the silent side is touched.
"""

from __future__ import annotations

import dataclasses
import enum

from migsafe.transaction.evidence import Evidence, GuestState

G = GuestState


class Verdict(enum.Enum):
    """Where the guest belongs."""

    COMMIT = 'COMMIT'
    ABORT = 'ABORT'
    HOLD = 'HOLD'


#: What a journal says of a transaction that is no longer open.
DECIDED = frozenset((Verdict.COMMIT.value, Verdict.ABORT.value))


@dataclasses.dataclass(frozen=True)
class Decision:
    """A verdict and what it licenses.

    :param verdict: COMMIT, ABORT or HOLD
    :param teardown: whether devices and exports of the host that does not own
        the guest may be removed
    :param reason: why, in words for an operator
    """

    verdict: Verdict
    teardown: bool
    reason: str


C, A, H = Verdict.COMMIT, Verdict.ABORT, Verdict.HOLD

#: (guest on the source, guest on the destination) -> (verdict, tear down the
#: other side, why). Pairs that are not listed are HOLD. A migration job that
#: is active on either side overrides all of it: see :func:`decide`.
TABLE: dict[tuple[G, G], tuple[Verdict, bool, str]] = {
    (G.HERE, G.ABSENT): (A, True, 'runs on the source only'),
    (G.HERE, G.SHUT_OFF): (A, True, 'runs on the source only'),
    (G.HERE, G.DEAD): (A, True, 'runs on the source, destination is dead'),
    (G.HERE, G.UNKNOWN): (A, False, 'runs on the source, destination silent'),
    # libvirt ends an incoming domain itself once its source is gone from it;
    # until then QEMU has the destination's devices open.
    (G.HERE, G.IN_TRANSFER): (
        A, False, 'runs on the source, an incoming copy still exists on the '
        'destination'),
    (G.ABSENT, G.HERE): (C, True, 'runs on the destination only'),
    (G.SHUT_OFF, G.HERE): (C, True, 'runs on the destination only'),
    (G.HANDED_OVER, G.HERE): (C, True, 'runs on the destination only'),
    (G.DEAD, G.HERE): (C, True, 'runs on the destination, source is dead'),
    (G.UNKNOWN, G.HERE): (C, False, 'runs on the destination, source silent'),
    # libvirt keeps a stopped source until the destination has confirmed.
    (G.IN_TRANSFER, G.HERE): (
        C, False, 'runs on the destination, a stopped copy still exists on '
        'the source'),
    # The source gave the guest away for good; it cannot run there.
    (G.HANDED_OVER, G.UNKNOWN): (
        C, True, 'handed over by the source, destination silent'),
    (G.HANDED_OVER, G.ABSENT): (
        C, True, 'handed over by the source, ended on the destination'),
    (G.HANDED_OVER, G.DEAD): (
        C, True, 'handed over by the source, destination is dead'),
    # It arrived, and ended there: libvirt defines a domain on a destination
    # no sooner, and Nova's domains go from the source in no other way.
    (G.HANDED_OVER, G.SHUT_OFF): (
        C, True, 'handed over by the source, shut off on the destination'),
    (G.ABSENT, G.SHUT_OFF): (
        C, True, 'gone from the source, shut off on the destination'),
    # It arrived and the source was never told, or the domain on the
    # destination is an old one: the newest disks may be on either side.
    (G.DEAD, G.SHUT_OFF): (
        H, False, 'source is dead, shut off on the destination; start it there '
        'by hand (virsh start), or undefine it if it is an old one'),
    (G.SHUT_OFF, G.SHUT_OFF): (
        H, False, 'shut off on both hosts; look at both, and start it by hand '
        '(virsh start) on the one whose disks are right'),
    # Runs nowhere and was never handed over: presumed abort.
    (G.SHUT_OFF, G.ABSENT): (
        A, True, 'shut off on the source, never arrived'),
    (G.SHUT_OFF, G.DEAD): (
        A, True, 'shut off on the source, destination is dead'),
    (G.ABSENT, G.ABSENT): (A, True, 'runs nowhere, never handed over'),
    (G.ABSENT, G.DEAD): (A, True, 'runs nowhere, destination is dead'),
    (G.DEAD, G.ABSENT): (A, True, 'runs nowhere, source is dead'),
    (G.IN_TRANSFER, G.ABSENT): (
        A, True, 'stopped on the source, not on the destination'),
    (G.IN_TRANSFER, G.DEAD): (
        A, True, 'stopped on the source, destination is dead'),
}


def decide(evidence: Evidence) -> Decision:
    """Decide where the guest belongs; pure, total, and never a guess.

    :param evidence: what both hosts are known to say
    :returns: HOLD for every combination that the table does not name, and
        while a migration job is active on a host that is alive
    """
    source, destination = evidence.source, evidence.destination
    if source.job or destination.job:
        busy = source if source.job else destination
        return Decision(H, False, f'migration still active on {busy.host}')
    if source.guest is G.HERE and destination.guest is G.HERE:
        return Decision(
            H, False, f'the guest runs on BOTH {source.host} and '
            f'{destination.host}: stop one copy by hand')
    # On a destination it is a domain of an earlier migration away from there,
    # shut off.
    there = (G.ABSENT if destination.guest is G.HANDED_OVER
             else destination.guest)
    verdict, teardown, reason = TABLE.get(
        (source.guest, there),
        (H, False, 'not known where the guest runs'))
    return Decision(verdict, teardown, f'{reason} [{source}; {destination}]')


def winner(verdict: Verdict, source: str, destination: str) -> str:
    """The host that owns the guest under COMMIT or ABORT."""
    if verdict is Verdict.HOLD:
        raise ValueError('HOLD has no winner')
    return destination if verdict is Verdict.COMMIT else source


def stand(standing: Verdict, evidence: Evidence) -> Decision:
    """Carry on with a verdict that is already journalled.

    Once COMMIT or ABORT is durable it is never turned round: after it, an
    operator may stop the guest, and "runs nowhere" would read as ABORT. Only
    the licence to tear down is looked at anew.

    :param standing: COMMIT or ABORT, as journalled
    :param evidence: what both hosts say now
    """
    loser = (evidence.source if standing is Verdict.COMMIT
             else evidence.destination)
    seen = f'[{evidence.source}; {evidence.destination}]'
    if loser.guest in (G.HERE, G.POSTCOPY):
        return Decision(
            H, False, f'{standing.value} was decided, but the guest runs on '
            f'{loser.host}; look at both hosts by hand {seen}')
    safe = not (loser.guest.may_run or loser.job)
    why = 'carried on' if safe else f'{loser.host} cannot be looked at safely'
    return Decision(standing, safe, f'{why} {seen}')
