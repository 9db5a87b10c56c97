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
"""A COMMIT whose answer is lost, and one that is lost itself, on real servers."""

import collections
import contextlib
import os
import subprocess
import sys
import threading
import time
from concurrent import futures
from unittest import mock

import fixtures
import sqlalchemy as sa
from oslotest import base as oslo_base

from migsafe import exceptions, journal, ledger
from migsafe.journal import commits
from migsafe.journal import opening as journal_opening
from migsafe.ledger import opening as ledger_opening
from migsafe.ledger import records
from migsafe.tests import cutting, servers
from migsafe.tests.unit.journal import base

WRITER = """
import itertools, sys
from migsafe import exceptions, journal, ledger
from migsafe.ledger import records
from migsafe.tests.unit.journal import base
url, turn, kind = sys.argv[1:]
conf = base.make_conf('/nonexistent', connection=url, ledger_connection=url)
if kind == 'journal':
    opened = journal.open_journal(conf, 'node13')
    tx = opened.get('m-1')
    write = lambda name: opened.note(tx, name)
else:
    opened = ledger.open_ledger(conf, 'node13')
    peer = records.Peer.of({'host': 'node11', 'initiator': 'iqn.11'})
    write = lambda name: opened.intend(records.Thing('volume', name), [peer], 'mapping')
for number in itertools.count():
    try:
        write(f'{turn}-{number}')
    except exceptions.JournalWriteUnknown:
        print('unknown', number)
        break
    except exceptions.JournalUnavailable:
        print('refused', number)
        break
    print('done', number, flush=True)
"""


#: Microseconds after which a server is killed that has been given a COMMIT.
KILLED_AFTER = (0, 300, 3000)


