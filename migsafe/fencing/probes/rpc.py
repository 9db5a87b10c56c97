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
"""What the plugin in nova-compute of the host answers."""

from __future__ import annotations

from collections.abc import Sequence

from migsafe.fencing.probes.base import Probe
from migsafe.fencing.signs import Observation


class Rpc(Probe):
    """Asks over the message bus, where libvirt there is asked for the guest."""

    def look(self, host: str, instance_uuid: str) -> Sequence[Observation]:
        """Ask once."""
        answer = self.site.ask(host, instance_uuid, self.site.conf.probe_timeout)
        return [self.saw(answer.sign, answer.detail, boot_id=answer.boot_id)]
