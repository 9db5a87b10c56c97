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
"""Incident 000: a failed migration whose volumes kept the other host's LUN numbers.

Eleven days later the guest was stopped and started, and opened other people's disks.
"""

from __future__ import annotations

from migsafe.tests.functional import scenarios
from migsafe.tests.functional.matrix import client, names
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE

#: The transfer fails, and Cinder fails in the rollback: the first deletion of an attachment
#: does not come back. It is what Nova 34 still makes the incident of.
FAILURES = (
    f'transfer-fails,cinder-401:before:{SOURCE}:cinder:attachments.delete:1',
    f'transfer-fails,connect-failure:before:{SOURCE}:cinder:attachments.delete:1:0',
    f'transfer-fails,cinder-500:before:{SOURCE}:cinder:attachments.delete:1:0',
)
#: LUN numbers of the incident, root disk first.
WRONG = [3, 4]


class TestIncident000(scenarios.ScenarioTest):

    def test_incident_000_on_plain_nova(self):
        plain = client.Laboratory(armed=False)
        self.addCleanup(plain.stop)
        found = [plain.run(name) for name in FAILURES]
        self.assertEqual([[]] * len(FAILURES), [report.unfired for report in found])
        said = '\n'.join(line for report in found for line in report.left)
        # the rows keep the destination's numbers, or an attachment that is gone
        self.assertIn('R1', said)
        self.assertRegex(said, 'the BDM says LUN [34], on node13')

    def test_incident_000_failed_migration(self):
        for name in FAILURES:
            with self.subTest(name):
                self.lab.clean()
                self.lab.forget()
                server = self.guest()
                own = self.luns(server)
                self.assertEqual([], [lun for lun in own if lun in WRONG])
                self.migrate(server, *names.case(name).faults)
                # at once, while Cinder is still away: the rows are node13's
                self.assertEqual(own, self.luns(server))
                self.assertUnharmed(server, SOURCE)
                self.assertEqual([], self.devices(server, DESTINATION))
                self.recover()
                self.assertEqual(own, self.luns(server))
                self.assertEqual([], self.exports(server, DESTINATION))
                self.assertEqual([], self.devices(server, DESTINATION))
                self.assertClean(server, SOURCE)

    def test_incident_000_stop_and_start_eleven_days_later(self):
        server = self.guest()
        self.migrate(server, *names.case(FAILURES[0]).faults)
        self.recover()
        self.lab.pass_time(11 * 86400)
        step = self.do(server, 'stop_start')
        self.assertEqual(((), True), (step.harms, step.done))
        self.assertClean(server, SOURCE)
        strangers = [d for d in self.lab.parts.kernels[SOURCE].devices.values() if d.stranger]
        self.assertEqual([], strangers)

    def test_incident_000_stop_and_start_before_recovery(self):
        server = self.guest()
        own = self.luns(server)
        self.migrate(server, *names.case(FAILURES[0]).faults)
        step = self.do(server, 'stop_start')
        self.assertEqual((), step.harms)
        self.recover()
        self.assertEqual(own, self.luns(server))
        self.assertEqual([], self.lab.world.harms)
