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
"""What Nova is given to disconnect of a guest that is not this host's any more."""

import types
from unittest import mock

from nova import context as nova_context
from nova import objects

from migsafe.nova.host import autostart, left_devices, own_devices, registry
from migsafe.nova.seams import deletion, stale_guests
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.clients import Attachment

SRC, DST = fake.SRC, fake.DST
OWN, THEIRS = fake.info(SRC, 0), fake.info(DST, 0)


class Driver:
    """Nova's, as far as it is wrapped."""

    def __init__(self, error=None):
        self.given, self.error = None, error

    def destroy(self, context, instance, network_info, block_device_info=None,
                destroy_disks=True):
        self.given = [one['connection_info'] for one in
                      (block_device_info or {}).get('block_device_mapping', ())]

    def _disconnect_volume(self, context, connection_info, instance):
        raise self.error


class Case(hosts.TwoHosts):

    def setUp(self):
        super().setUp()
        self.driver, self.noted = Driver(), []
        self.manager = types.SimpleNamespace()
        here = self.here = self.src.participant
        registry.put(self.manager, here)
        here.left_devices = types.SimpleNamespace(keep=lambda *args: self.noted.append(args))
        self.instance = types.SimpleNamespace(uuid=fake.INSTANCE, deleted=False)
        self.found = {}

    def destroy(self, rows):
        """As Nova does it, and as its driver is wrapped."""
        if not isinstance(self.found, Exception):
            look = {'return_value.all.return_value': self.found}
        else:
            look = {'side_effect': self.found}
        with mock.patch.object(own_devices, 'Look', **look):
            stale_guests.destroy(self.driver.destroy, self.driver, (None, self.instance, []), {
                'block_device_info': {'block_device_mapping': [
                    {'connection_info': row} for row in rows]}})
        return self.driver.given

    def start(self, rows):
        """At the start of nova-compute."""
        given = []

        def destroyed(context, node_cache):
            given.append(self.destroy(rows))
            return {}
        stale_guests.destroy_evacuated(destroyed, self.manager, (None, {}), {})
        return given[0]


class TestEvacuated(Case):

    def test_any_other_guest_is_destroyed_as_ever(self):
        self.assertEqual([THEIRS, None], self.destroy([THEIRS, None]))
        registry.put(self.manager, None)
        self.assertEqual([THEIRS], self.start([THEIRS]))

    def test_libvirt_is_told_first_to_start_nothing_of_others(self):
        calls = []
        with mock.patch.object(autostart, 'settle', lambda *given: calls.append(given)):
            stale_guests.destroy_evacuated(
                lambda context, node_cache: calls.append(1) or {}, self.manager, (None, {}), {})
        (manager, host, instance), destroyed = calls
        self.assertEqual((self.manager, SRC, 1), (manager, host, destroyed))
        self.assertIsNotNone(instance(fake.INSTANCE))

    def test_what_is_its_own_goes_by_its_own_connection(self):
        self.found = {fake.volume(0): own_devices.Found(OWN)}
        self.assertEqual([OWN], self.start([THEIRS, None]))
        self.assertEqual([], self.noted)

    def test_what_is_not_stays_and_what_the_guest_ran_on_is_named(self):
        self.found = {fake.volume(0): own_devices.Found(stays=('/dev/sdb',))}
        with self.assertLogs('migsafe.nova.seams', 'WARNING') as logged:
            self.assertEqual([], self.start([THEIRS]))
        self.assertEqual([(fake.INSTANCE, fake.volume(0), '/dev/sdb', stale_guests.UNPROVEN)],
                         self.noted)
        self.assertIn(fake.volume(0), logged.output[0])

    def test_where_it_cannot_be_told_nothing_goes_and_nova_compute_starts(self):
        self.found = OSError('libvirt does not answer')
        with self.assertLogs('migsafe.nova.seams', 'ERROR') as logged:
            self.assertEqual([], self.start([OWN]))
        self.assertIn('libvirt does not answer', logged.output[0])

    def test_what_it_disconnects_is_noted_for_what_is_not_settled(self):
        seen = []
        stale_guests.destroy_evacuated(
            lambda context, node_cache: seen.append(deletion._DELETING.get()) or {},
            self.manager, (None, {}), {})
        self.assertEqual(([self.here], None), (seen, deletion._DELETING.get()))

    def test_a_disconnect_that_fails_does_not_stop_the_start(self):
        driver = Driver(OSError('map in use'))

        def disconnect(*_args):
            stale_guests.disconnect(lambda wrapped, _driver, args, kwargs: wrapped(
                *args, **kwargs))(driver._disconnect_volume, driver, (
                    None, OWN, self.instance), {})
            return {}
        self.assertRaises(OSError, disconnect)
        for paths in (OSError('no multipathd'), [['/dev/sdb']]):
            with mock.patch.object(stale_guests.devices, 'own_paths', side_effect=paths), \
                    self.assertLogs('migsafe.nova.seams', 'ERROR'):
                stale_guests.destroy_evacuated(disconnect, self.manager, (None, {}), {})
        self.assertEqual([(fake.INSTANCE, fake.volume(0), '/dev/sdb', 'OSError: map in use')],
                         self.noted)


