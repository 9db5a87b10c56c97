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
"""iSCSI with one path, on a real kernel."""

from __future__ import annotations

from migsafe.tests.storage import base


class TestDetach(base.StorageTestCase):
    """Something stands on the volume that is detached, or nothing."""

    def test_free(self) -> None:
        found = self.both('detach', thing='nothing')
        self.assert_detached(found.bare)
        self.assert_detached(found.guarded)

    def test_empty_partition(self) -> None:
        # a partition alone is in nobody's way
        found = self.both('detach', thing='empty_partition')
        self.assert_detached(found.bare)
        self.assert_detached(found.guarded)

    def test_lv_force(self) -> None:
        found = self.both('detach', thing='lv', force=True)
        self.assertNotIn('sda', found.bare['after'])
        self.assertNotEqual('ok', found.bare['usable_after'])
        self.assert_kept(found.guarded)
        self.assertEqual('ok', found.guarded['usable_after'])

    def test_lv_force_ignore_errors(self) -> None:
        found = self.both('detach', thing='lv', force=True, ignore_errors=True)
        self.assert_torn(found.bare)
        self.assert_refused(found.guarded, 'guest/root')

    def test_lv_mounted_on_partition(self) -> None:
        found = self.both('detach', thing='lv_mounted_on_partition')
        self.assert_torn(found.bare)
        # a ghost: the logical volume without its disk
        self.assertEqual({'dm-0': 'guest-root'}, found.bare['after'])
        self.assert_refused(found.guarded, 'guest/root')

    def test_mounted(self) -> None:
        found = self.both('detach', thing='mounted')
        self.assert_torn(found.bare)
        self.assert_refused(found.guarded, 'mounted on /mnt')

    def test_mounted_elsewhere(self) -> None:
        found = self.both('detach', thing='mounted_elsewhere')
        self.assert_torn(found.bare)
        self.assert_refused(found.guarded, 'mounted on /mnt in the mount namespace of process')

    def test_loop(self) -> None:
        found = self.both('detach', thing='loop')
        self.assert_torn(found.bare)
        self.assert_refused(found.guarded, 'loop device loop0')

    def test_table(self) -> None:
        found = self.both('detach', thing='table')
        self.assertEqual('ProcessExecutionError', found.bare['detach']['error'])
        self.assert_refused(found.guarded, 'device-mapper table made')

    def test_ghost(self) -> None:
        """What a torn logical volume has left on the host does not keep the disk that is back."""
        for seen in self.both('ghost').sides():
            self.assertEqual('error', seen['usable'])
            self.assertIn('guest-root', seen['before'].values())
            self.assertIsNone(seen['detach']['error'], seen['detach']['message'])
            self.assertEqual(({'dm-0': 'guest-root'}, 0), (seen['after'], seen['sessions']))

    def test_process(self) -> None:
        found = self.both('detach', thing='opened')
        self.assert_torn(found.bare)
        self.assert_refused(found.guarded, '(sleep)')

    def test_swap(self) -> None:
        found = self.both('detach', thing='swap')
        self.assert_torn(found.bare)
        self.assert_refused(found.guarded, 'swap')

    def test_md(self) -> None:
        found = self.both('detach', thing='md')
        self.assert_torn(found.bare)
        self.assert_refused(found.guarded, 'md array md0')

    def test_crypt(self) -> None:
        found = self.both('detach', thing='crypt')
        self.assertEqual('ProcessExecutionError', found.bare['detach']['error'])
        self.assert_refused(found.guarded, 'dm-crypt secret')


class TestHealthy(base.StorageTestCase):
    """What Nova does with a volume every day goes on as it did."""

    def test_encrypted(self) -> None:
        self.assert_encrypted()

    def test_encrypted_multipath(self) -> None:
        self.assert_encrypted(multipath=True)

    def test_extend(self) -> None:
        self.assert_extended()

    def test_extend_multipath(self) -> None:
        self.assert_extended(multipath=True)

    def assert_encrypted(self, multipath: bool = False) -> None:
        """Nova's own dm-crypt: in the way while it is there, and nothing but that."""
        found = self.both('encrypted', multipath=multipath)
        for seen in found.sides():
            self.assertEqual('ok', seen['usable'])
            self.assertIsNotNone(seen['early']['error'])
            self.assertEqual(seen['before'], seen['between'])
            self.assert_detached(seen)
        self.assertIn('dm-crypt crypt-', found.guarded['early']['message'])

    def assert_extended(self, multipath: bool = False) -> None:
        """By 16 MiB, seen by os-brick and by the kernel."""
        for seen in self.both('extend', multipath=multipath).sides():
            self.assertIsNone(seen['extend']['error'], seen['extend'])
            self.assertEqual((64 << 20, str(64 << 20)), (seen['extend']['value'], seen['size']))
            self.assert_detached(seen)


