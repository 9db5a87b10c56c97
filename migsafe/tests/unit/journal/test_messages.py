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
"""Each message about the state is in the table of the backup page, with the test of its advice."""

import ast
import functools
import os
import pathlib
import re
import resource
import sqlite3
import stat
import subprocess
import time
from unittest import mock

import sqlalchemy as sa
from oslotest import base as oslo_base

import migsafe
from migsafe import exceptions
from migsafe.journal import backups, errors, files, models, opening, rights, schema, store
from migsafe.tests.unit.journal import base
from migsafe.tests.unit.journal.test_underfoot import elsewhere

TOP = pathlib.Path(migsafe.__file__).parent
PAGE = TOP.parent / 'doc/source/admin/backup.rst'
#: Where the state is opened, read, written, copied.
PLACES = ('journal/*.py', 'ledger/*.py', 'cli/keeping.py', 'cli/database.py')
#: They say why a caller's value cannot be recorded, or that a step came too late; there is nothing
#: about the state to be put right. The first three are only bases.
NOT_STATE = {'JournalError', 'JournalUnavailable', 'JournalAway', 'JournalBadValue',
             'JournalPayloadTooLarge', 'JournalNotFound', 'JournalTransactionSettled'}

#: Functions that make an error of their last argument.
HELPERS = ('_loose', '_silent', 'self._refusal')


