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
import pwd
import re
import signal
import subprocess

from migsafe import exceptions, journal
from migsafe.journal import rights
from migsafe.tests.threats import base, examples, hostile
from migsafe.tests.unit.journal import base as journal_base


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

    def test_a_user_without_an_account(self):
        """Root cannot become it, and says how it is done all the same."""
        if os.geteuid():
            self.skipTest('needs root: another user cannot become anybody')
        uid, run = 54321, self.commands()['journal list']
        self.assertRaises(KeyError, pwd.getpwuid, uid)
        for path in (self.home, *self.home.rglob('*')):
            os.chown(path, uid, -1)
        _code, text = self.apart(run)
        self.assertIn('root cannot become it: it has no account', text)
        command = re.search(r'setpriv --reuid (\d+) --clear-groups', text)
        self.assertEqual(str(uid), command[1])
        # what the command is given by it, and what migsafe does as such a user
        subprocess.run([*command[0].split(), 'cat', self.path], check=True, capture_output=True)
        code, text = self.apart(run, uid=uid)
        self.assertEqual((0, True), (code, base.UUID in text), text)

    def test_a_file_of_somebody_else(self):
        """The service refuses it, and root gives it back as the message says."""
        if os.geteuid():
            self.skipTest('needs root: nobody else can give a file away')

        def service():
            journal.open_journal(journal_base.make_conf(self.state), base.HOST).close()
            return 0, 'open'
        os.chown(self.path, 0, -1)
        _code, text = self.apart(service, uid=self.owner)
        self.assertIn('it belongs to root', text)
        command = re.search(r'chown [^ ]+ [^ ]+(?=\. )', text)
        subprocess.run(command[0].split(), check=True)
        self.assertEqual((0, 'open'), self.apart(service, uid=self.owner))

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

    def test_a_directory_that_anybody_could_make(self):
        """Below one like /tmp: what is not there is nobody's yet."""
        shared = self.top / 'shared'
        shared.mkdir()
        shared.chmod(0o1777)
        error = self.assertRaises(exceptions.JournalInsecure, rights.owner,
                                  str(shared / 'migsafe'))
        self.assertIn('anybody could make it', str(error))
        (shared / 'migsafe').mkdir(0o700)
        self.assertEqual(0, rights.owner(str(shared / 'migsafe')))
        self.assertEqual(0, rights.owner(str(shared / 'migsafe' / 'state')))

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


def _noise(path):
    path.write_bytes(hostile.noise(70000))


def _text(path):
    path.write_text('%s' * 5000)


def _huge(path):
    """Sparse: as long as a disk, and nothing of it there."""
    os.truncate(path, 1 << 40)


def _fifo(path):
    path.unlink()
    os.mkfifo(path, 0o600)


def _directory(path):
    path.unlink()
    path.mkdir(0o700)


def _device(path):
    path.unlink()
    os.symlink('/dev/zero', path)


def _loop(path):
    path.unlink()
    os.symlink(path.name, path)


def _schema(path):
    with hostile.sqlite3.connect(path) as connection:
        for table in ('migsafe_transactions', 'migsafe_records'):
            connection.execute(f'ALTER TABLE {table} RENAME TO x_{table}')
            connection.execute(f'CREATE VIEW {table} AS SELECT * FROM x_{table}, x_{table} AS y')
    connection.close()


def _trigger(path):
    """What is done in SQL by whoever opens it."""
    with hostile.sqlite3.connect(path) as connection:
        connection.execute('CREATE TRIGGER t AFTER INSERT ON migsafe_records BEGIN '
                           "SELECT load_extension('/tmp/x'); END")
    connection.close()


def _later(path):
    with hostile.sqlite3.connect(path) as connection:
        connection.execute("UPDATE migsafe_alembic_version SET version_num = 'x\x1b[2J'")
    connection.close()


def _log(path):
    path.with_name(f'{path.name}-wal').write_bytes(hostile.noise(70000))
    path.with_name(f'{path.name}-wal').chmod(0o600)


def _index(path):
    path.with_name(f'{path.name}-shm').write_bytes(hostile.noise(70000))
    path.with_name(f'{path.name}-shm').chmod(0o600)


class TestReplaced(base.HostileState):
    """Files that are not what they should be, for root and for a user without rights."""

    KINDS = (_noise, _text, _huge, _fifo, _directory, _device, _loop, _schema, _trigger, _later,
             _log, _index)
    #: These take the whole way through a journal; the others begin the same.
    NAMES = ('journal list', 'residue list', 'settle', 'upgrade check', 'lvm release')

    def around(self):
        """All that is not the service's."""
        return {path: path.lstat().st_mtime_ns for path in self.top.rglob('*')
                if self.state not in (path, *path.parents)}

    def replace_each(self, uid):
        whole = {path.name: path.read_bytes() for path in self.state.iterdir()}
        for number, kind in enumerate(self.KINDS):
            # NOTE: in CI one command of each, another one for each kind.
            for name in self.NAMES if examples.wanted() else (
                    self.NAMES[number % len(self.NAMES)],):
                with self.subTest(f'{kind.__name__} {name}'):
                    self.restore(whole)
                    kind(self.state / f'{base.HOST}.sqlite')
                    self.give()
                    before = self.around()
                    code, text = self.apart(self.commands()[name], uid)
                    self.assertNotIn('Traceback', text)
                    self.assertNotIn('\x1b', text)
                    self.assertLess(len(text), 60000)
                    self.assertIn(code, (0, 1, 2, 3), text)
                    self.assertEqual(before, self.around())

    def restore(self, whole):
        for path in self.state.iterdir():
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
        for name, content in whole.items():
            (self.state / name).write_bytes(content)
            (self.state / name).chmod(0o600)

    def test_root(self):
        self.replace_each(None)

    def test_the_user_of_the_service(self):
        self.replace_each(self.owner if os.geteuid() == 0 else None)
