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
"""The tables of Nova's decision and of what becomes of disks: each row, and what incident 002 was.

That the tables are Nova's is shown on Nova's own code, in functional.test_preflight_nova.
"""

import dataclasses
import itertools
import unittest

from migsafe.preflight import answers, decision, fate
from migsafe.preflight.decision import Asked, Refusal, Request, Situation
from migsafe.preflight.fate import Fate, Harm
from migsafe.preflight.guest import Disk, Guest, Kind, Storage, Volume

UUID = '777fe18a-e88b-4bdd-b84e-4336d9f073bb'
HERE = f'/var/lib/nova/instances/{UUID}'
VOLUME = Volume('4ec88534-df59-4bea-b6bb-43ac07fc1d2d', 'vda', protocol='iscsi')
SAN = Disk('vda', 'block', '/dev/dm-4', serial=VOLUME.id)
ISO = Disk('sda', 'file', f'{HERE}/disk.config', 'cdrom', readonly=True, size=1, used=1)
VFAT = Disk('vdb', 'file', f'{HERE}/disk.config', size=1, used=1)
ROOT = Disk('vda', 'file', f'{HERE}/disk', size=10, used=5)
FOREIGN = Disk('vdq', 'block', '/dev/sdq')
ALL = (SAN, ISO, VFAT, ROOT, FOREIGN, Disk('hdc', 'file', '', 'cdrom', readonly=True),
       Disk('vdb', 'network', f'vms/{UUID}_disk.config'),
       Disk('vdc', 'block', '/dev/dm-5', serial=VOLUME.id),
       dataclasses.replace(ROOT, target='vdd', shareable=True),
       dataclasses.replace(ROOT, target='vde', size=None),
       Disk('vdf', 'file', '/root/x.iso', 'cdrom', readonly=True),
       dataclasses.replace(FOREIGN, readonly=True), Disk('vdz', 'nvme', ''))


def situation(*disks, shared=False, destination=None, volumes=(VOLUME,), backed=True, **storage):
    source = Storage(**storage)
    return Situation(Guest(UUID, disks, volumes, backed), source, destination or source, shared)


class TestTables(unittest.TestCase):

    def test_each_row_decides_somewhere(self):
        rows = set()
        for disk, shared, kind, tunnelled, backed, volumes, nova in itertools.product(
                ALL, (False, True), ('qcow2', 'rbd', 'lvm'), (False, True), (False, True),
                ((VOLUME,), ()), (30, 34)):
            found = situation(disk, shared=shared, images_type=kind, tunnelled=tunnelled,
                              backed=backed, volumes=volumes, nova=nova)
            for block, over in itertools.product(Asked, (None, True, False)):
                made = decision.decide(found, Request(block, over))
                rows.add(id(made.row))
                if made.block is not None:
                    rows.update(id(one.row) for one in fate.judge(found, made.block))
        for table in (decision.TABLE, fate.TABLE):
            self.assertEqual([], [row for row in table if id(row) not in rows])

    def test_what_is_wrong_has_a_remedy(self):
        for row, kind in itertools.product(fate.TABLE, Kind):
            said = answers.remedy(fate.Judged(SAN, kind, row), 'my server')
            self.assertEqual(row.harm is not Harm.NONE, bool(said))
            self.assertNotIn('SERVER', said)

    def test_kinds(self):
        for name, kind in (('disk', Kind.ROOT), ('disk.config', Kind.CONFIG_DRIVE),
                           ('disk.config.rescue', Kind.CONFIG_DRIVE), ('disk.eph12',
                           Kind.EPHEMERAL), ('disk.local', Kind.EPHEMERAL), ('disk.swap',
                           Kind.SWAP), ('disk.rescue', Kind.RESCUE), ('virtio-win.iso',
                           Kind.UNKNOWN), ('notadisk', Kind.UNKNOWN)):
            for path in (f'{HERE}/{name}', f'/dev/nova-vg/{UUID}_{name}', f'vms/{UUID}_{name}'):
                self.assertIs(kind, Disk('vda', 'file', path).image, path)
        self.assertIs(Kind.EMPTY, Disk('hda', 'file', '', 'cdrom').image)
        self.assertIs(Kind.UNKNOWN, Disk('vdz', 'nvme', '').image)


