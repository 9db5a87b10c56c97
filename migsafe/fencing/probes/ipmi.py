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
"""What the BMC of a host says of its power, over IPMI."""

from __future__ import annotations

from migsafe.fencing import bmc, ipmi
from migsafe.fencing.probes.base import Site
from migsafe.fencing.probes.power import Power


class Ipmi(Power):
    """The power state over IPMI.

    :raises ConfigError: the file of BMCs or ipmitool cannot be used
    """

    PROTOCOL = bmc.IPMI

    def __init__(self, site: Site, name: str) -> None:
        super().__init__(site, name)
        ipmi.program()

    def machine(self, known: bmc.Bmc) -> ipmi.Machine:
        """It is asked twice in a look: for its UUID and the state."""
        return ipmi.Machine(known, self.site.conf.probe_timeout / 2)
