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
"""A nova-compute that is stopped gracefully while a migration goes on, as Nova 34 does it."""

from __future__ import annotations

import unittest

from nova.compute import rpcapi

from migsafe.replay.lab import case
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE


class Drains:
    """A fault plan: a host stops its first RPC server before an effect, and time passes.

    :param then: the plan that goes on
    """

    def __init__(self, lab, host, at, then):
        self._lab, self._host, self._at, self._then = lab, host, at, then
        self.stopped = False

    def around(self, effect, call, later):
        if (effect.host, effect.name) == self._at and not self.stopped:
            self.stopped = True
            # the beginning of nova.service.Service.stop()
            self._lab.stack.computes[self._host].rpcserver.stop()
            # longer than a destination works without asking
            self._lab.pass_time(45)
        return self._then.around(effect, call, later)


@unittest.skipUnless(hasattr(rpcapi, 'RPC_TOPIC_ALT'), 'a nova-compute with one RPC server')
class TestDraining(scenarios.ScenarioTest):

    def test_source_that_drains_is_heard(self):
        server = self.guest()
        plan = self.lab.arm_faults(case.Case('draining', ()), 'migrate')
        self.addCleanup(self.lab.stack.computes[SOURCE].rpcserver.start)
        drains = self.lab.world.rule = Drains(
            self.lab, SOURCE, (DESTINATION, 'attachments.create'), plan)
        self.lab.migrate(server)
        self.lab.world.rule = None
        # the control: it hears nothing more on the topic of old
        self.assertTrue(drains.stopped)
        self.assertNotIn(('compute', SOURCE), self.lab.parts.bus.servers)
        self.assertIn((DESTINATION, 'migsafe.describe'),
                      [(e.host, e.name) for e in self.lab.world.trace])
        self.assertUnharmed(server, DESTINATION)
        self.recover()
        self.assertClean(server, DESTINATION)
