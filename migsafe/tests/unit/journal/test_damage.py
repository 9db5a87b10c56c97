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
"""Damaged files and rows, full and read-only disks, and schemas of another version."""

import importlib.resources
import os
import pathlib
import shutil
import sqlite3
import subprocess
import sys
from unittest import mock

import fixtures
import sqlalchemy as sa

from migsafe import exceptions
from migsafe.journal import api, commits, engine, opening, rows, schema, whole
from migsafe.tests.unit.journal import base

NOTES = 50


class TestFile(base.JournalTestCase):
    """The file as a whole."""

    def setUp(self):
        super().setUp()
        opened = self.open()
        tx = self.begin(opened)
        for number in range(NOTES):
            opened.note(tx, f'note {number}', {'fill': 'x' * 1000})
        opened.close()

    def refused(self, kind=exceptions.JournalFileCorrupt):
        with open(self.path, 'rb') as handle:
            before = handle.read()
        exc = self.assertRaises(kind, self.open)
        self.assertIn(self.path, str(exc))
        with open(self.path, 'rb') as handle:
            self.assertEqual(before, handle.read(), 'a damaged journal must not be changed')
        return str(exc)

    def test_garbage(self):
        with open(self.path, 'wb') as handle:
            handle.write(os.urandom(50000))
        self.assertIn('not a database', self.refused())

    def test_text(self):
        with open(self.path, 'w') as handle:
            handle.write('<html>503</html>\n' * 100)
        self.refused()

    def test_empty(self):
        os.truncate(self.path, 0)
        self.assertIn('mv ', self.refused())

    def test_truncated_anywhere(self):
        size = os.path.getsize(self.path)
        shutil.copy2(self.path, self.path + '.whole')
        for part in (10, 99, 100, 4096, size // 2, size - 4096, size - 1):
            shutil.copy2(self.path + '.whole', self.path)
            os.truncate(self.path, part)
            self.refused()

    def test_a_page_of_zeros(self):
        for page in (1, 5, 20):
            self._zero(page)
        self.refused()

    def _killed(self):
        """What a kill leaves: the file, and a log with what was written last."""
        opened = self.open()
        opened.note(opened.get('m-1'), 'the last word')
        for name in (self.path, f'{self.path}-wal'):
            shutil.copy2(name, f'{name}.kept')
        opened.close()
        for name in (self.path, f'{self.path}-wal'):
            os.replace(f'{name}.kept', name)
        with open(f'{self.path}-wal', 'rb') as handle:
            return handle.read()

    def _zero(self, page):
        with open(self.path, 'r+b') as handle:
            handle.seek(4096 * page)
            handle.write(b'\0' * 4096)

    def test_a_refused_open_leaves_the_log_as_it_is(self):
        log = self._killed()
        self.assertGreater(len(log), 4096)
        self._zero(20)
        self.refused()
        with open(f'{self.path}-wal', 'rb') as handle:
            self.assertEqual(log, handle.read())

    def test_the_advice_for_a_damaged_file(self):
        log = self._killed()
        self._zero(20)
        text = self.refused()
        command = text[text.index('for s in'):]
        subprocess.run(['sh', '-euc', command], check=True)
        with open(f'{self.path}.damaged-wal', 'rb') as handle:
            self.assertEqual(log, handle.read())
        self.assertEqual([], self.open().list())

    def _mixed(self):
        """A file of which an index was copied at another moment than the rest."""
        shutil.copy2(self.path, f'{self.path}.early')
        opened = self.open()
        for number in range(3):
            self.begin(opened, f'm-{number + 2}', instance=f'i-{number + 2}')
        opened.close()
        (page,), = self.sql('SELECT rootpage FROM sqlite_master WHERE name = '
                            "'migsafe_transactions_instance_idx'")
        with open(f'{self.path}.early', 'rb') as early, open(self.path, 'r+b') as late:
            for handle in (early, late):
                handle.seek(4096 * (page - 1))
            late.write(early.read(4096))
        self.assertEqual([('ok',)], self.sql('PRAGMA quick_check'))

    def test_a_copy_of_two_moments(self):
        self._mixed()
        self.assertIn('missing from index', self.refused())

    def test_a_large_file_is_checked_later(self):
        self._mixed()
        with mock.patch.object(whole, 'SMALL', 0):
            opened = self.open()
        opened.check_writable()
        exc = self.assertRaises(exceptions.JournalFileCorrupt, opened.check_whole)
        self.assertIn('missing from index', str(exc))
        self.assertIs(exc, self.assertRaises(exceptions.JournalFileCorrupt,
                                             opened.check_writable))

    def test_missing_tables(self):
        self.sql('DROP TABLE migsafe_records')
        opened = self.open()
        tx = opened.get('m-1')
        exc = self.assertRaises(exceptions.JournalUnavailable, opened.records, tx)
        self.assertIn(self.path, str(exc))
        self.assertIn('tables are missing', str(exc))

    def test_another_programs_database(self):
        os.unlink(self.path)
        self.addCleanup(os.umask, os.umask(0o077))
        self.sql('CREATE TABLE bookmarks (url TEXT)')
        exc = self.assertRaises(exceptions.JournalUnavailable, self.open, create=False)
        self.assertIn('schema "none"', str(exc))

    def test_a_later_schema(self):
        self.sql("UPDATE migsafe_alembic_version SET version_num = '0ff'")
        opened = self.assertRaises(exceptions.JournalSchemaTooNew, self.open)
        self.assertIn('"0ff"', str(opened))
        self.assertIn(f'"{schema.head()}"', str(opened))
        self.assertEqual([('0ff',)], self.sql('SELECT * FROM migsafe_alembic_version'))

    def test_the_later_version_is_installed_again(self):
        """As the message of this one advises; it reads and settles what is there."""
        later = self.later_version()
        url = opening.journal_url(self.conf, self.host)
        opening.open_store(url, self.host, create=True, chain=later).close()
        refused = self.assertRaises(exceptions.JournalSchemaTooNew, self.open)
        self.assertIn('Install that version of migsafe again', str(refused))
        again = api.Journal(opening.open_store(url, self.host, create=True, chain=later),
                            self.host)
        self.addCleanup(again.close)
        again.check_writable()
        self.assertEqual('settled', again.finish(again.get('m-1')).state)

    def later_version(self):
        """The revisions of this one, and one more that makes a table."""
        top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        package = top / 'later_migsafe'
        shutil.copytree(importlib.resources.files('migsafe.journal') / 'migrations',
                        package / 'migrations')
        (package / '__init__.py').touch()
        (package / 'migrations/versions/r0ff_more.py').write_text(
            "import sqlalchemy as sa\nfrom alembic import op\n"
            f"revision = '0ff'\ndown_revision = '{schema.head()}'\n"
            "def upgrade():\n    op.create_table('migsafe_more', sa.Column('x', sa.Integer))\n")
        self.useFixture(fixtures.MonkeyPatch('sys.path', [str(top), *sys.path]))
        self.addCleanup(sys.modules.pop, 'later_migsafe', None)
        return schema.Chain('later_migsafe:migrations', schema.VERSION_TABLE)

    def test_an_older_schema_is_upgraded_by_the_service_only(self):
        self.sql('DROP TABLE migsafe_alembic_version')
        self.assertRaises(exceptions.JournalSchemaTooOld, self.open, create=False)
        self.assertEqual(NOTES, len(self.open().records(self.open().get('m-1'))))
        self.assertEqual([(schema.head(),)], self.sql('SELECT * FROM migsafe_alembic_version'))

    def test_an_upgrade_that_fails_changes_nothing(self):
        self.sql('DROP TABLE migsafe_alembic_version', 'DROP TABLE migsafe_probes',
                 'DROP TABLE migsafe_services')
        with mock.patch('alembic.command.upgrade',
                        side_effect=self._die_after_one_table):
            self.assertRaises(ZeroDivisionError, self.open)
        tables = {name for name, in self.sql("SELECT name FROM sqlite_master")}
        self.assertNotIn('migsafe_services', tables)
        self.open().check_writable()

    @staticmethod
    def _die_after_one_table(config, _revision):
        connection = config.attributes['connection']
        connection.execute(sa.text('CREATE TABLE migsafe_services (host TEXT)'))
        raise ZeroDivisionError

    def test_full(self):
        opened = self.open()
        tx = opened.get('m-1')
        pages = self.sql('PRAGMA page_count')[0][0]

        def limit(count):
            raw = opened._store._writer.connection.driver_connection
            raw.execute(f'PRAGMA max_page_count = {count}')
        limit(pages + 3)
        exc = self.assertRaises(
            exceptions.JournalUnavailable, opened.note, tx, 'large', {'x': 'y' * 10 ** 5})
        self.assertIn(self.path, str(exc))
        self.assertIn('disk is full', str(exc))
        limit(10 ** 6)
        self.assertEqual(NOTES, len(opened.records(tx)))
        opened.note(tx, 'large', {'x': 'y' * 10 ** 5})
        self.assertEqual(NOTES + 1, len(opened.records(tx)))

    def test_locked_by_a_process_that_hangs(self):
        opened = self.open()
        tx = opened.get('m-1')
        other = sqlite3.connect(self.path, isolation_level=None)
        self.addCleanup(other.close)
        other.execute('BEGIN IMMEDIATE')
        with mock.patch.object(commits, 'BUSY_SECONDS', 0.2):
            exc = self.assertRaises(exceptions.JournalUnavailable, opened.note, tx, 'x')
        self.assertIn(f'fuser -v {self.path}', str(exc))
        self.assertEqual(NOTES, len(opened.records(tx)), 'readers do not wait for a writer')
        other.execute('ROLLBACK')
        opened.note(tx, 'x')

    def test_no_wal_there(self):
        with mock.patch.object(engine.sa.Engine, 'raw_connection') as raw:
            raw.return_value.cursor.return_value.execute.return_value.fetchone.return_value = [
                'delete']
            exc = self.assertRaises(exceptions.JournalUnavailable, self.open)
        self.assertIn('[migsafe] state_path', str(exc))


class TestRows(base.JournalTestCase):
    """Single rows that somebody else wrote."""

    def setUp(self):
        super().setUp()
        self.journal = self.open()
        self.tx = self.begin(self.journal)
        self.begin(self.journal, uuid='m-2')

    def damage(self, table, where, **columns):
        with sqlite3.connect(self.path) as connection:
            for name, value in columns.items():
                changed = connection.execute(
                    f'UPDATE {table} SET {name} = ? WHERE {where}', (value,))
                self.assertEqual(1, changed.rowcount)
        connection.close()

    def test_a_payload_of_any_nonsense(self):
        bad = ['not json', '{"a": ', '"text"', '4711', 'null-', b'\xff\xfe\x00{', '[' * 100000,
               f'{{"auth_password": "{base.SECRET}"', 'x' * 10 ** 7, 4711, '']
        for number, value in enumerate(bad):
            self.journal.note(self.tx, f'bad {number}', {'a': 1})
            self.damage('migsafe_records', f"text = 'bad {number}'", payload=value)
        self.journal.note(self.tx, 'good', {'good': True})
        found = self.journal.records(self.tx)
        self.assertEqual(len(bad) + 1, len(found))
        self.assertEqual({'good': True}, found[-1].payload)
        for record in found[:-1]:
            exc = self.assertRaises(exceptions.JournalCorrupt, lambda r=record: r.payload)
            self.assertIn(f'id {record.id}, column payload', str(exc))
            self.assertIn(self.path, str(exc))
            self.assertNotIn(base.SECRET, str(exc) + repr(record))
            self.assertLess(len(str(exc)), 600)
            self.assertEqual('note', record.kind)
            self.assertEqual(['payload'], list(record.problems()))

    def test_every_column_of_a_transaction(self):
        bad = {'role': 'both', 'state': 'haunted', 'verdict': 'MAYBE', 'attempts': 'many',
               'next_attempt_at': 'tomorrow', 'created_at': '2026-13-45', 'updated_at': 12,
               'settled_at': b'\xff', 'migration_id': 'x', 'reason': 7.5, 'uuid': b'm-1\xff'}
        self.assertLessEqual(set(bad), set(rows.TRANSACTION))
        for column, value in bad.items():
            self.damage('migsafe_transactions', f'id = {self.tx.id}', **{column: value})
        for found in (self.journal.unsettled(), self.journal.list()):
            self.assertEqual([self.tx.id, self.tx.id + 1], [tx.id for tx in found])
            self.assertEqual('m-2', found[1].uuid)
            broken = set(found[0].problems())
            # NOTE: SQLite itself makes text of a number in a text column, and bytes that are
            # no UTF-8 are read as escaped text.
            self.assertLessEqual(set(bad) - {'uuid', 'reason', 'settled_at'}, broken)
            for column in broken:
                self.assertRaises(exceptions.JournalCorrupt, getattr, found[0], column)
            self.assertIn('<unreadable>', repr(found[0]))

    def test_an_unknown_kind_is_noticed_when_it_is_read(self):
        self.journal.note(self.tx, 'one')
        self.journal.note(self.tx, 'two')
        self.damage('migsafe_records', "text = 'one'", kind='exorcism')
        one, two = self.journal.records(self.tx)
        exc = self.assertRaises(exceptions.JournalCorrupt, lambda: one.kind)
        self.assertIn("'exorcism'", str(exc))
        self.assertEqual(('one', 'note'), (one.text, two.kind))

    def test_an_unknown_state_counts_as_unsettled(self):
        self.damage('migsafe_transactions', f'id = {self.tx.id}', state='')
        self.assertEqual(2, len(self.journal.unsettled()))
        self.assertEqual(2, len(self.journal.unsettled_for_instance('i-1')))

    def test_a_damaged_transaction_can_still_be_settled(self):
        self.damage('migsafe_transactions', f'id = {self.tx.id}', verdict='MAYBE')
        found = self.journal.get('m-1')
        self.assertEqual('ABORT', self.journal.verdict(found, 'ABORT', 'by hand').verdict)
        self.assertEqual('settled', self.journal.finish(found).state)

    def test_a_damaged_status(self):
        self.journal.set_status(armed=True, pid=1, boot_id='b', plugin_version='1',
                                nova_version='34', concurrency='eventlet', seams=['a'])
        self.damage('migsafe_services', "host = 'node13'", armed=7, seams='{"a": 1}')
        status, = self.journal.statuses()
        self.assertEqual({'armed', 'seams'}, set(status.problems()))
        self.assertEqual('34', status.nova_version)


class TestSchema(base.JournalTestCase):
    """What alembic makes is what the models say."""

    def test_migrations_make_what_the_models_say(self):
        from alembic.autogenerate import compare_metadata
        from alembic.runtime import migration

        from migsafe.journal import models
        with self.open()._store.engine.connect() as connection:
            context = migration.MigrationContext.configure(
                connection, opts={'version_table': schema.VERSION_TABLE})
            self.assertEqual([], compare_metadata(context, models.Base.metadata))

    def test_a_journal_of_the_first_schema_is_upgraded(self):
        self.begin(self.open())
        self.sql('DROP TABLE migsafe_findings',
                 "UPDATE migsafe_alembic_version SET version_num = '001'")
        opened = self.open()
        opened.set_findings('R9', {('i-1', 'v-1'): 'found'})
        self.assertEqual((1, 1), (len(opened.list()), len(opened.findings())))

    def test_the_head_is_known(self):
        self.assertIn(schema.head(), schema.known())
