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
"""Which devices are those of a guest that is not this host's any more, case by case."""

import contextlib
import types
from unittest import mock

from migsafe.brick.guard import policy
from migsafe.nova.clients import devices
from migsafe.nova.host import own_devices
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.clients import Attachment

SRC, DST, MINE, OTHER, VOLUME = fake.SRC, fake.DST, fake.INSTANCE, 'b-guest', fake.volume(0)
#: What a number leads to here.
PATHS = {101: '/dev/own', 102: '/dev/own-1', 3: '/dev/foreign', 4: '/dev/foreign-1'}
WHO = ['naa.6001405000000000000000000000000a']


def guest(uuid, path, volume=VOLUME):
    """A domain of libvirt's with one disk."""
    disk = types.SimpleNamespace(source_type='block', source_path=path, serial=volume)
    return types.SimpleNamespace(uuid=uuid, get_all_disks=lambda: [disk])


class Case(hosts.TwoHosts):
    """Rows name the LUNs of DST; this is SRC, which had the guest."""

    def setUp(self):
        super().setUp()
        self.exported, self.running, self.says = [], [], {}
        self.there = {'/dev/own', '/dev/foreign'}
        self.world.volumes.rows.clear()

    def looked(self, rows, here=None):
        driver = types.SimpleNamespace(_host=types.SimpleNamespace(
            list_guests=lambda: self.running))
        patches = {
            'own_paths': lambda _driver, _host, _uuid, info: [
                path for path in [PATHS[info['data']['target_lun']]] if path in self.there],
            'is_volume': lambda _host, path, data: self.says.get(path)}
        with contextlib.ExitStack() as stack:
            for name, instead in patches.items():
                stack.enter_context(mock.patch.object(devices, name, instead))
            return own_devices.Look((here or self.src).participant, driver, types.SimpleNamespace(
                uuid=MINE)).all(rows)

    def look(self, row=None, here=None):
        return self.looked({VOLUME: row or fake.info(DST, 0)}, here)[VOLUME]

    def lun(self, *args, **kwargs):
        """By which number it is disconnected, and what stays."""
        found = self.look(*args, **kwargs)
        return found.info and found.info['data']['target_lun'], found.stays


class TestOwn(Case):

    def export(self, host=SRC):
        self.world.volumes.rows['a'] = Attachment('a', VOLUME, host)
        self.world.volumes.infos['a'] = fake.info(host, 0)

    def test_each_case(self):
        """(disk says, own guest runs on it, another guest's, exported here) for a row of its own
        number -> whether it is disconnected."""
        table = (
            (None, True, False, False, True),
            (None, False, False, True, True),
            (None, False, False, False, False),
            (True, False, False, False, True),
            (False, True, False, True, False),
            (True, True, True, True, False),
            (None, True, True, True, False),
        )
        for says, runs, others, exported, goes in table:
            with self.subTest((says, runs, others, exported)):
                self.world.volumes.rows.clear()
                self.says = {'/dev/own': says}
                self.running = [guest(MINE, '/dev/own')] if runs else []
                self.running += [guest(OTHER, '/dev/own', 'volume-2')] if others else []
                if exported:
                    self.export()
                self.assertEqual((101 if goes else None, ()), self.lun(fake.info(SRC, 0)))

    def test_a_row_of_another_host_is_never_followed(self):
        """What the guest runs on is named, unless the disk says that it is another."""
        self.running = [guest(MINE, '/dev/own'), guest(OTHER, '/dev/foreign', 'volume-2')]
        self.assertEqual((None, ('/dev/own',)), self.lun())
        self.export(DST)
        self.running.pop()
        self.assertEqual((None, ('/dev/own',)), self.lun())
        for says, stays in ((True, ('/dev/own',)), (False, ())):
            self.says = {'/dev/own': says}
            self.assertEqual((None, stays), self.lun())
        self.running = []
        self.assertEqual((None, ()), self.lun())

    def test_what_it_runs_on_and_no_row_names(self):
        self.running = [guest(MINE, '/dev/own')]
        self.assertEqual({VOLUME: own_devices.Found(stays=('/dev/own',))}, self.looked({}))

    def test_a_guest_whose_disks_are_not_known_may_have_it(self):
        self.export()
        self.running = [types.SimpleNamespace(uuid=OTHER, get_all_disks=mock.Mock(
            side_effect=OSError('libvirt')))]
        self.assertEqual((None, ()), self.lun())

    def test_what_cinder_exports_here_comes_before_the_row(self):
        self.export()
        found = self.look({**fake.info(DST, 0), 'data': {
            **fake.info(DST, 0)['data'], policy.KEY: WHO}})
        self.assertEqual((101, WHO, VOLUME), (
            found.info['data']['target_lun'], found.info['data'][policy.KEY],
            found.info['serial']))

    def test_its_journal_says_by_which_number(self):
        """Of a destination: it has lost, is in it still, or has won."""
        self.running = [guest(MINE, '/dev/foreign')]
        for verdict, lun in (('ABORT', None), (None, 3), ('COMMIT', 3)):
            self.begin_destination(f'migration-{verdict}')
            if verdict:
                self.dst.journal.verdict(
                    self.dst.tx(f'migration-{verdict}'), verdict, 'decided')
            self.assertEqual(lun, self.lun(fake.info(SRC, 0), self.dst)[0], verdict)

    def test_nothing_is_there(self):
        self.there = set()
        self.export()
        self.assertEqual((None, ()), self.lun())

    def test_what_does_not_answer_proves_nothing(self):
        with mock.patch.object(self.world.volumes, 'attachments', side_effect=OSError('down')), \
                mock.patch.object(self.src.journal, 'list', side_effect=OSError('disk')), \
                self.assertLogs('migsafe.nova.host', 'WARNING') as logged:
            self.assertEqual((None, ()), self.lun(fake.info(SRC, 0)))
        self.assertEqual(2, len(logged.output))

    def test_what_cannot_be_looked_at_stays(self):
        self.running = [guest(MINE, '/dev/own')]
        self.there = mock.MagicMock(__contains__=mock.Mock(side_effect=OSError('Cinder')))
        with self.assertLogs('migsafe.nova.host', 'WARNING') as logged:
            self.assertEqual((None, ('/dev/own',)), self.lun(fake.info(SRC, 0)))
        self.assertIn(VOLUME, logged.output[0])

    def test_what_goes_by_the_volume(self):
        row = {'driver_volume_type': 'rbd', 'data': {}}
        with mock.patch.object(self.src.devices, 'observable', return_value=False):
            self.assertIs(row, self.look(row).info)
