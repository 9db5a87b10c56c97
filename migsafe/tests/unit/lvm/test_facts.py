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
"""From recorded output and a sysfs to the facts, and on to the advice."""

import pathlib

import fixtures
import testtools

from migsafe.brick.errors import Unsure
from migsafe.brick.kernel import place
from migsafe.lvm import checking, client, errors, facts, reports, roles, rules
from migsafe.tests.unit.brick.kernel import test_place

DATA = pathlib.Path(__file__).parent / 'data'
R = roles.Role


class Recorded(client.Client):
    """Says what LVM said in the virtual machine of the storage tests."""

    def __init__(self, name):
        super().__init__('/nowhere/lvm')
        self.opened = 'No devices found\n'
        self.texts = {what: (DATA / f'{name}.{what}').read_text() for what in ('pvs', 'lvs')}
        for what in ('effective', 'written', 'version'):
            path = DATA / f'{name}.{what}'
            self.texts[what] = (path if path.exists() else DATA / (
                'lab.version' if what == 'version' else f'same-name.{what}')).read_text()

    def version(self):
        return self.texts['version']

    def effective(self):
        return self.texts['effective']

    def written(self):
        return self.texts['written']

    def pvs(self, *more):
        return self.texts['pvs']

    def lvs(self, *more):
        return self.texts['lvs']

    def opens(self):
        return self.opened


class FactsTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.tree = self.useFixture(test_place.Machine())
        self.tree.on_bus('sda', 'pseudo_0', 'host2', 'target2', driver='scsi_debug')
        self.tree.on_bus('sdb', 'platform', 'host3', 'session1', 'target3', driver='iscsi_tcp')
        for name, number in (('sda', '8:0'), ('sdb', '8:16')):
            (self.tree.top / name / 'dev').write_text(number + '\n')
            (self.tree.root / 'dev' / 'block' / number).symlink_to(self.tree.top / name)
        (self.tree.root / '1').mkdir()
        self.mounts()
        (self.tree.root / 'swaps').write_text('')
        links = self.tree.root / 'disk' / 'by-id'
        links.mkdir(parents=True)
        for link in ('wwn-0x3333333000001770', 'lvm-pv-uuid-x'):
            (links / link).symlink_to('../../sda')

    def mounts(self, text=''):
        (self.tree.root / '1' / 'mountinfo').write_text(text)

    def check(self, name, named=()):
        root = str(self.tree.root)
        return checking.Check(Recorded(name), self.tree.sysfs, named, root, root, root)

    def test_same_name(self):
        found = self.check('same-name').look()
        self.assertEqual({'sda': R.HOST, 'sdb': R.GUEST}, {
            device.name: group.role for group in found[1].groups for device in group.vg.devices})
        own = next(group.vg for group in found[1].groups if group.role is R.HOST)
        self.assertEqual('/dev/disk/by-id/wwn-0x3333333000001770', own.devices[0].link)

    def test_same_name_in_a_configuration(self):
        _found, advice = self.check('same-name', (facts.Named('host', 'cinder.conf'),)).look()
        self.assertIs(rules.Verdict.RECOMMEND, advice.verdict)
        self.assertEqual({R.DOUBT}, {group.role for group in advice.groups})

    def test_copy(self):
        _found, advice = self.check('copy').look()
        self.assertEqual((rules.Verdict.RECOMMEND, [R.DOUBT]), (
            advice.verdict, [group.role for group in advice.groups]))

    def test_mounted_and_not_seen(self):
        vg = reports.pvs((DATA / 'devices-file.pvs').read_text())[0].vg
        hidden = 'A' * 32
        for uuid, expected in ((vg.replace('-', ''), 0), (hidden, 1)):
            name = f'dm-{expected}'
            self.tree.dm(name, f'LVM-{uuid}{"B" * 32}', 'sda', dm_name='host-root')
            number = (self.tree.top / name / 'dev').read_text().strip()
            self.mounts(f'1 2 {number} / / rw - ext4 /dev/mapper/host-root rw\n')
            found, _advice = self.check('devices-file').look()
            self.assertEqual(expected, len(found.hidden))

    def test_active_on_a_disk_of_the_hosts_and_not_seen(self):
        """Nothing is mounted: a filter hides it, and it was activated before that was written."""
        for below, expected in (('sda', 1), ('sdb', 0)):
            self.tree.dm(f'dm-{expected}', f'LVM-{"A" * 32}{below[-1] * 32}', below,
                         dm_name='host-root')
            found, advice = self.check('same-name').look()
            self.assertEqual(1, len(found.hidden))
            self.assertIs(rules.Verdict.RECOMMEND, advice.verdict)
            self.assertIsNone(advice.plan)
            self.assertIn('active (host/root)', ' '.join(advice.reasons))

    def test_in_raw_use(self):
        """An LV on a disk from the network that is exported, or a database's: no mount."""
        vg = next(row.vg for row in reports.pvs((DATA / 'same-name.pvs').read_text())
                  if row.number == '8:16').replace('-', '')
        self.tree.dm('dm-1', f'LVM-{vg}{"B" * 32}', 'sdb', dm_name='host-root')
        number = (self.tree.top / 'dm-1' / 'dev').read_text().strip()
        self.useFixture(fixtures.MonkeyPatch('migsafe.lvm.uses.PATIENCE', 0.02))
        for text, role in ((f'{number}:0\n', R.GUEST), (f'{number}:1\n', R.DOUBT)):
            check = self.check('same-name')
            check.client.opened = text
            advice = check.look()[1]
            self.assertEqual({'sda': R.HOST, 'sdb': role}, {
                device.name: group.role for group in advice.groups for device in group.vg.devices})
        self.assertIs(rules.Verdict.RECOMMEND, advice.verdict)
        self.assertIn('open and not mounted by the host (host/root)', ' '.join(advice.reasons))

    def test_vanished_disk(self):
        (self.tree.root / 'dev' / 'block' / '8:16').unlink()
        _found, advice = self.check('same-name').look()
        self.assertIs(rules.Verdict.RECOMMEND, advice.verdict)

    def test_sysfs_does_not_answer(self):
        (self.tree.root / '1' / 'mountinfo').unlink()
        error = self.assertRaises(errors.LvmError, self.check('same-name').look)
        self.assertIn('mountinfo', str(error))
        (self.tree.root / '1' / 'mountinfo').write_text('')
        (self.tree.top / 'sdb' / 'slaves').rmdir()
        (self.tree.top / 'sdb' / 'slaves').write_text('')
        self.assertRaises(Unsure, self.check('same-name').look)

    def test_loose_entries(self):
        directory = self.tree.root / 'devices'
        directory.mkdir(exist_ok=True)
        recorded = (DATA / 'system.devices').read_text()
        for line, loose in (('', 0), ('IDTYPE=devname IDNAME=/dev/sdb DEVNAME=/dev/sdb PVID=.', 1),
                            ('IDTYPE=devname IDNAME=/dev/vda DEVNAME=/dev/vda PVID=.', 0),
                            ('IDTYPE=devname IDNAME=/dev/sdb PVID=oDXDRQ2tZed4', 0),
                            ('IDTYPE=devname PVID=.', 1)):
            (directory / 'system.devices').write_text(recorded + line + '\n')
            found, _advice = self.check('devices-file').look()
            self.assertEqual((True, loose), (found.listed, len(found.loose)), line)

    def test_active(self):
        self.tree.dm('dm-0', f'LVM-{"A" * 32}{"B" * 32}', 'sda', dm_name='own-root')
        self.tree.dm('dm-1', f'LVM-{"C" * 32}{"D" * 32}', 'sdb', dm_name='guest-root')
        self.tree.dm('dm-2', f'LVM-{"E" * 32}{"F" * 32}', 'dm-0', dm_name='nested-root')
        self.tree.dm('dm-3', f'LVM-{"G" * 32}{"H" * 32}', dm_name='ghost-root')
        found, _advice = self.check('same-name').look()
        self.assertEqual({'own/root': False, 'guest/root': True, 'nested/root': True,
                          'ghost/root': True}, {lv.label: lv.guests for lv in found.active})

    def test_place_of_what_is_missing(self):
        self.assertIs(place.Place.UNKNOWN, place.together(()))
