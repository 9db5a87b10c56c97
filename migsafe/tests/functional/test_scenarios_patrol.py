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
"""What the patrol is told by real Nova: whose disks there are, and who they should be."""

from __future__ import annotations

from oslo_serialization import jsonutils

from migsafe.brick.guard import policy
from migsafe.nova.clients import identities
from migsafe.nova.host import identity_check
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE


class TestPatrol(scenarios.ScenarioTest):
    def disks(self, host):
        """(instance, volume) of each block device of each guest of a host."""
        manager = self.lab.stack.computes[host].manager
        with self.lab.world.looking():
            found = list(identity_check.disks(manager.driver))
        self.assertTrue(all(path.startswith('/dev/') for _, _, path in found), found)
        return sorted((instance, volume) for instance, volume, _ in found)

    def wanted(self, server):
        """What is known of each volume of a server."""
        with self.lab.world.looking():
            return identities.wanted([server.uuid])

    def save(self, server, texts):
        """Write connection_info of a server's volumes, in order."""
        for bdm, text in zip(self.bdms(server), texts, strict=True):
            bdm.connection_info = text
            with self.lab.world.looking():
                bdm.save()

    def test_disks_go_with_the_guest(self):
        server = self.guest()
        mine = sorted((server.uuid, volume) for volume in server.volumes)
        self.assertEqual((mine, []), (self.disks(SOURCE), self.disks(DESTINATION)))
        self.migrate(server)
        self.assertEqual(([], mine), (self.disks(SOURCE), self.disks(DESTINATION)))

    def test_identities(self):
        server = self.guest()
        infos = [jsonutils.loads(bdm.connection_info) for bdm in self.bdms(server)]
        self.assertEqual(2, len(infos))
        first = infos[0]
        first['data'][policy.KEY] = ['naa.600140512345678901234567890abcde']
        for other in (jsonutils.dumps(infos[1]), 'no JSON', '[]', '{"data": 1}',
                      '{"data": {"migsafe_identity": [{}]}}', None):
            with self.subTest(other=other):
                self.save(server, [jsonutils.dumps(first), other])
                known = self.wanted(server)
                self.assertEqual({(server.uuid, volume) for volume in server.volumes},
                                 set(known))
                self.assertEqual([1, 0], [len(known[server.uuid, bdm.volume_id].identity)
                                          for bdm in self.bdms(server)])
