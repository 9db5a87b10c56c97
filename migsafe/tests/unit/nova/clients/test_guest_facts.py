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
"""What a host says of a guest's disks: by libvirt's own words and the kernel's, parsed by Nova."""

import json
import types
import unittest
from unittest import mock

from nova import objects
from nova.virt.libvirt import config

from migsafe.brick.kernel import address
from migsafe.nova.clients import guest_facts
from migsafe.repair import word
from migsafe.transaction.evidence import GuestState, HostEvidence

UUID = '66009d94-114f-4062-99b0-000000000000'
XML = f'''<domain type='kvm'><uuid>{UUID}</uuid><devices>
<disk type='block' device='disk'><source dev='/dev/dm-3'/><target dev='vda' bus='virtio'/>
<serial>root</serial></disk>
<disk type='network' device='disk'><source protocol='rbd' name='volumes/volume-x'/>
<target dev='vdb' bus='virtio'/><serial>data</serial></disk>
<disk type='file' device='disk'><source file='/var/disk'/><target dev='vdc' bus='virtio'/></disk>
</devices></domain>'''


class Case(unittest.TestCase):
    """A host with one guest, whose map has two paths."""

    def setUp(self):
        super().setUp()
        objects.register_all()
        self.paths = {'sdb': address.Address('iqn.x', 5), 'sdc': address.Address('iqn.y', 5)}
        self.waiting = {}
        sysfs = guest_facts.sysfs
        for kind, name, made in (
                (sysfs, 'kernel_name', {'/dev/dm-3': 'dm-3', '/dev/sdb': 'sdb'}.get),
                (sysfs.Sysfs, 'slaves', lambda _self, name: ['sdb', 'sdc'] * (name == 'dm-3')),
                (guest_facts.address, 'address', lambda _sysfs, name: self.paths[name])):
            patch = mock.patch.object(kind, name, made)
            patch.start()
            self.addCleanup(patch.stop)

    def said(self, state=GuestState.HERE, leads=None):
        """The answer, as it goes over the bus."""
        domain = config.LibvirtConfigGuest()
        domain.parse_str(XML)
        guest = types.SimpleNamespace(get_config=lambda: domain,
                                      get_info=lambda _host: types.SimpleNamespace(state=1))
        driver = types.SimpleNamespace(
            _host=types.SimpleNamespace(get_guest=lambda instance: guest),
            get_volume_connector=lambda instance: {'host': 'node13', 'initiator': 'iqn.z'})
        guests = types.SimpleNamespace(evidence=lambda uuid: HostEvidence('node13', state))
        journal = types.SimpleNamespace(unsettled_for_instance=lambda uuid: [])
        return word.parse('node13', json.loads(json.dumps(
            guest_facts.of_guest(types.SimpleNamespace(
                driver=driver, _waiting_live_migrations=self.waiting),
                journal, guests, UUID, leads))))

    def test_a_map_and_an_image(self):
        found = self.said()
        self.assertEqual((True, 1, False), (found.here, found.power, found.unsettled))
        self.assertEqual({('iqn.x', '5'), ('iqn.y', '5')}, found.disk('root').leads)
        self.assertEqual({('volumes/volume-x', '')}, found.disk('data').leads)
        self.assertEqual(('/dev/dm-3', 'iqn.z'),
                         (found.disk('root').path, found.connector['initiator']))
        self.assertEqual(2, len(found.disks))

    def test_disks_that_lead_where_an_attachment_leads(self):
        with mock.patch.object(guest_facts.sysfs.Sysfs, 'names', lambda _self: set(self.paths)):
            for leads, found in ((None, None), ([], ()), ([('iqn.x', 5)], ('sdb',)),
                                 ([('iqn.x', 6)], ())):
                self.assertEqual(found, self.said(GuestState.ABSENT, leads).devices, leads)

    def test_a_migration_that_waits(self):
        self.assertIs(False, self.said().waiting)
        self.waiting[UUID] = (None, None)
        self.assertIs(True, self.said().waiting)

    def test_the_guests_that_run(self):
        made = [types.SimpleNamespace(uuid=name, get_power_state=lambda _host, state=state: state)
                for name, state in (('a', 1), ('paused', 3), ('b', 1))]
        driver = types.SimpleNamespace(_host=types.SimpleNamespace(list_guests=lambda: made))
        self.assertEqual(['a', 'b'], guest_facts.running(driver))

    def test_a_path_that_does_not_tell(self):
        for wrong in (None, address.Address('', 5)):
            self.paths['sdc'] = wrong
            self.assertEqual(frozenset(), self.said().disk('root').leads)

    def test_a_guest_that_is_not_there(self):
        found = self.said(GuestState.ABSENT)
        self.assertEqual((True, None, ()), (found.gone, found.power, found.disks))


class TestWord(unittest.TestCase):
    """Answers that nobody should believe."""

    GOOD = {'evidence': {'host': 'node13', 'guest': 'here', 'job': False}, 'unsettled': False,
            'disks': [{'volume': 'v', 'leads': [['iqn.x', '5']]}], 'power': 1}

    def test_what_is_not_understood_is_not_known(self):
        good = word.parse('node13', self.GOOD)
        self.assertEqual((True, {('iqn.x', '5')}), (good.here, good.disk('v').leads))
        for change in ({'evidence': None}, {'unsettled': None}, {'unsettled': 'no'},
                       {'disks': 5}, {'disks': [5]}, {'disks': [{}] * 300},
                       {'evidence': self.GOOD['evidence'] | {'host': 'node11'}}):
            found = word.parse('node13', self.GOOD | change)
            self.assertEqual((False, False), (found.here, found.gone), change)
        for found in (None, [], 'x'):
            self.assertFalse(word.parse('node13', found).gone)

    def test_leads(self):
        for wrong in (None, [['iqn.x']], [['iqn.x', '5'], 5], [['', '5']], [[5, 5]], 'ab'):
            found = word.parse('node13', self.GOOD | {'disks': [{'volume': 'v', 'leads': wrong}]})
            self.assertEqual(frozenset(), found.disk('v').leads, wrong)

    def test_two_disks_of_one_volume(self):
        self.assertIsNone(word.parse('node13', self.GOOD | {
            'disks': self.GOOD['disks'] * 2}).disk('v'))

    def test_a_connector_of_another_host(self):
        for wrong in ({'host': 'node11'}, None, {'initiator': 'x'}):
            self.assertEqual({}, word.parse('node13', self.GOOD | {'connector': wrong}).connector)
