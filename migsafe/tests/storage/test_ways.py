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
"""Every way to use a disk, one by one: seen how, refused how fast, named how.

The table of doc/source/admin/devices.rst has a row for each.
"""

from __future__ import annotations

from migsafe.tests.storage import base


class TestWays(base.StorageTestCase):
    """The disk is used, and no link in sysfs and no descriptor below /dev says so."""

    def assert_seen(self, way: str, *words: str, **arguments: object) -> None:
        """os-brick tears it away without a word; with the guards it is refused, and named."""
        found = self.both('detach', thing=way, **arguments)
        self.assert_torn(found.bare)
        self.assert_named(found.guarded, *words)

    def assert_named(self, found: dict[str, object], *words: str) -> None:
        """It is refused, and lives on; once it is away the detach goes through."""
        for word in words:
            self.assert_refused(found, word)

    def test_node_outside_of_dev(self) -> None:
        self.assert_seen('outside_of_dev', '(python3')

    def test_loop_by_a_node_that_is_gone(self) -> None:
        self.assert_seen('loop_outside_of_dev', 'loop device loop0')

    def test_mapping_without_a_descriptor(self) -> None:
        self.assert_seen('mapped', 'mapped')

    def test_thread_with_descriptors_of_its_own(self) -> None:
        self.assert_seen('thread_of_its_own', '(python3')

    def test_file_registered_with_io_uring(self) -> None:
        self.assert_seen('io_uring', 'registered with io_uring')

    def test_named_like_a_short_opener(self) -> None:
        self.assert_seen('named_like_udev', '(python3')

    def test_named_like_multipathd(self) -> None:
        self.assert_seen('named_like_multipathd', '(multipathd)')

    def test_generic_node(self) -> None:
        self.assert_seen('sg', 'by sg')

    def test_generic_node_of_nvme(self) -> None:
        self.assert_seen('sg', 'by ng', protocol='NVMEOF')

    def test_lio_file_backstore(self) -> None:
        self.assert_seen('file_backstore', 'LIO backstore fileio')

    def test_nvme_target(self) -> None:
        self.assert_seen('nvme_target', 'NVMe target')

    def test_what_no_list_shows_moves_the_counters(self) -> None:
        self.assert_seen('on_its_way', 'counters of I/O')

    # stacks of the kernel

    def test_bcache(self) -> None:
        self.assert_seen('bcache', 'bcache bcache0')

    def test_process_by_a_node_of_another_name(self) -> None:
        self.assert_seen('renamed', '(sleep)')

    # os-brick alone takes a table for a multipath map, and gives up after a minute

    def test_dm_cache(self) -> None:
        self.assert_taken_for_a_map('dm_cache', 'device-mapper table cached')

    def test_mirrored_logical_volume(self) -> None:
        self.assert_taken_for_a_map('lvm_raid', 'guest/root_rimage_0')

    def test_table_with_a_hostile_name(self) -> None:
        message = self.assert_taken_for_a_map('hostile_name', 'device-mapper table evil')
        self.assertTrue(message.isprintable(), ascii(message))

    def assert_taken_for_a_map(self, way: str, *words: str) -> str:
        """The holder is what keeps it, and with the guards it is said at once, and by name."""
        found = self.both('detach', thing=way)
        self.assertEqual('ProcessExecutionError', found.bare['detach']['error'])
        self.assertGreater(found.bare['detach']['seconds'], 50)
        self.assert_named(found.guarded, *words)
        return str(found.guarded['detach']['message'])

    # what os-brick tears away as well, and what is only named here

    def test_lio_block_backstore(self) -> None:
        self.assert_named(self.one('detach', True, thing='block_backstore'),
                          'LIO backstore iblock')

    def test_swap_file(self) -> None:
        self.assert_named(self.one('detach', True, thing='swap_file'), 'swap file /mnt/swap')

    def test_lazily_unmounted_file_system(self) -> None:
        self.assert_named(self.one('detach', True, thing='lazily_unmounted'), 'lazily')

    def test_external_journal(self) -> None:
        self.assert_named(self.one('detach', True, thing='external_journal'),
                          'journal of an ext4 on another disk')

    def test_what_only_looks_at_it_holds_nothing(self) -> None:
        for seen in self.both('detach', thing='only_looked_at').sides():
            self.assertEqual((None, {}), (seen['detach']['error'], seen['after']),
                             seen['detach']['message'])
