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
"""A host with two Fibre Channel ports, one of which is down at times: its connector has one less.

Cinder's driver looks for an igroup that has the initiators of the connector. With one port down it
finds the one with both, and maps the volume to that.
"""

from migsafe.cinder.bus import endpoint
from migsafe.ledger.records import Thing
from migsafe.tests.cinder import ontap_server, test_igroups
from migsafe.tests.cinder.test_netapp import DATA_DISK

PORTS = ('50014380242b9761', '50014380242b9762')
BOTH = {'host': 'node14', 'wwpns': list(PORTS), 'wwnns': ['50014380242b9760'],
        'ip': '172.24.9.24', 'platform': 'x86_64', 'os_type': 'linux2', 'multipath': True}
ONE = {**BOTH, 'wwpns': [PORTS[0]]}
APPLIANCE = '50014380242b9799'
INTERFACES = 'network/fc/interfaces'


class Ports(test_igroups.Igroups):
    """NetApp's Fibre Channel driver; node14 has an igroup with both of its ports."""

    array_options = {'netapp_storage_protocol': 'fc'}

    def setUp(self):
        super().setUp()
        self.array_ontap.records[INTERFACES] = [{'wwpn': '20:00:00:50:56:b4:13:a8'}]
        self.array_ontap.records[test_igroups.IGROUPS].append({
            'svm': {'name': ontap_server.SVM}, 'uuid': test_igroups.BACKUP,
            'name': 'openstack-node14', 'protocol': 'fcp', 'os_type': 'linux',
            'initiators': [{'name': _written(port)} for port in PORTS]})

    def mapped(self):
        return {name.replace(':', '') for name in super().mapped()}

    def attach_and_detach(self, connector):
        attachment = self.reserve()
        self.attach(attachment, connector)
        self.assertEqual(set(PORTS), self.mapped())
        self.detach(attachment)

    def by_call(self, at_first, at_last):
        """os-initialize_connection and os-terminate_connection."""
        self.service.initialize_connection(self.admin, self.fresh(), dict(at_first))
        self.assertEqual(set(PORTS), self.mapped())
        self.service.terminate_connection(self.admin, self.volume.id, dict(at_last))


class TestPlain(Ports):
    """The control."""

    guarded = False

    def test_down_at_the_attach(self):
        self.attach_and_detach(ONE)
        self.assertEqual(set(), self.mapped())

    def test_down_at_the_terminate(self):
        self.by_call(BOTH, ONE)
        self.assertEqual(set(), self.mapped())


class TestGuarded(Ports):
    """It is no refusal."""

    def test_down_at_the_attach(self):
        self.attach_and_detach(ONE)
        self.assertEqual((set(), []), (self.mapped(), self.left()))

    def test_down_at_the_terminate(self):
        self.by_call(BOTH, ONE)
        self.assertEqual((set(), []), (self.mapped(), self.left()))
        self.attach_and_detach(BOTH)

    def test_down_at_the_attach_and_deleted(self):
        """Recovery takes away what was mapped, to both ports."""
        attachment = self.reserve()
        self.attach(attachment, ONE)
        self.forget(attachment)
        endpoint.Endpoint(self.guard).export_revert(None, volume=DATA_DISK, host='node14')
        self.assertEqual((set(), []), (self.mapped(), self.left()))

    def test_an_appliance_in_the_group(self):
        """It came after the attach: it is none of the host's ports."""
        attachment = self.reserve()
        self.attach(attachment, ONE)
        for entry in self.maps:
            if entry['igroup']['name'] == 'openstack-node14':
                entry['igroup']['initiators'].append(_written(APPLIANCE))
        refused = self.error(self.detach, attachment)
        self.assertIn(f'would lose it too: {APPLIANCE}.', refused)
        self.assertEqual(({*PORTS, APPLIANCE}, 0), (self.mapped(), self.unmapped()))

    def test_a_group_that_had_the_volume_before(self):
        """The call has mapped nothing to the other port then: whose it is, nobody knows."""
        self.maps.append(self.array_ontap._map(
            f'/vol/vol_cinder_1/volume-{DATA_DISK}', 'openstack-node14'))
        self.assertIn(PORTS[1], self.error(self.attach, self.reserve(), ONE))
        self.assertEqual((set(PORTS), 0), (self.mapped(), self.unmapped()))

    def left(self):
        return [str(row) for row in self.guard.ledger.of(Thing('volume', DATA_DISK))
                if row.peer and row.state != 'gone']


def _written(port):
    """As ONTAP writes it."""
    return ':'.join(port[place:place + 2] for place in range(0, 16, 2))
