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
"""Kills at any write: the journal is readable afterwards, and it says what happened.

A kill is played by copying the files of the journal as they are at that moment, which is what a
dead process leaves to the next one, and by going on with the copy. A power cut tears the log as
well: any tail that was written since the last commit returned may be missing.
"""

import os
import shutil
import sqlite3
import tempfile

from hypothesis import HealthCheck, settings, strategies
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule
from oslo_utils import timeutils

from migsafe import exceptions, journal
from migsafe.tests.unit.journal import base

KILLS = strategies.sampled_from([None, None, None, 'before', 'during', 'after', 'torn'])
WORDS = strategies.sampled_from(['volume_connection', 'host_device', 'port_binding'])
KEYS = strategies.sampled_from(['v-1', 'v-2', ''])
TEXTS = strategies.text(max_size=20)
PAYLOADS = strategies.one_of(
    strategies.none(),
    strategies.just(base.CONNECTION),
    strategies.dictionaries(
        strategies.text(max_size=5),
        strategies.integers() | strategies.text(max_size=9) | strategies.none(),
        max_size=3,
    ),
    # large enough to leave SQLite's page cache before the commit
    strategies.just({'large': 'x' * 300_000}),
)


class Killed(BaseException):
    """The process is gone."""


class Kills:
    """Runs the journal's commits and dies in one of them."""

    def __init__(self, machine):
        self.machine = machine
        self.point = None
        self.cut = 0.5

    def commit(self, real, label, work):
        point, self.point = self.point, None
        size = self.machine.log_size()
        if point == 'before':
            self.machine.snapshot()
            raise Killed
        if point == 'during':
            def dying(session):
                work(session)
                self.machine.snapshot()
                raise Killed
            real(label, dying)
        result = real(label, work)
        if point == 'torn':
            self.machine.snapshot()
            self.machine.survived = not self.machine.tear(size, self.cut)
            raise Killed
        if point == 'after':
            self.machine.snapshot()
            self.machine.survived = True
            raise Killed
        return result


