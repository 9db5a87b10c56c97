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
"""The verdict on a host: a table, and the row that decided.

A second copy of a guest destroys its disks, and nothing brings them back; a guest that waits for
a person is only down. So silence is no proof: a partition, a stopped service and an overloaded
host are silent, too. All ways through networks together count as one signal, because one broken
switch silences all of them. Besides it there has to be another kind: power, storage, or the word
of who has fenced the host.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from typing import Any

from migsafe.fencing import facts
from migsafe.fencing.facts import Facts, Life, Limits
from migsafe.fencing.signs import Checker, Observation
from migsafe.text import shell


class HostVerdict(enum.Enum):
    """Whether a guest of a host may be started elsewhere: only on ``DEAD``."""

    ALIVE = 'ALIVE'
    DEAD = 'DEAD'
    UNKNOWN = 'UNKNOWN'


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the table.

    :param name: how it is called in documents and output
    :param when: column -> the value that it has to have; what is not named may be anything
    :param why: what is known, in words for an operator
    :param next: what would change the verdict
    """

    name: str
    when: dict[str, Any]
    verdict: HostVerdict
    why: str
    next: str = ''

    def fits(self, found: Facts) -> bool:
        """Whether all columns have these values."""
        return all(getattr(found, column) == value for column, value in self.when.items())

    def to_do(self, host: str) -> str:
        """What would change the verdict; empty if nothing has to."""
        return self.next.replace('HOST', shell(host))


V = HostVerdict
#: The one row that more looks would change.
MORE_LOOKS = 'too-few-looks'
#: The one row in which nothing but a word says that it is dead.
WORD = 'word'
#: HOST in what is to be done next stands for the name of the host.
FENCE = ('power it off or fence it, look at its console, and say so with "openstack compute '
         'service set --down HOST nova-compute"')
#: The first row that fits decides. The last one fits everything.
TABLE: tuple[Row, ...] = (
    Row('guest-runs', {'guest': True}, V.ALIVE,
        'the guest was seen running there', 'do not evacuate it; start nova-compute there'),
    # One that lives can start a guest at any time: in the middle of a hard reboot it has none.
    Row('host-lives', {'life': Life.PROVEN}, V.ALIVE,
        'the host shows that it lives', 'do not evacuate its guests: they can be started there, '
        'or migrated, once "openstack compute service set --up HOST nova-compute" is said; to '
        'have them started elsewhere power it off'),
    Row('contradiction-off', {'life': Life.HINTED, 'off': True}, V.UNKNOWN,
        'its BMC says that it is off, but there is a sign that it runs',
        'if it was heard a moment ago, ask again once that is older than [DEFAULT] '
        'service_down_time; else find out which machine answers, and which that BMC belongs to'),
    Row('contradiction-word', {'life': Life.HINTED, 'declared': True}, V.UNKNOWN,
        'it was forced down, but there is a sign that it runs',
        'if it was heard before it was fenced, ask again once its last heartbeat is older than '
        '[DEFAULT] service_down_time; else power it off, or, if it is well, "openstack compute '
        'service set --up HOST nova-compute"'),
    Row('host-may-live', {'life': Life.HINTED}, V.ALIVE,
        'there is a sign that it lives', f'if it hangs, {FENCE}'),
    Row('blind', {'blind': True}, V.UNKNOWN,
        'whoever looks sees no other host either, and may be the one that is cut off',
        'look at the network and the message bus of this host, or ask from another one'),
    Row('storm', {'storm': True}, V.UNKNOWN,
        'too many hosts have fallen silent at once, which is how a broken network or message bus '
        'looks', 'find the cause; hosts that are really off count no more an hour after they '
        'were forced down. If so many are really off, raise [migsafe] fleet_loss_percent'),
    Row('alone', {'alone': True}, V.UNKNOWN,
        'there is no other host that could show that whoever looks is not the one that is cut '
        'off', 'ask from a machine that sees another compute host; in a cloud of two, see '
        '[migsafe] evacuate_without_witness'),
    Row(MORE_LOOKS, {'enough': False}, V.UNKNOWN,
        'not every probe has looked often enough', 'ask again'),
    Row('off-and-word', {'silent': True, 'off': True, 'declared': True}, V.DEAD,
        'its power is off, it was forced down, and it is silent'),
    Row('off-and-cut', {'silent': True, 'off': True, 'cut': True}, V.DEAD,
        'its power is off, the storage accepts nothing of it, and it is silent'),
    Row('cut-and-word', {'silent': True, 'cut': True, 'declared': True}, V.DEAD,
        'the storage accepts nothing of it, it was forced down, and it is silent'),
    Row(WORD, {'silent': True, 'declared': True, 'believed': True}, V.DEAD,
        'it was forced down, which is the word of who has fenced it, and nothing speaks against '
        'it'),
    Row('word-alone', {'silent': True, 'declared': True}, V.UNKNOWN,
        'it was forced down and is silent, and [migsafe] believe_forced_down wants a second proof',
        'power it off where its BMC can show it'),
    Row('word-unheard', {'declared': True}, V.UNKNOWN,
        'it was forced down, but nothing could be asked that would tell if it lived',
        'look at the message bus of this host'),
    Row('off-alone', {'silent': True, 'off': True}, V.UNKNOWN,
        'its BMC says that it is off, and it is silent; a BMC that is wrong and a partition '
        'look the same', FENCE),
    Row('silence', {'silent': True}, V.UNKNOWN,
        'it is silent; a stopped nova-compute and a partition look the same', FENCE),
    Row('nothing', {}, V.UNKNOWN, 'nothing is known of it', FENCE),
)


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A verdict and what it comes from.

    :param checker: who looked
    :param seen: the looks, as they were
    """

    host: str
    row: Row
    found: Facts
    checker: Checker
    seen: tuple[Observation, ...]

    @property
    def verdict(self) -> HostVerdict:
        """The verdict."""
        return self.row.verdict

    @property
    def next(self) -> str:
        """What would change the verdict; empty if nothing has to."""
        return self.row.to_do(self.host)

    @property
    def told(self) -> list[str]:
        """What each probe has seen, each sign once, with the words of its last look."""
        last = {(one.probe, one.sign): one for one in self.seen}
        return [f'{one.probe}: {one.sign.value}' + (f' ({one.detail})' if one.detail else '')
                for one in last.values()]

    def __str__(self) -> str:
        told = '; '.join(self.told) or 'no probe'
        return f'{self.verdict.value}, {self.row.why} [{told}]'


def decide(found: Facts) -> Row:
    """The first row that fits."""
    return next(row for row in TABLE if row.fits(found))


def judge(host: str, seen: Sequence[Observation], checker: Checker, limits: Limits) -> Judgement:
    """Judge a host.

    :param seen: all looks of all probes at it
    :param checker: who looks
    """
    found = facts.gather(seen, checker, limits)
    return Judgement(host, decide(found), found, checker, tuple(seen))
