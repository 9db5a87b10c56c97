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
import itertools
import types
import typing
import unittest
from unittest import mock

from nova import exception, objects

from migsafe.brick.guard import identity_check, policy
from migsafe.nova.clients import devices
from migsafe.tests.unit.resources import cloud as fake

SRC, DST, THIRD = fake.SRC, fake.DST, fake.THIRD
VOLUME, MINE, OTHER = fake.volume(0), fake.INSTANCE, 'b-guest'


class Cinder:
    """A cinderclient, which names hosts of complete attachments alone."""

    def __init__(self, rows, multiattach=True):
        self.rows, self.asked = rows, []
        self.volumes = types.SimpleNamespace(get=lambda volume_id: types.SimpleNamespace(
            id=volume_id, multiattach=multiattach, attachments=[
                {'attachment_id': key, 'server_id': server, 'host_name': host}
                for key, server, host, status in rows if status == 'attached']))
        self.attachments = types.SimpleNamespace(list=self.list)

    def list(self, search_opts):
        self.asked.append(search_opts)
        found = [{'id': key, 'instance': server, 'status': status, 'volume_id': VOLUME}
                 for key, server, _host, status in self.rows]
        found.append({'id': 'x', 'instance': OTHER, 'status': 'attaching',
                      'volume_id': 'another volume'})
        return [types.SimpleNamespace(to_dict=row.copy) for row in found]


class TestUsedByOthers(unittest.TestCase):
    def used(self, *rows, here=(), host=DST, **given):
        self.cinder = Cinder([('mine', MINE, DST, 'attached'), *rows], **given)
        with mock.patch.object(devices.cinder, 'cinderclient',
                               return_value=self.cinder), \
                mock.patch.object(objects.InstanceList, 'get_uuids_by_host',
                                  return_value=[MINE, *here]):
            return devices.used_by_others(host, MINE, VOLUME)

    def test_nobody_else(self):
        self.assertFalse(self.used())
        self.assertFalse(self.used(('mine-2', MINE, SRC, 'attaching')))

    def test_two_attachments_of_a_guest_that_migrates_in_both_orders(self):
        rows = (('b-here', OTHER, DST, 'attached'), ('b-there', OTHER, SRC, 'attached'))
        for order in itertools.permutations(rows):
            self.assertTrue(self.used(*order))
            self.assertFalse(self.used(*order, host=THIRD))

    def test_one_that_is_not_complete_may_be_here(self):
        rows = (('b-new', OTHER, DST, 'attaching'), ('b-old', OTHER, SRC, 'attached'))
        for order in itertools.permutations(rows):
            with self.assertRaises(exception.InvalidVolume) as caught:
                self.used(*order)
            for word in (VOLUME, OTHER, DST, 'b-new', 'attachment delete b-new'):
                self.assertIn(word, str(caught.exception))
            # it is here in any case
            self.assertTrue(self.used(*order, here=[OTHER]))
            self.assertTrue(self.used(*order, host=SRC))

    def test_every_other_status_may_have_a_device(self):
        for status in ('attaching', 'detaching', 'error_attaching', None, 'odd'):
            with self.subTest(status), self.assertRaises(exception.InvalidVolume):
                self.used(('b', OTHER, None, status))
        for status in ('reserved', 'detached', 'deleted'):
            self.assertFalse(self.used(('b', OTHER, None, status)))

    def test_host_that_cinder_does_not_tell(self):
        self.assertRaises(exception.InvalidVolume, self.used,
                          ('b', OTHER, None, 'attached'))
        self.assertFalse(self.used(('b', OTHER, THIRD, 'attached')))

    def test_not_multiattach_costs_no_call_more(self):
        self.assertFalse(self.used(multiattach=False))
        self.assertEqual([], self.cinder.asked)

    def test_all_projects_are_asked(self):
        self.used()
        self.assertEqual([{'volume_id': VOLUME, 'all_tenants': 1}], self.cinder.asked)


