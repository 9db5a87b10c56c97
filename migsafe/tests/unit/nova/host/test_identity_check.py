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
import pathlib
import time
from unittest import mock

import fixtures

from migsafe.brick.guard import judge, strays
from migsafe.nova.host import identity_check
from migsafe.tests.unit.brick import trees
from migsafe.tests.unit.journal import base

NAA = frozenset(('naa.6001405000000009',))
#: How a disk that stays is noted.
NOTE = 'vol-9 naa.6001405000000009'
DISKS = [('i-1', 'v-1', '/dev/sda'), ('i-1', 'v-2', '/dev/sdb'), ('i-2', 'v-3', '/dev/sdc')]


class PatrolTest(base.JournalTestCase):
    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.journal = self.open()
        self.asked, self.wrong, self.looked = [], {}, []
        self.disks = list(DISKS)
        self.patrol = self.new()

    def new(self, **more):
        return identity_check.Patrol('node13', self.journal, lambda: iter(self.disks),
                                     self._known, self._look, 300, **more)

    def _known(self, instances):
        self.asked.append(instances)
        return {('i-1', 'v-1'): judge.Wanted('v-1', frozenset(('naa.5000000000000001',)))}

    def _look(self, path, wanted):
        self.looked.append((path, wanted))
        return self.wrong.get(path, '')

    def findings(self, kind=None):
        return [(f.kind, f.instance_uuid, f.key, f.text) for f in self.journal.findings()]

    def test_a_disk_that_could_not_go_is_listed_until_it_has(self):
        self.addCleanup(strays.clear)
        strays.remember('/dev/sda', 'vol-9', '/dev/sda stays here', mock.Mock(), NAA)
        self.patrol.strays()
        self.assertEqual([(NOTE, '/dev/sda stays here')], self.stray())
        with mock.patch('migsafe.brick.guard.strays.time') as clock:
            clock.monotonic.side_effect = lambda: time.monotonic() + 1000
            self.patrol.strays()
        self.assertEqual([], list(self.journal.findings()))

    def disk(self):
        """A tree with one disk, and the file that says which it is."""
        tree = self.useFixture(trees.Tree())
        wwid = pathlib.Path(tree.sysfs.root, 'class', 'block', tree.disk('sdb'), 'device', 'wwid')
        wwid.parent.mkdir()
        wwid.write_text('naa.6001405000000009\n')
        return tree, wwid

    def stray(self):
        return [(one.key, one.text) for one in self.journal.findings()
                if one.kind == identity_check.STRAY]

    def test_what_an_earlier_process_could_not_let_go_of_is_listed_as_long_as_it_is_here(self):
        self.addCleanup(strays.clear)
        tree, wwid = self.disk()
        strays.remember('/dev/sdb', 'vol-9', '/dev/sdb stays here', mock.Mock(), NAA)
        self.patrol.strays()
        strays.clear()
        for _ in range(2):
            # nova-compute is started anew, and then once more
            patrol = self.new(sysfs=tree.sysfs)
            for _ in range(2):
                patrol.strays()
                self.assertEqual(
                    [(NOTE, '/dev/sdb stays here' + identity_check.OF_BEFORE)], self.stray())
        # another disk has its name now
        wwid.write_text('naa.6001405000000008\n')
        patrol.strays()
        self.assertEqual([], self.stray())

    def test_what_has_become_somebodys_volume_is_no_stray(self):
        self.addCleanup(strays.clear)
        tree, _ = self.disk()
        self.journal.set_findings(identity_check.STRAY, {('', NOTE): 'it stays'})
        patrol = self.new(sysfs=tree.sysfs)
        patrol.strays()
        self.assertEqual(1, len(self.stray()))
        strays.forget('/dev/sdb', NAA)
        patrol.strays()
        self.assertEqual([], self.stray())

    def test_every_disk_is_looked_at_with_what_is_known(self):
        self.assertEqual({}, self.patrol.once())
        self.assertEqual([['i-1', 'i-2']], self.asked)
        self.assertEqual(['/dev/sda', '/dev/sdb', '/dev/sdc'], [p for p, _ in self.looked])
        self.assertEqual([1, 0, 0], [len(wanted.identity) for _, wanted in self.looked])
        self.assertEqual(['v-1', 'v-2', 'v-3'], [wanted.volume for _, wanted in self.looked])

    def test_found_reported_once_and_over(self):
        self.wrong['/dev/sdb'] = 'another disk'
        self.assertEqual({}, self.patrol.once())
        self.assertLessEqual(self.patrol._pause(), 60)
        for _ in range(3):
            self.patrol.once()
        self.assertGreater(self.patrol._pause(), 60)
        self.assertEqual([('R9', 'i-1', 'v-2', 'another disk')], self.findings())
        self.assertEqual(1, self.log.output.count('R9: instance i-1: another disk'))
        self.wrong.clear()
        self.patrol.once()
        self.assertEqual([], self.findings())
        self.assertIn('R9 of instance i-1, volume v-2 is over', self.log.output)

    def reported(self):
        self.wrong['/dev/sdb'] = 'another disk'
        for _ in range(2):
            self.patrol.once()
        self.assertEqual([('R9', 'i-1', 'v-2', 'another disk')], self.findings())

    def test_one_that_says_nothing_any_more_stays(self):
        self.reported()
        self.wrong['/dev/sdb'] = None
        for one in (self.patrol, self.new()):
            for _ in range(3):
                one.once()
            self.assertEqual([('R9', 'i-1', 'v-2', 'another disk')], self.findings())
        self.assertNotIn('is over', self.log.output)

    def test_one_of_a_guest_whose_disks_cannot_be_had_stays(self):
        self.reported()
        self.disks = [('i-1', '', ''), DISKS[2]]
        self.patrol.once()
        self.assertEqual([('R9', 'i-1', 'v-2', 'another disk')], self.findings())
        self.disks = [DISKS[2]]
        self.patrol.once()
        self.assertEqual([], self.findings())

    def test_one_that_is_wrong_for_a_moment_is_a_retype(self):
        for _ in range(2):
            self.wrong['/dev/sdb'] = 'another disk'
            self.patrol.once()
            self.wrong.clear()
            self.patrol.once()
        self.wrong['/dev/sdb'] = 'another disk'
        self.patrol.once()
        # the same volume, but the guest was given another disk again
        self.disks[1] = ('i-1', 'v-2', '/dev/sdd')
        self.wrong['/dev/sdd'] = 'another disk'
        self.patrol.once()
        self.assertEqual([], self.findings())
        self.assertNotIn('R9', self.log.output)

    def test_what_an_earlier_process_found_is_not_for_ever(self):
        self.journal.set_findings('R9', {('i-9', 'v-9'): 'long ago'})
        self.patrol.once()
        self.assertEqual([], self.findings())

    def test_a_healthy_host_writes_nothing_after_the_first_round(self):
        self.patrol.once()
        self.journal.close()  # whatever is written from now on raises
        self.assertEqual({}, self.patrol.once())

    def test_stopped_in_the_middle_nothing_is_reported(self):
        self.wrong['/dev/sda'] = 'another disk'
        self.patrol.stop()
        self.assertEqual({}, self.patrol.once())
        self.assertEqual([], self.findings())
