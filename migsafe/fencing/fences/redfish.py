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
"""Switches a host off over the Redfish service of its BMC."""

from __future__ import annotations

from typing import Any

from migsafe import exceptions
from migsafe.fencing import bmc, redfish
from migsafe.fencing.fences.base import Fence
from migsafe.text import masked


class NoBmc(exceptions.MigsafeError):
    """Which machine a host is, is not known."""

    message = ('[migsafe] bmc_file has no BMC of host %(host)s, so that it was not switched off. '
               'Add it there, or switch the host off by hand.')


class NotSwitched(exceptions.MigsafeError):
    """The BMC does not do it."""

    message = ('Host %(host)s was not switched off over its BMC %(address)s: %(reason)s. Check '
               'the address, user, password and ca_file in [migsafe] bmc_file, or switch the host '
               'off by hand.')


class Redfish(Fence):
    """Power off by force."""

    def __init__(self, conf: Any, name: str) -> None:
        super().__init__(conf, name)
        self._bmcs = bmc.read(conf.bmc_file)
        redfish.library()

    def fence(self, host: str) -> str:
        """Switch it off, and read back that it is."""
        known = self._bmcs.get(host)
        if known is None:
            raise NoBmc(host=host)
        try:
            redfish.Machine(known, self.conf.probe_timeout).off(self.conf.fence_timeout)
        except exceptions.MigsafeError:
            raise
        except Exception as error:
            raise NotSwitched(host=host, address=known.address, reason=masked(error)) from None
        return f'{known.address} says that the power of machine {known.uuid} is off'
