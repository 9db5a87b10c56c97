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
"""A machine over the Redfish service of its BMC.

A BMC may be of another machine than the records say: they are cabled, replaced and renamed by
hand. So nothing that it says counts, and nothing is asked of it, before the UUID of its system is
that of the host. Some firmware gives the first three fields in the other byte order.
"""

from __future__ import annotations

import importlib
import time
import uuid
from typing import Any

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

    message = ('The BMC %(address)s of host %(host)s does not say that the power is off, '
               '%(seconds)d seconds after it was told to switch it off: %(found)s. Look at its '
               'console; switch it off by hand.')


def library() -> Any:
    """sushy, which is imported only where it is used.

    :raises ConfigError: it is not installed
    """
    try:
        return importlib.import_module('sushy')
    except ImportError:
        raise exceptions.ConfigError(
            '"redfish" in [migsafe] probes or fences needs sushy, which is not installed here: '
            'pip install "openstack-migsafe[redfish]", or leave it out.') from None


class Machine:
    """One host.

    :param seconds: to wait for each answer
    """

    def __init__(self, bmc: Bmc, seconds: float) -> None:
        self._bmc, self._seconds = bmc, seconds

    def power(self) -> str:
        """The power state, in Redfish's words; empty if it does not say.

        :raises WrongMachine: it is another machine's
        :raises Exception: it does not answer, or refuses
        """
        state = self._system().power_state
        return str(state.value) if state is not None else ''

    def off(self, within: float) -> None:
        """Switch it off by force, unless it is off, and see that it is.

        :param within: seconds until it has to be off
        :raises WrongMachine: it is another machine's; nothing was done
        :raises StillOn: it was not seen to be off
        :raises Exception: it does not answer, or refuses; nothing was done
        """
        if self.power() == OFF:
            return
        system, sushy = self._system(), library()
        found = ''
        try:
            system.reset_system(sushy.RESET_FORCE_OFF)
        except Exception as error:
            # It may have done it all the same; what it says from now on tells.
            found = masked(error)
        end = time.monotonic() + within
        while True:
            try:
                state = self.power()
                if state == OFF:
                    return
                found = found or f'it says {state or "nothing"}'
            except WrongMachine:
                raise
            except Exception as error:
                found = masked(error)
            if time.monotonic() >= end:
                raise StillOn(address=self._bmc.address, host=self._bmc.host, seconds=within,
                              found=found)
            time.sleep(PAUSE)

    def _system(self) -> Any:
        """The system, which is the host."""
        bmc, sushy = self._bmc, library()
        # NOTE: with 0 sushy sends what was not answered three times, a reset too.
        root = sushy.Sushy(
            bmc.address, auth=sushy.auth.BasicAuth(bmc.username, bmc.password),
            verify=bmc.ca_file or True, server_side_retries=1, server_side_retries_delay=1,
            read_timeout=self._seconds, connect_timeout=self._seconds)
        system = root.get_system(bmc.system or None)
        if not _same(bmc.uuid, system.uuid):
            raise WrongMachine(address=bmc.address, host=bmc.host, wanted=bmc.uuid,
                               found=system.uuid or '(not said)')
        return system


def _same(machine: uuid.UUID, said: Any) -> bool:
    try:
        return uuid.UUID(str(said)) in (machine, uuid.UUID(bytes_le=machine.bytes))
    except ValueError:
        return False
