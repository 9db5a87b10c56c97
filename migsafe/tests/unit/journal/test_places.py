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
"""What is said about the place of a journal when the service starts."""

import os
import subprocess
import sys
from unittest import mock

from migsafe import process
from migsafe.journal import places
from migsafe.tests.unit.journal import base


class TestPlaces(base.JournalTestCase):
    """A file in a directory."""

    def setUp(self):
        super().setUp()
        self.journal = self.open()
        self.mounted('ext4')

    def mounted(self, kind, device=None):
        """Have its directory be on such a file system."""
        number = os.stat(self.state).st_dev if device is None else device
        path = f'{self.state}.mounts'
        with open(path, 'w', encoding='utf-8') as handle:
            handle.write(f'22 1 {os.major(number)}:{os.minor(number)} / / rw shared:1 - {kind} '
                         'x rw\n')
        patched = mock.patch.object(places, 'MOUNTS', path)
        patched.start()
        self.addCleanup(patched.stop)

    def test_nothing(self):
        self.assertEqual([], self.journal.oddities())

    def test_where_a_file_does_not_stay(self):
        for kind in ('tmpfs', 'overlay'):
            self.mounted(kind)
            said, = self.journal.oddities()
            self.assertIn(f'{self.path} is on {kind}', said)
            self.assertIn('[migsafe] state_path', said)
            self.mounted(kind, device=0)
            self.assertEqual([], self.journal.oddities())

    def test_a_former_name(self):
        former = self.open('node12')
        tx = self.begin(former)
        said, = self.journal.oddities()
        self.assertIn('node12.sqlite has 1 unsettled', said)
        self.assertIn('migsafe --host node12 status', said)
        former.finish(tx)
        self.assertEqual([], self.journal.oddities())
        with open(os.path.join(self.state, 'other.sqlite'), 'w', encoding='utf-8') as handle:
            handle.write('no database at all' * 100)
        said, = self.journal.oddities()
        self.assertIn('other.sqlite cannot be read', said)

    def report(self, pid, started, boot_id):
        self.journal.set_status(armed=True, pid=pid, started=started, boot_id=boot_id,
                                plugin_version='1', nova_version='34', concurrency='threading')

    def test_a_second_service(self):
        other = subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'],
                                 stdin=subprocess.PIPE)
        self.addCleanup(other.wait)
        self.addCleanup(other.stdin.close)
        started, boot = process.started(other.pid), process.boot_id()
        self.report(other.pid, started, boot)
        said, = self.journal.oddities()
        self.assertIn(f'process {other.pid} reports to the same journal', said)
        # The control: a process of before, one of another boot, and this one.
        for pid, when, where in ((other.pid, started - 1, boot), (other.pid, started, 'other'),
                                 (os.getpid(), process.started(os.getpid()), boot)):
            self.report(pid, when, where)
            self.assertEqual([], self.journal.oddities())
