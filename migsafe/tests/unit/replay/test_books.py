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
from oslotest import base

from migsafe import journal
from migsafe.replay import books
from migsafe.tests.unit.journal import base as journal_base

INSTANCE = '11111111-2222-4333-8444-555555555555'
UUID = '66666666-7777-4888-8999-000000000000'


class BooksTest(base.BaseTestCase):
    def setUp(self):
        super().setUp()
        self.useFixture(journal_base.Clock())
        self.conf = journal_base.make_conf(self.useFixture(journal_base.fixtures.TempDir()).path)
        self.journal = journal.open_journal(self.conf, 'node13')
        self.addCleanup(self.journal.close)
        self.books = books.Books(self.conf)
        self.addCleanup(self.books.close)
        self.tx = self.journal.begin(
            UUID, 'source', INSTANCE, 'node13', 'node11',
            captures=[('volume_connection', 'a', journal_base.CONNECTION),
                      ('volume_connection', 'b', journal_base.CONNECTION)])

    def test_each_line_is_told_once(self):
        self.assertEqual(('capture: volume_connection',), self.books.new_lines('node13', INSTANCE))
        self.assertEqual((), self.books.new_lines('node13', INSTANCE))
        intent = self.journal.intent(self.tx, 'host_device', 'connect_volume')
        self.journal.outcome(self.tx, intent, 'ok')
        self.assertEqual(('intent: connect_volume', 'ok: connect_volume'),
                         self.books.new_lines('node13', INSTANCE))

    def test_no_secret_is_told(self):
        secret = journal_base.SECRET
        said = f"cannot log in with {{'auth_password': '{secret}'}}"
        self.journal.verdict(self.tx, 'HOLD', said, journal_base.CONNECTION)
        self.journal.hold(self.tx, 'volume_connection', 'a', said)
        self.journal.note(self.tx, said, journal_base.CONNECTION)
        told = [*self.books.new_lines('node13', INSTANCE),
                *map(str, self.books.verdicts('node13', INSTANCE))]
        self.assertTrue(any('cannot log in' in line for line in told))
        self.assertNotIn(secret, ' '.join(told))

    def test_verdicts_say_how_it_stands(self):
        self.journal.verdict(self.tx, 'ABORT', 'runs on the source only')
        self.journal.finish(self.tx, 'all settled')
        (found,) = self.books.verdicts('node13', INSTANCE)
        self.assertEqual(('node13', 'source', 'settled', 'ABORT', 'all settled'),
                         (found.host, found.role, found.state, found.verdict, found.reason))
