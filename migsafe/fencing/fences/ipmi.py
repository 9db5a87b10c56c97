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
"""Switches a host off over the IPMI service of its BMC."""

from __future__ import annotations

from typing import Any

from migsafe.fencing import bmc, ipmi
from migsafe.fencing.fences.power import PowerOff


class Ipmi(PowerOff):
    """Power off by IPMI.

    :raises ConfigError: the file of BMCs or ipmitool cannot be used
    """

    PROTOCOL = bmc.IPMI

    def __init__(self, conf: Any, name: str) -> None:
        super().__init__(conf, name)
        ipmi.program()

    def machine(self, known: bmc.Bmc) -> ipmi.Machine:
        """The machine behind an IPMI service."""
        return ipmi.Machine(known, self.conf.probe_timeout)
