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
"""Mendings that can be taken out again, to see that the search finds what they are about."""

import dataclasses

from migsafe.journal import writes
from migsafe.nova.clients import devices
from migsafe.nova.host import word
from migsafe.replay.unmended import MENDINGS, without
from migsafe.transaction import history


@dataclasses.dataclass(frozen=True)
class Fault:
    """One way to lose a disk that was there once.

    :param what: in a line
    :param without: (object, attribute, what stands there instead) of each mending
    :param schedule: a short one that finds it
    """

    what: str
    without: tuple
    schedule: str


def _turned(connection, row, wanted):
    """A verdict is written over whatever stands."""
    row.set(verdict=wanted)
    return True


class _Forgetful(set):
    def add(self, _item):
        """It is not remembered."""


def _forgotten(lines, read=history.read):
    """What was seen to be gone is not remembered."""
    return dataclasses.replace(read(lines), ended=_Forgetful())


def _unheard(clients, tx, verdict, novas=False):
    """Nothing speaks against what another host asks for."""
    return ''


FAULTS = {
    1: Fault('settled, and a late destination writes its LUNs into the rows', MENDINGS['late'],
        'at 5 migrate B\nstep B bdm 2 stall 700'),
    2: Fault('an old transaction tears up the next migration', MENDINGS['overtaken'],
        'at 5 migrate B\nstep A placement 1 kill\nat 700 migrate C\nat 706 start A'),
    3: Fault('one false word of the peer is believed before libvirt', MENDINGS['told'],
        'at 5 migrate B\ntransfer 1 fail 20\nmessage describe A B 1 lie COMMIT\n'
        'message describe A B 2 lie COMMIT'),
    4: Fault('a durable verdict is turned round', (
        (writes, 'decide', _turned), (word, 'refusal', _unheard)),
        'at 5 migrate B\nat 37.2 release C B ABORT'),
    5: Fault("held for good over another tenant's device", (
        (history, 'read', _forgotten),
        (devices, '_another_disk', lambda host, path, data: False)),
        'identity off\nat 5 migrate C\nstep A disconnect_volume 1 fail'),
}


def unmended(number):
    """Take the mendings of a fault out; inside of :func:`seams.installed`."""
    return without(FAULTS[number].without)
