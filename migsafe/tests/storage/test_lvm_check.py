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
"""``migsafe lvm check`` beside a real LVM, which activates guests' volumes by itself."""

from __future__ import annotations

import json
import os
from typing import Any

from testtools import content

from migsafe.tests.storage import base

#: The host has a volume group, and then a guest has one on its volume, which is detached.
HOST = 'import lvm_cases\nlvm_cases.begin()\n'
GUEST = 'volume = lvm_cases.Volume.made()\n'
SAME_NAME = 'volume = lvm_cases.begin_same_name()\n'
#: What guests have on their volumes, and the host on its own; see guest/lvm_drawn.py.
GUESTS = ('whole', 'partition', 'two', 'orphan', 'nvme', 'inside')
OWN = ('whole', 'partition', 'two', 'raid', 'crypt', 'san')
#: Configurations that are drawn for each host with guests of one kind, and of how many kinds.
DRAWN = int(os.environ.get('MIGSAFE_FILTERS', '3'))
KINDS = int(os.environ.get('MIGSAFE_FILTERS_GUESTS', '1'))
SEED = int(os.environ.get('MIGSAFE_SEED', '1'))


class TestLvmCheck(base.StorageTestCase):
    """A local volume group of the host, and a volume on which a guest has made one."""

    def case(self, name: str, *preludes: str, before: str = '', volume: bool = False,
             **arguments: Any) -> dict[str, Any]:
        """Run one of guest/lvm_cases.py.

        :param preludes: what the host has got when the guest is saved
        :param before: what it gets then
        :param volume: whether the scenario takes the guest's volume
        """
        given = f'{name!r}, volume' if volume else repr(name)
        result = self.vm.run(f'import lvm_cases\n{before}lvm_cases.main({given}, '
                             f'**{arguments!r})\n', preludes)
        self.addDetail(f'{name}: output', content.text_content(result.stdout))
        self.assertEqual(0, result.rc, f'{name} did not come to its end')
        found: dict[str, Any] = json.loads(result.files['result.json'])
        self.addDetail(name, content.text_content(json.dumps(found, indent=1)))
        return found

    def test_not_applied(self) -> None:
        found = self.case('plain', HOST, GUEST, volume=True, applied=False)
        # the control: this is what the advice is against
        self.assertEqual(['guest-root', 'host-root'], found['at_first'])
        self.assertEqual(['guest-root', 'host-root'], found['attached'])
        self.assertEqual(['guest/root'], found['advice']['active'])
        self.assertEqual('CONFIGURE', found['advice']['verdict'])
        self.assertEqual({'/dev/sda': 'HOST', '/dev/sdb': 'GUEST'},
                         found['advice']['roles'])
        self.assertEqual([], found['changed'])
        self.assertIn('host-root', found['rediscovered'])

    def test_applied(self) -> None:
        found = self.case('plain', HOST, GUEST, volume=True, applied=True)
        self.assertEqual(['guest-root', 'host-root'], found['at_first'])
        self.assertTrue(found['applied']['done'], found['applied']['reason'])
        self.assertEqual(['host-root'], found['attached'])
        self.assertEqual('ok', found['written'])
        self.assertEqual('UNNEEDED', found['again']['verdict'], found['again']['reasons'])
        self.assertEqual(found['advice']['keep'], found['pvs'])
        # and by event, when its disk is found anew
        self.assertEqual(['host-root'], found['rediscovered'])
        self.assertIn('/etc/lvm/lvmlocal.conf', found['changed'])
        self.assertEqual(1, len(found['applied']['backups']))

    def test_same_name(self) -> None:
        found = self.case('plain', before=SAME_NAME, volume=True, applied=True, guest='host')
        self.assertEqual('CONFIGURE', found['advice']['verdict'], found['advice']['reasons'])
        self.assertEqual(1, len(found['advice']['keep']))
        self.assertTrue(found['applied']['done'], found['applied']['reason'])
        self.assertEqual(found['advice']['keep'], found['pvs'])
        self.assertEqual('ok', found['written'])
        self.assertEqual('UNNEEDED', found['again']['verdict'], found['again']['reasons'])

    def test_devices_file_enabled(self) -> None:
        found = self.case('plain', HOST, GUEST, volume=True, applied=True, devices_file=True)
        self.assertEqual(['guest-root', 'host-root'], found['at_first'])
        self.assertTrue(found['applied']['done'], found['applied']['reason'])
        self.assertEqual(['/etc/lvm/devices/system.devices'], found['changed'])
        self.assertEqual((['host-root'], ['host-root']),
                         (found['attached'], found['rediscovered']))
        self.assertEqual('UNNEEDED', found['again']['verdict'], found['again']['reasons'])

    def test_what_hides_the_host_is_taken_back(self) -> None:
        found = self.case('sabotage', HOST)
        self.assertFalse(found['applied']['done'])
        self.assertIn("host's physical volumes", found['applied']['reason'])
        self.assertTrue(found['same'])
        self.assertEqual(('ok', ['/dev/sda']), (found['written'], found['pvs']))
        self.assertEqual('CONFIGURE', found['again']['verdict'])

    def test_cut_off(self) -> None:
        found = self.case('cut_off', HOST)
        self.assertEqual((9, True), (found['ended'], found['left']))
        self.assertEqual('RECOMMEND', found['advice']['verdict'])
        self.assertIn('cut off', ' '.join(found['advice']['reasons']))
        self.assertEqual([True], sorted(set(found['same'].values())))
        self.assertFalse(found['listed'])
        self.assertTrue(found['applied']['done'], found['applied'])
        self.assertEqual('UNNEEDED', found['again']['verdict'])

    def test_copy_of_the_hosts_disk(self) -> None:
        found = self.case('copy', HOST)
        self.assertEqual('RECOMMEND', found['advice']['verdict'])
        self.assertIn('on two devices', ' '.join(found['advice']['reasons']))
        self.assertEqual({found['path']: 'DOUBT', found['own']: 'DOUBT'},
                         found['advice']['roles'])
        self.assertEqual('RECOMMEND', found['applied']['verdict'])
        self.assertTrue(found['same'])

    def test_somebodys_filter(self) -> None:
        found = self.case('somebodys_filter')
        self.assertEqual('RECOMMEND', found['advice']['verdict'])
        self.assertIn('devices/global_filter', ' '.join(found['advice']['reasons']))
        self.assertEqual('RECOMMEND', found['applied']['verdict'])
        self.assertTrue(found['same'])

    def test_mounted_from_the_network(self) -> None:
        found = self.case('from_network')
        # on a mount point of anybody's it may be a guest's volume that is being rescued
        self.assertEqual(('RECOMMEND', {found['path']: 'DOUBT'}),
                         (found['rescue']['verdict'], found['rescue']['roles']))
        self.assertIn('mounted on /mnt/rescue', ' '.join(found['rescue']['reasons']))
        self.assertEqual('RECOMMEND', found['not_applied']['verdict'])
        self.assertEqual('CONFIGURE', found['advice']['verdict'], found['advice']['reasons'])
        self.assertTrue(found['applied']['done'], found['applied'])
        self.assertEqual([found['path']], found['pvs'])

    def test_raw_use_of_a_disk_from_the_network(self) -> None:
        found = self.case('raw_use')
        # the control: what is merely active is a guest's, though parts of a snapshot are open
        self.assertEqual(['san-root-real', 'san-snap-cow'], sorted(found['parts']))
        for when, verdict, role in (
                ('active', 'CONFIGURE', 'GUEST'), ('process', 'RECOMMEND', 'DOUBT'),
                ('exported', 'RECOMMEND', 'DOUBT'), ('afterwards', 'CONFIGURE', 'GUEST')):
            self.assertEqual((verdict, {found['path']: role}),
                             (found[when]['verdict'], found[when]['roles']), when)
        self.assertIn('open and not mounted by the host (san/root)',
                      ' '.join(found['exported']['reasons']))
        self.assertEqual('RECOMMEND', found['not_applied']['verdict'])

    def test_filter_of_links(self) -> None:
        found = self.case('filter_of_links', HOST)
        # why it is no CONFIGURE before LVM 2.03.19
        self.assertIn('2.03.16', found['version'])
        self.assertEqual((['host-root'], []), (found['without'], found['with']))
        self.assertEqual('UNNEEDED', found['filtered']['verdict'], found['filtered']['reasons'])


