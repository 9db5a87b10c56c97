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
"""What the BMC of a host says of its power, whatever it speaks."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import ClassVar

from migsafe.fencing import bmc, power
from migsafe.fencing.probes.base import Probe, Site
from migsafe.fencing.signs import Observation, Sign
from migsafe.text import masked

#: Anything else, such as the moment in which it is switched, tells nothing.
SIGNS = {power.ON: Sign.POWERED, 'PoweringOn': Sign.POWERED, power.OFF: Sign.OFF}


class Power(Probe):
    """The power state of exactly this machine.

    :raises ConfigError: the file of BMCs cannot be used
    """

    #: as :attr:`migsafe.fencing.bmc.Bmc.protocol`
    PROTOCOL: ClassVar[str]

    def __init__(self, site: Site, name: str) -> None:
        super().__init__(site, name)
        self._bmcs = bmc.read(site.conf.bmc_file)

    @abc.abstractmethod
    def machine(self, known: bmc.Bmc) -> power.Machine:
        """The machine behind a BMC."""

    def look(self, host: str, instance_uuid: str) -> Sequence[Observation]:
        """Ask once."""
        known = self._bmcs.get(host)
        if known is None or known.protocol != self.PROTOCOL:
            return [self.saw(Sign.NOTHING,
                             f'[migsafe] bmc_file has no BMC of it that speaks {self.PROTOCOL}')]
        try:
            state = self.machine(known).power()
        except Exception as error:
            return [self.saw(Sign.NOTHING, masked(error))]
        return [self.saw(SIGNS.get(state, Sign.NOTHING), f'{known.address}: {state}')]
