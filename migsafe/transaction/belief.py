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
"""What is believed of where a guest belongs, when it is not only seen but told or recorded.

The order is: this host's own libvirt, its own journal, Nova's records, the other host's word.
A lower one never overrules a higher one; where two of them contradict each other it is HOLD,
and the reason says who said what.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

from migsafe.journal.records import Transaction
from migsafe.transaction.clients import InstanceRow, OtherMove
from migsafe.transaction.evidence import NO_QEMU, Evidence, GuestState
from migsafe.transaction.verdict import Decision, Verdict, decide, stand, winner

G = GuestState
#: How a reason begins that waits for the other host to say the same again.
ONCE = 'only %s says so, and is asked once more'


class Word(enum.Enum):
    """What becomes of the other host's word for a verdict."""

    #: Journalled as the verdict.
    BELIEVED = 'believed'
    #: Not enough alone: evidence decides, and must not say the opposite.
    NOT_ENOUGH = 'not enough'
    #: A guest is seen where it must not be. It is not journalled.
    CONTRADICTED = 'contradicted'


#: (the guest on the host that the verdict takes it from, whether Nova's record of the instance
#: names the host that the verdict gives it to) -> what becomes of the word.
TOLD: dict[tuple[GuestState, bool], Word] = {
    (guest, recorded): (Word.BELIEVED if recorded else Word.NOT_ENOUGH)
    for guest in G for recorded in (True, False)}
TOLD |= {(guest, recorded): Word.CONTRADICTED
         for guest in (G.HERE, G.POSTCOPY) for recorded in (True, False)}
#: libvirt itself said that it gave the guest away.
TOLD[G.HANDED_OVER, False] = Word.BELIEVED
#: The same for a host that would lose the guest itself: while its libvirt does not answer, or has
#: not finished with the guest, another host's word decides nothing.
TOLD_TO_THE_LOSER: dict[tuple[GuestState, bool], Word] = TOLD | {
    (guest, recorded): Word.NOT_ENOUGH
    for guest in (G.UNKNOWN, G.IN_TRANSFER) for recorded in (True, False)}


def told(verdict: Verdict, tx: Transaction, evidence: Evidence,
         instance: InstanceRow | None) -> Word:
    """Whether the other host's verdict may become this host's.

    :param instance: Nova's record; nobody runs an instance that is deleted
    """
    owner = winner(verdict, tx.source_host, tx.dest_host)
    loser = evidence.source if verdict is Verdict.COMMIT else evidence.destination
    table = TOLD_TO_THE_LOSER if loser.host == tx.host else TOLD
    found = table[loser.guest, instance is None or instance.host == owner]
    moving = evidence.source.job or evidence.destination.job or (
        verdict is Verdict.ABORT and loser.guest is G.IN_TRANSFER)
    # While libvirt is at it, the guest may still come to either side.
    return Word.NOT_ENOUGH if moving and found is Word.BELIEVED else found


def recorded(tx: Transaction, later: Sequence[OtherMove]) -> Verdict | None:
    """What the next operation of the instance says of this one's end.

    It was sent to the host that Nova's record named then. That it named the destination is
    proof, since nothing moves the record there but an arrival; that it named the source only
    says that nobody had seen one.

    :param later: what Nova has recorded after it, the oldest first
    """
    if not later or not tx.dest_host:
        return None
    return {tx.dest_host: Verdict.COMMIT, tx.source_host: Verdict.ABORT}.get(
        later[0].source_host)


def judge(tx: Transaction, evidence: Evidence, later: Sequence[OtherMove]) -> Decision:
    """Decide; what was moved on since is where it was moved from, whoever has it now.

    :param later: what Nova has recorded of the instance after this transaction
    """
    decision, known = decide(evidence), recorded(tx, later)
    seen = G.HERE in (evidence.source.guest, evidence.destination.guest)
    if known is None or decision.verdict is known or evidence.source.job \
            or evidence.destination.job or (seen and known is Verdict.ABORT):
        return decision
    if known is Verdict.COMMIT and not evidence.source.guest.may_run:
        return Decision(known, True, (
            f'{later[0]}, which shows that it had arrived on {tx.dest_host} '
            f'[{evidence.source}; {evidence.destination}]'))
    return Decision(Verdict.HOLD, False, (
        f'{later[0]}, but by what is seen it is {decision.verdict.value}: '
        f'{decision.reason}'))


def weigh(decision: Decision, said: Verdict, who: str, word: Word) -> Decision:
    """A decision from evidence, beside a word that alone is not enough."""
    if word is Word.CONTRADICTED:
        return Decision(Verdict.HOLD, False, (
            f'{who} says {said.value}, but the guest is seen where it must not be then: '
            f'{decision.reason}. If its journal is wrong, see `migsafe settle --withdraw` there'))
    if decision.verdict in (said, Verdict.HOLD):
        return decision
    return Decision(Verdict.HOLD, False, (
        f'{who} says {said.value}, which nothing here confirms, and by what is seen it is '
        f'{decision.verdict.value}: {decision.reason}'))


def weighed(tx: Transaction, evidence: Evidence, later: Sequence[OtherMove],
            said: tuple[str, str] | None, instance: InstanceRow | None) -> Decision:
    """What to decide from all that is known.

    :param said: the verdict that the other host has journalled, and its name
    """
    decision = judge(tx, evidence, later)
    if said is None:
        return _heard_twice(tx, evidence, decision)
    wanted, who = Verdict(said[0]), said[1]
    word = told(wanted, tx, evidence, instance)
    if word is not Word.BELIEVED:
        return _heard_twice(tx, evidence, weigh(decision, wanted, who, word))
    return dataclasses.replace(stand(wanted, evidence), reason=f'decided by {who}')


def _heard_twice(tx: Transaction, evidence: Evidence, decision: Decision) -> Decision:
    """What rests on the other host's word alone is decided when it is heard again: a word may be
    of another moment, or wrong once. That is so where it says that no guest runs there, or that
    one does while it is shut off here. Elsewhere this host sees or knows for itself where it is.
    """
    here, there = evidence.of(tx.host), evidence.source
    if there is here:
        there = evidence.destination
    again = ONCE % there.host
    alone = (there.guest in NO_QEMU and here.guest not in (G.HERE, G.HANDED_OVER)) or (
        there.guest is G.HERE and here.guest is G.SHUT_OFF)
    # Where no destination was chosen there is no word, and nobody to be asked again.
    if decision.verdict is Verdict.HOLD or not there.host or not alone \
            or tx.reason.startswith(again):
        return decision
    return Decision(Verdict.HOLD, False, f'{again}: {decision.reason}')


def borne_out(host: str, evidence: Evidence) -> str | None:
    """Why it is so, as an operator says, that a guest is on one host; None if nothing shows it.

    It must be seen there, and certainly not run on the other one. Then a verdict to the contrary
    may be taken back, and the other host's word for it be disregarded.
    """
    there = evidence.of(host)
    other = evidence.source if there is evidence.destination else evidence.destination
    if there.host != host or there.guest is not G.HERE or there.job or other.job \
            or other.guest.may_run:
        return None
    return f'the guest runs on {host} and not on {other.host} [{there}; {other}]'


def not_borne_out(decision: Decision, host: str) -> Decision:
    """The decision, with why an operator's word has changed nothing."""
    return dataclasses.replace(decision, reason=(
        f'not withdrawn, because it is not seen that the guest runs on {host} and on no other '
        f'host: {decision.reason}'))