class TestDrawn(base.StorageTestCase):
    """What is advised is done as it is printed, whatever somebody has written before."""

    def assert_survives(self, own: str) -> None:
        """The host's own is seen before and after, and activated when its disk is found."""
        first = SEED + OWN.index(own)
        for kind in range(KINDS):
            guests = GUESTS[(first + kind * len(GUESTS) // KINDS) % len(GUESTS)]
            found = self.drawn(own, guests)
            self.assertTrue(found['by_event'])
            self.assertEqual(DRAWN, len(found['found']))
            for one in found['found']:
                self.assert_safe(one)

    def drawn(self, own: str, guests: str) -> dict[str, Any]:
        """One host, with some configurations."""
        result = self.vm.run(
            f'import lab, lvm_drawn\ntruth = lvm_drawn.begin({own!r}, {guests!r})\n'
            f'lab.report(**lvm_drawn.generated(truth, {f"{SEED} {own} {guests}"!r}, {DRAWN}))\n',
            timeout=3600)
        name = f'{own} with {guests}'
        self.addDetail(f'{name}: output', content.text_content(result.stdout))
        self.assertEqual(0, result.rc, f'{name} did not come to its end')
        text = result.files['result.json'].decode()
        self.addDetail(name, content.text_content(text))
        found: dict[str, Any] = json.loads(text)
        return found

    def assert_safe(self, one: dict[str, Any]) -> None:
        """Of one configuration."""
        words = json.dumps(one, indent=1)
        if one['closed']:
            self.assertEqual([], one['seen']['guests'], words)
        if one['verdict'] == 'UNNEEDED':
            self.assertEqual([], one['seen']['missed'], words)
        # nothing is advised on a host of which LVM misses something
        after = [one['then']] if 'then' in one else []
        for seen in after + one.get('replaced', []):
            self.assertEqual({'missed': [], 'guests': []}, seen, words)
        if one['verdict'] == 'CONFIGURE':
            self.assertEqual('', one['reason'], words)

    def test_disk(self) -> None:
        self.assert_survives('whole')

    def test_partition(self) -> None:
        self.assert_survives('partition')

    def test_two_disks(self) -> None:
        self.assert_survives('two')

    def test_raid(self) -> None:
        self.assert_survives('raid')

    def test_crypt(self) -> None:
        self.assert_survives('crypt')

    def test_boot_from_san(self) -> None:
        self.assert_survives('san')