class JournalMachine(RuleBasedStateMachine):
    """Compares the journal with a model of what was asked and acknowledged."""

    transactions = Bundle('transactions')

    def __init__(self):
        super().__init__()
        self.base = tempfile.mkdtemp(prefix='migsafe-kill-')
        self.number = 0
        self.state = os.path.join(self.base, 'state-0')
        self.kills = Kills(self)
        # uuid -> expected [state, verdict, attempts]; uuid -> lines; uuid -> intent ids
        self.rows, self.lines, self.intents = {}, {}, {}
        self.survived = False
        self.open()

    def open(self):
        self.journal = journal.open_journal(base.make_conf(self.state), 'node13')
        real = self.journal._commit
        self.journal._commit = lambda label, work: self.kills.commit(real, label, work)

    def path(self, suffix=''):
        return os.path.join(self.state, f'node13.sqlite{suffix}')

    def log_size(self):
        return os.path.getsize(self.path('-wal')) if os.path.exists(self.path('-wal')) else 0

    def snapshot(self):
        """Keep the files as the dying process leaves them."""
        self.number += 1
        self.next_state = os.path.join(self.base, f'state-{self.number}')
        os.mkdir(self.next_state, 0o700)
        for suffix in ('', '-wal', '-shm'):
            if os.path.exists(self.path(suffix)):
                shutil.copy2(self.path(suffix), self.next_state)

    def tear(self, size, part):
        """Cut the last commit in the log; False if it went to an older place of the log."""
        log = os.path.join(self.next_state, 'node13.sqlite-wal')
        grown = os.path.getsize(log) - size
        if grown <= 0:
            return False
        os.truncate(log, size + int((grown - 1) * part))
        return True

    def call(self, kill, cut, change, ask):
        """Ask the journal for something, perhaps killing it, and then update the model."""
        self.kills.point, self.kills.cut, self.survived = kill, cut, False
        try:
            result = ask()
        except Killed:
            self.journal.close()
            shutil.rmtree(self.state)
            self.state = self.next_state
            self.open()
            if not self.survived:
                return
            result = None
        self.kills.point = None
        change(result)

    def line(self, uuid, *line):
        self.lines[uuid].append(line)

    @rule(
        target=transactions,
        number=strategies.integers(0, 4),
        role=strategies.just('source'),
        captures=strategies.lists(strategies.tuples(WORDS, KEYS, PAYLOADS), max_size=3),
        kill=KILLS,
        cut=strategies.floats(0, 1),
    )
    def begin(self, number, role, captures, kill, cut):
        uuid = f'm-{number}'

        def change(_result):
            if uuid not in self.rows:
                self.rows[uuid] = ['open', None, 0]
                self.intents[uuid] = []
                self.lines[uuid] = [('capture', *c, '') for c in captures]
        self.call(kill, cut, change, lambda: self.journal.begin(
            uuid, role, 'i-1', 'node13', 'node11', captures=captures))
        return uuid

    def on(self, uuid, kill, cut, change, ask, late=False):
        """Ask for something on a transaction, which may be missing or settled."""
        tx = self.journal.get(uuid)
        if uuid not in self.rows:
            assert tx is None
            return
        if self.rows[uuid][0] == 'settled' and not late:
            try:
                ask(tx)
            except exceptions.JournalTransactionSettled:
                return
            raise AssertionError('a late step was let through')
        self.call(kill, cut, change, lambda: ask(tx))

    @rule(uuid=transactions, resource=WORDS, key=KEYS, payload=PAYLOADS, kill=KILLS,
          cut=strategies.floats(0, 1))
    def intent(self, uuid, resource, key, payload, kill, cut):
        def change(result):
            self.line(uuid, 'intent', resource, key, payload, '')
            if result is None:
                tx = self.journal.get(uuid)
                result = self.journal.records(tx, kinds=('intent',))[-1].id
            self.intents[uuid].append(result)
        self.on(uuid, kill, cut, change,
                lambda tx: self.journal.intent(tx, resource, 'effect', key, payload))

    @rule(uuid=transactions, status=strategies.sampled_from(['ok', 'error', 'unknown']),
          payload=PAYLOADS, kill=KILLS, cut=strategies.floats(0, 1))
    def outcome(self, uuid, status, payload, kill, cut):
        if not self.intents.get(uuid):
            return
        of = self.intents[uuid][-1]
        intent = [line for line in self.lines[uuid] if line[0] == 'intent'][-1]
        self.on(uuid, kill, cut,
                lambda _r: self.line(uuid, 'outcome', intent[1], intent[2], payload, status),
                lambda tx: self.journal.outcome(tx, of, status, payload), late=True)

    @rule(uuid=transactions, verdict=strategies.sampled_from(['COMMIT', 'ABORT', 'HOLD']),
          payload=PAYLOADS, number=strategies.integers(), kill=KILLS, cut=strategies.floats(0, 1))
    def verdict(self, uuid, verdict, payload, number, kill, cut):
        reason = f'because of {self.number} {len(self.lines.get(uuid, ()))} {number}'

        def change(_result):
            if {verdict, self.rows[uuid][1]} == {'COMMIT', 'ABORT'} or (
                    verdict == 'HOLD' and self.rows[uuid][1] in ('COMMIT', 'ABORT')):
                return
            self.rows[uuid][1] = verdict
            self.line(uuid, 'verdict', '', '', payload, verdict)
        self.on(uuid, kill, cut, change,
                lambda tx: self.journal.verdict(tx, verdict, reason, payload))

    @rule(uuid=transactions, resource=WORDS, key=KEYS, payload=PAYLOADS, kill=KILLS,
          cut=strategies.floats(0, 1))
    def settled(self, uuid, resource, key, payload, kill, cut):
        self.on(uuid, kill, cut,
                lambda _r: self.line(uuid, 'settled', resource, key, payload, ''),
                lambda tx: self.journal.settled(tx, resource, key, payload))

    @rule(uuid=transactions, text=TEXTS, payload=PAYLOADS, kill=KILLS, cut=strategies.floats(0, 1))
    def note(self, uuid, text, payload, kill, cut):
        self.on(uuid, kill, cut, lambda _r: self.line(uuid, 'note', '', '', payload, ''),
                lambda tx: self.journal.note(tx, text, payload), late=True)

    @rule(uuid=transactions, payload=PAYLOADS, kill=KILLS, cut=strategies.floats(0, 1))
    def request(self, uuid, payload, kill, cut):
        self.on(uuid, kill, cut, lambda _r: self.line(uuid, 'request', '', '', payload, ''),
                lambda tx: self.journal.request(tx, 'settle', payload))

    @rule(
        uuid=transactions,
        seconds=strategies.integers(0, 600),
        kill=KILLS,
        cut=strategies.floats(0, 1),
    )
    def postpone(self, uuid, seconds, kill, cut):
        def change(_result):
            self.rows[uuid][2] += 1
        self.on(uuid, kill, cut, change,
                lambda tx: self.journal.postpone(tx, seconds, 'later'))

    @rule(uuid=transactions, kill=KILLS, cut=strategies.floats(0, 1))
    def finish(self, uuid, kill, cut):
        def change(_result):
            self.rows[uuid][0] = 'settled'
        self.on(uuid, kill, cut, change, lambda tx: self.journal.finish(tx), late=True)

    @precondition(lambda self: any(row[0] == 'settled' for row in self.rows.values()))
    @rule(kill=KILLS, cut=strategies.floats(0, 1))
    def purge(self, kill, cut):
        def change(_result):
            for uuid in [u for u, row in self.rows.items() if row[0] == 'settled']:
                for known in (self.rows, self.lines, self.intents):
                    del known[uuid]
        later = timeutils.utcnow().replace(year=timeutils.utcnow().year + 1)
        self.call(kill, cut, change, lambda: self.journal.purge(later))

    @rule(kill=KILLS, cut=strategies.floats(0, 1))
    def check_writable(self, kill, cut):
        self.call(kill, cut, lambda _r: None, self.journal.check_writable)

    @rule()
    def checkpoint(self):
        """Move the log into the database, as SQLite does every thousand pages."""
        connection = sqlite3.connect(self.path())
        connection.execute('PRAGMA wal_checkpoint(TRUNCATE)')
        connection.close()

    @invariant()
    def journal_says_what_happened(self):
        found = {tx.uuid: [tx.state, tx.verdict, tx.attempts] for tx in self.journal.list()}
        assert found == self.rows, (found, self.rows)
        unsettled = {tx.uuid for tx in self.journal.unsettled()}
        assert unsettled == {u for u, row in self.rows.items() if row[0] == 'open'}
        for tx in self.journal.list():
            lines = [(r.kind, r.resource, r.key, r.payload, r.status)
                     for r in self.journal.records(tx)]
            assert lines == self.lines[tx.uuid], (lines, self.lines[tx.uuid])
            done = {r.ref for r in self.journal.records(tx, kinds=('outcome',))}
            assert done <= set(self.intents[tx.uuid])

    def teardown(self):
        self.journal.close()
        shutil.rmtree(self.base)


TestKills = JournalMachine.TestCase
TestKills.settings = settings(
    max_examples=int(os.environ.get('MIGSAFE_EXAMPLES', '25')), stateful_step_count=30,
    deadline=None, derandomize='MIGSAFE_EXAMPLES' not in os.environ, database=None,
    suppress_health_check=list(HealthCheck))
