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
"""A real VolumeManager with a real database over an array that is a dictionary.

The array keeps what the driver does in it, as an array would, whatever becomes
of the process. Faults are put before and after every call of the driver, every
write of the ledger and every write of Cinder's database that an attachment
needs; their number is found by counting them in a run without a fault.
"""

import contextvars

import cinder.db
import fixtures
from cinder import context, objects
from cinder.db import api as db_api
from cinder.objects import fields
from cinder.tests import fake_driver
from cinder.tests.unit import fake_constants
from cinder.tests.unit import utils as cinder_utils
from cinder.volume import manager

from migsafe.cinder import inspectors
from migsafe.journal import store
from migsafe.tests.cinder import test_driver

DRIVER = 'migsafe.tests.cinder.world.ArrayDriver'
NODE13 = {'host': 'node13', 'initiator': 'iqn.1994-05.com.redhat:13', 'ip': '172.24.9.13'}
NODE11 = {'host': 'node11', 'initiator': 'iqn.1994-05.com.redhat:11', 'ip': '172.24.9.11'}
#: The module through which the manager writes; it is another one from Cinder 29 on.
db = cinder.db if hasattr(cinder.db, 'volume_attached') else db_api
#: Writes of Cinder's database in attachment_update.
WRITES = {name: getattr(db, name) for name in (
    'volume_attachment_update', 'volume_attached', 'volume_update')}


WRITE = store.Store.write


class Killed(BaseException):
    """The process is gone: nothing that it would have done afterwards happens."""


class Faults:
    """Counts the points that a run comes to, and strikes at one of them.

    :param number: of the point, from 0; None strikes nowhere
    :param kind: Killed, or the exception that the point raises once
    """

    def __init__(self, number=None, kind=Killed):
        self.number, self.kind = number, kind
        self.points, self.dead, self.quiet = [], False, False

    def at(self, name):
        if self.quiet:
            return
        if self.dead:
            raise Killed(name)
        self.points.append(name)
        if len(self.points) - 1 == self.number:
            self.dead = self.kind is Killed
            raise self.kind(f'fault at {name}')

    def around(self, name, call):
        def inner(*args, **kwargs):
            self.at(f'before {name}')
            result = call(*args, **kwargs)
            self.at(f'after {name}')
            return result
        return inner

    @property
    def struck(self):
        return self.number is not None and len(self.points) > self.number


class Array:
    """Targets, and the initiators that each is mapped to."""

    def __init__(self):
        self.targets = {}
        #: what it was told to take away, in order: the array's own log
        self.removed = []

    def unmap(self, volume, initiator):
        if initiator in self.targets.get(volume, ()):
            self.targets[volume].discard(initiator)
            self.removed.append((volume, initiator))

    def drop(self, volume):
        """Remove a target, and with it whatever is mapped through it, as LIO does."""
        for initiator in sorted(self.targets.get(volume, ())):
            self.unmap(volume, initiator)
        self.targets.pop(volume, None)

    def exports(self):
        return {(volume, initiator) for volume, initiators in self.targets.items()
                for initiator in initiators}


class ArrayDriver(fake_driver.FakeLoggingVolumeDriver):
    """A driver with one target per volume."""

    array, faults = Array(), Faults()
    VERSION = '1.2.3'
    #: what it reports, and what of a connector the array maps to
    reports, names = 'iSCSI', 'initiator'

    def _update_volume_stats(self):
        super()._update_volume_stats()
        self._stats['storage_protocol'] = self.reports

    def create_export(self, context, volume, connector):
        self.faults.at('before create_export')
        self.array.targets.setdefault(_name(volume), set())
        self.faults.at('after create_export')
        return {'provider_location': f'10.0.0.1:3260,1 iqn.2010-10:{volume["id"]} 0'}

    def initialize_connection(self, volume, connector):
        self.faults.at('before initialize_connection')
        self.array.targets[_name(volume)].add(connector[self.names])
        self.faults.at('after initialize_connection')
        return {'driver_volume_type': 'iscsi', 'data': {
            'target_iqn': f'iqn.2010-10:{volume["id"]}', 'target_lun': 0,
            'volume_id': volume['id'], 'auth_password': 'chap-secret'}}

    def terminate_connection(self, volume, connector, **kwargs):
        self.faults.at('before terminate_connection')
        for initiator in sorted(self.array.targets.get(_name(volume), ())):
            if not connector or initiator == connector[self.names]:
                self.array.unmap(_name(volume), initiator)
        self.faults.at('after terminate_connection')
        return len(volume.volume_attachment) > 1

    def remove_export(self, context, volume):
        self.faults.at('before remove_export')
        # As Cinder's iSCSI targets do it: who has no location is said to have no target.
        if volume['provider_location']:
            self.array.drop(_name(volume))
        self.faults.at('after remove_export')

    create_export_snapshot = create_export
    initialize_connection_snapshot = initialize_connection
    remove_export_snapshot = remove_export

    def terminate_connection_snapshot(self, snapshot, connector, **kwargs):
        self.array.unmap(snapshot['id'], connector['initiator'])


def _name(thing):
    """What the array calls it: after a migration that is not what Cinder calls a volume."""
    return getattr(thing, '_name_id', None) or thing['id']


