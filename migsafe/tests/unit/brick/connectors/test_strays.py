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
"""What a connect has left is taken away later only if it is that still, and nobody's volume."""

import shutil
import time
from unittest import mock

import fixtures

from migsafe.brick import refusals
from migsafe.brick.guard import policy, strays
from migsafe.tests.unit.brick.connectors import test_shim
from migsafe.tests.unit.brick.guard import test_questions

PROPS = test_shim.PROPS


class StrayTest(test_shim.ConnectCase):

    def setUp(self):
        super().setUp()
        self.addCleanup(strays.clear)
        self.later = 0
        self.useFixture(fixtures.MonkeyPatch('migsafe.brick.guard.strays.time', mock.Mock(
            monotonic=lambda: time.monotonic() + self.later)))
        self.connector.use_multipath = True
        self.appears = lambda: self.disk('sda', '7')

    def disk(self, name, number):
        top = self.tree.disk(name)
        (self.tree.top / name / 'diskseq').write_text(f'{number}\n')
        self.note(top, test_questions.NAA)

    def left(self):
        """A path that multipathd has not looked at yet, and that does not go."""
        self.taken_back.side_effect = RuntimeError('blkid reads it')
        self.assertRaises(refusals.NotMultipath, self.connector.connect_volume,
                          {**PROPS, 'enforce_multipath': True,
                           policy.KEY: [test_questions.NAA]})
        self.assertEqual([('/dev/sda', 'vol-1')], list(strays.left()))
        self.taken_back.side_effect = None
        self.taken_back.reset_mock()

    def retried(self):
        self.later += 1000
        strays.retry()
        return self.taken_back.called

    def test_control(self):
        self.left()
        self.assertTrue(self.retried())
        self.assertEqual({}, strays.left())

    def test_the_same_disk_is_handed_out_under_another_name(self):
        self.left()
        strays.forget('/dev/dm-7', frozenset((test_questions.NAA,)))
        self.assertEqual({}, strays.left())
        self.assertFalse(self.retried())

    def test_another_disk_is_handed_out(self):
        self.left()
        strays.forget('/dev/dm-7', frozenset((test_questions.OTHER,)))
        self.assertTrue(self.retried())

    def test_it_is_handed_out_while_the_retry_waits_for_that(self):
        self.left()
        stray = next(iter(strays._LEFT.values()))
        strays.forget('/dev/dm-7', frozenset((test_questions.NAA,)))
        self.assertFalse(stray.take_away())
        self.assertFalse(self.taken_back.called)

    def test_an_operator_has_taken_it_away_and_attached_it_again(self):
        self.left()
        (self.tree.top / 'sda' / 'diskseq').write_text('8\n')
        self.assertFalse(self.retried())
        self.assertEqual([('/dev/sda', 'vol-1')], list(strays.left()))

    def test_it_has_gone_by_itself(self):
        self.left()
        shutil.rmtree(self.tree.top / 'sda')
        self.assertFalse(self.retried())
        self.assertEqual({}, strays.left())

    def test_it_has_come_by_another_way_as_well(self):
        self.left()
        self.disk('sdb', '9')
        with fixtures.MonkeyPatch('migsafe.brick.kernel.sessions.disks',
                                  lambda targets: {'sda', 'sdb'}):
            self.assertFalse(self.retried())
            self.assertEqual([('/dev/sda', 'vol-1')], list(strays.left()))
        self.assertTrue(self.retried())
