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
"""What is unsettled is listed page by page, however much there is."""

import datetime
from unittest import mock

from oslotest import base as oslo_base

from migsafe.journal import models, residue
from migsafe.journal.store import Store
from migsafe.tests.unit.journal import base


class TestListed(base.JournalTestCase):
    def test_reads_do_not_grow_with_the_transactions(self):
        opened, reads, read = self.open(), [], Store.read
        for number in range(residue.PAGE + 10):
            tx = self.begin(opened, f'm-{number}', instance=f'i-{number % 2}')
            opened.hold(tx, 'volume_connection', f'R4 v-{number}', 'in use')

        def counted(store, what, work):
            reads.append(what)
            return read(store, what, work)
        with mock.patch.object(Store, 'read', counted):
            found = list(residue.listed(opened))
        self.assertEqual({('R4', f'v-{number}') for number in range(residue.PAGE + 10)},
                         {(one.kind, one.key) for one in found if one.resource != 'transaction'})
        self.assertEqual(2, reads.count('reading logs'))
        self.assertLess(len(reads), 8)
        its = [one for one in residue.listed(opened, 'i-1') if one.resource != 'transaction']
        self.assertEqual({f'm-{number}' for number in range(1, residue.PAGE + 10, 2)},
                         {one.transaction for one in its})


class TestTime(oslo_base.BaseTestCase):
    def test_only_the_form_that_is_written_is_a_time(self):
        """The others would be aware, or another moment than they say."""
        kind = models.UtcDateTime()
        self.assertEqual(datetime.datetime(2026, 11, 29, 4, 5, 6, 7),
                         kind.process_result_value('2026-11-29 04:05:06.000007', None))
        for other in ('2026-11-29', '2026-11-29T04:05:06.000007', '2026-11-29 04:05:06',
                      '2026-11-29 04:05:06.000007+02:00', '20261129T040506', 'soon', ''):
            self.assertEqual(other, kind.process_result_value(other, None))
