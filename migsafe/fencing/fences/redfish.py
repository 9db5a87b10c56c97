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

from migsafe.fencing import bmc, redfish
from migsafe.fencing.fences.power import PowerOff


class Redfish(PowerOff):
    """Power off by Redfish.

    :raises ConfigError: the file of BMCs or sushy cannot be used
    """

    PROTOCOL = 'redfish'

    def __init__(self, conf: Any, name: str) -> None:
        super().__init__(conf, name)
        redfish.library()

    def machine(self, known: bmc.Bmc) -> redfish.Machine:
        """The machine behind a Redfish service."""
        return redfish.Machine(known, self.conf.probe_timeout)
