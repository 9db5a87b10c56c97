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
"""Clients whose answers come from files, rows and arguments."""

import os
import pathlib
import tempfile
import types
import unittest
import uuid
from unittest import mock

import nova.conf
from nova import exception, objects
from nova.compute import manager as compute_manager
from nova.objects import instance_action
from oslo_serialization import jsonutils

from migsafe.nova.bus import endpoint
from migsafe.nova.clients import allocations, directories, records
from migsafe.text import LIMIT, masked
from migsafe.transaction.clients import VolumeRow

INSTANCE = '3a5c1c5e-4d4c-4a55-9d8d-0d7f0f6c1a01'


class TestDirectories(unittest.TestCase):
    def setUp(self):
        objects.register_all()
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        self.base = pathlib.Path(made.name)
        conf = nova.conf.CONF
        conf.set_override('instances_path', made.name)
        self.addCleanup(conf.clear_override, 'instances_path')
        self.path = self.base / INSTANCE
        self.client = directories.Directories()

    def make(self, path):
        path.mkdir()
        (path / 'disk.config').write_text('x')

    def test_find_and_remove(self):
        self.assertIsNone(self.client.find(INSTANCE))
        self.make(self.path)
        self.assertEqual(str(self.path), self.client.find(INSTANCE))
        self.client.remove(INSTANCE)
        self.assertEqual([], list(self.base.iterdir()))
        self.client.remove(INSTANCE)

    def test_removal_that_was_interrupted_is_found_and_ended(self):
        self.make(self.base / (INSTANCE + directories.DOOMED))
        self.assertIsNotNone(self.client.find(INSTANCE))
        self.make(self.path)
        self.client.remove(INSTANCE)
        self.assertIsNone(self.client.find(INSTANCE))

    def test_what_novas_removal_has_not_finished(self):
        self.make(self.base / f'{INSTANCE}_del')
        self.assertIsNone(self.client.find(INSTANCE, half_deleted=False))
        self.client.remove(INSTANCE, half_deleted=False)
        self.assertEqual(f'{self.path}_del', self.client.find(INSTANCE))
        self.client.remove(INSTANCE)
        self.assertEqual([], list(self.base.iterdir()))

    def test_symbolic_link_is_refused_and_its_target_stays(self):
        target = self.base / 'precious'
        self.make(target)
        os.symlink(target, self.path)
        self.assertEqual(str(self.path), self.client.find(INSTANCE))
        with self.assertRaises(ValueError) as caught:
            self.client.remove(INSTANCE)
        self.assertIn('symbolic link', str(caught.exception))
        self.assertIn('by hand', str(caught.exception))
        self.assertTrue((target / 'disk.config').exists())

    def test_link_inside_is_not_followed(self):
        target = self.base / 'precious'
        self.make(target)
        self.make(self.path)
        os.symlink(target, self.path / 'link')
        self.client.remove(INSTANCE)
        self.assertTrue((target / 'disk.config').exists())

    def test_link_in_the_place_of_the_doomed_one_is_not_followed(self):
        target = self.base / 'precious'
        self.make(target)
        os.symlink(target, self.base / (INSTANCE + directories.DOOMED))
        self.make(self.path)
        with self.assertRaises(OSError):
            self.client.remove(INSTANCE)
        self.assertTrue((target / 'disk.config').exists())

    def test_other_directories_are_out_of_reach(self):
        for name in ('', '..', '.', '/etc', f'{INSTANCE}/..'):
            with self.subTest(name), self.assertRaises(ValueError):
                self.client._path(name)


