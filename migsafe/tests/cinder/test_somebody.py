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
"""Somebody has a volume, and Cinder's records do not say by which connector.

os-attach makes such attachments (Zun, scripts, users of cinderlib, instances from before Queens):
they have a host, an instance or both, and a status. Nothing is taken from under them.
"""

from unittest import mock

from cinder import exception, objects
from cinder.tests.unit import fake_constants

from migsafe.cinder.bus import endpoint
from migsafe.cinder.facts import attachments
from migsafe.ledger.records import Thing
from migsafe.ledger.rows import PATIENCE
from migsafe.tests.cinder import world

#: The host of cinder-volume itself.
OWN = {'host': 'node', 'initiator': 'iqn.1994-05.com.redhat:0', 'ip': '172.24.9.10'}
INSTANCE = fake_constants.UUID1


class Somebody(world.World):
    """An attachment as os-attach makes it."""

    def setUp(self):
        super().setUp()
        if self.guarded:
            self.inspect()      # nobody has it open: the guest is stopped

    def connect(self, connector=OWN):
        """os-initialize_connection"""
        return self.service.initialize_connection(self.admin, self.fresh(), dict(connector))

    def fresh(self):
        return objects.Volume.get_by_id(self.admin, self.volume.id)

    def set(self, **values):
        volume = self.fresh()
        volume.update(values)
        volume.save()

    def os_attach(self, instance=INSTANCE, host='node', mountpoint='/dev/vdb'):
        self.set(status='attaching')
        return self.service.attach_volume(self.admin, self.volume.id, instance, host, mountpoint,
                                          'rw').id

    def everybody(self):
        return [one for one in attachments.of_volume(self.volume.id) if one.has]

    def later(self):
        """After a restart of cinder-volume, and a minute after that."""
        self.restart()
        self.guard.recovery.since -= PATIENCE
        for _ in range(2):
            self.recover()

    def kept(self, initiator=OWN['initiator']):
        self.assertEqual([], self.array.removed)
        self.assertIn((self.volume.id, initiator), self.array.exports())


class TestShapes(Somebody):
    """What Cinder 26 to 29 can have in its tables, and whether somebody has the volume."""

    #: attachment (None: there is none), volume, whether somebody has it
    SHAPES = (
        (None, {'status': 'available'}, False),
        (None, {'status': 'reserved'}, False),
        (None, {'status': 'error'}, False),
        (None, {'status': 'in-use'}, True),
        (None, {'status': 'attaching'}, True),
        (None, {'status': 'detaching'}, True),
        (None, {'status': 'backing-up', 'attach_status': 'attached'}, True),
        (None, {'status': 'backing-up', 'attach_status': 'detached'}, False),
        ({'attach_status': 'reserved', 'instance_uuid': INSTANCE}, {'status': 'reserved'}, False),
        ({'attach_status': 'reserved', 'instance_uuid': INSTANCE}, {'status': 'in-use'}, True),
        ({'attach_status': 'attached', 'attached_host': 'node'}, {'status': 'in-use'}, True),
        ({'attach_status': 'attached', 'instance_uuid': INSTANCE}, {'status': 'in-use'}, True),
        ({'attach_status': 'attached'}, {'status': 'available'}, True),
        ({'attach_status': 'attaching'}, {'status': 'available'}, True),
        ({'attach_status': 'error_detaching'}, {'status': 'available'}, True),
        ({'attach_status': 'error_attaching'}, {'status': 'available'}, True),
        ({'attach_status': 'detached'}, {'status': 'available'}, False),
        ({'attach_status': 'attached', 'connector': '{"host'}, {'status': 'in-use'}, True),
        ({'attach_status': 'attaching', 'connector': '{"host": "node13", "initiator": "i"}'},
         {'status': 'attaching'}, True),
    )

    def test_each(self):
        for attachment, volume, somebody in self.SHAPES:
            self.volume = self.make_volume(**volume)
            if attachment is not None:
                world.db.volume_attach(self.admin, {'volume_id': self.volume.id, **attachment})
            self.assertEqual(int(somebody), len(self.everybody()), (attachment, volume))


class TestPlain(Somebody):
    """The control: Cinder itself takes nothing away."""

    guarded = False

    def test_a_stopped_guest(self):
        self.connect()
        self.os_attach()
        self.boot()
        self.kept()


