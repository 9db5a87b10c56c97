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
"""Root runs the commands on the journal of the service's user, as that user.

Whatever files SQLite makes meanwhile must be the service's, or it could not start again. Run by
another user than root, the service and the operator are one user, and the same must hold.
"""

import os
import pathlib
import signal
import stat
import tempfile

from oslotest import base as oslo_base

from migsafe import exceptions, journal
from migsafe.journal import rights, schema
from migsafe.tests.unit.journal import base

NOBODY = 65534


class TestOwner(oslo_base.BaseTestCase):
    """A service that was killed, then an operator, then the service again."""

    def setUp(self):
        super().setUp()
        self.owner = NOBODY if os.geteuid() == 0 else os.geteuid()
        holder = tempfile.TemporaryDirectory(dir='/tmp')
        self.addCleanup(holder.cleanup)
        os.chmod(holder.name, 0o755)
        self.state = pathlib.Path(holder.name, 'state')
        self.state.mkdir(0o700)
        self.conf = base.make_conf(self.state)
        # NOTE: the service's user may not be able to read the sources that are still to load,
        # the schema's among them, so the journal is there when it comes.
        schema.known()
        made = journal.open_journal(self.conf, 'node13')
        made.begin('m-0', 'source', 'i-0', 'node13', 'node11')
        made.get('m-0')
        made.close()
        for path in (self.state, *self.state.iterdir()):
            os.chown(path, self.owner, -1)

    def as_service(self, act):
        """Do something as the service's user in a process that is killed afterwards."""
        self.apart(act, lambda: os.setuid(self.owner), create=True)

    def as_operator(self, act):
        """The same as a command of root's does it, in a process that is killed as well."""
        self.apart(act, lambda: rights.become_owner(str(self.state / 'node13.sqlite')),
                   create=False)

    def apart(self, act, become, create):
        child = os.fork()
        if child == 0:
            try:
                become()
                opened = journal.open_journal(self.conf, 'node13', create=create)
                act(opened)
                os.kill(os.getpid(), signal.SIGKILL)
            finally:
                os._exit(1)
        self.assertEqual(signal.SIGKILL, os.WTERMSIG(os.waitpid(child, 0)[1]))

    def check_files(self, *suffixes):
        names = {path.name: path.stat() for path in self.state.iterdir()}
        self.assertEqual({self.owner}, {found.st_uid for found in names.values()}, names)
        self.assertEqual({0o600}, {stat.S_IMODE(found.st_mode) for found in names.values()})
        for suffix in suffixes:
            self.assertIn('node13.sqlite' + suffix, names)

    def test_files_stay_the_services(self):
        self.as_service(lambda j: j.begin('m-1', 'source', 'i-1', 'node13', 'node11'))
        self.check_files('', '-wal')
        # NOTE: what was not yet in the database is in the log; the index of the log is made anew.
        (self.state / 'node13.sqlite-shm').unlink()
        self.as_operator(lambda j: j.request(j.get('m-1'), 'settle', {'user': 'root'}))
        self.check_files('', '-wal', '-shm')
        self.as_operator(lambda j: j.close())
        self.check_files('')
        self.as_operator(lambda j: j.note(j.get('m-1'), 'with new companions'))
        self.check_files('', '-wal', '-shm')
        self.as_service(lambda j: j.note(j.get('m-1'), 'the service goes on'))
        self.check_files('', '-wal', '-shm')
        self.as_operator(lambda j: self.assertEqual(
            ['request', 'note', 'note'], [line.kind for line in j.records(j.get('m-1'))]))

    def test_root_as_the_service_does_not_take_it_over(self):
        self.as_service(lambda j: j.begin('m-1', 'source', 'i-1', 'node13', 'node11'))
        if self.owner == os.geteuid():
            os.chmod(self.state, 0o770)
        exc = self.assertRaises(
            exceptions.JournalInsecure, journal.open_journal, self.conf, 'node13')
        self.assertIn(str(self.state), str(exc))
