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
"""os-brick's Fibre Channel connector, on a real kernel; see guest/fabric.py."""

from __future__ import annotations

from typing import Any

from migsafe.tests.storage import base

FC = 'FIBRE_CHANNEL'


class TestDetach(base.StorageTestCase):
    """Something stands on the volume that is detached, or nothing."""

    def test_free(self) -> None:
        for seen in self.both('detach', thing='nothing', protocol=FC).sides():
            self.assertEqual(['sda'], list(seen['before']))
            self.assert_detached(seen)

    def test_free_multipath(self) -> None:
        found = self.both('detach', thing='nothing', protocol=FC, multipath=True)
        for seen in found.sides():
            self.assertEqual(['dm-0', 'sda', 'sdb'], list(seen['before']))
            self.assert_detached(seen)

    def test_free_under_a_map_that_nova_does_not_want(self) -> None:
        self.assert_map_gone('unwanted_map')

    def test_free_under_a_map_by_force(self) -> None:
        self.assert_map_gone('unwanted_map', force=True, ignore_errors=True)

    def test_free_under_a_map_without_a_path_that_works(self) -> None:
        self.assert_map_gone('detach', thing='nothing', dead_paths=2)

    def assert_map_gone(self, case: str, **arguments: Any) -> None:
        """os-brick deletes the paths and leaves the map to multipathd; a guard flushes it."""
        found = self.both(case, protocol=FC, multipath=True, **arguments)
        for seen in found.sides():
            self.assertEqual(['dm-0', 'sda', 'sdb'], list(seen['before']))
            self.assertNotIn('sda', seen['after'])
        self.assert_detached(found.guarded)

    def test_process(self) -> None:
        self.assert_guards('opened', '(sleep)')

    def test_process_multipath(self) -> None:
        found = self.both('detach', thing='opened', protocol=FC, multipath=True)
        # a map that is open cannot be flushed
        self.assertEqual('ProcessExecutionError', found.bare['detach']['error'])
        self.assert_refused(found.guarded, '(sleep)')

    def test_lv_mounted_on_partition(self) -> None:
        self.assert_guards('lv_mounted_on_partition', 'guest/root')

    def test_lv_force_multipath(self) -> None:
        found = self.both('detach', thing='lv', protocol=FC, multipath=True, force=True)
        self.assertNotIn('sda', found.bare['after'])
        self.assertNotEqual('ok', found.bare['usable_after'])
        self.assert_refused(found.guarded, 'guest/root')

    def assert_guards(self, thing: str, holder: str) -> None:
        """os-brick removes a single path under whatever stands on it; its guard does not."""
        found = self.both('detach', thing=thing, protocol=FC)
        self.assert_torn(found.bare)
        self.assert_refused(found.guarded, holder)


class TestIdentity(base.StorageTestCase):
    """The LUN number leads to another volume than it did."""

    def test_one_path_of_two_is_another_volume_at_connect(self) -> None:
        """os-brick hands out the map over the first, and the other disk stays unasked."""
        found = self.both('half_remapped_at_connect', protocol=FC)
        self.assertIsNone(found.bare['connect']['error'], found.bare['connect'])
        self.assertEqual(2, len(set(found.bare['wwid'].values())), found.bare['wwid'])
        self.assertEqual('WrongDisk', found.guarded['connect']['error'],
                         found.guarded['connect'])
        self.assertEqual(({}, 0), (found.guarded['after'], found.guarded['sessions']))
        self.assertNotIn('migsafe_identity', found.guarded['properties'])

    def test_stale_detach(self) -> None:
        self.assert_stale()

    def test_stale_detach_multipath(self) -> None:
        found = self.both('stale', held=True, protocol=FC, multipath=True)
        # in use by the other guest, which is all that saves it
        self.assertEqual('ProcessExecutionError', found.bare['detach']['error'])
        self.assert_kept(found.guarded, 'WrongDisk')

    def test_remapped_while_attached(self) -> None:
        found = self.both('remapped_while_attached', protocol=FC)
        self.assertEqual({}, found.bare['after'])
        self.assert_kept(found.guarded, 'WrongDisk')

    def test_one_path_of_two_is_another_volume(self) -> None:
        found = self.both('half_remapped', protocol=FC, multipath=True)
        self.assertEqual(2, len(set(found.guarded['wwid'].values())))
        self.assertEqual('error', found.bare['usable_after'])
        self.assert_kept(found.guarded, 'WrongDisk')
        self.assertEqual('ok', found.guarded['usable_after'])

    def assert_stale(self, **arguments: Any) -> None:
        """Bare, the disk of the other guest is deleted under it."""
        found = self.both('stale', held=True, protocol=FC, **arguments)
        self.assertIsNone(found.bare['detach']['error'], found.bare['detach'])
        self.assertEqual('error', found.bare['usable_after'])
        self.assert_kept(found.guarded, 'WrongDisk')
        self.assertEqual('ok', found.guarded['usable_after'])
