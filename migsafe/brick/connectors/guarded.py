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
"""What all guarded connectors do: ask before os-brick removes something, and look at what came.

How a disk is found and taken away stays os-brick's business.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from os_brick import exception
from os_brick.initiator import linuxscsi
from os_brick.initiator.connectors import base
from oslo_log import log as logging

from migsafe.brick import errors, refusals
from migsafe.brick.connectors import scsi as connectors_scsi
from migsafe.brick.guard import kept_devices, removal, strays
from migsafe.brick.guard import policy as guard_policy
from migsafe.brick.guard.judge import Wanted
from migsafe.brick.identity import designators, noted
from migsafe.brick.kernel import address
from migsafe.brick.kernel import sysfs as kernel_sysfs
from migsafe.text import masked, shell

LOG = logging.getLogger(__name__)


class Guarded:
    """Mixed into a connector class, before it."""

    policy: guard_policy.Policy

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: what the service says of itself; None where it leaves that to the connection
        self._enforced: bool | None = kwargs.get('enforce_multipath')
        scsi: linuxscsi.LinuxSCSI = self._linuxscsi  # type: ignore[has-type]
        # exchanging the class keeps the state that os-brick gave this object
        scsi.__class__ = connectors_scsi.guarded(type(scsi), self.policy)
        self._linuxscsi = scsi

    def connect_volume(self, connection_properties: dict[str, Any]) -> Any:
        """As os-brick does, and then look at what came back.

        os-brick lets one connect in at a time; its lock ends before the look, when the next
        connect may get the same disk that this one finds wrong and takes away again. So the lock
        around both is of the same kind, and a disconnect does not wait for it.

        :raises refusals.Refused: if it is not the volume; it is disconnected again, unless it
            was here before
        """
        strays.retry()
        return self._connect(connection_properties)

    @base.synchronized('connect_and_judge', external=True)
    def _connect(self, connection_properties: dict[str, Any]) -> Any:
        volume = self._wanted(connection_properties)
        before = self.policy.guard.sysfs.names()
        with guard_policy.working_on(volume):
            info = super().connect_volume(connection_properties)  # type: ignore[misc]
        try:
            found = self._checked(connection_properties, info, volume)
        except Exception as wrong:
            # whatever it is, nobody will ever ask to have this disk taken away
            if isinstance(wrong, refusals.MixedMap):
                self._take_out(set(self._paths(connection_properties)) - before)
            stays = self._give_back(connection_properties, info, before)
            if stays and isinstance(wrong, refusals.Refused):
                raise refusals.with_more(wrong, stays) from wrong
            raise
        strays.forget(str(info.get('path')), found)
        if found and not connection_properties.get(guard_policy.KEY):
            connection_properties[guard_policy.KEY] = sorted(found)
        return info

    def _checked(self, properties: dict[str, Any], info: Any,
                 volume: Wanted) -> designators.Identity:
        """The identity of what os-brick has connected, if it is the volume.

        An operator may have said that another one is to be taken for it from now on.
        """
        path, multipath = str(info.get('path')), self._wants_map(properties)
        name = kernel_sysfs.kernel_name(path)
        guard, also = self.policy.guard, self._paths(properties)
        judge = functools.partial(guard.connected, leads=self._leads(properties))
        try:
            return judge(name, path, volume, multipath, also=also)
        except (refusals.WrongDisk, refusals.Unproven) as wrong:
            found = self.policy.accepts and judge(
                name, path, Wanted(volume.volume), multipath, also=also)
            if not found:
                raise
            LOG.warning('%s It is taken as the volume from now on, as [migsafe] identity_policy '
                        'is "accept".', wrong)
            properties.pop(guard_policy.KEY, None)
            return found

    def disconnect_volume(self, connection_properties: dict[str, Any], device_info: Any,
                          force: bool = False, ignore_errors: bool = False) -> Any:
        """As os-brick does, if nothing would be torn away by it.

        :raises refusals.Refused: with nothing changed, also with ``force`` and ``ignore_errors``
        """
        name = guard_policy.name_of(connection_properties)
        with kept_devices.watching(self.policy.guard.host, name), \
                guard_policy.working_on(self._wanted(connection_properties)):
            names, also = self._devices(connection_properties, device_info)
            if names:
                self.policy.may_remove(names, also)
            try:
                return super().disconnect_volume(  # type: ignore[misc]
                    connection_properties, device_info, force=force, ignore_errors=ignore_errors)
            except (refusals.Refused, exception.VolumeDeviceNotFound):
                raise
            except Exception as error:
                self._explain(connection_properties, names, error)

    def _explain(self, properties: dict[str, Any], names: list[str],
                 error: Exception) -> NoReturn:
        """Say who is in the way of a detach that has failed, or that it is not known.

        Only what is one of ours keeps the export.

        :raises refusals.Refused: always
        """
        left = [name for name in names or self._paths(properties)
                if self.policy.guard.sysfs.exists(name)]
        if left:
            self.policy.may_remove(left)
        gone = guard_policy.gone()
        raise refusals.NotRemoved(
            volume=guard_policy.current().volume, host=self.policy.guard.host,
            device=', '.join(f'/dev/{name}' for name in left) or 'its devices',
            reason=masked(error),
            left=refusals.HALFWAY % ', '.join(gone) if gone else refusals.LEFT) from error

    def _devices(self, properties: dict[str, Any], info: Any) -> tuple[list[str], list[str]]:
        """(disks that will be removed, RAIDs above that are taken down with them)."""
        return [], []

    def _paths(self, properties: dict[str, Any]) -> list[str]:
        """All disks that a disconnect would remove, where the map may not have taken all."""
        return []

    def _leads(self, properties: dict[str, Any]) -> list[address.Lead]:
        """Where the paths of a map have to lead to; empty if that does not matter."""
        return []

    def _wanted(self, properties: dict[str, Any]) -> Wanted:
        return guard_policy.wanted(properties, self.policy.guard.host)

    def _wants_map(self, properties: dict[str, Any]) -> bool:
        """Whether multipath is enforced.

        Nova gives each connector its [libvirt] volume_enforce_multipath. What comes back with a
        connection is True for every volume of Nova, whatever that says (get_volume_connector).
        """
        enforced = self._enforced
        return bool(getattr(self, 'use_multipath', False) and (
            properties.get('enforce_multipath') if enforced is None else enforced))

    def _give_back(self, properties: dict[str, Any], info: Any, before: set[str]) -> str:
        """Disconnect what has come.

        :returns: a sentence for an operator, if it stays; '' if it has gone
        """
        unnamed = {k: v for k, v in properties.items() if k != guard_policy.KEY}
        path, name, was = str(info.get('path')), None, frozenset[str]()
        found: set[str] = set()
        try:
            name = kernel_sysfs.kernel_name(path)
            found = {*self._paths(unnamed), *((name,) if name else ())}
            if name is None or found & before:
                why = 'it, or a path of it, was on this host before' if name else (
                    'no device is behind it')
                LOG.warning('%s is left as it is: %s', path, why)
                return f'{path} is left as it is: {why}.'
            was = noted.noted(self.policy.guard.sysfs, name)
            with guard_policy.giving_back():
                self.disconnect_volume(unnamed, info)
        except Exception as error:
            stays = refusals.STAYS % {'device': path, 'reason': str(error)}
            LOG.warning('%s', stays)
            if name and was:
                # later it goes only if it is still that disk, and has not come again meanwhile
                strays.remember(path, guard_policy.name_of(properties), stays, functools.partial(
                    self._take_away, {**unnamed, guard_policy.KEY: sorted(was)}, info,
                    self._instances(found)), was)
            return stays
        return ''

    def _take_out(self, names: set[str]) -> None:
        """Take paths that have come with this connect out of a map that was another volume's.

        Whoever uses that map reads from them until then.
        """
        for name in sorted(names):
            try:
                self._linuxscsi.multipath_del_path(f'/dev/{name}')
                done = removal.removed(self.policy.guard.root, name, ())
                why = '' if done['done'] else done['reason']
            except Exception as error:
                why = masked(error)
            if why:
                LOG.error('/dev/%s could not be taken out of the multipath map of another '
                          'volume, which reads from it: %s. Do it by hand, with "multipathd del '
                          'path %s".', name, why, shell(name))

    @base.synchronized('connect_and_judge', external=True)
    def _take_away(self, properties: dict[str, Any], info: Any, came: Mapping[str, str]) -> bool:
        """Try again, while nothing is handed out.

        :param came: what had come with the connect, see _instances()
        :returns: whether something was taken away; not so if it was handed out since, or is gone
        """
        path = str(info.get('path'))
        name = kernel_sysfs.kernel_name(path)
        now = self._instances({*self._paths(properties), *((name,) if name else ())})
        if not now or (path, guard_policy.name_of(properties)) not in strays.left():
            return False
        if others := sorted(now.items() - came.items()):
            raise errors.Unsure(
                device=path, host=self.policy.guard.host, reason=(
                    f'{", ".join(f"/dev/{other}" for other, _ in others)} has come since and '
                    'would go as well: by itself, or somebody has attached it. Remove it by hand '
                    'if nobody needs it'))
        self.disconnect_volume(properties, info)
        return True

    def _instances(self, names: Iterable[str]) -> dict[str, str]:
        """Devices that are here -> what no two have as long as the kernel runs."""
        guard = self.policy.guard
        return {name: guard.instance(name) for name in names if guard.sysfs.exists(name)}
