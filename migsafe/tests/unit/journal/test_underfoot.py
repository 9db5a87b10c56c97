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
"""What somebody does to the files of a journal or a ledger while a service has them open."""

import contextlib
import errno
import functools
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import traceback
from unittest import mock

from oslo_utils import timeutils

from migsafe import exceptions, journal, ledger
from migsafe.cli import manage
from migsafe.journal import models, underfoot
from migsafe.journal import writes as journal_writes
from migsafe.ledger import records
from migsafe.tests.unit.journal import base

VOLUME = records.Thing('volume', '9f3c6a0e-3d4f-4b8e-9a51-2f0d6f1d7c11')
PEER = records.Peer.of({'host': 'node11', 'initiator': 'iqn.1994-05.com.redhat:11'})
FILES = ('', '-wal', '-shm')
#: How many processes are killed beside a service, and what that does beside each.
KILLS, ROUNDS = 4, 25
OTHER = """
import itertools, sqlite3, sys, time
for number in itertools.count():
    if number % 25 == 0:
        connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
        connection.execute('PRAGMA wal_autocheckpoint = 5')
    connection.execute('UPDATE migsafe_probes SET checked_at = ?', (str(number),))
    if number % 10 == 0:
        connection.execute('PRAGMA wal_checkpoint(TRUNCATE)').fetchall()
    time.sleep(0.002)
    if number == 50:
        print('writes', flush=True)
"""


def later(name):
    """Wait until what is written to a file now gives it another time: the clock has ticks."""
    known, probe = os.stat(name).st_mtime_ns, name + '.probe'
    while not os.path.exists(probe) or os.stat(probe).st_mtime_ns <= known:
        with open(probe, 'w', encoding='utf-8') as file:
            file.write('x')


def overwrite(name, content):
    """Write into the same file, as cp does."""
    later(name)
    with open(name, 'r+b') as file:
        file.truncate(0)
        file.write(content)


