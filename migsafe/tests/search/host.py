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
"""One compute host: its nova-compute comes and goes, armed or not."""

import types

from migsafe.nova import clients
from migsafe.nova.host import participant, recovery, registry
from migsafe.resources import (
    allocation,
    host_device,
    instance_directory,
    instance_record,
    port_binding,
    volume_connection,
)
from migsafe.tests.search import bus, journals, loop, seams
from migsafe.transaction import engine

RESOURCES = (allocation.Allocation, host_device.HostDevice, instance_directory.InstanceDirectory,
             instance_record.InstanceRecord, port_binding.PortBinding,
             volume_connection.VolumeConnection)
#: Seconds between two looks of a nova-compute at its journal.
INTERVAL = 15.0


class Directories:
    """See :class:`migsafe.transaction.clients.Directories`."""

    def __init__(self, world, host):
        self._world, self._host = world, host

    def find(self, instance_uuid, half_deleted=True):
        there = self._world.directories.get((self._host, instance_uuid))
        return f'/instances/{instance_uuid}' if there else None

    def remove(self, instance_uuid, half_deleted=True):
        self._world.point('rmtree')
        self._world.directories.pop((self._host, instance_uuid), None)


class Host:
    """A host, up from the beginning.

    :param world: everything else
    :param armed: whether nova-compute has the plugin
    """

    def __init__(self, world, name, armed, skew):
        self.world, self.name, self.armed, self.skew = world, name, armed, skew
        self.store = journals.SHELF.empty(name)
        self.life = self.participant = self.manager = None
        self.boots, self.powered, self.listening, self.backup = 1, True, False, None
        #: seconds since the beginning at its last heartbeat, once it sends none any more; and
        #: whether an operator has said that it is off
        self.last_heard, self.forced_down = 0.0, False

    @property
    def boot_id(self):
        return f'boot-{self.name}-{self.boots}'

    @property
    def heard(self):
        """Seconds since the beginning at its last heartbeat."""
        return self.last_heard if self.life is None else self.world.loop.now

    def start(self):
        """nova-compute starts, on a host that is powered on first if need be."""
        if self.life is not None:
            return
        self.forced_down = False
        if not self.powered:
            self.powered, self.boots = True, self.boots + 1
        self.life = loop.Life(self.name)
        driver = seams.LibvirtDriver(self.world, self.name)
        self.manager = seams.ComputeManager(self.world, self.name, driver,
                                            seams.API(self.world))
        self.participant = self._arm() if self.armed else None
        registry.put(self.manager, self.participant)
        self.world.loop.spawn(self._run, self.life, f'nova-compute on {self.name}')

    def _arm(self):
        """As service.arm_manager() does it."""
        conf, life = self.world.conf, self.life
        opened = journals.journal(self.store, lambda what: self.world.journal_used(life, what))
        cloud = clients.build(self.manager, bus.Peer(
            self.world, self.name, conf.rpc_timeout, self.manager.compute_rpcapi), conf)
        cloud = type(cloud)(**{**{name: getattr(cloud, name) for name in
                                  cloud.__dataclass_fields__},
                               'directories': Directories(self.world, self.name)})
        made = participant.Participant(
            self.name, conf, opened, engine.Engine(
                self.name, opened, cloud, [kind() for kind in RESOURCES],
                conf.recovery_backoff_max, conf.recovery_interval), cloud)
        made.left_devices = types.SimpleNamespace(
            keep=lambda *found: None, settle=lambda: None)
        made.recovery = recovery.Recovery(made, self.manager, lambda detail='': None)
        return made

    def _run(self):
        self.world.loop.sleep(0.1)
        self.manager.destroy_evacuated()
        self.manager.init_host()
        self.listening = True
        self.world.bus.host_is_up(self.name)
        if self.participant is not None:
            self.participant.recovery.round(seams.utcnow)
        while self.participant is not None:
            self.recover()
            self.world.loop.sleep(INTERVAL)

    def recover(self):
        """A round of recovery; nothing is asked of a journal that has nothing that is due."""
        if self.participant is not None and (self.world.migrating_on(self.name) or (
                self.has_unsettled() and journals.any_due(self.store, seams.utcnow()))
                or not self.participant.recovery._upkeep._adoption._claims.over):
            self.participant.recovery.round(seams.utcnow)

    def has_unsettled(self):
        """Whether the journal has something unsettled; asked again once it was written to."""
        if self.store.changed:
            self.store.changed = False
            self._unsettled = journals.any_unsettled(self.store)
        return self._unsettled

    def stop(self):
        """nova-compute is killed, or stopped: what it was at does not end first."""
        self.last_heard = self.heard
        life, self.life, self.listening = self.life, None, False
        self.participant = None
        if life is not None:
            for task in life.tasks:
                method = task.name.partition(' ')[0]
                if method in bus.CUT_SHORT:
                    self.world.watch.cut_short(self.world, method)
            self.world.loop.kill(life)

    def crash(self):
        """The power fails: guests, devices and nova-compute."""
        self.powered = False
        self.world.guests.power_cut(self.name)
        self.world.array.power_cut(self.name)
        for key in tuple(self.world.guests.jobs):
            if key[0] == self.name:
                self.world.guests.jobs.discard(key)
                self.world.guests.outgoing[key] = 'failed'
        self.store.power_cut()
        self.stop()  # who has asked, does not come back from it
