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

Some firmware gives the first three fields of the UUID in the other byte order.
"""

from __future__ import annotations

import importlib
import uuid
from typing import Any

from migsafe import exceptions
from migsafe.fencing import bmc, power


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


class Machine(power.Machine):
    """One host."""

    def power(self) -> str:
        """The power state, of exactly this machine."""
        state = self._system().power_state
        return str(state.value) if state is not None else ''

    def cut(self) -> None:
        """Switch it off by force."""
        self._system().reset_system(library().RESET_FORCE_OFF)

    def _system(self) -> Any:
        """The system, which is the host."""
        known, sushy = self.bmc, library()
        # NOTE: with 0 sushy sends what was not answered three times, a reset too.
        root = sushy.Sushy(
            known.address, auth=sushy.auth.BasicAuth(known.username, known.password),
            verify=known.ca_file or True, server_side_retries=1, server_side_retries_delay=1,
            read_timeout=self.seconds, connect_timeout=self.seconds)
        system = root.get_system(known.system or None)
        try:
            same = bmc.same(known.uuid, uuid.UUID(str(system.uuid)))
        except ValueError:
            same = False
        if not same:
            raise self.wrong(system.uuid)
        return system