def write_into(name):
    """Change some bytes in the middle."""
    later(name)
    with open(name, 'r+b') as file:
        file.seek(os.path.getsize(name) // 2)
        file.write(b'x' * 16)


#: What is done to a file, given its name and that of the same file of another database.
DEEDS = {
    'moved away': lambda name, _other: os.rename(name, name + '.away'),
    'removed': lambda name, _other: os.unlink(name),
    'replaced by a copy': lambda name, _other: (
        shutil.copy(name, name + '.copy'), os.replace(name + '.copy', name)),
    'replaced by that of another': lambda name, other: os.replace(other, name),
    'emptied': lambda name, _other: os.truncate(name, 0),
    'cut short': lambda name, _other: os.truncate(name, os.path.getsize(name) // 2 // 4096 * 4096),
    'overwritten by that of another': lambda name, other: overwrite(
        name, open(other, 'rb').read()),
    'overwritten by itself of before': lambda name, _other: overwrite(
        name, open(name + '.before', 'rb').read()),
    'written into': lambda name, _other: write_into(name),
}
#: The same code looks at a ledger.
LEDGER_DEEDS = ('removed', 'overwritten by itself of before')
#: Only a part of the log and of the index is looked at: admin/backup.rst says so.
NOT_NOTICED = [(suffix, 'written into') for suffix in ('-wal', '-shm')]


def keep(user):
    """Copy the files as they are now."""
    for suffix in FILES:
        shutil.copy(user.path + suffix, f'{user.path}{suffix}.before')


def elsewhere(call):
    """Do it in another process, which is not ended in an orderly way.

    This one would lose SQLite's locks with a file that it closes.
    """
    process = os.fork()
    if process == 0:
        try:
            call()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(process, 0)[1]:
        raise AssertionError('it did not work')


def answer(call):
    """What becomes of a call."""
    try:
        call()
    except Exception as exc:
        return f'{type(exc).__name__}: {exc}'
    return 'answered'


class JournalUser:
    """nova-compute's."""

    def __init__(self, directory):
        self.conf, self.path = base.make_conf(directory), f'{directory}/node13.sqlite'
        self.opened, self.tx = None, None

    def start(self):
        """Open it as the service."""
        self.opened = journal.open_journal(self.conf, 'node13')

    def fill(self):
        """Write what the log has."""
        self.tx = self.opened.begin('m-1', 'source', 'i-1', 'node13', 'node11',
                                    source_boot_id='b', captures=[])
        for _number in range(10):
            self.opened.note(self.tx, 'x' * 3000)

    def writes(self):
        """What must be refused."""
        return (self.opened.check_writable,
                lambda: self.opened.verdict(self.tx, 'COMMIT', 'the guest runs there'),
                self.opened.unsettled)

    def rows(self):
        """What is there."""
        return [tx.uuid for tx in self.opened.list()]


class LedgerUser(JournalUser):
    """cinder-volume's."""

    def __init__(self, directory):
        super().__init__(directory)
        self.conf = base.make_conf('/nonexistent', ledger_path=directory)

    def start(self):
        self.opened = ledger.open_ledger(self.conf, 'node13')

    def fill(self):
        for number in range(10):
            self.opened.intend(VOLUME, [PEER], 'mapping', attachment='x' * 200 + str(number))

    def writes(self):
        return (lambda: self.opened.settle(VOLUME, [PEER.key], 'mapped', intent='mapping'),
                lambda: self.opened.fence('node11', 'an operator'),
                lambda: self.opened.of(VOLUME))

    def rows(self):
        return [row.host for row in self.opened.of(VOLUME) if row.peer]


class TestUnderfoot(base.JournalTestCase):
    """Nothing is answered that would be lost with the process."""

    def user(self, kind, name):
        user = kind(os.path.join(self.state, name))
        user.start()
        self.addCleanup(user.opened.close)
        return user

    def case(self, kind, name, suffix, deed, deaf=False):
        """Let a process have it done to a file of its, and be killed.

        :param deaf: it does not look
        :returns: the user, not started, and what became of its writes
        """
        user, answers = kind(os.path.join(self.state, name)), os.path.join(self.state, 'answers')
        process = os.fork()
        if process == 0:
            with contextlib.ExitStack() as stack:
                # NOTE: an index that is cut short ends who writes to it with SIGBUS.
                stack.callback(os._exit, 0)
                other = kind(os.path.join(self.state, f'{name}-other'))
                if 'of another' in deed:
                    other.start()
                user.start()
                user.fill()
                elsewhere(lambda: keep(user))
                user.writes()[0]()
                elsewhere(lambda: DEEDS[deed](user.path + suffix, other.path + suffix))
                if deaf:
                    stack.enter_context(mock.patch.object(underfoot.OpenFiles, 'check'))
                found = [answer(call) for call in user.writes()]
                with open(answers, 'w', encoding='utf-8') as file:
                    json.dump(found, file)
        self.assertEqual(0, os.waitpid(process, 0)[1])
        with open(answers, encoding='utf-8') as file:
            found = json.load(file)
        os.unlink(answers)
        return user, found

    def test_each_file_and_what_can_be_done_to_it(self):
        for number, (kind, suffix, deed) in enumerate(
                (kind, suffix, deed) for kind, deeds in (
                    (JournalUser, DEEDS), (LedgerUser, LEDGER_DEEDS)) for suffix in FILES
                for deed in deeds if (suffix, deed) not in NOT_NOTICED):
            with self.subTest(kind=kind.__name__, file=suffix or 'main', deed=deed):
                user, answers = self.case(kind, str(number), suffix, deed)
                for text in answers:
                    self.assertIn('while it was in use', text, (kind, suffix, deed))
                    self.assertIn(user.path, text)
                self.follow(user, answers[0], user.path + suffix)

    def follow(self, user, advice, name):
        """Do what the message says: the service starts."""
        self.assertRegex(advice, '(re)?start the service')
        there = 'Nothing is lost' in advice
        if os.path.exists(name + '.away'):
            self.assertIn('Put it back if you have it', advice)
            os.rename(name + '.away', name)
            there = True
        self.run_commands(user, advice)
        try:
            user.start()
        except exceptions.JournalUnavailable as exc:
            # NOTE: the file is not there, or not what it was: that has an advice of its own.
            self.run_commands(user, str(exc))
            user.start()
        self.addCleanup(user.opened.close)
        user.writes()[-1]()
        if there:
            self.assertEqual(1, len(user.rows()))

    def run_commands(self, user, advice):
        """Run what a message has of commands, but for those that need a backup."""
        found = re.search('(for s in .*; done|mv [^ ]+ [^ ]+[^. ])', advice)
        if found:
            subprocess.run(['sh', '-euc', found[0]], check=True)
        found = re.search('migsafe-manage (--config-file [^ ]+ )?(db distrust[^.]*)', advice)
        if found:
            file = os.path.join(self.state, 'service.conf')
            with open(file, 'w', encoding='utf-8') as conf:
                print('[DEFAULT]\nhost = node13\n[migsafe]', *(
                    f'{name} = {user.conf.migsafe[name]}' for name in (
                        'state_path', 'ledger_path')), sep='\n', file=conf)
            with contextlib.redirect_stdout(io.StringIO()), \
                    contextlib.redirect_stderr(io.StringIO()) as said:
                code = manage.main(['--config-file', file, *found[2].split()])
            if code:
                self.run_commands(user, said.getvalue())

    def test_the_control(self):
        """Without the look a COMMIT is answered, and is gone with the process."""
        for deed in ('removed', 'emptied'):
            user, answers = self.case(JournalUser, deed, '-wal', deed, deaf=True)
            self.assertEqual('answered', answers[1])
            user.start()
            self.addCleanup(user.opened.close)
            self.assertEqual([], user.rows())

    def test_a_log_that_is_removed_during_a_commit(self):
        """It was there before, and the answer of SQLite is worth nothing."""
        user = self.user(JournalUser, 'during')
        user.fill()

        def work(connection):
            os.unlink(user.path + '-wal')
            return writes(connection)
        writes = functools.partial(journal_writes.upsert, table=models.PROBES, host='node13',
                                   values={'checked_at': timeutils.utcnow()})
        error = self.assertRaises(exceptions.JournalWriteUnknown, user.opened._store.write,
                                  'a word', work)
        self.assertIn('has recorded a word is not known', str(error))
        self.assertIn('-wal was removed or replaced', str(error))

    def test_a_log_that_cannot_be_looked_at_after_a_commit(self):
        """The search for faults of a disk has found it: it was said that nothing was written."""
        user = self.user(JournalUser, 'unseen')
        user.fill()
        with mock.patch.object(underfoot.OpenFiles, 'check', side_effect=[
                None, OSError(errno.EIO, 'Input/output error')]) as looked:
            error = self.assertRaises(exceptions.JournalWriteUnknown, user.opened.note, user.tx,
                                      'the last word')
        self.assertEqual(2, looked.call_count)
        self.assertIn('has recorded a note is not known: [Errno 5]', str(error))
        self.assertEqual('the last word', user.opened.records(user.tx)[-1].text)

    def test_a_second_process_does_not_begin_on_what_was_cut_short(self):
        """It would believe the index that the service has open."""
        user = self.user(JournalUser, 'second')
        user.fill()
        DEEDS['cut short'](user.path + '-wal', '')
        exc = self.assertRaises(exceptions.JournalUnavailable, journal.open_journal, user.conf,
                                'node13', create=False)
        self.assertRegex(str(exc), 'do not agree|shorter than its index says')
        self.assertIn('have what is left judged anew', str(exc))

    def test_a_log_of_before_of_the_same_length(self):
        """Once it was begun anew it has a tail of the log before, and does not grow for long."""
        def service():
            user = self.user(JournalUser, 'longer')
            user.fill()
            other = sqlite3.connect(user.path)
            other.execute('PRAGMA wal_checkpoint(PASSIVE)').fetchall()
            log = user.path + '-wal'
            size = os.path.getsize(log)
            user.opened.note(user.tx, 'the first of a new log')
            elsewhere(lambda: keep(user))
            user.opened.withdraw(user.opened.verdict(user.tx, 'ABORT', 'dead'), 'ABORT', 'no')
            self.assertEqual(size, os.path.getsize(log))
            elsewhere(lambda: DEEDS['overwritten by itself of before'](log, ''))
            self.assertEqual(size, os.path.getsize(log))
            for call in user.writes():
                self.assertIn('do not agree', answer(call))
        elsewhere(service)

    def test_a_file_that_is_written_into_after_a_kill(self):
        """What was in the log alone was merged by the start."""
        def service():
            user = self.user(JournalUser, 'killed')
            self.assertTrue(user.rows())
            user.opened.check_writable()
            elsewhere(lambda: write_into(user.path))
            self.assertIn('was overwritten', answer(user.opened.check_writable))

        def before():
            user = self.user(JournalUser, 'killed')
            user.fill()
            self.assertGreater(os.path.getsize(user.path + '-wal'), 10 * 4096)
        elsewhere(before)
        elsewhere(service)

    def test_a_backup_that_sets_the_time_of_reading_back(self):
        user = self.user(JournalUser, 'read')
        user.opened.check_writable()
        written = os.stat(user.path).st_mtime_ns
        for unit in (1, 10 ** 3, 10 ** 9):
            os.utime(user.path, ns=(written, written // unit * unit))
            user.opened.check_writable()
        later(user.path)
        os.utime(user.path)
        self.assertIn('was overwritten', answer(user.opened.check_writable), 'touch, the control')

    def test_others_who_write_are_not_somebody(self):
        """Processes that write, check-point, empty the log and are killed meanwhile."""
        user = self.user(JournalUser, 'shared')
        user.fill()
        user.opened.check_writable()
        logs = set()
        for number in range(KILLS):
            other = subprocess.Popen([sys.executable, '-c', OTHER, user.path],
                                     stdout=subprocess.PIPE, text=True)
            self.addCleanup(other.wait)
            self.addCleanup(other.kill)
            self.assertEqual('writes\n', other.stdout.readline())
            for _ in range(ROUNDS):
                user.opened.note(user.tx, f'{number}')
                self.assertEqual(['m-1'], user.rows())
                logs.add(user.opened._store._files._seen.index.salts)
            other.kill()
            other.wait()
            other.stdout.close()
        self.assertGreater(len(logs), KILLS, 'the control: they were at work')

    def test_others_may_empty_the_log(self):
        """As a command does that purges, and as SQLite does that begins it anew."""
        user = self.user(JournalUser, 'shared')
        user.fill()
        other = journal.open_journal(user.conf, 'node13')
        self.addCleanup(other.close)
        self.assertFalse(other._store.truncate_log())
        self.assertEqual(0, os.path.getsize(user.path + '-wal'))
        for opened in (user.opened, other, user.opened):
            opened.check_writable()
        self.assertEqual(['m-1'], user.rows())