class TestConnectionInfo(unittest.TestCase):
    def test_not_json_or_no_object(self):
        for text in ('{', 'null', '[]', '"x"', '5', 'None', "{'a': 1}"):
            with self.subTest(text), self.assertRaises(ValueError):
                records.connection_info(text)

    def test_nothing_and_something(self):
        self.assertIsNone(records.connection_info(None))
        self.assertIsNone(records.connection_info(''))
        self.assertEqual({'data': {}},
                         records.connection_info('{"data": {}}'))

    def test_error_does_not_show_the_content(self):
        with self.assertRaises(ValueError) as caught:
            records.connection_info('["chap-secret-4711"]')
        self.assertNotIn('chap-secret', str(caught.exception))

    def test_row_does_not_show_its_secret(self):
        row = records.volume_row(types.SimpleNamespace(
            id=1, volume_id='v', attachment_id='a', connection_info=(
                '{"data": {"auth_password": "chap-secret-4711"}}')))
        self.assertNotIn('chap-secret', repr(row))


class TestRename(unittest.TestCase):
    """Cinder has given a volume another id; the destination may have come first."""

    OLD = {'serial': 'new', 'volume_id': 'new', 'data': {'volume_id': 'new', 'target_lun': 3}}

    def rename(self, attachment, lun):
        """With this in the table by now; returns the answer."""
        info = {**self.OLD, 'data': {'volume_id': 'new', 'target_lun': lun}}
        self.bdm = mock.Mock(id=1, volume_id='new', attachment_id=attachment,
                             connection_info=jsonutils.dumps(info))
        with mock.patch.object(objects.BlockDeviceMapping, 'get_by_volume_and_instance',
                               return_value=self.bdm):
            return records.Records(None).rename_volume(
                INSTANCE, VolumeRow(1, 'new', 'att-1', self.OLD), 'old')

    def test_the_row_is_as_it_was(self):
        self.assertTrue(self.rename('att-1', 3))
        self.assertEqual('old', self.bdm.volume_id)
        self.assertEqual({'serial': 'old', 'volume_id': 'old', 'data': {
            'volume_id': 'old', 'target_lun': 3}}, jsonutils.loads(self.bdm.connection_info))
        self.assertTrue(self.bdm.save.called)

    def test_the_address_is_that_of_now(self):
        """What is written is what is there; nothing of what was read before."""
        self.assertTrue(self.rename('att-1', 7))
        self.assertEqual(7, jsonutils.loads(self.bdm.connection_info)['data']['target_lun'])

    def test_another_attachment(self):
        self.assertFalse(self.rename('att-dest', 7))
        self.assertEqual('new', self.bdm.volume_id)
        self.assertFalse(self.bdm.save.called)


class TestAllocations(unittest.TestCase):
    def provider(self, host):
        manager = compute_manager.ComputeManager.__new__(compute_manager.ComputeManager)
        manager.host = 'node13'
        missing = exception.ComputeHostNotFound(host=host)
        with mock.patch.object(objects.ComputeNode, 'get_first_node_by_host_for_old_compat',
                               side_effect=missing) as asked:
            found = allocations.Allocations(manager).provider(host)
        self.assertEqual(1, asked.call_count)
        return found

    def test_host_whose_service_was_deleted(self):
        self.assertIsNone(self.provider('node11'))

    def test_deletion_that_nobody_has_heard(self):
        """safe_connect returns None when Placement cannot be reached; there was none is False."""
        client = mock.Mock()
        found = allocations.Allocations(types.SimpleNamespace(reportclient=client))
        for answer in (True, False):
            client.delete_allocation_for_instance.return_value = answer
            found.delete('m-1')
        client.delete_allocation_for_instance.return_value = None
        with self.assertRaises(exception.AllocationDeleteFailed) as caught:
            found.delete('m-1')
        self.assertIn('m-1', str(caught.exception))


class TestCheck(unittest.TestCase):
    def test_only_a_plain_uuid_passes(self):
        good = str(uuid.uuid4())
        endpoint._check(uuid=good)
        for bad in (None, 5, [], {}, '', 'x', good + '\n', '-' * 99 + good,
                    'urn:' * 10**6 + good, '{' + good + '}', ' ' + good,
                    good.encode(), "' OR 1=1 --"):
            with self.assertRaises(ValueError) as caught:
                endpoint._check(uuid=bad)
            self.assertLess(len(str(caught.exception)), 100)
            self.assertIn('uuid', str(caught.exception))


