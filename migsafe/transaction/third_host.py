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
"""An instance that a later operation has brought to a third host, while this one is open.

Whatever the verdict will be, what names either of the two hosts is wrong by then, and a guest
that is seen on one of them is a second copy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

from migsafe.journal.records import Transaction
from migsafe.resources.base import Resource
from migsafe.transaction.clients import InstanceRow, OtherMove
from migsafe.transaction.evidence import GuestState, HostEvidence
from migsafe.transaction.move import Move, Point
from migsafe.transaction.verdict import Decision, Verdict

Act = Callable[[Resource, Move, Point], dict[tuple[str, str], str]]


def brought_by(tx: Transaction, instance: InstanceRow | None,
               later: Sequence[OtherMove]) -> OtherMove | None:
    """What has brought the instance to a third host, by Nova's records; None if nothing has.

    :param later: what Nova has recorded after the transaction, the oldest first
    """
    if instance is None or instance.host in (None, tx.source_host, tx.dest_host):
        return None
    return next((other for other in reversed(later) if other.over
                 and not other.came_to_nothing and other.dest_host == instance.host), None)


def second_copy(tx: Transaction, here: HostEvidence, instance: InstanceRow | None,
                later: Sequence[OtherMove]) -> Decision | None:
    """HOLD, if this host's own libvirt has a guest that Nova's record gives to a third one.

    :param here: what this host has seen itself
    """
    other = brought_by(tx, instance, later)
    if instance is None or other is None or here.guest is not GuestState.HERE:
        return None
    return Decision(Verdict.HOLD, False, (
        f'{other}, but the guest still runs on {here.host}: it may run on BOTH {here.host} and '
        f'{instance.host}; look at both (virsh list --all), and stop one copy by hand [{here}]'))


def put_right(move: Move, resources: Iterable[Resource], act: Act) -> dict[tuple[str, str], str]:
    """Put right what names this host and is the third one's by now, whatever the verdict will be.

    :param move: of an open transaction
    :param act: has one resource act, and says what it could not
    """
    failed: dict[tuple[str, str], str] = {}
    if brought_by(move.tx, move.instance, move.later) is None:
        return failed
    verdict = Verdict.COMMIT if move.local == move.tx.source_host else Verdict.ABORT
    lost = dataclasses.replace(
        move, decision=Decision(verdict, False, move.decision.reason))
    for resource in resources:
        if resource.third_host:
            failed.update(act(resource, lost, Point.RECORDS))
    return failed
