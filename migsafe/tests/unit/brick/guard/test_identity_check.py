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
from migsafe.brick.guard import identity_check, judge
from migsafe.tests.unit.brick.guard import test_questions

NAA, OTHER = test_questions.NAA, test_questions.OTHER


class PatrolTest(test_questions.GuardCase):
    def setUp(self):
        super().setUp()
        self.patrol = identity_check.Patrol(
            self.guard, lambda path: path.removeprefix('/dev/') or None
        )
        self.unknown = judge.Wanted('vol-1')

    def note(self, disk, wwid):
        """What the kernel noted when it found a disk."""
        (self.tree.top / disk / 'device').mkdir(exist_ok=True)
        (self.tree.top / disk / 'device' / 'wwid').write_text(wwid + '\n')

    def test_the_volume(self):
        self.tree.disk('sda')
        self.assertEqual('', self.patrol.look('/dev/sda', self.wanted))
        self.assertEqual([('sda', False)], self.root.asked)

    def test_another_disk(self):
        self.tree.disk('sda')
        self.root.identities['sda'] = [OTHER]
        said = self.patrol.look('/dev/sda', self.wanted)
        for word in ('vol-1', 'cn1', '/dev/sda', NAA, OTHER, 'openstack server pause'):
            self.assertIn(word, said)

    def test_one_path_of_a_map(self):
        self.tree.mpath()
        self.assertEqual('', self.patrol.look('/dev/dm-0', self.wanted))
        self.root.identities['sdb'] = [OTHER]
        self.assertIn('/dev/sdb', self.patrol.look('/dev/dm-0', self.wanted))

    def test_all_paths_of_a_map_of_an_unknown_volume(self):
        self.tree.mpath()
        self.assertEqual('', self.patrol.look('/dev/dm-0', self.unknown))
        self.root.identities.update(sda=[OTHER], sdb=[OTHER])
        self.assertIn(OTHER, self.patrol.look('/dev/dm-0', self.unknown))

    def test_a_path_that_is_silent_tells_nothing(self):
        self.tree.mpath()
        self.root.states['sdb'] = ['dead']
        for wanted in (self.wanted, judge.Wanted('vol-1')):
            self.assertIsNone(self.patrol.look('/dev/dm-0', wanted))

    def test_what_the_kernel_noted_stands_for_an_unknown_volume(self):
        self.tree.disk('sda')
        self.note('sda', NAA)
        self.assertEqual('', self.patrol.look('/dev/sda', self.unknown))
        self.root.identities['sda'] = [OTHER]
        self.assertIn(OTHER, self.patrol.look('/dev/sda', self.unknown))

    def test_an_unknown_volume_of_which_nothing_is_noted(self):
        self.tree.disk('sda')
        self.root.identities['sda'] = [OTHER]
        self.assertEqual('', self.patrol.look('/dev/sda', self.unknown))
        self.root.identities['sda'] = []
        self.assertIsNone(self.patrol.look('/dev/sda', self.unknown))

    def test_below_encryption(self):
        self.tree.mpath()
        self.tree.dm('dm-1', 'CRYPT-LUKS1-x', 'dm-0')
        self.root.identities.update(sda=[OTHER], sdb=[OTHER])
        self.assertIn(OTHER, self.patrol.look('/dev/dm-1', self.wanted))

    def test_what_stands_on_several_disks_is_no_volume(self):
        self.tree.disk('sda')
        self.tree.disk('sdb')
        self.tree.lv('dm-0', 'sda', 'sdb')
        self.root.identities.update(sda=[OTHER], sdb=[OTHER])
        self.assertIsNone(self.patrol.look('/dev/dm-0', self.wanted))

    def test_a_disk_that_does_not_answer_is_no_other_disk(self):
        self.tree.disk('sda')
        self.root.identities['sda'] = []
        self.assertIsNone(self.patrol.look('/dev/sda', self.wanted))
        self.root.states['sda'] = ['dead']
        self.assertIsNone(self.patrol.look('/dev/sda', self.wanted))

    def test_what_is_not_there(self):
        self.assertIsNone(self.patrol.look('/dev/sdz', self.wanted))
        self.assertIsNone(self.patrol.look('/dev/', self.wanted))
        self.assertIsNone(self.patrol.look('/dev/../../etc', self.wanted))
