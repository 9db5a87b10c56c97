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
"""Disks of iSCSI LUNs, from a made-up sysfs."""

import errno
import os
import pathlib

import fixtures
import testtools

from migsafe.brick.kernel import sessions

IQN = 'iqn.1992-08.com.netapp:sn.5a7alde1aeb11e79f8600a098ac0ce9:vs.11'


class SessionsTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.sys = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.session(1, IQN, '172.24.3.101', **{'3': 'sda', '4': 'sdb'})
        self.session(2, IQN, 'fd00::1', **{'3': 'sdc'})
        self.session(3, 'iqn.other', '172.24.3.101', **{'3': 'sdd'})

    def session(self, number, iqn, address, **luns):
        session = self.sys / 'class' / 'iscsi_session' / f'session{number}'
        connection = self.sys / 'class' / 'iscsi_connection' / f'connection{number}:0'
        for directory, values in ((session, {'targetname': iqn}), (connection, {
                'persistent_address': address, 'persistent_port': '3260',
                'address': '10.9.9.9', 'port': '3261'})):
            directory.mkdir(parents=True)
            for name, value in values.items():
                (directory / name).write_text(f'{value}\n')
        for lun, name in luns.items():
            (session / 'device' / f'target{number}:0:0' / f'{number}:0:0:{lun}' / 'block'
             / name).mkdir(parents=True)

    def disks(self, *targets):
        return sessions.disks(targets, str(self.sys))

    def test_by_portal_target_and_number(self):
        self.assertEqual({'sda'}, self.disks(('172.24.3.101:3260', IQN, 3)))
        self.assertEqual({'sda', 'sdc'}, self.disks(('172.24.3.101:3260', IQN, 3),
                                                    ('[fd00::1]:3260', IQN, 3)))
        self.assertEqual({'sdb'}, self.disks(('10.9.9.9:3261', IQN, 4)))
        self.assertEqual(set(), self.disks(('172.24.3.102:3260', IQN, 3)))
        self.assertEqual(set(), self.disks(('172.24.3.101:3260', IQN, 5)))
        self.assertEqual(set(), self.disks())

    def test_a_portal_in_other_spellings(self):
        for portal in ('[fd00:0:0::1]:3260', 'fd00::1:3260', '[FD00::0001]:3260',
                       '[fd00::1]:3260,1'):
            self.assertEqual({'sdc'}, self.disks((portal, IQN, 3)), portal)
        self.assertEqual({'sda'}, self.disks(('172.24.3.101:3260,1', IQN, 3)))
        self.assertEqual(set(), self.disks(('[fd00::2]:3260', IQN, 3)))

    def test_of_any_portal(self):
        self.assertEqual({'sda', 'sdc'}, self.disks(('', IQN, 3)))

    def test_a_session_that_ends_meanwhile(self):
        (self.sys / 'class' / 'iscsi_session' / 'session1' / 'targetname').unlink()
        self.assertEqual({'sdc'}, self.disks(('', IQN, 3)))

    def test_a_connection_that_is_lost(self):
        """The kernel does not say where it got to; all other disks are found."""
        read, lost = sessions._read, []

        def found(directory, name):
            if directory.endswith('connection3:0') and name in self.failing:
                lost.append(name)
                raise OSError(self.errno, os.strerror(self.errno), name)
            return read(directory, name)
        self.patch(sessions, '_read', found)
        self.errno, self.failing = errno.ENOTCONN, ('address', 'port')
        self.assertEqual({'sda'}, self.disks(('172.24.3.101:3260', IQN, 3)))
        self.assertEqual({'sdd'}, self.disks(('172.24.3.101:3260', 'iqn.other', 3)))
        self.assertEqual(['address'] * 2, lost)
        self.errno = errno.EIO
        self.assertRaises(OSError, self.disks, ('172.24.3.101:3260', IQN, 3))

    def test_no_iscsi_at_all(self):
        self.assertEqual(set(), sessions.disks([('', IQN, 3)], str(self.sys / 'nothing')))
