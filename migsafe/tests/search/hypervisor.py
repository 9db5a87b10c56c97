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
"""Guests of all hosts, and Nova's libvirt driver on one of them."""

import types

from nova import exception

from migsafe.brick import refusals
from migsafe.nova.clients import evidence
from migsafe.tests.search import array

RUNNING, INCOMING, SHUT_OFF = 'running', 'incoming', 'shut off'
#: libvirt's (state, reason)
STATES = {RUNNING: (evidence.RUNNING, 1),
          INCOMING: (evidence.PAUSED, evidence.PAUSED_MIGRATION),
          SHUT_OFF: (evidence.SHUTOFF, 1)}
UNBOUNDED, NO_JOB = 2, 0
#: Seconds after which libvirtd takes its peer for gone (keepalive_interval * keepalive_count).
KEEPALIVE = 30


class Error(Exception):
    """libvirt's error with a number."""

    def __init__(self, code):
        super().__init__(f'libvirt error {code}')
        self._code = code

    def get_error_code(self):
        return self._code


#: What is asked of libvirt-python's own names.
MODULE = types.SimpleNamespace(
    VIR_ERR_NO_DOMAIN=42, VIR_ERR_OPERATION_INVALID=55, VIR_ERR_OPERATION_UNSUPPORTED=84,
    libvirtError=Error)


class Hypervisors:
    """Where each guest is, by the libvirt of each host.

    :param world: has the array
    """

    def __init__(self, world, hosts):
        self.world = world
        self.guests = {host: {} for host in hosts}
        self.jobs = set()
        self.outgoing = {}

    def where(self, instance):
        """Hosts on which it runs."""
        return [host for host, guests in self.guests.items()
                if guests.get(instance) == RUNNING]

    def begin(self, host, instance, state=RUNNING):
        """A QEMU that opens what its host has connected for it."""
        if state == RUNNING and [one for one in self.where(instance) if one != host]:
            self.world.broken('copies', f'{instance} is started on {host} and runs on '
                              f'{self.where(instance)}', True)
        self.guests[host][instance] = state
        self.world.array.opened_by(host, instance)
        for lun, device in self.world.array.devices[host].items():
            if device.owner == instance:
                self.world.array.open[host, lun] = instance

    def end(self, host, instance, state=None):
        """Its QEMU ends; with a state the domain stays."""
        self.guests[host].pop(instance, None)
        if state:
            self.guests[host][instance] = state
        opened = self.world.array.open
        for key in [key for key, user in opened.items() if key[0] == host and user == instance]:
            del opened[key]

    def power_cut(self, host):
        """Domains are defined on disk, but those that were coming in."""
        for instance, state in tuple(self.guests[host].items()):
            self.end(host, instance, None if state == INCOMING else SHUT_OFF)
        # Also those whose domain was destroyed here while they were on their way.
        for instance in {moved for source, moved in self.jobs if source == host}:
            self.world.loop.spawn(lambda lost=instance: self._unfed(lost), None,
                                  'keepalive', KEEPALIVE)

    def _unfed(self, instance):
        """libvirtd ends what is coming in from a host that says nothing any more."""
        for host, guests in self.guests.items():
            if guests.get(instance) == INCOMING and not any(
                    instance == moved for _, moved in self.jobs):
                self.end(host, instance)

    def opened(self, host, instance):
        """How many disks its QEMU has open there."""
        return sum(key[0] == host and user == instance
                   for key, user in self.world.array.open.items())

    def connected(self, host, instance):
        """How many disks a QEMU would find there."""
        return sum(device.owner == instance
                   for device in self.world.array.devices[host].values())

    def transfer(self, source, dest, instance, how, seconds):
        """libvirt migrates by itself; whether nova-compute lives is nothing to it.

        :param how: ok or fail
        """
        self.jobs.add((source, instance))
        self.outgoing[source, instance] = 'active'

        def work():
            if self.opened(source, instance) > self.connected(dest, instance):
                # libvirt's Prepare phase: "Cannot access storage file"
                self.jobs.discard((source, instance))
                self.outgoing[source, instance] = 'failed'
                return
            self.begin(dest, instance, INCOMING)
            self.world.loop.sleep(seconds)
            if (source, instance) not in self.jobs:
                return
            self.jobs.discard((source, instance))
            there = self.guests[dest].get(instance) == INCOMING
            here = self.guests[source].get(instance) == RUNNING
            if how == 'fail' or not (there and here):
                if there:
                    self.end(dest, instance)
                self.outgoing[source, instance] = 'failed'
                return
            self.end(source, instance)
            self.guests[dest][instance] = RUNNING
            self.outgoing[source, instance] = 'completed'
        self.world.loop.spawn(work, None, f'transfer {source}-{dest}')


