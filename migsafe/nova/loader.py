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

An exception before that does not: stevedore logs a line about an entry point
that cannot be imported, and nova-compute goes on unprotected. So this module
imports os_vif alone, and everything else inside of load().
"""

from __future__ import annotations

import importlib
import logging
import sys
import typing

from os_vif import objects, plugin

LOG = logging.getLogger(__name__)

#: The module that is on the call stack when nova-compute loads os_vif.
NOVA_COMPUTE = 'nova.cmd.compute'
#: What arming imports, now or later.
NEEDED = ('migsafe.nova.arming', 'migsafe.nova.host.status', 'migsafe.nova.seams.table',
          'migsafe.brick.connectors.shim', 'migsafe.conf.files', 'migsafe.lvm.services')
BROKEN = ('migsafe cannot be imported (%s: %s), so that live migrations would not be protected. '
          'Install it and what it needs again, and look with "migsafe-status upgrade check"; or '
          'set [migsafe] enforce = false to run nova-compute unprotected.')


class NotProtected(Exception):
    """migsafe is switched on, and its own code cannot be had."""


def in_nova_compute() -> bool:
    """Whether this load was asked for by nova-compute's own start-up."""
    frame: typing.Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get('__name__')
        path = frame.f_code.co_filename.replace('\\', '/')
        if name == NOVA_COMPUTE or path.endswith('/nova/cmd/compute.py'):
            return True
        frame = frame.f_back
    return False


def switched_on(conf: typing.Any, option: str, default: bool) -> bool:
    """What a boolean of [migsafe] says, also where migsafe.conf cannot be imported."""
    from oslo_config import cfg
    try:
        conf.register_opt(cfg.BoolOpt(option, default=default), group='migsafe')
    except cfg.DuplicateOptError:
        LOG.debug('[migsafe] %s is known already', option)
    # NOTE: see migsafe.conf.environment; both are on where a variable says otherwise.
    return bool(conf.migsafe[option]) or conf.get_location(
        option, 'migsafe').location is cfg.Locations.environment


def arm() -> None:
    """Arm this process, whose configuration is read.

    :raises NotProtected: migsafe's own code cannot be had, and [migsafe] enforce is true
    """
    from nova.conf import CONF
    try:
        for name in NEEDED:
            importlib.import_module(name)
    except Exception as error:
        _broken(CONF, error)
        return
    importlib.import_module(NEEDED[0]).arm(CONF, probe=True)


def _broken(conf: typing.Any, error: Exception) -> None:
    if not switched_on(conf, 'enabled', False):
        LOG.warning('migsafe is installed, but cannot be imported: %s', error)
        return
    if switched_on(conf, 'enforce', True):
        raise NotProtected(BROKEN % (type(error).__name__, error)) from error
    LOG.error(BROKEN, type(error).__name__, error)


class Plugin(plugin.PluginBase):
    """An os_vif plugin that serves no VIF type."""

    @classmethod
    def load(cls, plugin_name: str) -> typing.Any:
        """Arm this process if it is nova-compute and [migsafe] enabled."""
        if in_nova_compute():
            arm()
        return super().load(plugin_name)

    @classmethod
    def check(cls) -> None:
        """Import what load() would, for the upgrade check."""
        for name in NEEDED:
            importlib.import_module(name)

    def describe(self) -> objects.HostPluginInfo:
        """No VIF type is supported."""
        return objects.host_info.HostPluginInfo(plugin_name='migsafe',
                                                vif_info=[])

    def plug(self, vif: typing.Any, instance_info: typing.Any) -> None:
        """Never called: no VIF names this plugin."""
        raise ValueError('migsafe plugs no VIFs')

    def unplug(self, vif: typing.Any, instance_info: typing.Any) -> None:
        """Never called: no VIF names this plugin."""
        raise ValueError('migsafe unplugs no VIFs')
