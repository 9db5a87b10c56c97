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
"""Guarded subclasses of os-brick's connectors, by transport."""

from __future__ import annotations

import contextlib
from typing import Any

from os_brick import utils
from os_brick.initiator.connectors import fibre_channel, iscsi, nvmeof
from oslo_log import log as logging

from migsafe.brick import refusals
from migsafe.brick.connectors.guarded import Guarded
from migsafe.brick.guard import policy as guard_policy
from migsafe.brick.kernel import address, sessions
from migsafe.brick.kernel import sysfs as kernel_sysfs

LOG = logging.getLogger(__name__)


class GuardedISCSI(Guarded):
    """iSCSI and iSER: os-brick asks GuardedLinuxSCSI with the names of the disks."""

    def _paths(self, properties: dict[str, Any]) -> list[str]:
        if not self.use_multipath:  # type: ignore[attr-defined]
            # what was handed out is all that is used
            return []
        targets = self._get_all_targets(properties)  # type: ignore[attr-defined]
        if 'target_portals' not in properties:
            # the target has told os-brick of its other portals, which lead to the same LUN
            targets = [('', target, lun) for _, target, lun in targets]
        return sorted(sessions.disks((portal, target, int(lun))
                                     for portal, target, lun in targets))

    def _leads(self, properties: dict[str, Any]) -> list[address.Lead]:
        # the target has told os-brick of portals that may have other names
        told = 'target_portals' in properties
        return [(target if told else '', int(lun)) for _, target, lun
                in self._get_all_targets(properties)]  # type: ignore[attr-defined]


class GuardedFibreChannel(Guarded):
    """Fibre Channel flushes and removes disk by disk, and goes on after an error with force."""

    def _devices(self, properties: dict[str, Any], info: Any) -> tuple[list[str], list[str]]:
        return self._paths(properties), []

    def _paths(self, properties: dict[str, Any]) -> list[str]:
        paths = self.get_volume_paths(  # type: ignore[attr-defined]
            self._add_targets_to_connection_properties(properties))  # type: ignore[attr-defined]
        names = {kernel_sysfs.kernel_name(path) for path in paths}
        return sorted(name for name in names if name)

    def _leads(self, properties: dict[str, Any]) -> list[address.Lead]:
        targets = self._add_targets_to_connection_properties(  # type: ignore[attr-defined]
            properties)['targets']
        return [(str(port).lower().replace(':', ''), int(lun)) for port, lun in targets]

    def _remove_devices(self, connection_properties: dict[str, Any],
                        devices: list[dict[str, str]], device_info: Any, force: bool,
                        exc: Any) -> None:
        """Ask again under os-brick's lock; take the map along that os-brick does not flush.

        It does so only if it was to use multipath, and a path can be read.

        :raises refusals.Refused: also with ``force``, for which os-brick collects errors
        """
        names = [device['device'].removeprefix('/dev/') for device in devices or ()]
        if names:
            self.policy.may_remove(names)
        with self._linuxscsi.together(names):
            if names:
                self._linuxscsi.flush_maps(names, force, exc)
            super()._remove_devices(  # type: ignore[misc]
                connection_properties, devices, device_info, force, exc)
        _refuse(exc)


class GuardedNVMeOF(Guarded):
    """NVMe-oF: a RAID over replicas is os-brick's own, and is taken down by it."""

    @classmethod
    def _set_native_multipath_supported(cls) -> Any:
        """Note it where os-brick does: others look at its own class."""
        return nvmeof.NVMeOFConnector._set_native_multipath_supported()

    def _devices(self, properties: dict[str, Any], info: Any) -> tuple[list[str], list[str]]:
        try:
            path = self.get_volume_paths(  # type: ignore[attr-defined]
                nvmeof.NVMeOFConnProps(properties), info)[0]
        except IndexError:
            return [], []
        # of an encrypted volume it is a link that led to a dm-crypt, which is not there any more
        path = utils._device_path_from_symlink(path)
        name = kernel_sysfs.kernel_name(path)
        if name is None:
            return [], []
        sysfs = self.policy.guard.sysfs
        if path.startswith(nvmeof.RAID_PATH):
            return sysfs.slaves(name), [name]
        return [name], []

    def _try_disconnect_all(self, conn_props: Any, exc: Any = None) -> None:
        """os-brick collects what goes wrong here, and raises it later, if at all.

        :raises refusals.Refused: in a detach. A connect that failed leaves what it must not
            remove, and has an error of its own
        """
        if exc is None:
            super()._try_disconnect_all(conn_props)  # type: ignore[misc]
            return
        super()._try_disconnect_all(conn_props, exc)  # type: ignore[misc]
        _refuse(exc)

    def _try_disconnect(self, portal: Any) -> None:
        """Disconnect a controller, which takes along the namespace that it has, of whoever it is.

        :raises refusals.Refused: with the controller still there
        """
        sure = portal.can_disconnect()
        names = {nvmeof.nvme_basename(path) for path in portal.get_all_namespaces_ctrl_paths()
                 } if sure else set()
        # os-brick asks again, and gets the answer that was judged
        portal.can_disconnect = lambda: sure
        try:
            with self.policy.removing(names) if names else contextlib.nullcontext():
                super()._try_disconnect(portal)  # type: ignore[misc]
                if sure:
                    guard_policy.note_gone(f'controller {portal.controller}')
        except refusals.Refused as refused:
            LOG.warning('%s', refused)
            raise


#: (os-brick's class, what is mixed in); the first that fits
MIXINS: tuple[tuple[type, type[Guarded]], ...] = (
    (iscsi.ISCSIConnector, GuardedISCSI),
    (fibre_channel.FibreChannelConnector, GuardedFibreChannel),
    (nvmeof.NVMeOFConnector, GuardedNVMeOF),
)


def guarded(cls: type, policy: guard_policy.Policy) -> type | None:
    """A guarded subclass of a connector class; None for a protocol without block devices.

    :param cls: the class that stands in os-brick's mapping, whoever put it there
    """
    for known, mixin in MIXINS:
        if issubclass(cls, known):
            # with its own name: there are those who ask a connector for that of its class
            return type(cls.__name__, (mixin, cls),
                        {'policy': policy, '__module__': __name__, '__doc__': cls.__doc__})
    return None


def _refuse(exc: Any) -> None:
    """Raise the first refusal among the errors that os-brick has collected, if there is one."""
    for _, error, _ in exc._exceptions:
        if isinstance(error, refusals.Refused):
            raise error