def words(node):
    """The constant text of a string, where something is filled in an ellipsis."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return ''.join(words(part) if isinstance(part, ast.Constant) else '…'
                       for part in node.values)
    if isinstance(node, ast.BinOp):
        return words(node.left) + words(node.right)
    return '…'


def raised(path):
    """The reason of each error about the state that a module makes."""
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name in HELPERS:
            yield words(node.args[-1])
        elif name.startswith('exceptions.Journal'):
            given = {one.arg: words(one.value) for one in node.keywords}
            # NOTE: a reason that is filled in is in a table, or an argument of a helper; one of
            # the database's own words has what migsafe says in the cure.
            texts = [given['reason'], given['cure']] if 'cure' in given else []
            if texts[:1] != ['…']:
                yield from [text for text in texts if re.search('[a-z]', text)][:1]


def messages():
    """What can be said: the reasons in the code, those of the tables, the errors of their own."""
    found = [text for place in PLACES for path in sorted(TOP.glob(place)) for text in raised(path)]
    found += [reason for table in (errors._MEANINGS, errors._ON_SERVER)
              for _pattern, reason, _cure in table]
    for name, kind in vars(exceptions).items():
        if name.startswith('Journal') and name not in NOT_STATE \
                and not kind.message.startswith('The journal refuses'):
            found.append(re.sub(r'%\([^)]*\)s|%\([^)]*\)d', '…', kind.message))
    return found


def rows():
    """(phrases, tests) of the table."""
    text = PAGE.read_text(encoding='utf-8').partition('\nMessages about the state\n')[2]
    for row in text.partition('   * - message\n')[2].split('\n   * - ')[1:]:
        message, _dash, tests = ' '.join(row.split()).partition(' - ')
        yield re.findall('``([^`]+)``', message), re.findall('``([^`]+)``', tests)


class TestTable(oslo_base.BaseTestCase):
    """The table and the code say the same."""

    def test_each_message_has_a_row_and_each_row_a_message(self):
        said, phrases = messages(), [one for found, _tests in rows() for one in found]
        self.assertGreater(len(said), 25)
        self.assertEqual([], [text for text in said
                              if not any(phrase in text for phrase in phrases)])
        self.assertEqual([], [phrase for phrase in phrases
                              if not any(phrase in text for text in said)])

    def test_each_row_names_tests_that_are_there(self):
        for phrases, tests in rows():
            module = None
            self.assertGreater(len(tests), 1, phrases)
            for name in tests:
                if '.' in name:
                    # a module, and then its tests
                    module = TOP.joinpath('tests', *name.split('.')).with_suffix('.py')
                    text = module.read_text(encoding='utf-8')
                else:
                    self.assertIn(f'def {name}(', text, (phrases, str(module)))


class TestAdvice(base.JournalTestCase):
    """What a message about a file tells to do is done, and the journal can be used."""

    def setUp(self):
        super().setUp()
        self.begin(self.open())

    def refused(self, *phrases, call=None):
        error = self.assertRaises(exceptions.JournalUnavailable, call or self.open)
        for phrase in phrases:
            self.assertIn(phrase, str(error))
        return str(error)

    def run_advice(self, text, command):
        """Run the part of a message that is a command."""
        found = re.search(f'{command} [^;]*', text)
        subprocess.run(['sh', '-euc', found[0].rstrip('.')], check=True)

    def assertUsable(self):
        opened = self.open()
        opened.check_writable()
        self.assertEqual(['m-1'], [tx.uuid for tx in opened.list()])

    def test_modes(self):
        for path, mode in ((self.path, 0o644), (self.path + '-wal', 0o640),
                           (self.state, 0o755)):
            os.chmod(path, mode)
            self.run_advice(self.refused('others could get at it'), 'chmod')
            self.assertUsable()

    def test_what_is_no_file(self):
        os.rename(self.path, self.path + '.away')
        os.mkdir(self.path)
        self.refused('is not', 'move it away')
        os.rename(self.path, self.path + '.directory')
        os.rename(self.path + '.away', self.path)
        self.assertUsable()

    def test_a_rollback_journal(self):
        files.create_empty(self.path + '-journal')
        self.refused('a database in WAL mode never has one', 'move it away')
        os.rename(self.path + '-journal', os.path.join(self.state, 'moved'))
        self.assertUsable()

    def test_the_owner(self):
        real = os.lstat

        def foreign(name):
            found = list(real(name))
            found[4] = 54321 if str(name) == self.path else found[4]
            return os.stat_result(found)
        with mock.patch('os.lstat', foreign):
            text = self.refused('it belongs to 54321')
        # NOTE: what chown would do; the owner of a file cannot be changed but by root
        self.assertRegex(text, f'chown [^ ]+ {re.escape(self.path)}')
        self.assertUsable()

    def test_a_directory_that_others_can_write_to(self):
        os.chmod(self.state, 0o777)
        with mock.patch('os.geteuid', return_value=0), \
                mock.patch('os.lstat', self.as_root(os.lstat)):
            text = self.refused('others', call=functools.partial(rights.require, self.path))
        self.run_advice(text, 'chmod')
        os.chmod(self.state, stat.S_IMODE(os.stat(self.state).st_mode) & 0o700)
        self.assertUsable()

    @staticmethod
    def as_root(real):
        def found(name):
            values = list(real(name))
            values[4] = 0
            return os.stat_result(values)
        return found

    def test_a_circle_of_links(self):
        real = self.state + '.real'
        os.rename(self.state, real)
        os.symlink(self.state + '.other', self.state)
        os.symlink(self.state, self.state + '.other')
        with mock.patch('os.geteuid', return_value=0), \
                mock.patch('os.lstat', self.as_root(os.lstat)):
            self.refused('too many links', 'name another directory',
                         call=functools.partial(rights.require, self.path))
        self.conf.set_override('state_path', real, 'migsafe')
        self.assertUsable()

    def test_a_reader_that_does_not_answer(self):
        """It is a process of its own; the journal is looked at as its owner, as it says."""
        for words, seconds, does in (
                ('gave no answer', 60.0, lambda *_given: os._exit(1)),
                ('did not end', 0.1, lambda *_given: time.sleep(600)),
                ('holds more than', 60.0, lambda writer, *_given: os._exit(
                    os.write(writer, b'x' * 100)))):
            with mock.patch('os.geteuid', return_value=0), \
                    mock.patch.object(rights, 'owner', return_value=54321), \
                    mock.patch.object(rights, 'ANSWER_SECONDS', seconds), \
                    mock.patch.object(rights, 'ANSWER_BYTES', 10), \
                    mock.patch.object(rights, '_answer', does):
                self.refused(words, 'migsafe journal list',
                             call=functools.partial(rights.apart, self.path, dict))
            self.assertUsable()

    def test_room(self):
        opened = self.open()
        with mock.patch.object(files, 'free_bytes', return_value=4096):
            self.refused('KiB left', 'Free space', call=opened.check_writable)
        opened.check_writable()
        self.assertUsable()

    def test_an_error_of_the_disk(self):
        """The kernel refuses each write behind a limit; SQLite has one text for all such."""
        limit, (_soft, hard) = resource.RLIMIT_FSIZE, resource.getrlimit(resource.RLIMIT_FSIZE)

        def service():
            self.conf.set_override('state_path', self.state + '.new', 'migsafe')
            resource.setrlimit(limit, (100, hard))
            self.refused('the disk reports an I/O error', 'See dmesg')
            resource.setrlimit(limit, (hard, hard))
            self.open().check_writable()
        elsewhere(service)

    def test_a_fork(self):
        opened = self.open()
        with mock.patch('os.getpid', return_value=1):
            self.refused('opened by the parent', call=opened.check_writable)
            self.assertUsable()

    def test_a_file_system_without_wal(self):
        with mock.patch.object(sa.Engine, 'raw_connection') as raw:
            raw.return_value.cursor.return_value.execute.return_value.fetchone.return_value = [
                'delete']
            self.refused('SQLite cannot use WAL mode there', '[migsafe] state_path')
        self.conf.set_override('state_path', self.state + '.local', 'migsafe')
        self.open().check_writable()

    def test_a_new_file_that_somebody_has_open(self):
        made, copy = self.state + '.new', self.state + '.copy'
        backups.backup(self.path, copy, schema.JOURNAL)

        def with_reader(opened):
            reader = sqlite3.connect(opened.path)
            self.addCleanup(reader.close)
            reader.execute('BEGIN')
            reader.execute('SELECT count(*) FROM sqlite_master').fetchall()
            return truncate(opened)
        truncate = store.Store.truncate_log
        restored = os.path.join(self.state, 'restored.sqlite')
        restore = functools.partial(
            backups.restore, restored, copy, schema.JOURNAL, lambda made: made.write(
                'the mark', lambda connection: connection.execute(
                    sa.delete(models.TRANSACTIONS)).rowcount))
        self.conf.set_override('state_path', made, 'migsafe')
        with mock.patch.object(store.Store, 'truncate_log', with_reader):
            for call in (self.open, restore):
                self.refused('somebody else has it open', 'tried again at the next start',
                             call=call)
        self.assertFalse(os.path.exists(restored))
        self.open().check_writable()
        self.assertEqual(1, restore(), 'it was marked')

    def test_root_makes_no_directory(self):
        self.conf.set_override('state_path', self.state + '.new', 'migsafe')
        path = opening.journal_url(self.conf, self.host).database
        with mock.patch('os.geteuid', return_value=0):
            self.refused('what root makes is of no use',
                         call=functools.partial(files.check_maker, path))
        self.open().check_writable()
        files.check_maker(path)
