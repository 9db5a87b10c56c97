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
"""All of it: three hosts, one instance, one array, and what may befall them."""

import contextlib
import json
import random

from migsafe.nova.clients import orphans
from migsafe.tests.search import (
    array,
    bus,
    cinder,
    faults,
    host,
    hypervisor,
    loop,
    neutron,
    operations,
    placement,
    records,
)

HOSTS = ('A', 'B', 'C')
INSTANCE = '3a5c1c5e-4d4c-4a55-9d8d-0d7f0f6c1a01'
#: Seconds that a step takes.
COSTS = {'db': 0.05, 'bdm': 0.05, 'journal': 0.01, 'cinder.list': 0.3, 'placement': 0.2,
         'neutron': 0.2,
         'attachment_create': 2.0, 'attachment_delete': 2.0, 'attachment_update': 2.0,
         'attachment_complete': 0.5, 'connect_volume': 3.0, 'disconnect_volume': 2.0}


class ExternalError(Exception):
    """An external call fails; what it was to do may be done."""


class World:
    """The state of everything outside of migsafe, and the hosts.

    :param script: a :class:`migsafe.tests.search.script.Script`
    :param conf: the [migsafe] group
    :param watch: told what breaks an invariant, see :mod:`invariants`
    """

    def __init__(self, script, conf, watch):
        self.script, self.conf, self.watch = script, conf, watch
        self.loop, self.swallowed, self._uuids = loop.Loop(), 0, 0
        self.faults = faults.Faults(script)
        self.db, self.placement = records.Database(self), placement.Placement(self)
        self.array = array.Array(HOSTS, script.reuse, self.broken)
        self.cinder, self.guests = cinder.Cinder(self), hypervisor.Hypervisors(self, HOSTS)
        self.neutron = neutron.Neutron(self)
        self.bus, self.directories, self.hosts = bus.Bus(self), {}, {}
        #: operations without a task state that are going on: a user waits for them; and when
        #: something was asked for last
        self.busy, self.asked = 0, float('-inf')
        self.trace, self.random, self.cuts = [], random.Random(1), {}
        #: when the last of what stalls or is frozen goes on
        self.waiting_until = 0.0

    def begin(self):
        """The instance runs on the first host, and every nova-compute starts."""
        for name in HOSTS:
            self.hosts[name] = host.Host(self, name, name in self.script.armed,
                                         self.script.skews.get(name, 0))
        self.db.instances[INSTANCE] = {
            'id': 1, 'uuid': INSTANCE, 'host': 'A', 'node': 'A', 'compute_id': ord('A'),
            'task_state': None, 'vm_state': 'active', 'power_state': 1, 'progress': 0,
            'updated_at': self.db.now(), 'launched_by': ''}
        self.placement.claim(INSTANCE, 'A')
        self.neutron.create(INSTANCE, 'A')
        self.directories['A', INSTANCE] = True
        for number in range(self.script.volumes):
            self._volume(f'volume-{number + 1}')
        self.guests.begin('A', INSTANCE)
        for one in self.hosts.values():
            one.start()

    def _volume(self, name):
        row = self.cinder.create(name, INSTANCE, {'host': 'A'})
        self.cinder.complete(row['id'])
        info = {**row['connection_info'], 'serial': name}
        self.array.connect('A', records.lun_of(info), name, INSTANCE)
        self.new_bdm(name, row['id'], info)

    def new_bdm(self, volume, attachment, info):
        """A row of a volume."""
        self.db.bdm_id += 1
        self.db.bdms[self.db.bdm_id] = {
            'id': self.db.bdm_id, 'instance_uuid': INSTANCE, 'volume_id': volume,
            'attachment_id': attachment, 'connection_info': json.dumps(info) if info else None,
            'device_name': f'/dev/vd{chr(96 + self.db.bdm_id)}', 'is_volume': True}
        return self.db.bdms[self.db.bdm_id]

    def new_uuid(self):
        self._uuids += 1
        return operations.new_uuid(self._uuids)

    # -- where a process may end, wait or fail ---------------------------

    def point(self, name):
        """Before something is done: others may come first, or this is the end."""
        life = self.loop.life
        if life is None:
            if self.loop.current is not None:
                self.loop.sleep(COSTS.get(name, 0.1))
            return
        self.loop.check()
        fault = self.faults.step(life.host, name)
        if fault:
            self._befall(life, fault)
        self.loop.sleep(COSTS.get(name, 0.1))

    def _befall(self, life, fault):
        kind, argument = fault
        if kind == 'kill':
            self.hosts[life.host].stop()
        elif kind == 'crash':
            self.hosts[life.host].crash()
        elif kind == 'stall':
            self._wait(argument)
            self.loop.sleep(float(argument))
        elif kind == 'freeze':
            life.frozen = self._wait(argument)
            self.loop.sleep(0)
        elif kind == 'fail':
            raise ExternalError('it failed')

    def _wait(self, seconds):
        ends = self.loop.now + float(seconds)
        self.waiting_until = max(self.waiting_until, ends)
        return ends

    @contextlib.contextmanager
    def effect(self, name):
        """An external call: it may end or fail before it is done, and after."""
        self.point(name)
        self.note(name)
        yield
        self.point(f'{name}-done')

    def journal_used(self, life, what):
        """A process that is dead writes nothing, and reads nothing."""
        if self.loop.life is not None and self.loop.life is not life or life.dead:
            raise loop.Killed
        if what:
            self.point(what)

    # -- what the model is told -------------------------------------------

    def is_cut(self, one, other):
        """Whether no message comes from one host to the other."""
        return self.loop.now < self.cuts.get(frozenset((one, other)), 0)

    def note(self, text):
        """A line for whoever replays a schedule."""
        life = self.loop.life
        self.trace.append((self.loop.now, life.host if life else '-', text))

    def broken(self, kind, text, severe):
        self.watch.broken(self, kind, text, severe)

    def row_written(self, row):
        self.note(f'row of {row["volume_id"]}: {row["attachment_id"]}')
        self.watch.row_written(self, row)

    def rows(self, instance=INSTANCE):
        """Rows of volumes."""
        return [row for row in self.db.bdms.values() if row['instance_uuid'] == instance]

    @property
    def instance(self):
        """The row of the instance."""
        return self.db.instances[INSTANCE]

    def migrating_on(self, name):
        """Whether adoption would find something."""
        task = self.instance['task_state']
        return self.instance['host'] == name and (task == 'migrating' or task is None and any(
            row['source_compute'] == name and row['status'] in orphans.GOING_ON
            for row in self.db.migrations.values()))

    def rebooted(self, instance, where):
        self.watch.rebooted(self, where)

    def deleted(self, instance):
        self.db.instances[instance].update(deleted=True, task_state=None)
        for key in [k for k, row in self.db.bdms.items() if row['instance_uuid'] == instance]:
            self.db.bdms.pop(key)['gone'] = True
        self.placement.held.pop(instance, None)
        self.neutron.delete(instance)

    def plug(self, name, instance, info):
        """The guest has one more disk."""
        if self.guests.guests[name].get(instance):
            self.array.open[name, records.lun_of(info)] = instance

    def unplug(self, name, instance, info):
        key = (name, records.lun_of(info))
        if self.array.open.get(key) == instance:
            del self.array.open[key]

    def reopen(self, name, instance, old, new):
        self.unplug(name, instance, old)
        self.plug(name, instance, new)

    def renamed(self, bdm_id, volume):
        self.db.bdms[bdm_id]['volume_id'] = volume
