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
"""When a live migration is stuck, and what is said of it."""

import unittest

from migsafe.watch import reasons
from migsafe.watch.migration import Progress, State
from migsafe.watch.reasons import Act

HERE = 'node13'
SENT = Progress(100.0, 1000, 700, 400)


def look(**given):
    return reasons.Look('m-1', 'i-1', **{
        'role': 'source', 'source': HERE, 'destination': 'node11', 'age': 100.0,
        'phase': 'transfer', **given})


class TestJudge(unittest.TestCase):

    #: what was found -> state, act, what is said
    CASES = (
        ({'live': True}, State.RUNNING, Act.NOTHING, ''),
        ({'live': True, 'progress': SENT, 'still': 599.0}, State.RUNNING, Act.NOTHING, ''),
        ({'live': True, 'progress': SENT, 'still': 600.0}, State.STUCK, Act.ABORT,
         'sent for 600 seconds ([migsafe] stuck_after = 600)'),
        ({'live': True, 'progress': SENT, 'busy': 1661.0, 'allowed': 1660.0}, State.STUCK,
         Act.ABORT, 'live_migration_completion_timeout allows 1660'),
        ({'live': True, 'progress': SENT, 'busy': 1e6}, State.RUNNING, Act.NOTHING, ''),
        ({'live': True, 'progress': SENT, 'peer_down': True}, State.STUCK, Act.NOTHING,
         'nova-compute on node11 is down'),
        ({'live': True, 'still': 601.0}, State.STUCK, Act.NOTHING, 'no step was taken for 601'),
        ({'live': True, 'busy': 2161.0, 'allowed': 2160.0}, State.STUCK, Act.NOTHING,
         'vif_plugging_timeout allow 2160'),
        ({'unsettled': True}, State.UNSETTLED, Act.NOTHING, 'about to be settled'),
        ({'unsettled': True, 'role': 'destination'}, State.UNSETTLED, Act.NOTHING,
         'it is left to node13, which leads'),
        ({'unsettled': True, 'tried': True, 'held': 'held by vg0/lv0.'}, State.UNSETTLED,
         Act.SETTLE, 'held by vg0/lv0. "migsafe journal show m-1" on node13'),
        ({'unsettled': True, 'tried': True, 'held': 'no answer', 'peer_down': True},
         State.UNSETTLED, Act.SETTLE, 'node11 is down by Nova\'s record. no answer'),
        ({'status': 'running', 'still': 700.0}, State.STUCK, Act.SETTLE,
         "Nova's record of it is running, and nothing on node13 is at it, for 700 seconds"),
        ({'status': 'accepted'}, State.RUNNING, Act.NOTHING, ''),
    )

    def test_table(self):
        for given, state, act, said in self.CASES:
            with self.subTest(str(given)):
                found, row = reasons.judge(look(**given), HERE, 600)
                self.assertEqual((state.value, act), (found.state, row.act))
                self.assertIn(said, found.reason)
                self.assertEqual(not said, not found.reason)
                self.assertNotIn('{', found.reason)

    def test_each_row_is_in_use(self):
        used = {id(reasons.judge(look(**given), HERE, 600)[1]) for given, *_ in self.CASES}
        self.assertEqual({id(row) for row in reasons.TABLE}, used)

    def test_switched_off(self):
        for given in ({'live': True, 'progress': SENT}, {'live': True}, {'status': 'running'}):
            found, _row = reasons.judge(look(still=1e9, **given), HERE, 0)
            self.assertEqual(State.RUNNING.value, found.state)

    def test_what_stands_in_a_command_is_one_word(self):
        found, _row = reasons.judge(look(live=True, peer_down=True, destination='a; reboot'),
                                    HERE, 600)
        self.assertIn("--host 'a; reboot'", found.reason)


class TestProgress(unittest.TestCase):

    def test_percent(self):
        self.assertEqual((60, 0, 100), (SENT.percent, Progress(0, 0, 0, 0).percent,
                                        Progress(1, 1000, 5000, 0).percent))

    def test_a_page_that_is_sent_again_is_progress(self):
        self.assertNotEqual(SENT.mark, Progress(130.0, 1000, 701, 400).mark)
        self.assertEqual(SENT.mark, Progress(130.0, 1000, 700, 400).mark)