class TestOwnPaths(unittest.TestCase):
    """A LUN number that is in use again is not the device that was disconnected."""

    def setUp(self):
        super().setUp()
        self.conf = types.SimpleNamespace(migsafe=types.SimpleNamespace(device_guards=True))
        for name, value in (('CONF', self.conf), ('_shared', lambda *args: False)):
            patched = mock.patch.object(devices, name, value)
            patched.start()
            self.addCleanup(patched.stop)

    def own(self, said, kernel_name='sdb', noted=('naa.6001405000000000000000000000000a',)):
        connector = types.SimpleNamespace(get_volume_paths=lambda data: ['/dev/disk/by-path/x'])
        driver = types.SimpleNamespace(_get_volume_driver=lambda info: types.SimpleNamespace(
            connector=connector))
        data = {'volume_id': VOLUME, **({policy.KEY: list(noted)} if noted else {})}
        with mock.patch.object(devices.sysfs, 'kernel_name', return_value=kernel_name), \
                mock.patch.object(identity_check.Patrol, 'look', return_value=said) as look:
            found = devices.own_paths(driver, DST, MINE, {
                'driver_volume_type': 'iscsi', 'data': data})
        self.looked = look.call_count
        return found

    def test_kinds_that_cannot_be_seen(self):
        client = devices.Devices(types.SimpleNamespace(driver=None, host=DST))
        for kind in ('rbd', 'nfs', 'quobyte', 'scaleio', 'storpool', 'lightos', 'local', None):
            self.assertFalse(client.observable({'driver_volume_type': kind}), kind)
        for kind in ('iscsi', 'iser', 'fibre_channel', 'nvmeof'):
            self.assertTrue(client.observable({'driver_volume_type': kind}), kind)

    def test_another_disk_is_not_ours(self):
        self.assertEqual([], self.own('its identity is another'))
        self.assertEqual(1, self.looked)

    def test_what_cannot_be_told_is_ours(self):
        for said in ('', None):
            self.assertEqual(['/dev/disk/by-path/x'], self.own(said))

    def test_what_is_not_asked_is_ours(self):
        for given in ({'noted': ()}, {'kernel_name': None}, {'kernel_name': 'dm-3'},
                      {'noted': ('\0',)}):
            self.assertEqual(['/dev/disk/by-path/x'], self.own('another', **given), given)
            self.assertEqual(0, self.looked, given)
        self.conf.migsafe.device_guards = False
        self.assertEqual(['/dev/disk/by-path/x'], self.own('another'))


if __name__ == '__main__':
    unittest.main()


