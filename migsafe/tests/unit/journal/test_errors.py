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
"""Errors say what was found and what to do, and nothing secret."""

import pickle
import traceback

import fixtures
import sqlalchemy as sa
from oslo_db import exception as db_exception
from oslotest import base as oslo_base

from migsafe import exceptions
from migsafe.journal import errors, values
from migsafe.tests.unit.journal import base


class TestTranslation(base.JournalTestCase):
    """One place turns foreign errors into those of the journal."""

    def test_values_of_a_statement_are_nowhere(self):
        opened = self.open()
        tx = self.begin(opened)

        def work(session):
            session.execute(
                sa.text('INSERT INTO nowhere VALUES (:secret)'), {'secret': base.SECRET})
        try:
            opened._commit('a test', work)
        except exceptions.JournalUnavailable as exc:
            shown = ''.join(traceback.format_exception(exc))
        self.assertIn('no such table: nowhere', shown)
        self.assertNotIn(base.SECRET, shown)
        self.assertEqual([], opened.records(tx))

    def test_only_the_first_line_is_used(self):
        inner = Exception(f'null value in column "x"\nDETAIL: Failing row: ({base.SECRET})')
        found = errors.translate(db_exception.DBError(inner), 'db', 'a test')
        self.assertIn('null value', str(found))
        self.assertNotIn(base.SECRET, str(found))

    def test_labels_hide_the_password(self):
        for url in ('mysql+pymysql://u:hush@db:3306/m?ssl_key=/x&password=hush',
                    'postgresql+psycopg2://u:hush@db/m'):
            self.assertNotIn('hush', errors.label(sa.make_url(url)))
        self.assertEqual('/x/y.sqlite', errors.label(sa.make_url('sqlite:////x/y.sqlite')))

    def test_no_advice_about_a_file_that_does_not_exist(self):
        text = 'attempt to write a readonly database'
        found = errors.translate(db_exception.DBError(Exception(text)), '/nonexistent/x', 'a note')
        self.assertNotIn('chmod', str(found))
        self.assertIn('removed while it was in use', str(found))
        url = 'postgresql+psycopg2://u:***@db/m'
        for text, words in (
                ('cannot execute INSERT in a read-only transaction', ('replica', 'read_only')),
                ('(1290, "The MariaDB server is running with the --read-only option")',
                 ('replica', '[migsafe] connection')),
                ('permission denied for schema public', ('Grant', '[migsafe] connection')),
                ("(1142, \"INSERT command denied to user 'm'@'h'\")", ('Grant',))):
            found = str(errors.translate(db_exception.DBError(Exception(text)), url, 'a note'))
            for word in words:
                self.assertIn(word, found)
            for word in ('chmod', 'directory', 'file system'):
                self.assertNotIn(word, found)

    def test_each_meaning(self):
        self.useFixture(fixtures.MonkeyPatch('os.path.lexists', lambda path: True))
        for text, kind, word in (
                ('database or disk is full', exceptions.JournalAway, 'Free space'),
                ('(1021, "Disk full (/tmp); No space left")', exceptions.JournalAway,
                 'Free space'),
                ('could not extend file "base/1": No space left on device',
                 exceptions.JournalAway, 'Free space'),
                ('attempt to write a readonly database', exceptions.JournalAway,
                 'chmod 0600 /a/b'),
                ('cannot execute INSERT in a read-only transaction',
                 exceptions.JournalAway, 'read-only'),
                ('database is locked', exceptions.JournalAway, 'fuser -v /a/b'),
                ('unable to open database file', exceptions.JournalAway, 'belong'),
                ('disk I/O error', exceptions.JournalAway, 'dmesg'),
                ('database disk image is malformed', exceptions.JournalFileCorrupt, 'mv /a/b'),
                ('file is not a database', exceptions.JournalFileCorrupt, 'untouched'),
                ('(1146, "Table \'x.y\' doesn\'t exist")', exceptions.JournalUnavailable,
                 'db sync'),
                ('Access denied for user', exceptions.JournalUnavailable, 'connection'),
                ('something new', exceptions.JournalAway, 'something new')):
            found = errors.translate(db_exception.DBError(Exception(text)), '/a/b', 'a note')
            self.assertIs(kind, type(found), text)
            self.assertIn(word, str(found))
            self.assertIn('/a/b', str(found))

    def test_the_advice_is_that_of_the_kind_of_database(self):
        advice = errors.Advice('make-it', 'that_option', 'that_path')
        for text, word in (('no such table: x', 'Run: make-it'),
                           ('Access denied for user', 'Correct [migsafe] that_option.')):
            found = errors.translate(db_exception.DBError(Exception(text)), '/a/b', 'x', advice)
            self.assertIn(word, str(found))

    def test_an_error_of_migsafe_passes(self):
        exc = exceptions.JournalBadValue(what='x', reason='y')
        try:
            with errors.translated('db', 'a test'):
                raise exc
        except exceptions.MigsafeError as found:
            self.assertIs(exc, found)

    def test_a_mistake_in_the_code_is_not_hidden(self):
        def fail():
            with errors.translated('db', 'a test'):
                raise KeyError('x')
        self.assertRaises(KeyError, fail)


class TestExceptions(oslo_base.BaseTestCase):
    """Every class can be made, and can cross the message bus."""

    def test_rebuilt_from_args_and_kwargs(self):
        exc = exceptions.JournalInsecure(path='/100%/x', reason='r %s', cure='c')
        again = type(exc)(*exc.args, **exc.kwargs)
        self.assertEqual(str(exc), str(again))
        self.assertEqual(str(exc), str(pickle.loads(pickle.dumps(exc))))

    def test_hierarchy(self):
        for kind in (exceptions.JournalInsecure, exceptions.JournalSchemaTooNew,
                     exceptions.JournalSchemaTooOld, exceptions.JournalFileCorrupt):
            self.assertTrue(issubclass(kind, exceptions.JournalUnavailable))
        self.assertFalse(issubclass(exceptions.JournalCorrupt, exceptions.JournalUnavailable))


class TestValues(oslo_base.BaseTestCase):
    """What may be written."""

    def test_payloads_that_are_none(self):
        loop = []
        loop.append(loop)
        deep = []
        for _level in range(100000):
            deep = [deep]
        for wrong in ('text', 7, b'x', loop, deep):
            exc = self.assertRaises(exceptions.JournalBadValue, values.dump, 'a note', wrong)
            self.assertLess(len(str(exc)), 300)
        self.assertIsNone(values.dump('a note', None))

    def test_prose_never_fails(self):
        for odd in (None, 5, b'\xff', 'a\x00b', '\ud800', Exception('x'), 'x' * 10 ** 6):
            self.assertLess(len(values.prose(odd)), values.TEXT_LIMIT + 100)
        self.assertEqual('?[2J', values.prose('\x1b[2J'))

    def test_words_are_never_cut(self):
        self.assertEqual('x' * 9, values.word('w', 'n', 'x' * 9, 9))
        for wrong in ('x' * 10, None, 5, 'a\nb', '\x1b', '\ud800'):
            self.assertRaises(exceptions.JournalBadValue, values.word, 'w', 'n', wrong, 9)
