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
"""The power of a machine, over its BMC: what Redfish and IPMI have in common.

A BMC may be of another machine than the records say: they are cabled, replaced and renamed by
hand. So nothing that it says counts, and nothing is asked of it, before the UUID of its system is
that of the host.
"""

from __future__ import annotations

import abc
import time

from migsafe import exceptions
from migsafe.fencing.bmc import Bmc
from migsafe.text import masked

#: Seconds between two looks at a power state that is to change.
PAUSE = 1.0
ON, OFF = 'On', 'Off'


class WrongMachine(exceptions.MigsafeError):
    """What a BMC says is of no use."""

    message = ('The BMC %(address)s is of machine %(found)s, and host %(host)s is machine '
               '%(wanted)s. Correct its address or uuid in [migsafe] bmc_file; '
               '/sys/class/dmi/id/product_uuid on the host has the latter.')


class StillOn(exceptions.MigsafeError):
    """It was told to switch off."""

    message = ('The BMC %(address)s of host %(host)s does not say %(looks)d times in a row that '
               'the power is off, within %(seconds)d seconds: %(found)s. Look at its console; '
               'switch it off by hand.')


class Machine(abc.ABC):
    """One host.

    :param seconds: to wait for each answer
    """

    def __init__(self, bmc: Bmc, seconds: float) -> None:
        self.bmc, self.seconds = bmc, seconds
        #: what it said last while it was looked at whether it is off
        self.last = ''

    @abc.abstractmethod
    def power(self) -> str:
        """The power state, in Redfish's words; empty if it does not say.

        :raises WrongMachine: it is another machine's
        :raises Exception: it does not answer, or refuses
        """

    @abc.abstractmethod
    def cut(self) -> None:
        """Tell it once to switch off by force, after it has said again which machine it is.

        :raises WrongMachine: it is another machine's; nothing was done
        :raises Exception: it does not answer, or refuses; it may have done it all the same
        """

    def seen_off(self, looks: int, pause: float, within: float) -> None:
        """See that it is off, and stays so.

        :param looks: how often in a row it has to say so
        :param pause: seconds between two of them
        :param within: seconds until it has to say so for the first time
        :raises WrongMachine: it is another machine's
        :raises StillOn: it was not seen to be off
        """
        end, times, found = time.monotonic() + within, 0, 'it says nothing'
        while times < looks:
            try:
                self.last = self.power()
                times = times + 1 if self.last == OFF else 0
                found = f'it says {self.last or "nothing"}'
            except WrongMachine:
                raise
            except Exception as error:
                times, found = 0, masked(error)
            if not times and time.monotonic() >= end:
                raise StillOn(address=self.bmc.address, host=self.bmc.host, seconds=within,
                              found=found, looks=looks)
            if times < looks:
                time.sleep(pause if times else PAUSE)

    def wrong(self, found: object) -> WrongMachine:
        """The error that it is another one."""
        return WrongMachine(address=self.bmc.address, host=self.bmc.host, wanted=self.bmc.uuid,
                            found=found or '(not said)')
