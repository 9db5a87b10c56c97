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
"""iSCSI with two paths, on a real kernel."""

from __future__ import annotations

from migsafe.tests.storage import base


class TestDetach(base.StorageTestCase):
    """Something stands on the map of the volume that is detached, or nothing."""

    def test_free(self) -> None:
        found = self.both('detach', thing='nothing', multipath=True)
        for seen in found.sides():
            self.assertEqual(3, len(seen['before']), seen['before'])
            self.assert_detached(seen)

    def test_free_with_a_dead_path(self) -> None:
        found = self.both('detach', thing='nothing', multipath=True, dead_paths=1)
        for seen in found.sides():
            self.assert_detached(seen)

    def test_partition_maps(self) -> None:
        # multipath -f takes the maps of kpartx along
        found = self.both('detach', thing='empty_partition', multipath=True)
        for seen in found.sides():
            self.assert_detached(seen)

    def test_lv_mounted_on_partition(self) -> None:
        found = self.both('detach', thing='lv_mounted_on_partition', multipath=True)
        self.assertEqual('ProcessExecutionError', found.bare['detach']['error'])
        self.assert_refused(found.guarded, 'guest/root')

    def test_lv_force(self) -> None:
        found = self.both('detach', thing='lv', multipath=True, force=True)
        self.assert_pathless(found.bare)
        self.assertIsNotNone(found.bare['detach']['error'])
        self.assert_refused(found.guarded, 'guest/root')

    def test_lv_force_ignore_errors(self) -> None:
        found = self.both('detach', thing='lv', multipath=True, force=True, ignore_errors=True)
        self.assert_pathless(found.bare)
        self.assertIsNone(found.bare['detach']['error'])
        self.assert_refused(found.guarded, 'guest/root')

    def test_lv_with_a_dead_path(self) -> None:
        found = self.both('detach', thing='lv_mounted', multipath=True, dead_paths=1)
        self.assertEqual('ProcessExecutionError', found.bare['detach']['error'])
        self.assert_refused(found.guarded, 'guest/root')

    def test_neighbours(self) -> None:
        for seen in self.both('neighbours', multipath=True).sides():
            self.assertIsNone(seen['detach']['error'], seen['detach']['message'])
            self.assertEqual(len(seen['before']) - 3, len(seen['after']))
            self.assertEqual('ok', seen['usable_after'])

    def assert_pathless(self, found: dict[str, object]) -> None:
        """The map has lost its disks, and what stands on it does not answer."""
        self.assertNotIn('sda', found['after'])
        self.assertIn('guest-root', found['after'].values())
        self.assertNotEqual('ok', found['usable_after'])


class TestIdentity(base.StorageTestCase):
    """The LUN number leads to another volume than it did, or not to a map."""

    def test_one_path_of_two_is_another_volume_at_connect(self) -> None:
        """os-brick hands out the map over the first, and the other disk stays unasked."""
        found = self.both('half_remapped_at_connect', protocol='ISCSI')
        self.assertIsNone(found.bare['connect']['error'], found.bare['connect'])
        self.assertEqual(2, len(set(found.bare['wwid'].values())), found.bare['wwid'])
        self.assertEqual('WrongDisk', found.guarded['connect']['error'],
                         found.guarded['connect'])
        self.assertEqual(({}, 0), (found.guarded['after'], found.guarded['sessions']))
        self.assertNotIn('migsafe_identity', found.guarded['properties'])

    def test_stale_detach_of_a_held_map(self) -> None:
        found = self.both('stale', held=True, multipath=True)
        # that the other guest uses it is all that saves it
        self.assertEqual('ProcessExecutionError', found.bare['detach']['error'])
        self.assertIn('map in use', found.bare['detach']['message'])
        self.assertEqual((found.bare['before'], 'ok'),
                         (found.bare['after'], found.bare['usable_after']))
        self.assert_kept(found.guarded, 'WrongDisk')
        self.assertEqual('ok', found.guarded['usable_after'])

    def test_stale_detach_of_a_free_map(self) -> None:
        found = self.both('stale', held=False, multipath=True)
        self.assertEqual((None, {}), (found.bare['detach']['error'], found.bare['after']))
        self.assert_kept(found.guarded, 'WrongDisk')

    def test_wrong_disk_at_connect(self) -> None:
        found = self.both('wrong_at_connect', multipath=True)
        self.assertIsNone(found.bare['connect']['error'])
        self.assertIn('naa.600140500000002', found.bare['wwid']['sda'])
        self.assertEqual('WrongDisk', found.guarded['connect']['error'],
                         found.guarded['connect'])
        self.assertEqual(({}, 0), (found.guarded['after'], found.guarded['sessions']))

    def test_remapped_while_attached(self) -> None:
        found = self.both('remapped_while_attached', multipath=True)
        self.assertIsNone(found.bare['detach']['error'])
        self.assertEqual({}, found.bare['after'])
        self.assert_kept(found.guarded, 'WrongDisk')

    def test_no_map_where_one_is_enforced(self) -> None:
        found = self.both('no_map', stop=False)
        self.assertIsNone(found.bare['connect']['error'])
        self.assertStartsWith('/dev/sd', found.bare['connect']['value']['path'])
        self.assertEqual('NotMultipath', found.guarded['connect']['error'],
                         found.guarded['connect'])
        self.assertEqual(({}, 0), (found.guarded['after'], found.guarded['sessions']))

    def test_no_daemon(self) -> None:
        # here os-brick itself refuses
        for seen in self.both('no_map', stop=True).sides():
            self.assertEqual('BrickException', seen['connect']['error'], seen['connect'])
            self.assertEqual({}, seen['after'])

    def assertStartsWith(self, prefix: str, text: str) -> None:
        """With the text in the message."""
        self.assertTrue(text.startswith(prefix), text)