class TestMasked(unittest.TestCase):
    def test_short_one_line_and_without_secrets(self):
        text = masked(ValueError("{'auth_password': 'chap-secret-4711'}\n\nx"))
        self.assertNotIn('chap-secret', text)
        self.assertNotIn('\n', text)

    def test_ten_megabytes_take_no_time(self):
        text = masked(ValueError("'auth_password': 'chap-secret' " * 400_000))
        self.assertLess(len(text), LIMIT + 50)
        self.assertNotIn('chap-secret', text)

    def test_error_without_a_text(self):
        self.assertEqual('TimeoutError', masked(TimeoutError()))


class TestConditions(unittest.TestCase):
    """What is written is written only over what was read."""

    TX = mock.Mock(uuid='m-1', instance_uuid=INSTANCE, migration_id=7,
                   source_host='node13', dest_host='node11')

    def instance(self, **given):
        return mock.Mock(**{'host': 'node13', 'task_state': 'migrating', 'vm_state': 'active',
                            'migration_context': mock.Mock(migration_id=7), **given})

    def write(self, instance, what):
        client = records.Records(mock.Mock())
        with mock.patch.object(client, '_instance', return_value=instance):
            return what(client)

    def test_task_and_state_are_what_was_read(self):
        for what in (lambda c: c.release_task(self.TX, 'active'),
                     lambda c: c.to_host(self.TX, 'node11')):
            instance = self.instance(vm_state='error')
            self.write(instance, what)
            instance.save.assert_called_once_with(
                expected_task_state=['migrating'], expected_vm_state=['error'])

    def test_claims_of_another_move_stay(self):
        for number, own in ((7, True), (8, False)):
            instance = self.instance(migration_context=mock.Mock(migration_id=number))
            self.write(instance, lambda c: c.release_task(self.TX, None))
            self.assertEqual(own, instance.drop_migration_context.called)
            instance = self.instance(migration_context=mock.Mock(migration_id=number))
            self.write(instance, lambda c: c.to_host(self.TX, 'node11'))
            self.assertEqual(own, instance.apply_migration_context.called)

    def test_another_task(self):
        instance = self.instance(task_state='rebooting')
        with self.assertRaises(exception.UnexpectedTaskStateError):
            self.write(instance, lambda c: c.release_task(self.TX, None))
        self.assertFalse(instance.save.called)

    def test_row_without_attachment_that_was_changed(self):
        """It differs in its connection_info alone."""
        bdm = mock.Mock(id=1, volume_id='v', attachment_id=None,
                        connection_info='{"data": {"target_lun": 4}}')
        for lun, done in ((4, True), (3, False)):
            row = VolumeRow(1, 'v', None, {'data': {'target_lun': lun}})
            with mock.patch.object(objects.BlockDeviceMapping, 'get_by_volume_and_instance',
                                   return_value=bdm), \
                    mock.patch.object(records.utils, 'synchronized', lambda _n: lambda f: f):
                self.assertEqual(done, records.Records(None).replace_connection(
                    INSTANCE, row, None, {'data': {}}))
            self.assertEqual(done, bdm.save.called)
            bdm.save.reset_mock()
            bdm.connection_info = '{"data": {"target_lun": 4}}'

    def test_later_request(self):
        for requests, found in ((['r-2', 'r-1'], 'r-2'), (['r-1'], None), (['r-2'], None),
                                (['r-1', 'r-0'], None)):
            actions = [mock.Mock(action='live-migration', request_id=r) for r in requests]
            actions.insert(0, mock.Mock(action='reboot', request_id='r-9'))
            listed = mock.Mock(spec=instance_action.InstanceActionList)
            listed.get_by_instance_uuid.return_value = actions
            with mock.patch.object(objects, 'InstanceActionList', listed, create=True):
                self.assertEqual(found, records.Records(None).asked_for(INSTANCE, 'r-1'))
