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
"""How migsafe gets into nova-compute: as an os_vif entry point.

nova-compute calls os_vif.initialize() after it has read its configuration and
before it imports nova.compute.manager. Every entry point of the namespace is
loaded there, and an exception from load() stops the service.
"""

from __future__ import annotations

import sys
from typing import Any

from os_vif import objects, plugin

#: The module that is on the call stack when nova-compute loads os_vif.
NOVA_COMPUTE = 'nova.cmd.compute'


def in_nova_compute() -> bool:
    """Whether this load was asked for by nova-compute's own start-up."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get('__name__')
        path = frame.f_code.co_filename.replace('\\', '/')
        if name == NOVA_COMPUTE or path.endswith('/nova/cmd/compute.py'):
            return True
        if frame.f_back is None:
            return False
        frame = frame.f_back
    return False


class Plugin(plugin.PluginBase):
    """An os_vif plugin that serves no VIF type."""

    @classmethod
    def load(cls, plugin_name: str) -> Any:
        """Arm this process if it is nova-compute and [migsafe] enabled."""
        if in_nova_compute():
            from nova.conf import CONF

            from migsafe import nova
            nova.arm(CONF, probe=True)
        return super().load(plugin_name)

    def describe(self) -> objects.HostPluginInfo:
        """No VIF type is supported."""
        return objects.host_info.HostPluginInfo(plugin_name='migsafe',
                                                vif_info=[])

    def plug(self, vif: Any, instance_info: Any) -> None:
        """Never called: no VIF names this plugin."""
        raise ValueError('migsafe plugs no VIFs')

    def unplug(self, vif: Any, instance_info: Any) -> None:
        """Never called: no VIF names this plugin."""
        raise ValueError('migsafe unplugs no VIFs')