class TestSame(unittest.TestCase):
    """Which paths lead to one device."""

    NAMES: typing.ClassVar = {
        '/dev/sdb': 'sdb', '/dev/disk/by-path/b': 'sdb', '/dev/sdc': 'sdc', '/dev/dm-3': 'dm-3',
        '/dev/sde': 'sde', '/dev/crypt': 'dm-4', '/dev/no-paths': 'dm-5'}

    def setUp(self):
        super().setUp()
        below = {'dm-3': ['sdb', 'sdd'], 'dm-4': ['dm-3']}
        view = mock.Mock(slaves=lambda disk: below.get(disk, []))
        for name, instead in (('kernel_name', self.NAMES.get), ('Sysfs', lambda: view)):
            patched = mock.patch.object(devices.sysfs, name, instead)
            patched.start()
            self.addCleanup(patched.stop)

    def test_each_case(self):
        for one, other, same in (
                ('/dev/sdb', '/dev/sdb', True), ('/dev/sdb', '/dev/disk/by-path/b', True),
                ('/dev/sdb', '/dev/dm-3', True), ('/dev/dm-3', '/dev/disk/by-path/b', True),
                ('/dev/sdb', '/dev/sdc', False), ('/dev/dm-3', '/dev/sdc', False),
                ('/dev/gone', '/dev/gone', True), ('/dev/gone', '/dev/sdb', False)):
            self.assertEqual(same, devices.same(one, other), (one, other))

    def elsewhere(self, used, *leads, said=types.MappingProxyType({})):
        connector = types.SimpleNamespace(get_volume_paths=lambda _data: list(leads))
        driver = types.SimpleNamespace(
            _get_volume_driver=lambda _info: types.SimpleNamespace(connector=connector))
        with mock.patch.object(devices.noted, 'noted', lambda _sysfs, name: frozenset(
                (said[name],) if name in said else ())):
            return devices.elsewhere(driver, DST, used, {'data': {}})

    def test_a_connection_that_leads_to_another_disk(self):
        for used, leads, found in (
                ('/dev/sdc', ['/dev/disk/by-path/b'], '/dev/disk/by-path/b'),
                ('/dev/dm-3', ['/dev/sdc'], '/dev/sdc'),
                # one of its paths is enough, and so is what stands on one
                ('/dev/dm-3', ['/dev/sdc', '/dev/sdb'], ''), ('/dev/crypt', ['/dev/sdb'], ''),
                ('/dev/sdb', ['/dev/crypt'], ''), ('/dev/crypt', ['/dev/sdc'], '/dev/sdc'),
                # nothing tells
                ('/dev/sdc', [], ''), ('/dev/gone', ['/dev/sdb'], ''),
                ('/dev/sdc', ['/dev/gone'], ''), ('/dev/no-paths', ['/dev/sdb'], ''),
                ('/dev/sdb', ['/dev/no-paths'], ''), ('/dev/sdc', ['/dev/sdb', '/dev/gone'], '')):
            self.assertEqual(found, self.elsewhere(used, *leads), (used, leads))

    def test_what_the_kernel_has_noted_says_whether_it_is_another(self):
        """A row with one target of its volume, and one of another; a path that has come again."""
        said = {'sdb': 'naa.1', 'sdd': 'naa.1', 'sdc': 'naa.2', 'sde': 'naa.1'}
        for used, leads, found in (
                ('/dev/dm-3', ['/dev/sdb', '/dev/sdc'], '/dev/sdc'),
                ('/dev/dm-3', ['/dev/gone', '/dev/sdc'], '/dev/sdc'),
                ('/dev/crypt', ['/dev/sde'], ''), ('/dev/sde', ['/dev/sdb'], ''),
                ('/dev/sde', ['/dev/sdc'], '/dev/sdc'), ('/dev/gone', ['/dev/sdc'], '')):
            self.assertEqual(found, self.elsewhere(used, *leads, said=said), (used, leads))

    def test_nothing_is_said_of_what_goes_meanwhile(self):
        def slaves(_disk):
            raise devices.sysfs.Gone('sdb')
        with mock.patch.object(devices.sysfs, 'Sysfs', lambda: mock.Mock(slaves=slaves)):
            self.assertEqual('', self.elsewhere('/dev/sdc', '/dev/sdb'))

    def test_what_the_kernel_has_noted_of_a_map_is_of_its_paths(self):
        with mock.patch.object(devices.noted, 'noted', lambda _sysfs, name: {
                'sdd': frozenset(('naa.1',))}.get(name, frozenset())):
            self.assertEqual('naa.1', devices.designator('/dev/dm-3'))
            for path in ('/dev/sdc', '/dev/gone'):
                self.assertEqual('unknown', devices.designator(path))


class TestIsVolume(unittest.TestCase):
    """What a disk says itself."""

    def test_each_answer(self):
        conf = types.SimpleNamespace(migsafe=types.SimpleNamespace(device_guards=True))
        known = {'volume_id': VOLUME, policy.KEY: ['naa.6001405000000000000000000000000a']}
        for said, data, expected in (
                ('', known, True), ('another', known, False), (None, known, None),
                ('', {'volume_id': VOLUME}, None), ('', {**known, policy.KEY: ['\0']}, None)):
            with mock.patch.object(devices, 'CONF', conf), \
                    mock.patch.object(identity_check.Patrol, 'look', return_value=said):
                self.assertIs(expected, devices.is_volume(DST, '/dev/sdb', data))
