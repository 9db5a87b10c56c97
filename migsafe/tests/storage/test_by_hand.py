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
"""Real Cinder with the LVM driver on real LIO: nothing goes that Cinder has not made.

What shows that a fault has struck is in what the scenario of guest/by_hand_cases.py reports.
"""

from __future__ import annotations

from typing import Any

from migsafe.tests.storage import test_cinder

BY_HAND = 'iqn.2001-04.com.backup:appliance'
NODE_A, NODE_B = 'iqn.2026-01.org.migsafe:a', 'iqn.2026-01.org.migsafe:b'


class ByHand(test_cinder.CinderTestCase):
    """Runs a scenario."""

    MODULE = 'by_hand_cases'


class TestByHand(ByHand):
    """An appliance has the volume through the same target."""

    def test_a_detach(self) -> None:
        found = self.case('a_detach', True, True)
        self.assertEqual([BY_HAND, 'target'], found['there'])
        self.assertTrue(found['kept_later'])
        self.assertIn(BY_HAND, str(found['listed']))
        # and once that is unmapped, the target goes
        self.assertEqual([], found['exports'])

    def test_a_detach_plain(self) -> None:
        """The control: the appliance loses it."""
        found = self.case('a_plain_detach', False, True)
        self.assertEqual([BY_HAND, NODE_A, 'target'], found['before'])
        self.assertEqual([], found['exports'])

    def killed(self, guarded: bool, at: int) -> None:
        """When LIO has unmapped the one host, and the target is still there."""
        found = self.case('killed', guarded, True, at=at)
        self.assertTrue(found['died'])
        self.assertEqual('after terminate_connection', found['points'][-1])
        self.assertTrue(found['kept'], found['exports'])

    def test_killed(self) -> None:
        """Recovery goes on with the detach, and leaves what is not its own."""
        self.killed(True, 3)

    def test_killed_plain(self) -> None:
        """The control: what nobody goes on with takes nothing away."""
        self.killed(False, 1)


class TestWithoutAConnector(ByHand):
    """By os-initialize_connection and os-attach: Cinder knows a host and an instance."""

    def whole(self, guarded: bool) -> dict[str, Any]:
        """Run it; what must be so on both sides."""
        found = self.case('without_a_connector', guarded)
        self.assertEqual([[NODE_A, 'target'], 'ok'], found['first'])
        self.assertTrue(found['faulted'])
        self.assertIsNotNone(found['refused']['error'])
        return found

    def test_guarded(self) -> None:
        found = self.whole(True)
        self.assertEqual(found['first'], found['restarted'], found['log'])
        self.assertEqual(found['first'], found['failed'], found['log'])

    def test_plain(self) -> None:
        """The control: nothing at the start, and the failed migration takes the guest's disk."""
        found = self.whole(False)
        self.assertEqual(found['first'], found['restarted'])
        exports, readable = found['failed']
        self.assertEqual([], exports)
        self.assertNotEqual('ok', readable)


class TestNotTold(ByHand):
    """What Cinder cannot tell of."""

    def test_a_success_that_is_none(self) -> None:
        found = self.case('a_success_that_is_none', True, True)
        self.assertTrue(found['faulted'])
        self.assertEqual([NODE_A, NODE_B, 'target'], found['at_once'])
        self.assertEqual([NODE_B, 'target'], found['exports'])

    def test_a_success_that_is_none_plain(self) -> None:
        """The control: a host has the volume that no attachment names, for good."""
        found = self.case('a_success_that_is_none', False, True)
        self.assertTrue(found['faulted'])
        self.assertEqual([NODE_A, NODE_B, 'target'], found['at_once'])
        self.assertEqual(found['at_once'], found['exports'])

    def test_two_processes_plain(self) -> None:
        """The control: a second cinder-volume takes nothing away, and the call succeeds."""
        found = self.case('two_processes', False)
        self.assertEqual([NODE_A, 'target'], found['between'])
        self.assertIsNone(found['outcome'][0]['error'], found['outcome'])
        self.assertFalse(found['not_given'])
        self.assertEqual([NODE_A, 'target'], found['exports'])

    def test_two_processes(self) -> None:
        found = self.case('two_processes', True)
        self.assertEqual([NODE_A, 'target'], found['mapped'])
        self.assertEqual([], found['between'])
        outcome: dict[str, Any] = found['outcome'][0]
        self.assertIsNotNone(outcome['error'], outcome)
        self.assertTrue(found['not_given'])
        self.assertEqual([], found['exports'])
