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
"""The journal in SQLite."""

import datetime
import os
from unittest import mock

from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.journal import blanking, engine, upkeep
from migsafe.tests import filling
from migsafe.tests.unit.journal import api_cases, base


class TestSqlite(api_cases.ApiCases, base.JournalTestCase):
    """All of the journal's API."""

    def test_each_connection_is_durable(self):
        reader = self.journal._store.engine.connect()
        self.addCleanup(reader.close)
        for connection in (reader, self.journal._store._writer):
            cursor = connection.connection.cursor()
            found = {name: cursor.execute(f'PRAGMA {name}').fetchone()[0] for name in (
                'journal_mode', 'synchronous', 'foreign_keys', 'trusted_schema')}
            self.assertEqual({'journal_mode': 'wal', 'synchronous': 2, 'foreign_keys': 1,
                              'trusted_schema': 0}, found)

    def test_unsynced_does_not_wait_for_the_disk(self):
        tx = self.begin(self.journal)
        writer = self.journal._store._writer
        before = writer.connection.driver_connection

        def synchronous(connection):
            return connection.exec_driver_sql('PRAGMA synchronous').scalar()

        def fails(error):
            def work(_connection):
                raise error
            return work
        self.assertEqual(1, self.journal.unsynced._commit('a test', synchronous))
        self.assertEqual(2, self.journal._commit('a test', synchronous))
        for error in (KeyError, KeyboardInterrupt):
            self.assertRaises(error, self.journal.unsynced._commit, 'a test', fails(error))
            self.assertEqual(2, self.journal._commit('a test', synchronous))
        self.assertIs(before, writer.connection.driver_connection)
        # All see it, and a process that is killed now has it.
        self.journal.unsynced.note(tx, 'soft')
        self.assertEqual(['soft'], [line.text for line in self.open().records(tx)])

    def test_a_connection_that_stays_unsynced_is_not_used_again(self):
        tx = self.begin(self.journal)
        before = self.journal._store._writer.connection.driver_connection
        real = engine._synchronous

        def refuse(connection, level):
            real(connection, level if level == 'NORMAL' else 'no such level ;')
        with mock.patch.object(engine, '_synchronous', refuse):
            self.assertRaises(exceptions.JournalError, self.journal.unsynced.note, tx, 'x')
        self.assertEqual(2, self.journal._commit('a test', lambda connection: (
            connection.exec_driver_sql('PRAGMA synchronous').scalar())))
        self.assertIsNot(before, self.journal._store._writer.connection.driver_connection)

    def test_no_batch_of_a_purge_reads_what_others_have_read(self):
        """Four times as many take four times as long, not sixteen times."""
        later, took = timeutils.utcnow(), []
        for number in (300, 1200):
            filling.transactions(self.journal._store, ['node11', 'node13', 'node14'], number, 1,
                                 later)
            with mock.patch.object(upkeep, 'PURGE_BATCH', 10), \
                    filling.steps(self.journal._store) as steps:
                self.assertEqual(number, self.journal.purge(
                    later + datetime.timedelta(seconds=1), all_hosts=True))
            took += steps
        self.assertGreater(took[0], 100)
        self.assertLess(took[1], 6 * took[0])

    def test_a_time_that_is_none_is_purged_and_no_obstacle(self):
        later = timeutils.utcnow()
        filling.transactions(self.journal._store, ['node13'], 20, 1, later)
        self.sql("UPDATE migsafe_transactions SET settled_at = '2020-13-45' WHERE id > 10")
        with mock.patch.object(upkeep, 'PURGE_BATCH', 3):
            self.assertEqual(20, self.journal.purge(later + datetime.timedelta(seconds=1)))

    def test_no_page_of_blanking_reads_all_that_is_settled(self):
        """Each page would, if it had to be sorted: hours for a million transactions."""
        with self.journal._store.engine.connect() as connection:
            plan = connection.exec_driver_sql('EXPLAIN QUERY PLAN ' + str(
                blanking._SETTLED.params(
                    host='node13', at=base.NOW, after_id=0, until=base.NOW).compile(
                        connection, compile_kwargs={'literal_binds': True}))).all()
        text = ' '.join(row[-1] for row in plan)
        self.assertIn('migsafe_transactions_settled_at_idx', text)
        self.assertNotIn('TEMP B-TREE', text)

    def test_the_writer_keeps_its_connection(self):
        tx = self.begin(self.journal)
        self.journal.note(tx, 'a new connection would sync the directory too')
        before = self.journal._store._writer.connection.driver_connection
        for _turn in range(3):
            self.journal.note(tx, 'x')
        self.assertIs(before, self.journal._store._writer.connection.driver_connection)

    def test_a_child_process_must_open_its_own(self):
        tx = self.begin(self.journal)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                self.journal.note(tx, 'from the child')
            except exceptions.JournalUnavailable as exc:
                code = 0 if 'fork' in str(exc) else 2
            finally:
                os._exit(code)
        self.assertEqual(0, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        self.journal.note(tx, 'from the parent')
        self.assertEqual(['from the parent'], [r.text for r in self.journal.records(tx)])

    def test_a_failed_write_leaves_no_transaction_open(self):
        tx = self.begin(self.journal)
        for error in (KeyError, KeyboardInterrupt):
            def fail(_session, error=error):
                raise error
            self.assertRaises(error, self.journal._commit, 'a test', fail)
            self.assertFalse(self.journal._store._writer.in_transaction())
            self.open().note(tx, 'another writer is let in')
        self.assertEqual(2, len(self.journal.records(tx)))

    def test_a_second_opening_finds_everything(self):
        tx = self.begin(self.journal)
        self.journal.intent(tx, 'r', 'e')
        self.journal.close()
        again = self.open()
        self.assertEqual(['m-1'], [t.uuid for t in again.unsettled()])
        self.assertEqual(['intent'], [r.kind for r in again.records(tx)])

    def test_unsettled_uses_its_index(self):
        engine = self.journal._store.engine
        plan = self.sql("EXPLAIN QUERY PLAN SELECT * FROM migsafe_transactions WHERE "
                        "state <> 'settled' AND id > 5 AND host = 'node13' ORDER BY id LIMIT 9")
        self.assertIn('migsafe_transactions_unsettled_idx', str(plan))
        self.assertNotIn('TEMP B-TREE', str(plan))
        seen = []
        from sqlalchemy import event
        event.listen(engine, 'before_cursor_execute',
                     lambda c, cur, statement, *a: seen.append(statement))
        self.journal.unsettled(limit=9, after_id=5)
        self.assertIn("state <> 'settled'", ' '.join(seen))

    def test_repr_of_a_record_hides_its_payload(self):
        tx = self.begin(self.journal, captures=[('volume_connection', 'v', base.CONNECTION)])
        record, = self.journal.records(tx)
        self.assertIn('volume_connection', repr(record))
        self.assertNotIn(base.SECRET, repr(record))
        self.assertNotIn('target_lun', repr(record))
