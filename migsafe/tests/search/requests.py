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
"""What users and operators ask for, and what nova-api and nova-conductor make of it."""

from nova import objects

from migsafe.tests.search import manager, neutron, world

#: Seconds that lie between two things that are asked of one host.
APART = 30
#: Seconds that a host is silent for before it is evacuated; more than any two clocks are apart.
SILENT = 9000


class Requests:
    """Each method is one request; one that Nova's API refuses does nothing.

    :param around: the world
    """

    def __init__(self, around):
        self.world = around

    # -- hosts ------------------------------------------------------------

    def stop(self, name):
        self.world.hosts[name].stop()

    def start(self, name):
        self.world.hosts[name].start()

    def crash(self, name):
        self.world.hosts[name].crash()

    def freeze(self, name, seconds):
        """nova-compute lives, and does nothing: it is as good as paused."""
        if self.world.hosts[name].life is not None:
            self.world.hosts[name].life.frozen = self.world.loop.now + float(seconds)

    def cut(self, one, other, seconds):
        """No message comes from one host to the other, nor back."""
        self.world.cuts[frozenset((one, other))] = self.world.loop.now + float(seconds)

    def clock(self, name, seconds):
        """Somebody sets its clock, or ntpd does."""
        self.world.hosts[name].skew = float(seconds)

    def arm(self, name):
        """The plugin is installed; from its next start on nova-compute has it."""
        self.world.hosts[name].armed = True

    def disarm(self, name):
        self.world.hosts[name].armed = False

    def backup(self, name):
        one = self.world.hosts[name]
        one.backup = world.host.journals.snapshot(one.store)

    def restore(self, name):
        """A journal of yesterday; nova-compute is stopped for it."""
        one = self.world.hosts[name]
        if one.backup is not None:
            was_up = one.life is not None
            one.stop()
            self.world.watch.forget(name)
            world.host.journals.restore(one.store, one.backup)
            if was_up:
                one.start()

    def release(self, source, dest, verdict='ABORT'):
        """A message that is out of place: of the newest live migration."""
        found = [row for row in self.world.db.migrations.values()
                 if row['migration_type'] == 'live-migration']
        if found:
            self._quietly(lambda: self.world.bus.call(
                source, dest, 'migsafe.release', 60, {
                    'uuid': found[-1]['uuid'], 'instance_uuid': world.INSTANCE,
                    'verdict': verdict}))

    def _quietly(self, work):
        try:
            work()
        except Exception as error:
            self.world.note(f'refused: {type(error).__name__} {error}'[:300])

    # -- the instance -----------------------------------------------------

    def _instance(self):
        return objects.Instance.get_by_uuid(None, world.INSTANCE)

    def _ready(self, *, running=False):
        row = self.world.instance
        if row.get('deleted') or row['task_state'] is not None or self.world.busy:
            return False
        if running and not self.world.guests.guests[row['host']].get(world.INSTANCE):
            return False
        return row['vm_state'] == 'active' or not running

    def _alone(self):
        """Nothing else was asked for just now: what Nova itself makes of an attach and a resize
        at one moment, of which only the first has a lock, says nothing of migsafe."""
        alone = self.world.loop.now >= self.world.asked + APART
        if alone:
            self.world.asked = self.world.loop.now
        return alone

    def _up(self, name):
        """What the service's heartbeat says."""
        return self.world.hosts[name].life is not None

    def _migration(self, kind, dest):
        row = self.world.instance
        number = len(self.world.db.migrations) + 1
        uuid = f'6f6e2b1e-93a1-4f39-8a75-{number:012d}'
        self.world.db.migrations[uuid] = {
            'id': number, 'uuid': uuid, 'instance_uuid': world.INSTANCE,
            'source_compute': row['host'], 'dest_compute': dest, 'source_node': row['host'],
            'dest_node': dest, 'status': 'accepted', 'migration_type': kind,
            'updated_at': self.world.db.now()}
        return objects.Migration.get_by_uuid(None, uuid)

    def migrate(self, dest):
        """A live migration: LiveMigrationTask of the conductor."""
        row = self.world.instance
        source = row['host']
        if not self._ready(running=True) or dest == source or not self._up(source):
            return
        instance = self._instance()
        instance.task_state = manager.MIGRATING
        instance.save(expected_task_state=[None])
        migration = self._migration('live-migration', dest)
        held, uuid = self.world.placement.held, migration.uuid
        held[uuid] = held.pop(world.INSTANCE, set())
        try:
            if not self._up(dest):
                raise RuntimeError('it is down')
            self.world.placement.claim(world.INSTANCE, dest)
            data = self.world.bus.call('', dest, 'check_can_live_migrate_destination', 60,
                                       manager.sent({'ctxt': None, 'instance': instance}))
            neutron.Api(self.world).bind_ports_to_host(None, instance, dest)
        except Exception as error:
            self.world.note(f'not migrated: {error}'[:300])
            if row['host'] != source:
                # The conductor gives back a claim over what an evacuation has claimed since.
                self.world.watch.cut_short(self.world, 'the conductor in migrate')
            self.world.placement.move_allocations(None, uuid, world.INSTANCE)
            migration.status = 'error'
            migration.save()
            instance.task_state = None
            instance.save()
            return
        self.world.bus.cast('', source, 'live_migration', manager.sent({
            'context': None, 'dest': dest, 'instance': instance, 'block_migration': False,
            'migration': migration, 'migrate_data': data}))

    def _ask(self, method, task_state=None, **arguments):
        """A cast of nova-api to the instance's host."""
        instance = self._instance()
        if task_state:
            instance.task_state = task_state
            instance.save(expected_task_state=[None])
        host = instance.host
        self.world.bus.cast('', host, method, manager.sent(
            {'context': None, 'instance': instance} | arguments))

    def reboot(self):
        """A hard reboot."""
        if self._ready() and self._alone():
            self._ask('reboot_instance', 'rebooting_hard')

    def detach(self, number):
        rows = self.world.rows()
        if self._ready(running=True) and len(rows) >= int(number) > 0 and len(rows) > 1 \
                and self._alone():
            self._ask('detach_volume', volume_id=rows[int(number) - 1]['volume_id'])

    def attach(self):
        if self._ready(running=True) and self._alone():
            volume = f'volume-{self.world.db.bdm_id + 1}'
            ref = self.world.cinder.create(volume, world.INSTANCE, None)
            row = self.world.new_bdm(volume, ref['id'], None)
            bdm = objects.BlockDeviceMapping.get_by_volume_and_instance(
                None, row['volume_id'], world.INSTANCE)
            self._ask('attach_volume', bdm=bdm)

    def swap(self, number):
        rows = self.world.rows()
        if self._ready(running=True) and len(rows) >= int(number) > 0 and self._alone():
            old = rows[int(number) - 1]['volume_id']
            self._ask('swap_volume', volume_id=old, new_volume_id=f'{old}x')

    def delete(self):
        row = self.world.instance
        if row.get('deleted') or row['task_state'] == 'deleting' or self.world.busy:
            return
        instance = self._instance()
        instance.task_state = 'deleting'
        instance.save()
        self.world.bus.cast('', row['host'], 'terminate_instance', manager.sent(
            {'context': None, 'instance': instance}))

    def resize(self, dest):
        """A cold migration that is confirmed at once."""
        row = self.world.instance
        if not self._ready(running=True) or dest == row['host'] or not self._up(dest) \
                or not self._up(row['host']) or not self._alone():
            return
        instance = self._instance()
        instance.task_state = 'resize_prep'
        instance.save(expected_task_state=[None])
        migration = self._migration('migration', dest)
        self.world.bus.cast('', dest, 'prep_resize', manager.sent(
            {'context': None, 'instance': instance, 'migration': migration}))

    def evacuate(self, dest):
        """Only from a host that has lost its power, after saying so: who asks for more, gets
        incident 004."""
        row = self.world.instance
        if row.get('deleted') or self.world.hosts[row['host']].powered or dest == row['host'] \
                or not self._up(dest) or row['task_state'] not in (None, manager.MIGRATING):
            return
        dead = self.world.hosts[row['host']]
        # It is waited for until its last heartbeat is old, by each of the clocks.
        dead.forced_down, dead.last_heard = True, dead.heard - SILENT
        instance = self._instance()
        instance.task_state = 'rebuilding'
        instance.save()
        migration = self._migration('evacuation', dest)
        self.world.bus.cast('', dest, 'evacuate_instance', manager.sent(
            {'context': None, 'instance': instance, 'migration': migration}))
