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
"""Real processes, really killed while they write."""

import json
import os
import random
import select
import signal
import sqlite3
import time

from migsafe import journal
from migsafe.tests.unit.journal import base

ROUNDS = 30


class Reporter:
    """Tells the parent what is asked for and what was acknowledged, one JSON line each."""

    def __init__(self, handle):
        self.handle = handle

    def say(self, *line):
        os.write(self.handle, json.dumps(line).encode() + b'\n')


class TestKilledProcess(base.JournalTestCase):
    """A child writes to the journal until SIGKILL ends it."""

    def child(self, handle, name, die_at):
        """Write as fast as it goes; ``die_at`` is (number of a commit, where in it)."""
        report = Reporter(handle)
        opened = journal.open_journal(self.conf, self.host)
        real, count = opened._commit, 0

        def die():
            os.kill(os.getpid(), signal.SIGKILL)

        def commit(label, work):
            nonlocal count
            count += 1
            number, point = die_at
            if count != number:
                return real(label, work)
            if point == 'before':
                die()

            def dying(session):
                result = work(session)
                if point == 'during':
                    die()
                return result
            result = real(label, dying)
            die()
            return result
        opened._commit = commit
        tx = opened.begin('m-1', 'source', 'i-1', 'node13', 'node11')
        for turn in range(10 ** 6):
            key = f'{name}-{turn}'
            report.say('asked', 'intent', key)
            intent = opened.intent(tx, 'host_device', 'connect', key, {'fill': 'x' * 3000})
            report.say('done', 'intent', key)
            report.say('asked', 'outcome', key)
            opened.outcome(tx, intent, 'ok')
            report.say('done', 'outcome', key)

    def start(self, name, die_at):
        """Fork the child; return its pid and the end of the pipe to read from."""
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(reading)
                self.child(writing, name, die_at)
            finally:
                os._exit(1)
        os.close(writing)
        return pid, reading

    def collect(self, pid, reading, seconds=None, at_work=False):
        """Read reports; kill the child after some time if it does not die by itself.

        :param at_work: the time begins with its first report, however long the start takes
        """
        data, killed = b'', False
        if at_work:
            data = os.read(reading, 65536)
            self.assertTrue(data, 'the child ended before its first report')
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            left = 60 if deadline is None else max(0, deadline - time.monotonic())
            if not killed and not select.select([reading], [], [], left)[0]:
                self.assertIsNotNone(deadline, 'the child hangs')
            if not killed and deadline is not None and time.monotonic() >= deadline:
                os.kill(pid, signal.SIGKILL)
                killed = True
            chunk = os.read(reading, 65536)
            if not chunk:
                break
            data += chunk
        os.close(reading)
        status = os.waitpid(pid, 0)[1]
        self.assertEqual(signal.SIGKILL, os.WTERMSIG(status), f'status {status}')
        return [tuple(json.loads(line)) for line in data.splitlines()]

    def check(self, reports):
        """Compare the journal with all reports so far."""
        asked = {line[1:] for line in reports if line[0] == 'asked'}
        done = {line[1:] for line in reports if line[0] == 'done'}
        opened = journal.open_journal(self.conf, self.host)
        opened.check_writable()
        transactions = opened.list()
        self.assertLessEqual(len(transactions), 1)
        lines = opened.records(transactions[0]) if transactions else []
        found = {(line.kind, line.key) for line in lines}
        self.assertEqual(len(lines), len(found), 'nothing is there twice')
        self.assertEqual(set(), done - found, 'acknowledged, but not there')
        self.assertEqual(set(), found - asked, 'there, but never asked for')
        intents = {line.id: line.key for line in lines if line.kind == 'intent'}
        for line in lines:
            if line.kind == 'outcome':
                self.assertEqual(intents[line.ref], line.key)
        opened.close()
        connection = sqlite3.connect(self.path)
        self.assertEqual([('ok',)], connection.execute('PRAGMA integrity_check').fetchall())
        connection.close()
        return len(asked), len(done)

    def test_dies_at_a_chosen_point_of_any_write(self):
        reports, dice = [], random.Random(4711)
        for turn in range(ROUNDS):
            die_at = (dice.randint(1, 25), dice.choice(['before', 'during', 'after']))
            reports += self.collect(*self.start(f'chosen-{turn}', die_at))
            self.check(reports)
        self.assertGreater(len(reports), ROUNDS * 10)

    def test_is_killed_at_any_moment(self):
        reports, dice = [], random.Random(42)
        for turn in range(ROUNDS // 2):
            pid, reading = self.start(f'random-{turn}', (0, ''))
            # every other one may be killed while it still opens the journal
            reports += self.collect(pid, reading, dice.uniform(0.0, 0.15), at_work=turn % 2)
            self.check(reports)
        self.assertTrue(reports)

    def test_two_writers_and_one_is_killed(self):
        reports, dice = [], random.Random(7)
        for turn in range(5):
            one, two = (self.start(f'{name}-{turn}', (0, '')) for name in 'ab')
            reports += self.collect(*one, dice.uniform(0.05, 0.2))
            before = time.monotonic()
            reports += self.collect(*two, 0.1)
            self.assertLess(time.monotonic() - before, 10)
            asked, done = self.check(reports)
            self.assertLessEqual(asked - done, 2 * (turn + 1))
