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
"""What becomes of a scenario, with nothing behind it."""

from __future__ import annotations

import contextlib

import testtools

from migsafe.tests.cloud import bystander, logs, machines, play, report, servers, watch
from migsafe.tests.cloud.acts import kills, moves
from migsafe.tests.cloud.story import Ended, Scenario, Story

GUEST = servers.Guest('guest-uuid', 'guest', ('volume-uuid',))


class TestPlay(testtools.TestCase):
    """A fault that did not come has shown nothing."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(watch, 'watching', lambda *_: contextlib.nullcontext())
        self.patch(logs, 'marks', dict)
        self.patch(logs, 'since', lambda *_: [])
        self.patch(play, 'look', lambda *_: [])
        self.patch(servers, 'migrate', lambda *_: 0)
        self.patch(servers, 'show', lambda _guest: {'status': 'ACTIVE'})
        self.migrations = [{'status': 'completed'}]
        self.patch(servers, 'migrations', lambda _guest: self.migrations)
        self.patch(machines, 'run', lambda *_, **__: '')
        self.killed: list[str] = []
        self.patch(machines, 'service', lambda host, _what: self.killed.append(host))

    def story(self, side: str = 'armed') -> Story:
        return Story('c', side, GUEST, 'cmp1', bystander.Bystander('beside', 'other', {}))

    def test_a_fault_that_did_not_come_is_no_result(self) -> None:
        for act in (Story.failed, kills.compute(kills.SOURCE)):
            outcome = play._played(self.story(), Scenario('', act))
            self.assertIn('Ended', outcome.error)
            self.assertTrue(report.is_bad(outcome))
        self.assertEqual([], self.killed)

    def test_control(self) -> None:
        outcome = play._played(self.story(), Scenario('', lambda story: None))
        self.assertEqual(('', False), (outcome.error, report.is_bad(outcome)))

    def test_a_guest_that_is_mapped_by_hand_may_be_refused_on_one_side(self) -> None:
        self.patch(bystander, 'map_by_hand', lambda _volume: None)
        moves.by_hand(self.story())
        self.assertRaises(Ended, moves.by_hand, self.story('plain'))

    def test_no_qemu_to_kill(self) -> None:
        self.assertRaises(Ended, self.story().qemu_killed)


class TestStage(testtools.TestCase):
    """Who is waited for when a guest is taken away."""

    def setUp(self) -> None:
        super().setUp()
        self.asked: list[str] = []
        self.patch(servers, 'let_go', lambda guest: self.asked.append(guest.uuid))
        self.patch(servers, 'gone', lambda _guest: False)
        self.patch(servers, 'act', lambda *_: None)
        self.patch(play, 'GOES', 0.0)

    def stage(self, side: str) -> play.Stage:
        return play.Stage(side, bystander.Bystander('beside', 'other', {}))

    def test_of_plain_openstack_nobody(self) -> None:
        self.stage('plain').give_back(GUEST, Scenario('', lambda story: None), {'R3'})
        self.assertEqual([GUEST.uuid], self.asked)

    def test_beside_migsafe_it_has_to_go(self) -> None:
        self.assertRaises(TimeoutError, self.stage('armed').give_back, GUEST,
                          Scenario('', lambda story: None), {'R3'})
        self.assertEqual([GUEST.uuid], self.asked)

    def test_one_that_does_not_go_at_the_end_stops_nobody(self) -> None:
        for side in ('plain', 'armed'):
            stage = self.stage(side)
            stage.give_back(GUEST, Scenario('', lambda story: None), {'R6'})
            self.assertEqual([], self.asked)
            stage.close()
            self.assertEqual([GUEST.uuid], self.asked)
            self.asked.clear()
