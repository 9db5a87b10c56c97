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
"""What a probe may say of a host, what each of it means, and how much it weighs."""

from __future__ import annotations

import dataclasses
import enum


class Meaning(enum.Enum):
    """What a sign speaks for."""

    ALIVE = 'alive'
    DEAD = 'dead'
    UNKNOWN = 'unknown'


class Strength(enum.Enum):
    """How much a sign weighs; see the columns of :data:`migsafe.fencing.verdict.TABLE`."""

    #: The host's own kernel, libvirt or nova-compute has shown it, or the hardware has.
    PROOF = 'proof'
    #: A person, or the tool that fences hosts, has said it.
    WORD = 'word'
    #: It fits, and a broken network or a slow host looks the same.
    HINT = 'hint'
    NONE = 'none'


class Sign(enum.Enum):
    """What was seen, in the words of the command and of the documents."""

    GUEST_RUNS = 'guest runs'
    GUEST_GONE = 'guest gone'
    ANSWERS = 'answers'
    REACHABLE = 'reachable'
    OPENED = 'has volumes open'
    HEARD = 'heartbeat of late'
    WORKING = 'uses volumes'
    POWERED = 'power on'
    SILENT = 'silent'
    STALE = 'heartbeat stale'
    DECLARED = 'forced down'
    OFF = 'power off'
    CUT = 'cut off from storage'
    NOTHING = 'nothing known'


A, D, U = Meaning.ALIVE, Meaning.DEAD, Meaning.UNKNOWN
#: Sign -> its meaning, its strength, and what it says.
MEANINGS: dict[Sign, tuple[Meaning, Strength, str]] = {
    Sign.GUEST_RUNS: (A, Strength.PROOF, 'a hypervisor there has the guest'),
    Sign.GUEST_GONE: (A, Strength.PROOF, 'the host answers, and the guest is not there'),
    Sign.ANSWERS: (A, Strength.PROOF, "the host's own software answers"),
    Sign.REACHABLE: (A, Strength.HINT, 'something answers at its address'),
    Sign.OPENED: (A, Strength.HINT, 'a storage has a session of it; those of the dead linger'),
    Sign.HEARD: (A, Strength.HINT, 'Nova has a heartbeat of late; it may have died since'),
    Sign.WORKING: (A, Strength.HINT, 'commands in its name arrive at a storage; whose they are '
                   'is not proven'),
    Sign.POWERED: (A, Strength.HINT, 'its power is on; a host that hangs has power, too'),
    Sign.SILENT: (D, Strength.HINT, 'no answer in time; a partition looks the same'),
    Sign.STALE: (D, Strength.HINT, 'Nova has no heartbeat of late; a stopped service looks the '
                 'same'),
    Sign.DECLARED: (D, Strength.WORD, 'somebody has forced its nova-compute down'),
    Sign.OFF: (D, Strength.PROOF, 'the BMC of exactly this machine says that its power is off'),
    Sign.CUT: (D, Strength.PROOF, 'read back from the storage: it accepts nothing of this host'),
    Sign.NOTHING: (U, Strength.NONE, 'the probe cannot tell'),
}


@dataclasses.dataclass(frozen=True)
class Observation:
    """One look of one probe.

    :param probe: its name
    :param sign: what it saw
    :param detail: in words for an operator
    :param boot_id: of the host, if it said that
    :param sequence: a number that only a living host counts up
    :param sample: which look of this verdict it is, from 0
    """

    probe: str
    sign: Sign
    detail: str = ''
    boot_id: str = ''
    sequence: int | None = None
    sample: int = 0

    @property
    def meaning(self) -> Meaning:
        """What it speaks for."""
        return MEANINGS[self.sign][0]

    @property
    def strength(self) -> Strength:
        """How much it weighs."""
        return MEANINGS[self.sign][1]


@dataclasses.dataclass(frozen=True)
class Checker:
    """Who looks, and what else it sees.

    :param sees_others: whether another host answered; None if there is none that could
    :param others: other hosts, but for those that were forced down long ago
    :param lost: how many of these have no heartbeat of late
    :param asked: how many of these were asked now, of those that have one
    :param unheard: how many of those did not answer
    """

    sees_others: bool | None = None
    others: int = 0
    lost: int = 0
    asked: int = 0
    unheard: int = 0
