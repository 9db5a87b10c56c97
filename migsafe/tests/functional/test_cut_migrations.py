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
"""Whole migrations whose calls go through haproxy and are cut: some of tox -e proxied."""

import contextlib
import os

import testtools
from nova.conf import CONF

from migsafe.tests.proxied import bridge, runs

#: The destination's update of a port.
UPDATE = 'node11 neutron update_port'


class TestCutMigrations(testtools.TestCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        stack = contextlib.ExitStack()
        cls.addClassCleanup(stack.close)
        cls.runs = stack.enter_context(runs.started(armed=True))
        cls.healthy = cls.runs.run(lambda number: [])

    def update(self, fault):
        """How a migration ends of which the update of the port is struck."""
        return self.runs.run(bridge.at(self.healthy.names.index(UPDATE), fault))

    def test_drawn(self):
        """Of MIGSAFE_CUT_MIGRATIONS migrations each is committed or cleanly aborted."""
        self.assertEqual((runs.COMMITTED, True), (self.healthy.how, self.healthy.good))
        seed, count = (os.environ.get(f'MIGSAFE_{name}', usual)
                       for name, usual in (('SEED', '15'), ('CUT_MIGRATIONS', '2')))
        fired = 0
        for number in range(int(count)):
            ended = self.runs.run(bridge.drawn(f'{seed}/{number}'))
            self.assertTrue(ended.good, (number, ended))
            fired += sum(ended.fired.values())
        self.assertLess(0, fired)

    def test_what_may_be_repeated_is(self):
        ended = self.update('lost')
        self.assertEqual((runs.COMMITTED, True, {'lost': 1}), (
            ended.how, ended.good, dict(ended.fired)))

    def test_control_without_a_time_out_it_waits_for_ever(self):
        CONF.set_override('call_timeout', 0, 'migsafe')
        self.addCleanup(CONF.set_override, 'call_timeout', 1, 'migsafe')
        ended = self.update('hole')
        self.assertEqual((runs.STUCK, {'hole': 1}), (ended.how, dict(ended.fired)))