class TestGuarded(Somebody):
    """Nor does the guard."""

    def test_a_stopped_guest_on_the_host_of_cinder_volume(self):
        self.connect()
        self.os_attach()
        self.later()
        self.kept()

    def test_in_use_and_no_attachment(self):
        self.connect()
        self.set(status='in-use')
        self.later()
        self.kept()
        called = endpoint.Endpoint(self.guard)
        called.export_revert(None, volume=self.volume.id, host='node')
        self.kept()

    def test_a_copy_is_killed(self):
        """Attached before the guard was switched on: nothing of it is in the ledger."""
        self.array.targets[self.volume.id] = {world.NODE13['initiator']}
        self.set(provider_location=f'10.0.0.1:3260,1 iqn.2010-10:{self.volume.id} 0')
        self.os_attach(host='node13')
        with mock.patch.object(self.service, '_connect_device', side_effect=world.Killed):
            self.assertRaises(world.Killed, self.service._attach_volume, self.admin, self.fresh(),
                              dict(OWN))
        self.later()
        self.assertNotIn((self.volume.id, world.NODE13['initiator']), self.array.removed)
        self.assertIn((self.volume.id, world.NODE13['initiator']), self.array.exports())

    def test_os_initialize_is_killed(self):
        self.array.targets[self.volume.id] = {world.NODE13['initiator']}
        self.os_attach(host='node13')
        for number in range(4):
            self.inject(number)
            self.quietly(self.connect, world.NODE11)
            self.later()
            self.assertIn((self.volume.id, world.NODE13['initiator']), self.array.exports())
            self.assertNotIn((self.volume.id, world.NODE13['initiator']), self.array.removed)

    def test_revert(self):
        """Neither the policy nor an operator's command takes away what is attached."""
        self.override_config('migsafe_second_writer', 'revert', group='array')
        self.connect(world.NODE13)
        self.os_attach(host='node13')
        self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                          self.reserve(fake_constants.UUID2), world.NODE11)
        endpoint.Endpoint(self.guard).export_revert(None, volume=self.volume.id, host='node13')
        self.kept(world.NODE13['initiator'])

    def test_os_detach(self):
        """What Cinder asks for is done: the attachment that it deletes is none any more."""
        self.connect(world.NODE13)
        attachment = self.os_attach(host='node13')
        self.service.terminate_connection(self.admin, self.volume.id, dict(world.NODE13))
        self.service.detach_volume(self.admin, self.volume.id, attachment)
        self.assertEqual({}, self.array.targets)
        self.recover()
        self.assertEqual([], self.guard.ledger.due())

    def test_os_detach_that_has_failed(self):
        self.connect(world.NODE13)
        attachment = self.os_attach(host='node13')
        with mock.patch.object(world.ArrayDriver, 'terminate_connection',
                               side_effect=exception.VolumeDriverException('array is away')):
            self.assertRaises(exception.VolumeBackendAPIException,
                              self.service.terminate_connection, self.admin, self.volume.id,
                              dict(world.NODE13))
            self.recover()
        self.kept(world.NODE13['initiator'])
        self.service.detach_volume(self.admin, self.volume.id, attachment)
        self.recover()
        self.assertEqual({}, self.array.targets)

    def test_a_live_migration_of_an_old_instance(self):
        """Its second attachment is a new one; the old one explains the export of its host."""
        self.connect(world.NODE13)
        self.os_attach(host='node13')
        self.inspect(world.NODE13)      # the guest runs
        self.attach(self.reserve(INSTANCE), world.NODE11)
        self.assertEqual(2, len(self.array.exports()))

    def test_another_instance_beside_an_old_one(self):
        """The control, and one who is on the same host by another initiator."""
        self.connect(world.NODE13)
        self.os_attach(host='node13')
        self.inspect(world.NODE13)
        self.refused(self.reserve(fake_constants.UUID2))
        self.inspect(world.NODE13, {'initiator': 'iqn.1994-05.com.redhat:99'})
        self.refused(self.reserve(INSTANCE))

    def refused(self, attachment):
        error = self.assertRaises(exception.VolumeBackendAPIException, self.attach, attachment,
                                  world.NODE11)
        self.assertIn('has it open', str(error))
        self.kept(world.NODE13['initiator'])


class TestWhoseCopyItIs(Somebody):
    """Cinder's own copying is known by its call, and by nothing that a caller can choose."""

    def setUp(self):
        super().setUp()
        self.attach(self.reserve(), world.NODE13)

    def refused(self, connector):
        self.assertRaises(exception.CinderException, self.connect, connector)
        self.assertEqual({(self.volume.id, world.NODE13['initiator'])}, self.array.exports())

    def test_a_caller_names_the_host_of_cinder_volume(self):
        self.refused({**OWN, 'initiator': 'iqn.another'})
        self.refused(OWN)

    def test_the_status_says_that_a_backup_goes_on(self):
        self.set(status='backing-up')
        self.refused(world.NODE11)

    def test_a_copy(self):
        with mock.patch.object(self.service, '_connect_device', return_value={}):
            self.service._attach_volume(self.admin, self.fresh(), dict(OWN))
        self.assertIn((self.volume.id, OWN['initiator']), self.array.exports())

    def test_a_copy_by_a_driver(self):
        with mock.patch.object(world.ArrayDriver, '_connect_device', return_value={},
                               create=True):
            self.service.driver._attach_volume(self.admin, self.fresh(), dict(OWN))
        self.assertIn((self.volume.id, OWN['initiator']), self.array.exports())

    def test_a_connection_by_a_caller_stays_a_second_writer(self):
        """Also in the process that has made it."""
        volume = self.make_volume()
        self.volume = volume
        self.connect(OWN)
        self.assertRaises(exception.CinderException, self.attach, self.reserve(), world.NODE11)
        row = self.guard.ledger.of(Thing('volume', volume.id))[1]
        self.assertEqual(('mapped', ''), (row.state, row.attachment))