class Inspector(inspectors.Inspector):
    """Tells what the dictionary of the test's array holds."""

    tells_initiators = True
    #: initiators, and addresses of hosts of which the array knows nothing else
    opened, addresses = (), ()

    def list_exports(self, volume):
        mapped = self.driver.array.targets.get(_name(volume))
        if mapped is None:
            return []
        return [inspectors.Mapping(volume['name'], frozenset((name,))) for name in mapped] or [
            inspectors.Mapping(volume['name'])]

    def list_all(self):
        for volume in self.driver.array.targets:
            yield from self.list_exports({'id': volume, 'name': f'volume-{volume}'})

    def writers(self, volume):
        return [inspectors.Writer(f'initiator {name}', frozenset((name,)))
                for name in self.opened] + [
            inspectors.Writer(f'client at {address}', address=address, cure='Wait for it.')
            for address in self.addresses]

    def identity(self, volume):
        return frozenset(('naa.6001405' + volume['id'].replace('-', '')[:25],))


class World(test_driver.Backends):
    """Has a backend, a volume, and calls as the API service and Nova make them."""

    guarded, driver, options = True, DRIVER, {}
    #: made by inspect(); without one, the array cannot be asked
    inspector = None
    #: whether Nova says of every host that it is fenced; None: it has no such host
    declared = True

    def setUp(self):
        super().setUp()
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.cinder.facts.compute_hosts.declared', lambda host: self.declared))
        self.admin = context.get_admin_context()
        self.admin.user_id, self.admin.project_id = (fake_constants.USER_ID,
                                                     fake_constants.PROJECT_ID)
        self.array = ArrayDriver.array = Array()
        self.faults = ArrayDriver.faults = Faults()
        self.boot()
        self.volume = self.make_volume()

    def inject(self, number=None, kind=Killed):
        """Begin to count points, and strike at one."""
        self.faults = ArrayDriver.faults = Faults(number, kind)
        for name, real in WRITES.items():
            self.mock_object(db, name, side_effect=self.faults.around(f'db.{name}', real))
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.journal.store.Store.write', self.faults.around('ledger write', WRITE)))

    def boot(self):
        """Start cinder-volume, again if it has run."""
        if getattr(self, 'service', None) is not None and self.guarded:
            self.guard.stop()
        if self.guarded:
            self.service = self.manager(self.driver, **self.options)
        else:
            self.configure(None, volume_driver=self.driver, **self.options)
            self.service = manager.VolumeManager(host='node@array', service_name='array')
        self.service.driver.do_setup(self.admin)
        self.service.driver.init_capabilities()
        self.service.driver.set_initialized()
        if self.guarded and self.inspector is not None:
            self.guard.__dict__['inspector'] = self.inspector
        self.service.stats = {'pools': {}, 'allocated_capacity_gb': 0}
        self.addCleanup(self.shut)

    def inspect(self, *opened, addresses=(), kind=None):
        """Have an inspector from now on, also after the next start, that tells the array's word.

        :param opened: connectors of who has the volumes open
        :param addresses: of who does and is known by that alone
        """
        made = self.inspector = self.guard.__dict__['inspector'] = (kind or Inspector)(
            self.service.driver)
        made.opened = tuple(name['initiator'] for name in opened)
        made.addresses = addresses
        return made

    def shut(self):
        if self.guarded:
            self.guard.stop()

    @property
    def guard(self):
        return self.service.driver.migsafe_guard

    def make_volume(self, **values):
        return cinder_utils.create_volume(
            self.admin, **{'status': 'available', 'host': 'node@array',
                           'volume_type_id': self.vt['id'], **values})

    def reserve(self, instance=fake_constants.UUID1, volume=None):
        """Do what attachment_create does without a connector."""
        return db.volume_attach(self.admin, {
            'volume_id': (volume or self.volume).id, 'attach_status': 'reserved',
            'instance_uuid': instance, 'attach_mode': 'rw'}).id

    def attach(self, attachment, connector=NODE13, volume=None):
        """Do what attachment_update does."""
        volume = objects.Volume.get_by_id(self.admin, (volume or self.volume).id)
        return self.service.attachment_update(self.admin, volume, dict(connector), attachment)

    def detach(self, attachment):
        """Do what attachment_delete of the API service does."""
        found = objects.VolumeAttachment.get_by_id(self.admin, attachment)
        if found.attach_status != fields.VolumeAttachStatus.RESERVED:
            self.service.attachment_delete(
                self.admin, attachment, objects.Volume.get_by_id(self.admin, found.volume_id))
        objects.Volume.get_by_id(self.admin, found.volume_id).finish_detach(attachment)

    def forget(self, attachment):
        """Do what ``openstack volume set --state available --detached`` does."""
        found = objects.VolumeAttachment.get_by_id(self.admin, attachment)
        found.destroy()
        volume = objects.Volume.get_by_id(self.admin, found.volume_id)
        if not volume.volume_attachment:
            volume.update({'status': 'available', 'attach_status': 'detached'})
            volume.save()

    def live(self):
        """(volume, initiator) of every attachment with a connector."""
        found = objects.VolumeAttachmentList.get_all(self.admin)
        return {(row.volume_id, row.connector['initiator']) for row in found if row.connector}

    def leaks(self):
        """Exports that no attachment explains, and targets that nothing is mapped through."""
        live = self.live()
        volumes = {volume for volume, _ in live}
        return (self.array.exports() - live) | {
            (volume, 'target') for volume in self.array.targets if volume not in volumes}

    def recover(self):
        """One round, whether due or not, with no fault any more."""
        self.faults.quiet = True
        if self.guarded:
            self.guard.recovery.round()

    def restart(self):
        """Start again after a kill."""
        self.faults.quiet = True
        self.boot()
        self.recover()

    def aside(self, call, *args):
        """Make a call as another thread would, which is in no call; tell what ended it."""
        return contextvars.Context().run(self.quietly, call, *args)

    def quietly(self, call, *args):
        """Make a call that may fail or be killed; tell what ended it."""
        try:
            call(*args)
        except (Killed, Exception) as error:
            return error
        return None

