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
"""A storage array with a LUN map for each host, and what the kernels of the hosts have of it."""

import dataclasses

#: How many LUNs of other tenants each host has before: the same number leads to another disk.
NEIGHBOURS = {'A': 1, 'B': 3, 'C': 5}
IQN = 'iqn.1992-08.com.netapp:sn.5a7'


class NoLun(Exception):
    """os-brick waits, and gives up: there is no such LUN."""


@dataclasses.dataclass
class Device:
    """A block device of one host.

    :param volume: the disk behind it; None once its export is gone
    :param owner: who connected it
    """

    volume: str | None
    owner: str


class Array:
    """All exports, and all devices.

    :param hosts: names
    :param reuse: whether somebody else gets a freed LUN number at once, and connects it
    :param broken: told each invariant that breaks
    """

    def __init__(self, hosts, reuse, broken):
        self.reuse, self._broken, self._count = reuse, broken, 0
        self.maps = {host: {} for host in hosts}
        self.devices = {host: {} for host in hosts}
        #: (host, lun) of each device that a QEMU has open -> instance
        self.open = {}
        #: (host, instance) -> what was connected for it and is another's
        self._wrong = {}
        for host in hosts:
            for _ in range(NEIGHBOURS.get(host, 1)):
                self._neighbour(host, self._free(host))

    def _free(self, host):
        taken = set(self.maps[host].values())
        return next(lun for lun in range(len(taken) + 1) if lun not in taken)

    def _neighbour(self, host, lun):
        """Another tenant's volume, used by another tenant's guest."""
        self._count += 1
        volume = f'foreign-{self._count}'
        self.maps[host][volume] = lun
        device = self.devices[host].setdefault(lun, Device(volume, 'neighbour'))
        device.volume = volume

    def export(self, host, volume):
        """Map a volume to a host, once."""
        if volume not in self.maps[host]:
            lun = self._free(host)
            self.maps[host][volume] = lun
            if lun in self.devices[host]:
                # what was left here of another disk leads to this one from now on
                self.devices[host][lun].volume = volume
        return self.maps[host][volume]

    def unexport(self, host, volume):
        """Take a mapping away; the number is free from now on."""
        lun = self.maps[host].pop(volume, None)
        if lun is None:
            return
        device = self.devices[host].get(lun)
        if device and device.volume == volume:
            user = self.open.get((host, lun))
            self._broken('export', f'{volume} (LUN {lun} of {host}) went from under a device'
                         + (f' that {user} has open' if user else ''), bool(user))
            device.volume = None
        if self.reuse:
            self._neighbour(host, lun)

    def leads_to(self, host, lun):
        """The volume behind a LUN number of a host."""
        return next((v for v, number in self.maps[host].items() if number == lun), None)

    def connect(self, host, lun, volume, instance):
        """What os-brick does: scan, and take the device of that number."""
        found = self.leads_to(host, lun)
        if found is None:
            raise NoLun(f'no LUN {lun} on {host}')
        if found != volume:
            self._broken('foreign', f'{instance} opens {found} for {volume} (LUN {lun} of '
                         f'{host})', True)
        self.devices[host].setdefault(lun, Device(found, instance)).volume = found

    def connect_unused(self, host, lun, instance):
        """The number has led to another disk since os-brick was called; it was not opened."""
        found = self.leads_to(host, lun)
        if found is None:
            raise NoLun(f'no LUN {lun} on {host}')
        self._wrong[host, instance] = f'{found} (LUN {lun} of {host})'

    def opened_by(self, host, instance):
        """Its QEMU starts on a host, with all that was connected for it."""
        if wrong := self._wrong.pop((host, instance), ''):
            self._broken('foreign', f'{instance} opens {wrong}', True)

    def disconnect(self, host, lun, instance):
        """What os-brick does: delete the device of that number, whoever's it is."""
        self._wrong.pop((host, instance), None)
        device = self.devices[host].get(lun)
        if device is None:
            return
        if device.owner == 'neighbour' or (device.volume or '').startswith('foreign'):
            self._broken('foreign', f'{instance} disconnects {device.volume} (LUN {lun} of '
                         f'{host})', True)
        if self.open.get((host, lun)) not in (None, instance):
            self._broken('foreign', f'LUN {lun} of {host} is in use', True)
        if self.open.get((host, lun)) == instance:
            self._broken('export', f'LUN {lun} of {host} is disconnected while {instance} has '
                         'it open', True)
        del self.devices[host][lun]

    def power_cut(self, host):
        """Devices and what had them open are gone; those of the neighbours come back."""
        self.open = {key: user for key, user in self.open.items() if key[0] != host}
        self.devices[host] = {
            lun: Device(volume, 'neighbour') for volume, lun in self.maps[host].items()
            if volume.startswith('foreign')}