class TestPolicies(base.StorageTestCase):
    """What an operator may choose instead of a refusal; TestDetach has the control of each."""

    def test_release_of_what_nobody_uses(self) -> None:
        self.assert_detached(self.one('detach', True, thing='lv', policy='release'))

    def test_release_on_a_map(self) -> None:
        self.assert_detached(self.one('detach', True, thing='lv', policy='release',
                                      multipath=True))

    def test_release_leaves_what_is_mounted(self) -> None:
        found = self.one('detach', True, thing='lv_mounted_on_partition', policy='release')
        self.assert_kept(found)
        self.assertEqual('ok', found['usable_after'])

    def test_release_of_what_comes_back(self) -> None:
        """A udev event activates the logical volume again, before the disk is removed."""
        found = self.one('activated_again', True, policy='release')
        self.assertEqual([{'sda': found['before']['sda']}], found['between'])
        self.assert_kept(found)
        self.assertEqual('ok', found['usable_after'])

    def test_warn_goes_on(self) -> None:
        self.assert_torn(self.one('detach', True, thing='lv_mounted_on_partition',
                                  policy='warn'))

    def test_release_leaves_what_is_written_all_the_time(self) -> None:
        found = self.one('detach', True, thing='written_all_the_time', policy='release')
        self.assert_kept(found)
        self.assertIn('guest/root', found['detach']['message'])
        self.assertEqual('ok', found['usable_after'])

    def test_warn_goes_on_whatever_is_written(self) -> None:
        # as os-brick alone does: the control of the one before
        self.assert_torn(self.one('detach', True, thing='written_all_the_time', policy='warn'))

    def test_nothing_is_released_beside_the_hosts_own_group_of_the_same_name(self) -> None:
        found = self.one('same_name', True, policy='release')
        self.assertEqual('ok', found['usable'])
        self.assert_kept(found)
        self.assertIn('guest/root', found['detach']['message'])
        self.assertEqual(['ok', 'ok'], found['hosts'])


class TestOrder(base.StorageTestCase):
    """What happens between the steps, or happened before."""

    def test_holder_after_the_check(self) -> None:
        found = self.both('late_holder')
        self.assertIsNone(found.bare['detach']['error'])
        self.assertEqual('error', found.bare['usable_after'])
        self.assert_kept(found.guarded)
        self.assertEqual('ok', found.guarded['usable_after'])

    def test_twice(self) -> None:
        found = self.both('twice', gone=False)
        self.assert_detached(found.bare)
        self.assert_detached(found.guarded)

    def test_gone_already(self) -> None:
        found = self.both('twice', gone=True)
        self.assert_detached(found.bare)
        self.assert_detached(found.guarded)

    def test_two_volumes(self) -> None:
        found = self.both('two_volumes')
        # again os-brick takes the logical volume for a map, and gives up after a minute
        self.assertEqual('ProcessExecutionError', found.bare['detach']['error'])
        self.assertEqual((found.bare['before'], 'ok'),
                         (found.bare['after'], found.bare['usable_after']))
        self.assert_kept(found.guarded)
        self.assertIn('guest/root', found.guarded['detach']['message'])
        self.assertEqual('ok', found.guarded['usable_after'])

    def test_neighbours(self) -> None:
        for seen in self.both('neighbours').sides():
            self.assertIsNone(seen['detach']['error'], seen['detach']['message'])
            self.assertEqual(len(seen['before']) - 1, len(seen['after']))
            self.assertEqual('ok', seen['usable_after'])

    def test_many(self) -> None:
        found = self.both('many', count=26)
        self.assert_kept(found.guarded)
        self.assertLess(found.guarded['detach']['seconds'],
                        found.bare['detach']['seconds'] / 10)
        for seen in found.sides():
            self.assertIsNone(seen['free']['error'], seen['free']['message'])
            self.assertEqual(len(seen['before']) - 1, len(seen['finally']))


class TestIdentity(base.StorageTestCase):
    """The LUN number leads to another volume than it did."""

    def test_stale_detach_of_a_held_disk(self) -> None:
        found = self.both('stale', held=True)
        self.assertIsNone(found.bare['detach']['error'])
        self.assertEqual('error', found.bare['usable_after'])
        self.assertEqual(found.guarded['before'], found.guarded['after'])
        self.assertEqual('WrongDisk', found.guarded['detach']['error'])
        self.assertEqual('ok', found.guarded['usable_after'])

    def test_stale_detach_of_a_free_disk(self) -> None:
        found = self.both('stale', held=False)
        self.assert_removed_all_the_same(found.bare)
        self.assert_kept(found.guarded, 'WrongDisk')

    def test_wrong_disk_at_connect(self) -> None:
        found = self.both('wrong_at_connect')
        self.assertIsNone(found.bare['connect']['error'])
        self.assertIn('naa.600140500000002', found.bare['wwid']['sda'])
        self.assertEqual('WrongDisk', found.guarded['connect']['error'],
                         found.guarded['connect'])
        self.assertIn('naa.600140500000002', found.guarded['connect']['message'])
        self.assertEqual(({}, 0), (found.guarded['after'], found.guarded['sessions']))

    def test_remapped_while_attached(self) -> None:
        found = self.both('remapped_while_attached')
        for seen in found.sides():
            self.assertEqual(['of volume one', 'of volume two'], seen['read'])
            # the kernel does not know of it
            self.assertIn('naa.600140500000001', seen['wwid']['sda'])
        self.assert_removed_all_the_same(found.bare)
        self.assert_kept(found.guarded, 'WrongDisk')
        self.assertIn('naa.600140500000002', found.guarded['detach']['message'])

    def assert_removed_all_the_same(self, found: dict[str, object]) -> None:
        """os-brick asked nobody."""
        self.assertNotEqual({}, found['before'])
        self.assertEqual({}, found['after'])
