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
import json
import os
import re
import shutil
import subprocess
from unittest import mock

from migsafe import exceptions, journal, ledger
from migsafe.journal import underfoot
from migsafe.ledger import records
from migsafe.tests.unit.journal import base

VOLUME = records.Thing('volume', '9f3c6a0e-3d4f-4b8e-9a51-2f0d6f1d7c11')
PEER = records.Peer.of({'host': 'node11', 'initiator': 'iqn.1994-05.com.redhat:11'})
FILES = ('', '-wal', '-shm')


def overwrite(name, content):
    """Write into the same file, as cp does."""
    with open(name, 'r+b') as file:
        file.truncate(0)
        file.write(content)


#: What is done to a file, given its name and that of the same file of another database.
DEEDS = {
    'removed': lambda name, _other: os.unlink(name),
    'replaced by a copy': lambda name, _other: (
        shutil.copy(name, name + '.copy'), os.replace(name + '.copy', name)),
    'replaced by that of another': lambda name, other: os.replace(other, name),
    'emptied': lambda name, _other: os.truncate(name, 0),
    'cut short': lambda name, _other: os.truncate(name, os.path.getsize(name) // 2 // 4096 * 4096),
    'overwritten by that of another': lambda name, other: overwrite(
        name, open(other, 'rb').read()),
}
#: The length is right and nothing else is known of the content: admin/backup.rst warns of it.
NOT_NOTICED = [(suffix, 'overwritten by that of another') for suffix in ('', '-shm')]


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
                other.start()
                user.start()
                user.fill()
                DEEDS[deed](user.path + suffix, other.path + suffix)
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
                (kind, suffix, deed) for kind in (JournalUser, LedgerUser) for suffix in FILES
                for deed in DEEDS if (suffix, deed) not in NOT_NOTICED):
            with self.subTest(kind=kind.__name__, file=suffix or 'main', deed=deed):
                user, answers = self.case(kind, str(number), suffix, deed)
                for text in answers:
                    self.assertIn('while it was in use', text, (kind, suffix, deed))
                    self.assertIn(user.path, text)
                self.follow(user, answers[0])

    def follow(self, user, advice):
        """Do what the message says: the service starts."""
        self.assertTrue(any(words in advice for words in (
            'start it again with what is left', 'restart the service')), advice)
        try:
            user.start()
        except exceptions.JournalUnavailable as exc:
            # NOTE: the file is not there, or not what it was: that has an advice of its own.
            command = re.search('(for s in .*; done|mv [^ ]+ [^ ]+[^. ])', str(exc))
            if command:
                subprocess.run(['sh', '-euc', command[0]], check=True)
            user.start()
        self.addCleanup(user.opened.close)
        user.writes()[-1]()
        if 'Nothing is lost' in advice:
            self.assertEqual(1, len(user.rows()))

    def test_the_control(self):
        """Without the look a COMMIT is answered, and is gone with the process."""
        for deed in ('removed', 'emptied'):
            user, answers = self.case(JournalUser, deed, '-wal', deed, deaf=True)
            self.assertEqual('answered', answers[1])
            user.start()
            self.addCleanup(user.opened.close)
            self.assertEqual([], user.rows())

    def test_a_second_process_does_not_begin_on_what_was_cut_short(self):
        """It would believe the index that the service has open."""
        user = self.user(JournalUser, 'second')
        user.fill()
        DEEDS['cut short'](user.path + '-wal', '')
        exc = self.assertRaises(exceptions.JournalUnavailable, journal.open_journal, user.conf,
                                'node13', create=False)
        self.assertRegex(str(exc), 'do not agree|shorter than its index says')
        self.assertIn('start it again with what is left', str(exc))

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
