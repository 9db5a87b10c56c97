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
"""Hot journals, links and changing directories, on which root's commands do nothing of root's."""

import os
import signal

from migsafe.tests.threats import base, hostile


class TestHotJournal(base.HostileState):
    """SQLite plays back what lies beside a database, and unlinks the path that it names."""

    def test_the_trap_works(self):
        """Opened without care, the database takes the file with it."""
        hostile.plant(self.path, str(self.victim))
        hostile.bite(self.path)
        self.assertFalse(self.victim.exists())

    def test_no_command_falls_into_it(self):
        for name, run in self.commands().items():
            with self.subTest(name):
                hostile.plant(self.path, str(self.victim))
                self.give()
                _code, text = self.apart(run)
                self.assertTrue(self.victim.exists(), text)
                self.assertNotIn('Traceback', text)
                self.assertIn('-journal', text)


class TestRights(base.HostileState):
    """Root's commands work on the journal of a service with the rights of its user."""

    def test_every_command_works(self):
        for name, run in self.commands().items():
            with self.subTest(name):
                code, text = self.apart(run)
                self.assertNotIn('Traceback', text)
                self.assertIn(code, (0, 1, 3), text)
                self.assertNotIn('refuses', text)
                self.assertNotIn('not available', text)
        for path in self.state.iterdir():
            self.assertEqual(self.owner, path.stat().st_uid, path)

    def test_a_settlement_names_who_asked(self):
        self.apart(self.commands()['settle'])
        _code, text = self.apart(self.commands()['journal show'])
        self.assertIn('root' if os.geteuid() == 0 else 'user', text)


class TestLinks(base.HostileState):
    """A link in the place of a directory or a file, also one that changes all the time."""

    def setUp(self):
        super().setUp()
        if os.geteuid():
            self.skipTest('needs root: the files of another user are what is protected')
        self.roots = self.private / 'state'
        self.roots.mkdir(0o700)
        self.database = self.roots / f'{base.HOST}.sqlite'
        self.make(self.database)

    @staticmethod
    def make(path):
        connection = hostile.sqlite3.connect(path)
        connection.execute('CREATE TABLE precious (it)')
        connection.commit()
        connection.close()
        path.chmod(0o600)

    def untouched(self):
        """Nobody has opened root's database: it would be in WAL mode then."""
        return (self.database.read_bytes()[18:20] == b'\x01\x01'
                and {path.name for path in self.roots.iterdir()} == {self.database.name})

    def test_of_the_directory(self):
        os.rename(self.state, self.home / 'away')
        os.symlink(self.roots, self.state)
        for name, run in self.commands().items():
            with self.subTest(name):
                _code, text = self.apart(run)
                self.assertNotIn('Traceback', text)
                self.assertTrue(self.untouched(), text)

    def test_of_the_file(self):
        os.unlink(self.path)
        os.symlink(self.database, self.path)
        for name, run in self.commands().items():
            with self.subTest(name):
                _code, text = self.apart(run)
                self.assertNotIn('Traceback', text)
                self.assertTrue(self.untouched(), text)

    def test_that_comes_and_goes(self):
        """Between the look and the opening it is another one; each run is a try of the race."""
        mine, link = self.home / 'mine', self.home / 'link'
        os.rename(self.state, mine)
        os.symlink(mine, link)
        os.symlink(mine, self.state)
        self.give()
        flipper = os.fork()
        if not flipper:
            try:
                while True:
                    for target in (self.roots, mine):
                        os.symlink(target, self.home / 'next')
                        os.rename(self.home / 'next', self.state)
            finally:
                os._exit(0)
        try:
            # NOTE: it does come and go: both are seen, or this never ends.
            seen = set()
            while seen != {str(self.roots), str(mine)}:
                seen.add(os.readlink(self.state))
            for _try in range(25):
                self.apart(self.commands()['journal list'])
                self.assertTrue(self.untouched())
        finally:
            os.kill(flipper, signal.SIGKILL)
            os.waitpid(flipper, 0)
