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
"""How long a destination goes on without asking, and what it is told."""

import dataclasses
import datetime
import unittest
from unittest import mock

from oslo_utils import timeutils

from migsafe.nova.host import attempt, lease
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.clients import OtherMove

SRC, DST, THIRD = fake.SRC, fake.DST, fake.THIRD


class TestOverdue(unittest.TestCase):
    def after(self, boot, wall):
        """Whether it is overdue after so many seconds by each of the two clocks."""
        begun = datetime.datetime(2026, 11, 28, 10)
        with mock.patch.object(lease, '_boottime', side_effect=[100.0, 100.0 + boot]), \
                mock.patch.object(timeutils, 'utcnow', side_effect=[
                    begun, begun + datetime.timedelta(seconds=wall)]):
            return lease.Lease(30, lambda: 'asked').overdue()

    def test_by_either_clock(self):
        for boot, wall, expected in ((0, 0, False), (29.9, 29.9, False), (30, 0, True),
                                     (0, 30, True), (30, -3600, True), (29, -3600, False)):
            self.assertIs(expected, self.after(boot, wall), (boot, wall))

    def test_nobody_is_asked_before(self):
        held = lease.Lease(3600, mock.Mock(side_effect=AssertionError))
        self.assertEqual('', held.lost())

    def test_a_question_that_fails_is_a_no(self):
        held = lease.Lease(0, mock.Mock(side_effect=OSError('conductor is away')))
        self.assertIn('conductor is away', held.lost())


class TestRefusal(unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.cloud = fake.Cloud(local=DST)
        self.cloud.records.status = 'preparing'
        self.cloud.peer.description = {'known': True, 'live': True, 'state': 'open',
                                       'verdict': ''}

    def refusal(self, plugin=True):
        return lease.refusal(self.cloud.clients(), fake.transaction(self.cloud), plugin)

    def test_source_at_work(self):
        self.assertEqual('', self.refusal())
        self.cloud.peer.description['verdict'] = 'HOLD'
        self.assertEqual('', self.refusal())

    def test_every_other_answer_of_the_source(self):
        for given in (None, {'verdict': 'ABORT'}, {'verdict': 'COMMIT'}, {'state': 'settled'},
                      {'live': False}, {'known': False}):
            self.setUp()
            if given is None:
                self.cloud.peer.description = None
            else:
                self.cloud.peer.description |= given
            self.assertIn(SRC, self.refusal(), given)

    def test_source_without_the_plugin_is_not_asked(self):
        self.cloud.peer.description = None
        self.assertEqual('', self.refusal(plugin=False))
        self.assertEqual([], self.cloud.calls.of('peer.describe'))

    def test_record_of_the_migration_comes_first(self):
        for status in ('error', 'failed', 'cancelled', 'completed'):
            self.cloud.records.status = status
            for plugin in (True, False):
                self.assertIn(status, self.refusal(plugin))

    def test_later_operation(self):
        for kind, status, stops in (('live-migration', 'accepted', False),
                                    ('live-migration', 'preparing', True),
                                    ('evacuation', 'accepted', True)):
            self.cloud.records.others = [OtherMove(kind, 'the-next', status, SRC, THIRD)]
            self.assertIs(stops, 'the-next' in self.refusal(), (kind, status))


class TestWaited(unittest.TestCase):
    NOW = datetime.datetime(2026, 11, 28, 10)

    def waited(self, age):
        sent = mock.Mock(updated_at=age if age is None else self.NOW - datetime.timedelta(
            seconds=age))
        with mock.patch.object(timeutils, 'utcnow', return_value=self.NOW):
            return lease.waited(sent)

    def test_by_its_age(self):
        for age, expected in ((0, False), (29, False), (-29, False), (31, True), (-31, True),
                              (None, True)):
            self.assertIs(expected, self.waited(age), age)


class TestMoved(unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.cloud = fake.Cloud()

    def moved(self):
        return lease.moved(self.cloud.clients(), fake.transaction(self.cloud))

    def test_nothing_says_so(self):
        self.assertEqual('', self.moved())

    def test_record_of_the_instance(self):
        row = self.cloud.records.row
        for changes, expected in (({'host': THIRD}, THIRD), ({'task_state': None}, 'not to be')):
            self.cloud.records.row = dataclasses.replace(row, **changes)
            self.assertIn(expected, self.moved())
        self.cloud.records.row = None
        self.assertIn('deleted', self.moved())

    def test_later_operation(self):
        self.cloud.records.others = [OtherMove('evacuation', 'next', 'accepted', SRC, THIRD)]
        self.assertIn('next', self.moved())


class TestRowOfLeader(unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.cloud = fake.Cloud(local=DST)
        self.row = self.cloud.records.volumes(fake.INSTANCE)[0]

    def found(self):
        return lease.row_of_leader(self.cloud.clients(), fake.transaction(self.cloud),
                                   dataclasses.replace(self.row, attachment_id='late'))

    def test_by_cinder(self):
        mine = [a for a in self.cloud.clients().volumes.attachments(fake.INSTANCE)
                if a.volume_id == self.row.volume_id and a.host == SRC]
        self.assertEqual([mine[0].id], [self.found().attachment_id])

    def test_a_later_host_by_nova_s_record(self):
        """It was moved on from the source while the write was under way."""
        rows = self.cloud.volumes.rows
        rows.update({name: dataclasses.replace(one, host=THIRD) for name, one in rows.items()
                     if one.host == SRC})
        self.assertIsNone(self.found())
        records = self.cloud.records
        records.row = dataclasses.replace(records.row, host=THIRD)
        there = [one.id for one in rows.values()
                 if one.host == THIRD and one.volume_id == self.row.volume_id]
        self.assertEqual(there, [self.found().attachment_id])

    def test_one_that_it_is_on_its_way_to(self):
        records = self.cloud.records
        records.row = dataclasses.replace(records.row, host=THIRD)
        for status, over, leads in (('running', False, True), ('error', True, False),
                                    ('accepted', False, False)):
            records.others = [OtherMove('live-migration', 'next', status, THIRD, SRC, over)]
            with self.subTest(status):
                self.assertEqual(leads, self.found() is not None)

    def test_the_record_that_names_this_host_itself(self):
        records = self.cloud.records
        records.row = dataclasses.replace(records.row, host=DST)
        self.assertIsNotNone(self.found())

    def test_none_is_left_to_the_source(self):
        self.cloud.volumes.rows.clear()
        self.assertIsNone(self.found())


class TestAttempt(unittest.TestCase):
    def test_stopped_for_good(self):
        answers = iter(('', 'node13 has decided ABORT'))
        made = attempt.Attempt('m', 'i', None, lease=lease.Lease(0, lambda: next(answers)))
        self.assertEqual('', made.stopped())
        for _ in range(2):
            # the second time nobody is asked
            self.assertTrue(made.stopped())
        self.assertTrue(made.fenced.is_set())
        self.assertEqual(['lease'], made.failures)

    def test_without_a_lease(self):
        made = attempt.Attempt('m', 'i', None)
        self.assertEqual('', made.stopped())
        made.fenced.set()
        self.assertTrue(made.stopped())