class Domain:
    def __init__(self, hypervisors, host, instance):
        self._all, self._key = hypervisors, (host, instance)
        self._state = hypervisors.guests[host][instance]

    def state(self, _flags=0):
        return STATES[self._state]

    def jobStats(self):
        if self._state != RUNNING:
            raise Error(MODULE.VIR_ERR_OPERATION_INVALID)
        return {'type': UNBOUNDED if self._key in self._all.jobs else NO_JOB}


class LibvirtDriver:
    """nova.virt.libvirt.driver.LibvirtDriver, as far as volumes go.

    :param world: of all hosts
    :param host: this one
    """

    def __init__(self, world, host):
        self._world, self._name = world, host
        self._host = types.SimpleNamespace(get_connection=lambda: self, list_guests=self._guests)

    def lookupByUUIDString(self, uuid):
        if uuid not in self._world.guests.guests[self._name]:
            raise Error(MODULE.VIR_ERR_NO_DOMAIN)
        return Domain(self._world.guests, self._name, uuid)

    def _guests(self):
        """nova.virt.libvirt.guest.Guest of each that runs here."""
        return [types.SimpleNamespace(uuid=uuid, get_all_disks=lambda uuid=uuid: self._disks(uuid))
                for uuid, state in self._world.guests.guests[self._name].items()
                if state == RUNNING]

    def _disks(self, uuid):
        return [types.SimpleNamespace(
            source_type='block', serial=device.volume, source_path=self._path(lun))
            for lun, device in self._world.array.devices[self._name].items()
            if self._world.array.open.get((self._name, lun)) == uuid]

    def get_volume_connector(self, instance):
        return {'host': self._name, 'initiator': f'iqn.{self._name}'}

    def _get_volume_driver(self, connection_info):
        return types.SimpleNamespace(connector=types.SimpleNamespace(
            get_volume_paths=self._paths))

    def _paths(self, data):
        """The path has the target's name and the number, and nothing of who the disk is."""
        lun = data.get('target_lun')
        if lun not in self._world.array.devices[self._name]:
            return []
        return [self._path(lun)]

    @staticmethod
    def _path(lun):
        return f'/dev/disk/by-path/ip-{array.IQN}-lun-{lun}'

    def _connect_volume(self, context, connection_info, instance, encryption=None):
        data = connection_info['data']
        at = self._name, data['target_lun']
        before = self._world.array.leads_to(*at)
        with self._world.effect('connect_volume'):
            now = self._world.array.leads_to(*at)
            if self._guarded and before == data['volume_id'] != now:
                # Nobody has it yet. That nobody gets it is up to what is done next.
                self._world.array.connect_unused(*at, instance.uuid)
            else:
                self._world.array.connect(*at, data['volume_id'], instance.uuid)

    def _disconnect_volume(self, context, connection_info, instance, encryption=None,
                           destroy_secrets=True, force=False):
        at = self._name, connection_info['data']['target_lun']
        before = self._world.array.leads_to(*at)
        with self._world.effect('disconnect_volume'):
            now = self._world.array.leads_to(*at)
            if self._guarded and now not in (None, before):
                # The guards look right before they remove anything, and somebody has it open.
                raise refusals.VolumeHeld(f'{now} is in use on {self._name}')
            self._world.array.disconnect(*at, instance.uuid)

    @property
    def _guarded(self):
        """Whether os-brick is guarded here; for what comes up while a step hangs inside it. The
        plugin is there until the process ends, whatever its configuration says by then."""
        return self._world.hosts[self._name].participant is not None

    def swap_volume(self, context, old_connection_info, new_connection_info, instance,
                    mountpoint, resize_to):
        if instance.uuid not in self._world.guests.guests[self._name]:
            raise exception.InstanceNotFound(instance_id=instance.uuid)
        self._connect_volume(context, new_connection_info, instance)
        self._world.reopen(self._name, instance.uuid, old_connection_info, new_connection_info)
        self._disconnect_volume(context, old_connection_info, instance)

    def destroy(self, context, instance, network_info, block_device_info=None):
        """End the guest's QEMU; the domain is defined anew by who starts it again."""
        self._world.guests.end(self._name, instance.uuid)
        for one in (block_device_info or {}).get('block_device_mapping', ()):
            self._disconnect_volume(context, one['connection_info'], instance)

    def spawn(self, context, instance, infos):
        """Connect all volumes and start the guest."""
        for info in infos:
            self._connect_volume(context, info, instance)
        self._world.point('spawn')
        self._world.guests.begin(self._name, instance.uuid)