class TestIncident002(unittest.TestCase):
    """A guest with a volume and a config drive, on a cloud without Ceph."""

    def of(self, found):
        """Asked for -> whether disks are copied or why not, and the fates."""
        made = {one: answers.answer(found, Request(one)) for one in Asked}
        return {one.value: (given.decision.refusal or given.decision.block,
                            [each.row.fate for each in given.disks])
                for one, given in made.items()}

    def test_iso(self):
        found = situation(SAN, ISO)
        blank = (True, [Fate.CONNECTED, Fate.BLANK])
        self.assertEqual({'auto': blank, 'true': blank, 'false': (Refusal.SHARED, [])},
                         self.of(found))
        self.assertEqual([], answers.working(found, Request()))
        given = answers.answer(found, Request())
        self.assertTrue(answers.config_drive_alone(found, given))
        self.assertIn(f'openstack server migrate {UUID}', answers.remedy(given.harms[0], UUID))

    def test_until_nova_30_it_was_fetched(self):
        found = situation(SAN, ISO, nova=30)
        self.assertEqual(Fate.FETCHED, self.of(found)['auto'][1][1])
        self.assertEqual([Asked.AUTO, Asked.TRUE], answers.working(found, Request()))

    def test_vfat(self):
        found = situation(SAN, VFAT)
        self.assertEqual([Asked.AUTO, Asked.TRUE], answers.working(found, Request()))
        self.assertTrue(answers.config_drive_alone(found, answers.answer(found, Request())))

    def test_taken_out(self):
        """What its operators did: the drive is emptied in libvirt."""
        found = situation(SAN, dataclasses.replace(ISO, name=''))
        self.assertEqual((Refusal.LOCAL, []), self.of(found)['true'])
        self.assertEqual([Asked.AUTO, Asked.FALSE], answers.working(found, Request()))
        self.assertFalse(answers.config_drive_alone(found, answers.answer(found, Request())))

    def test_shared_directory(self):
        found = situation(SAN, ISO, shared=True)
        self.assertEqual([Asked.AUTO, Asked.FALSE], answers.working(found, Request()))

    def test_ceph_with_a_drive_from_before(self):
        """Nova calls it shared, and the file is on the source alone."""
        found = situation(SAN, ISO, images_type='rbd')
        given = answers.answer(found, Request())
        self.assertFalse(given.decision.block)
        self.assertEqual([(Fate.LEFT, Harm.FAILS)],
                         [(one.row.fate, one.row.harm) for one in given.harms])
        self.assertEqual([], answers.working(found, Request()))


class TestHarm(unittest.TestCase):

    def worst(self, found):
        given = answers.answer(found, Request())
        return [(one.disk.target, one.row.fate, one.row.harm) for one in given.harms]

    def test_a_volume_with_another_name(self):
        """The row says vdb and libvirt vdc: QEMU would write the volume onto itself."""
        other = Volume('8b1e', 'vdb')
        found = situation(SAN, Disk('vdc', 'block', '/dev/dm-7', serial='8b1e'),
                          volumes=(VOLUME, other))
        self.assertEqual([('vdc', Fate.ONTO_ITSELF, Harm.LOSES)], self.worst(found))
        self.assertIn('another name', answers.answer(found, Request()).harms[0].row.why)
        self.assertEqual([], answers.working(found, Request()))

    def test_a_disk_that_nova_does_not_know(self):
        self.assertEqual([('vdq', Fate.ONTO_ITSELF, Harm.LOSES)],
                         self.worst(situation(SAN, FOREIGN)))

    def test_a_kind_that_is_not_known(self):
        self.assertEqual([('vdz', Fate.LEFT, Harm.FAILS)],
                         self.worst(situation(SAN, Disk('vdz', 'nvme', ''))))

    def test_lvm_on_a_shared_directory(self):
        root = Disk('vda', 'block', f'/dev/vg/{UUID}_disk')
        found = situation(root, shared=True, images_type='lvm', volumes=(), backed=False)
        self.assertEqual([('vda', Fate.LEFT, Harm.LOSES)], self.worst(found))

    def test_another_instances_path(self):
        found = situation(SAN, VFAT, destination=Storage(instances_path='/srv/instances'))
        self.assertEqual([('vdb', Fate.LEFT, Harm.FAILS)], self.worst(found))

    def test_tunnelled(self):
        found = situation(ROOT, tunnelled=True, volumes=(), backed=False)
        self.assertEqual([('vda', Fate.BLANK, Harm.FAILS)], self.worst(found))


if __name__ == '__main__':
    unittest.main()
