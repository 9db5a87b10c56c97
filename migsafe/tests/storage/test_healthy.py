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
"""Hosts where much goes on: all looks at disks all the time, or there are many of others."""

from __future__ import annotations

import os

from migsafe.tests.storage import base

#: Rounds of attaching and detaching, by what seed, and how many of them in one guest.
ROUNDS, SEED = int(os.environ.get('MIGSAFE_ROUNDS', '3')), os.environ.get('MIGSAFE_SEED', '1')
BATCH = 10
#: How many disks of others there are.
CROWD = int(os.environ.get('MIGSAFE_CROWD', '250'))


class TestBusyHost(base.StorageTestCase):
    """What nobody uses is detached, and what somebody uses is not."""

    def test_rounds_while_everything_looks_at_disks(self) -> None:
        self.assert_no_refusal()

    def test_rounds_while_everything_looks_at_disks_multipath(self) -> None:
        self.assert_no_refusal(multipath=True)

    def assert_no_refusal(self, multipath: bool = False) -> None:
        """udev, LVM, multipathd and lsblk open each disk that comes; none of them is a holder."""
        wrong = {}
        for first in range(0, ROUNDS, BATCH):
            count = min(BATCH, ROUNDS - first)
            found = self.one('rounds', True, count=count, seed=f'{SEED} {first}',
                             multipath=multipath)
            if found['wrong'] or found['after']:
                wrong[first] = found['wrong'], found['after']
            self.assertEqual(count, sum(found['done'].values()))
            self.assertEqual(7, len(found['beside']))
            self.assertGreater(sum(found['beside'].values()), 0)
        self.assertEqual({}, wrong)

    def test_among_many_disks_of_others(self) -> None:
        found = self.both('crowded', count=CROWD)
        self.assertEqual(CROWD + 1, found.guarded['disks'])
        self.assertEqual((None, 'error'), (found.bare['held']['error'], found.bare['usable']))
        self.assertEqual(('VolumeHeld', 'ok'), (found.guarded['held']['error'],
                                                found.guarded['usable']))
        self.assertIn('(sleep)', found.guarded['held']['message'])
        self.assertIsNone(found.guarded['again']['error'], found.guarded['again'])
        self.assertFalse(found.guarded['there'])
