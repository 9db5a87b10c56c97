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
"""What the BMC of a host says of its power."""

from __future__ import annotations

from collections.abc import Sequence

from migsafe.fencing import bmc, redfish
from migsafe.fencing.probes.base import Probe, Site
from migsafe.fencing.signs import Observation, Sign
from migsafe.text import masked

#: Anything else, such as the moment in which it is switched, tells nothing.
SIGNS = {redfish.ON: Sign.POWERED, 'PoweringOn': Sign.POWERED, redfish.OFF: Sign.OFF}


class Redfish(Probe):
    """The power state over Redfish, of exactly this machine.

    :raises ConfigError: the file of BMCs or sushy cannot be used
    """

    def __init__(self, site: Site, name: str) -> None:
        super().__init__(site, name)
        self._bmcs = bmc.read(site.conf.bmc_file)
        redfish.library()

    def look(self, host: str, instance_uuid: str) -> Sequence[Observation]:
        """Ask once."""
        known = self._bmcs.get(host)
        if known is None:
            return [self.saw(Sign.NOTHING, '[migsafe] bmc_file has no BMC of it')]
        try:
            # It is asked three times in a look: for its root, its system and the state.
            state = redfish.Machine(known, self.site.conf.probe_timeout / 3).power()
        except Exception as error:
            return [self.saw(Sign.NOTHING, masked(error))]
        return [self.saw(SIGNS.get(state, Sign.NOTHING), f'{known.address}: {state}')]
