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
"""The array is down, or leads a number to something else; somebody comes at the last moment."""

from __future__ import annotations

from migsafe.tests.storage import base

#: Seconds of the guest's clock that the guards may add, to the same end.
MORE = 2.5


class TestArrayDown(base.StorageTestCase):
    """A free volume is detached while its array does not answer; os-brick alone is the measure."""

    def assert_as_fast(self, how: str, state: str, multipath: bool = False) -> None:
        """The guards change neither what comes of it nor, much, how long it takes."""
        found = self.both('array_down', how=how, multipath=multipath)
        for seen in found.sides():
            self.assertIn(state, seen['states'].values())
        bare, guarded = (seen['detach'] for seen in found.sides())
        self.assertEqual(bare['error'] is None, guarded['error'] is None, guarded['message'])
        self.assertEqual(found.bare['after'], found.guarded['after'])
        self.assertLess(guarded['seconds'], bare['seconds'] + MORE)

    def test_nothing_is_wrong(self) -> None:
        self.assert_as_fast('nothing', 'running')

    def test_blocked(self) -> None:
        self.assert_as_fast('blocked', 'blocked')

    def test_silent(self) -> None:
        self.assert_as_fast('silent', 'running')

    def test_transport_offline(self) -> None:
        self.assert_as_fast('transport-offline', 'transport-offline')

    def test_offline(self) -> None:
        self.assert_as_fast('offline', 'offline')

    def test_unmapped(self) -> None:
        self.assert_as_fast('unmapped', 'running')

    def test_one_path_of_two(self) -> None:
        self.assert_as_fast('one-offline', 'offline', multipath=True)

    def test_all_paths(self) -> None:
        self.assert_as_fast('blocked', 'blocked', multipath=True)

    def test_a_holder_is_named_all_the_same(self) -> None:
        found = self.one('array_down', True, how='blocked', thing='lv')
        self.assert_kept(found)
        self.assertIn('guest/root', found['detach']['message'])


class TestConnectionLost(base.StorageTestCase):
    """One session of the host has no connection any more, of whatever it was."""

    def test_other_volumes_are_attached_and_detached(self) -> None:
        for found in self.both('connection_lost').sides():
            self.assertEqual(1, found['lost'])
            self.assertIsNone(found['connect']['error'], found['connect'])
            self.assertLessEqual({'sda', 'sdb', 'dm-0'}, set(found['devices']))
            self.assertIsNone(found['detach']['error'], found['detach'])
            self.assertEqual({}, found['after'])


class TestLeads(base.StorageTestCase):
    """What the connections of two volumes lead to is told by the disks that they stand on."""

    def test_plain(self) -> None:
        self.assert_told(multipath=False, paths=1)

    def test_multipath(self) -> None:
        self.assert_told(multipath=True, paths=2)

    def assert_told(self, multipath: bool, paths: int) -> None:
        for found in self.both('leads', multipath=multipath).sides():
            self.assertEqual([paths, paths], [len(found['one']), len(found['other'])])
            self.assertEqual(set(), {*found['one']} & {*found['other']})
            self.assertEqual(found['one'], found['encrypted'])
            for name, leads in found['leads'].items():
                self.assertEqual(found[name], sorted({disk for one in leads for disk in one}))
            self.assertEqual({'one': [], 'other': []}, found['gone'])


class TestLate(base.StorageTestCase):
    """Whoever comes between the questions and the removal."""

    def test_process(self) -> None:
        self.assert_late('(sleep), which came up meanwhile')

    def test_process_nvme(self) -> None:
        """What goes is the controller, and all questions are asked again before it does."""
        self.assert_late('(sleep)', protocol='NVMEOF')

    def test_process_at_the_last_moment(self) -> None:
        """Under the claim, which keeps no process away: the helper itself looks last."""
        self.assert_late('(sleep), which came up meanwhile', last=True)

    def assert_late(self, named: str, **arguments: object) -> None:
        """os-brick tears the disk away from it; the guards find it, once the disk is flushed."""
        found = self.both('opened_late', **arguments)
        self.assertIsNone(found.bare['detach']['error'], found.bare['detach'])
        self.assertEqual('error', found.bare['usable_after'])
        self.assert_kept(found.guarded)
        self.assertIn(named, found.guarded['detach']['message'])
        self.assertEqual('ok', found.guarded['usable_after'])

    def test_process_on_a_map(self) -> None:
        """os-brick tries for a minute, and says that the map is in use."""
        found = self.both('late_on_map', multipath=True)
        self.assertEqual('ProcessExecutionError', found.bare['detach']['error'])
        self.assertGreater(found.bare['detach']['seconds'], 50)
        self.assert_kept(found.guarded)
        self.assertIn('(sleep)', found.guarded['detach']['message'])
        self.assertEqual('ok', found.guarded['usable_after'])


class TestFirstAttach(base.StorageTestCase):
    """A volume of which nothing is known is attached for the first time."""

    def test_where_the_disk_of_another_one_is_open(self) -> None:
        self.assert_not_handed_out()

    def test_where_the_kernel_has_looked_anew(self) -> None:
        self.assert_not_handed_out(rescan=True)

    def assert_not_handed_out(self, **arguments: object) -> None:
        """os-brick hands out what another process has open."""
        found = self.both('here_before', **arguments)
        self.assertIsNone(found.bare['connect']['error'], found.bare['connect'])
        self.assertEqual(found.bare['path'], found.bare['connect']['value']['path'])
        self.assertEqual('WrongDisk', found.guarded['connect']['error'],
                         found.guarded['connect'])
        self.assertIn('since before', found.guarded['connect']['message'])
        self.assertEqual(found.guarded['before'], found.guarded['after'])

    def test_a_copy_with_the_wwid_of_one_in_use(self) -> None:
        """multipathd takes the paths of both into one map, and reads come from either."""
        found = self.both('one_wwid', multipath=True)
        self.assertIsNone(found.bare['connect']['error'], found.bare['connect'])
        self.assertEqual(4, len(found.bare['paths']), found.bare)
        self.assertEqual('MixedMap', found.guarded['connect']['error'],
                         found.guarded['connect'])
        self.assertIn('(LUN 3 of ', found.guarded['connect']['message'])
        # and what had joined the map in use has left it
        self.assertEqual(['sda', 'sdb'], found.guarded['paths'])
        self.assertEqual(found.guarded['before'], found.guarded['after'])
        self.assertEqual('ok', found.guarded['usable_after'])
