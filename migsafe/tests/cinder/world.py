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

import cinder.db
import fixtures
from cinder import context, objects
from cinder.db import api as db_api
from cinder.objects import fields
from cinder.tests import fake_driver
from cinder.tests.unit import fake_constants
from cinder.tests.unit import utils as cinder_utils
from cinder.volume import manager

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

    def exports(self):
        return {(volume, initiator) for volume, initiators in self.targets.items()
                for initiator in initiators}


class ArrayDriver(fake_driver.FakeLoggingVolumeDriver):
    """A driver with one target per volume."""

    array, faults = Array(), Faults()
    VERSION = '1.2.3'

    def create_export(self, context, volume, connector):
        self.faults.at('before create_export')
        self.array.targets.setdefault(_name(volume), set())
        self.faults.at('after create_export')
        return {'provider_location': f'10.0.0.1:3260,1 iqn.2010-10:{volume["id"]} 0'}

    def initialize_connection(self, volume, connector):
        self.faults.at('before initialize_connection')
        self.array.targets[_name(volume)].add(connector['initiator'])
        self.faults.at('after initialize_connection')
        return {'driver_volume_type': 'iscsi', 'data': {
            'target_iqn': f'iqn.2010-10:{volume["id"]}', 'target_lun': 0,
            'volume_id': volume['id'], 'auth_password': 'chap-secret'}}

    def terminate_connection(self, volume, connector, **kwargs):
        self.faults.at('before terminate_connection')
        mapped = self.array.targets.get(_name(volume), set())
        mapped.discard(connector['initiator']) if connector else mapped.clear()
        self.faults.at('after terminate_connection')
        return len(volume.volume_attachment) > 1

    def remove_export(self, context, volume):
        self.faults.at('before remove_export')
        # As Cinder's iSCSI targets do it: who has no location is said to have no target.
        if volume['provider_location']:
            self.array.targets.pop(_name(volume), None)
        self.faults.at('after remove_export')

    create_export_snapshot = create_export
    initialize_connection_snapshot = initialize_connection
    remove_export_snapshot = remove_export

    def terminate_connection_snapshot(self, snapshot, connector, **kwargs):
        self.array.targets.get(snapshot['id'], set()).discard(connector['initiator'])


def _name(thing):
    """What the array calls it: after a migration that is not what Cinder calls a volume."""
    return getattr(thing, '_name_id', None) or thing['id']


class World(test_driver.Backends):
    """Has a backend, a volume, and calls as the API service and Nova make them."""

    guarded, driver, options = True, DRIVER, {}

    def setUp(self):
        super().setUp()
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
        self.service.driver.set_initialized()
        self.service.stats = {'pools': {}, 'allocated_capacity_gb': 0}
        self.addCleanup(self.shut)

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

    def quietly(self, call, *args):
        """Make a call that may fail or be killed; tell what ended it."""
        try:
            call(*args)
        except (Killed, Exception) as error:
            return error
        return None