class Cases:
    """Each write of a journal, and that of a ledger."""

    server_class = None
    #: how many were told to be there, and not to be
    told = collections.Counter()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.server_class()
        cls.server.setUp()
        cls.addClassCleanup(cls.server.cleanUp)

    def setUp(self):
        super().setUp()
        self.server.wipe()
        self.proxy = cutting.Proxy(self.server.port)
        self.addCleanup(self.proxy.close)
        url = sa.make_url(self.server.url)
        self.conf = base.make_conf('/nonexistent', connection=self.server.url,
                                   ledger_connection=self.server.url)
        journal_opening.sync(self.conf, 'node13')
        ledger_opening.sync(self.conf, 'node13')
        through = url.set(port=self.proxy.port).render_as_string(hide_password=False)
        self.conf.set_override('connection', through, 'migsafe')
        self.conf.set_override('ledger_connection', through, 'migsafe')
        self.journal = journal.open_journal(self.conf, 'node13')
        self.addCleanup(self.journal.close)
        self.tx = self.journal.begin('m-1', 'source', 'i-1', 'node13', 'node11')

    def writes(self):
        """(name, the write, whether the journal has it)."""
        opened, tx = self.journal, self.tx

        def has(kind):
            return lambda: kind in {line.kind for line in opened.records(tx)}
        return [
            ('begin', lambda: opened.begin('m-2', 'source', 'i-2', 'node13', 'node11'),
             lambda: opened.get('m-2') is not None),
            ('intent', lambda: opened.intent(tx, 'r', 'e', 'k'), has('intent')),
            ('request', lambda: opened.request(tx, 'peer_is_dead', {'host': 'node11'}),
             has('request')),
            ('verdict', lambda: opened.verdict(tx, 'ABORT', 'why'), has('verdict')),
            ('finish', lambda: opened.finish(tx, 'done'),
             lambda: opened.refresh(tx).state == 'settled'),
        ]

    def test_a_lost_answer(self):
        """Control: each time a connection was cut, and what was returned is there."""
        for number, (name, write, has) in enumerate(self.writes(), 1):
            self.assertFalse(has(), name)
            self.proxy.cut('answer')
            found = write()
            self.assertEqual(number, self.proxy.cuts, name)
            self.assertTrue(has(), name)
            if name in ('intent', 'request'):
                lines = {line.id: line.kind for line in self.journal.records(self.tx)}
                self.assertEqual(name, lines[found])

    def test_a_lost_question(self):
        """What never came to the server is said to have changed nothing, and has not."""
        for number, (name, write, has) in enumerate(self.writes(), 1):
            self.proxy.cut('question')
            exc = self.assertRaises(exceptions.JournalUnavailable, write)
            self.assertEqual(number, self.proxy.cuts, name)
            self.assertIn('nothing was changed', str(exc))
            self.assertFalse(has(), name)
            write()
            self.assertTrue(has(), name)

    def test_nobody_says(self):
        for name, write, has in self.writes():
            before = self.proxy.cuts
            self.proxy.cut('both')
            with mock.patch.object(commits, 'ANSWER_SECONDS', 0.2):
                exc = self.assertRaises(exceptions.JournalWriteUnknown, write)
            self.assertGreater(self.proxy.cuts, before, name)
            self.assertIn('is not known', str(exc))
            self.assertNotIn('nothing was changed', str(exc))
            self.assertNotIn(servers.PASSWORD, str(exc))
            self.proxy.cut('nothing')
            self.assertTrue(has(), name)

    def test_the_ledger(self):
        opened = ledger.open_ledger(self.conf, 'node13')
        self.addCleanup(opened.close)
        thing = records.Thing('volume', 'v-1')
        peer = records.Peer.of({'host': 'node11', 'initiator': 'iqn.11'})
        cuts = (('answer', 'mapping'), ('question', 'unmapping'))
        for number, (cut, state) in enumerate(cuts, 1):
            self.proxy.cut(cut)
            with (self.assertRaises(exceptions.JournalUnavailable) if cut == 'question'
                  else contextlib.nullcontext()):
                opened.intend(thing, [peer], state, attachment='a-1')
            self.assertEqual(number, self.proxy.cuts)
            self.assertEqual(['gone', 'mapping'], [row.state for row in opened.of(thing)])

    def killed_in_commits(self, write, has):
        """The server has a COMMIT, and is killed with all its processes; it is asked again."""
        for number, microseconds in enumerate(KILLED_AFTER):
            cuts, name = self.proxy.cuts, f'{number}'
            self.proxy.kill(self.server.process.pid, microseconds)
            restart = threading.Thread(target=self.restart, daemon=True)
            restart.start()
            with mock.patch.object(commits, 'ANSWER_SECONDS', 600):
                try:
                    write(name)
                    done = True
                except exceptions.JournalUnavailable as exc:
                    self.assertIn('nothing was changed', str(exc))
                    done = False
            # NOTE: the control, and else there is nothing to wait for.
            self.assertEqual(cuts + 1, self.proxy.cuts)
            restart.join()
            self.assertEqual(done, has(name), (microseconds, name))
            self.told[done] += 1
            write(name)
            self.assertTrue(has(name))

    def restart(self):
        """Start the server when it was killed."""
        self.server.process.wait()
        self.server.start()

    def test_a_server_that_is_killed_in_a_commit(self):
        self.killed_in_commits(
            lambda name: self.journal.begin(name, 'source', 'i-2', 'node13', 'node11'),
            lambda name: self.journal.get(name) is not None)

    def test_a_server_that_is_killed_in_a_commit_of_a_ledger(self):
        opened = ledger.open_ledger(self.conf, 'node13')
        self.addCleanup(opened.close)
        peer = records.Peer.of({'host': 'node11', 'initiator': 'iqn.11'})
        self.killed_in_commits(
            lambda name: opened.intend(records.Thing('volume', name), [peer], 'mapping'),
            lambda name: bool(opened.of(records.Thing('volume', name))))

    def _written(self, turn, kind):
        """Kill the server under a process that writes; return what that was told of each."""
        path = f'{self.useFixture(fixtures.TempDir()).path}/told'
        with open(path, 'w', encoding='utf-8') as told:
            writer = subprocess.Popen(
                [sys.executable, '-W', 'ignore', '-c', WRITER, self.server.url, str(turn), kind],
                stdout=told, stderr=subprocess.DEVNULL)
        self.addCleanup(writer.wait)
        self.addCleanup(writer.kill)
        while writer.poll() is None and os.path.getsize(path) < 100:
            time.sleep(0.01)
        # NOTE: a writer that gets no processor while the server is away finds it there again.
        while writer.poll() is None:
            self.server.kill()
            self.server.start()
            with contextlib.suppress(subprocess.TimeoutExpired):
                writer.wait(30)
        with open(path, encoding='utf-8') as told:
            return dict(reversed(line.split()) for line in told)

    def killed(self, kind, there):
        """What was acknowledged is there after it; what was refused is not."""
        for turn in range(1):
            answers = self._written(turn, kind)
            # NOTE: the control: one of them met the kill.
            self.assertNotEqual({'done'}, set(answers.values()))
            found = there()
            for number, answer in answers.items():
                if answer != 'unknown':
                    self.assertEqual(answer == 'done', f'{turn}-{number}' in found,
                                     (answer, number))

    def test_a_server_that_is_killed_while_it_commits(self):
        self.killed('journal', lambda: {
            line.text for line in self.journal.records(self.tx, kinds=('note',))})

    def test_a_server_that_is_killed_while_a_ledger_commits(self):
        opened = ledger.open_ledger(self.conf, 'node13')
        self.addCleanup(opened.close)
        self.killed('ledger', lambda: {
            row.resource for row in opened.exports() if row.state == 'mapping'})

    def test_threads_that_write_at_once(self):
        """Each looks for the last write that was answered, which others let go."""
        def write(name):
            return [self.journal.note(self.tx, f'{name}-{number}') for number in range(60)]
        with futures.ThreadPoolExecutor(4) as pool:
            self.assertEqual(4, len(list(pool.map(write, 'abcd'))))
        self.assertEqual(240, len(self.journal.records(self.tx)))

    def test_what_marks_the_writes_does_not_grow(self):
        for number in range(130):
            self.journal.note(self.tx, f'{number}')
        engine = sa.create_engine(self.server.url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            found = connection.exec_driver_sql('SELECT count(*) FROM migsafe_writes').scalar()
        self.assertLess(found, 60)
        self.assertEqual(130, len(self.journal.records(self.tx)))


class TestMariaDB(Cases, oslo_base.BaseTestCase):
    """MariaDB."""

    server_class = servers.MariaDB


class TestPostgreSQL(Cases, oslo_base.BaseTestCase):
    """PostgreSQL."""

    server_class = servers.PostgreSQL
