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
"""A clock that is ahead, is set, or goes evenly."""

import datetime
import time
from unittest import mock

import fixtures
from oslotest import base

from migsafe import clock

NOW = datetime.datetime(2026, 11, 1)
HOUR = datetime.timedelta(hours=1)


class TestSteady(base.BaseTestCase):
    """One process."""

    def setUp(self):
        super().setUp()
        self.booted = 1000.0
        self.useFixture(fixtures.MockPatchObject(
            time, 'clock_gettime', mock.Mock(side_effect=lambda _which: self.booted)))
        self.steady = clock.Steady()

    def after(self, hours, wall=None):
        """Let time pass, and the clock show something else."""
        self.booted += hours * 3600
        self.now = getattr(self, 'now', NOW) + (hours if wall is None else wall) * HOUR
        return self.steady.is_steady(self.now)

    def test_after_a_day(self):
        self.assertEqual([False, False, False, True, True],
                         [self.after(hours) for hours in (0, 1, 22, 1, 24)])

    def test_after_a_step(self):
        for step in (31 * 24, -31 * 24, 3, -3):
            self.after(0)
            self.assertTrue(self.after(25))
            self.assertFalse(self.after(1, step), step)
            self.assertFalse(self.after(23), step)
            self.assertTrue(self.after(1), step)

    def test_a_clock_that_is_slewed(self):
        self.after(0)
        self.assertTrue(self.after(25, 25.01))
        self.assertTrue(self.after(25, 24.99))
