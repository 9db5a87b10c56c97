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
from unittest import mock

import testtools

from migsafe.brick.guard import release
from migsafe.tests.unit.brick import trees


class ReleaseTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.tree = self.useFixture(trees.Tree())
        self.root = mock.Mock()
        self.root.opened_by.return_value = []
        self.root.look.return_value = {'state': 'free'}
        self.root.remove_lv.return_value = {'done': True}

    def release(self, *names):
        return release.release(self.tree.sysfs, self.root, names)

    def refused(self, *names):
        error = self.assertRaises(release.NotReleased, self.release, *names)
        self.assertFalse(self.root.remove_lv.called)
        return str(error)

    def test_nothing_there(self):
        self.tree.mpath()
        self.assertEqual([], self.release('sda', 'sdb'))

    def test_lvs_on_a_map(self):
        self.tree.mpath()
        self.tree.lv('dm-5', 'dm-0')
        self.tree.lv('dm-6', 'dm-0', dm_name='vg0-swap')
        self.assertEqual(2, len(self.release('sda', 'sdb')))

    def test_lv_on_a_partition(self):
        self.tree.disk('sdc')
        self.tree.lv('dm-7', self.tree.partition('sdc'))
        self.assertEqual(1, len(self.release('sdc')))

    def test_who_has_it_open_cannot_be_found_out(self):
        self.tree.disk('sda')
        self.tree.lv('dm-5', 'sda')
        self.root.opened_by.side_effect = OSError(13, '/proc/7/fd: Permission denied')
        self.assertIn('/proc/7/fd', self.refused('sda'))

    def test_top_first(self):
        self.tree.disk('sda')
        self.tree.lv('dm-1', 'sda', dm_name='vg0-pool_tdata')
        self.tree.lv('dm-2', 'dm-1', dm_name='vg0-pool')
        self.tree.lv('dm-3', 'dm-2', dm_name='vg0-thin')
        self.release('sda')
        self.assertEqual(['dm-3', 'dm-2', 'dm-1'],
                         [call.args[0] for call in self.root.remove_lv.call_args_list])

    def test_claims_of_what_goes_first_are_no_use(self):
        self.tree.disk('sda')
        self.tree.lv('dm-1', 'sda')
        self.tree.lv('dm-2', 'dm-1')
        self.root.look.side_effect = lambda name, _: {
            'state': 'busy' if name == 'dm-1' else 'free'}
        self.release('sda')

    def test_foreign_disk_below(self):
        self.tree.disk('sda')
        self.tree.disk('sdx')
        self.tree.lv('dm-1', 'sda', 'sdx')
        self.assertIn('also stands on sdx', self.refused('sda'))
        self.assertEqual(1, len(self.release('sda', 'sdx')))

    def test_other_holders(self):
        for name, uuid in (('dm-8', 'CRYPT-LUKS2-x'), ('dm-9', '')):
            with self.subTest(uuid=uuid):
                disk = self.tree.disk(f'sd-{name}')
                self.tree.dm(name, uuid, disk)
                self.assertIn('no logical volume', self.refused(disk))

    def test_crypt_on_an_lv(self):
        self.tree.disk('sda')
        self.tree.lv('dm-1', 'sda')
        self.tree.dm('dm-2', 'CRYPT-LUKS2-x', 'dm-1')
        self.assertIn('dm-crypt', self.refused('sda'))

    def test_in_use(self):
        self.tree.disk('sda')
        self.tree.lv('dm-1', 'sda')
        self.root.look.return_value = {'state': 'busy'}
        self.assertIn('exclusive claim', self.refused('sda'))
        self.root.opened_by.return_value = [['8:2', 'mounted on /srv']]
        self.assertIn('mounted on /srv', self.refused('sda'))

    def test_does_not_go(self):
        self.tree.disk('sda')
        self.tree.lv('dm-1', 'sda')
        self.root.remove_lv.return_value = {'done': False, 'reason': 'busy'}
        error = self.assertRaises(release.NotReleased, self.release, 'sda')
        self.assertIn('does not go: busy', str(error))