class TestDeleted(Case):
    """Nova's reaper of guests whose instance is deleted."""

    def setUp(self):
        super().setUp()
        objects.register_all()

    def reap(self, *attachments, deleted=True, task='deleting'):
        self.instance.deleted, self.instance.task_state = deleted, task
        context = nova_context.get_admin_context()
        bdms = objects.BlockDeviceMappingList(objects=[objects.BlockDeviceMapping(
            context, attachment_id=one, destination_type='volume') for one in attachments])

        def _shutdown_instance(context, instance, bdms, requested_networks=None, notify=True):
            return ([bdm.attachment_id for bdm in bdms], stale_guests._DESTROYING.get())
        return stale_guests.shut_down(_shutdown_instance, self.manager, (
            context, self.instance, bdms), {'notify': False})

    def test_an_instance_that_is_not_deleted_yet(self):
        self.assertEqual((['a'], None), self.reap('a', deleted=False, task=None))
        self.assertEqual([], self.src.calls.made)

    def test_a_deletion_that_was_cut_off(self):
        """What a row names was given up by the one before."""
        self.world.volumes.rows.clear()
        self.world.volumes.rows['mine'] = Attachment('mine', fake.volume(0), SRC)
        self.assertEqual((['mine'], None), self.reap('mine', deleted=False))
        self.assertEqual((['mine', 'gone'], self.here), self.reap('mine', 'gone', deleted=False))
        with mock.patch.object(self.world.volumes, 'attachments', side_effect=OSError('down')), \
                self.assertLogs('migsafe.nova.seams', 'WARNING'):
            self.assertIsNone(self.reap('gone', deleted=False)[1])

    def test_another_hosts_attachment_stays(self):
        rows = self.world.volumes.rows
        rows.clear()
        for one, host in (('mine', SRC), ('theirs', DST), ('nobodys', None)):
            rows[one] = Attachment(one, fake.volume(0), host)
        self.assertEqual((['mine', 'nobodys', 'gone'], self.here),
                         self.reap('mine', 'theirs', 'nobodys', 'gone'))

    def test_none_goes_where_cinder_does_not_say_whose_it_is(self):
        with mock.patch.object(self.world.volumes, 'attachments', side_effect=OSError('down')), \
                self.assertLogs('migsafe.nova.seams', 'WARNING'):
            self.assertEqual([], self.reap('mine')[0])


class TestLeft(Case):
    """What is listed until it is over."""

    def setUp(self):
        super().setUp()
        self.there, self.used, self.wwn = {'/dev/sdb'}, [], 'naa.1'
        for name, instead in (('is_there', lambda path: path in self.there),
                              ('designator', lambda _path: self.wwn)):
            patched = mock.patch.object(left_devices.devices, name, instead)
            patched.start()
            self.addCleanup(patched.stop)

    def left(self):
        """After a round of recovery, in a process of its own."""
        left_devices.LeftDevices(SRC, self.src.journal, lambda: iter(self.used)).settle()
        return [(one.kind, one.instance_uuid, one.key) for one in self.src.journal.findings()]

    def test_until_it_is_gone_or_another_disk_or_a_guest_has_it(self):
        there = [('R4-guest', fake.INSTANCE, f'{fake.volume(0)} /dev/sdb naa.1')]
        for over in ({'there': set()}, {'wwn': 'naa.2'},
                     {'used': [('b-guest', 'volume-2', '/dev/sdb')]}):
            with self.subTest(over):
                left = left_devices.LeftDevices(SRC, self.src.journal, lambda: iter(()))
                with self.assertLogs('migsafe.nova.host', 'ERROR') as logged:
                    left.keep(fake.INSTANCE, fake.volume(0), '/dev/sdb', 'it cannot go')
                for word in ('/dev/sdb', SRC, fake.INSTANCE, fake.volume(0), 'it cannot go',
                             'device/delete'):
                    self.assertIn(word, logged.output[0])
                self.assertEqual(there, self.left())
                with mock.patch.multiple(self, **over):
                    self.assertEqual([], self.left())

    def test_what_libvirt_does_not_tell_ends_nothing(self):
        left = left_devices.LeftDevices(
            SRC, self.src.journal, mock.Mock(side_effect=OSError('libvirt')))
        with self.assertLogs('migsafe.nova.host', 'WARNING') as logged:
            left.keep(fake.INSTANCE, fake.volume(0), '/dev/sdb', 'it cannot go')
            left.settle()
        self.assertIn('OSError: libvirt', logged.output[1])
        self.assertEqual(1, len(self.src.journal.findings()))
