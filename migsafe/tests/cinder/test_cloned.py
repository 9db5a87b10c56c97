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
"""Compute hosts made from one image, which has an NVMe name in it: os-brick gives it for all.

To an iSCSI array they are two hosts all the same; to an NVMe array they are one.
"""

from cinder import exception
from cinder.common import constants
from cinder.tests.unit import fake_constants
from cinder.tests.unit.brick import fake_lvm

from migsafe.cinder.bus import endpoint
from migsafe.cinder.facts import protocols
from migsafe.ledger import records
from migsafe.ledger.records import Thing
from migsafe.tests.cinder import test_driver, world

CLONED = {'nqn': 'nqn.2014-08.org.nvmexpress:uuid:c1a5e0f2-0000-4000-8000-000000000001'}
SOURCE, DESTINATION = {**world.NODE13, **CLONED}, {**world.NODE11, **CLONED}
BOTH, NVME = {SOURCE['initiator'], DESTINATION['initiator']}, {CLONED['nqn']}


class NvmeDriver(world.ArrayDriver):
    """The same array with NVMe over Fabrics."""

    reports, names = 'NVMe-oF', 'nqn'


class Unknown(world.ArrayDriver):
    """It reports what nobody knows."""

    reports = 'fake'


class Contradicting(world.ArrayDriver):
    """It reports iSCSI, and maps to NVMe names, as its connections say."""

    names = 'nqn'

    def initialize_connection(self, volume, connector):
        return {**super().initialize_connection(volume, connector), 'driver_volume_type': 'nvmeof'}


class Cloned(world.World):
    """Has an instance on node13."""

    def setUp(self):
        super().setUp()
        self.source = self.reserve()
        self.attach(self.source, SOURCE)

    def migrated(self):
        """What is mapped while both have it, as in a live migration, and when the source's is
        deleted at its end."""
        self.attach(self.reserve(), DESTINATION)
        both = self.mapped()
        self.detach(self.source)
        return both, self.mapped()

    def killed(self):
        """What is mapped when cinder-volume dies after it has mapped it to the destination, and
        after its next start."""
        self.inspect()
        other = self.reserve()
        self.inject()
        self.mock_object(self.faults, 'at', side_effect=self.kill)
        self.assertIsInstance(self.quietly(self.attach, other, DESTINATION), world.Killed)
        self.assertEqual('mapping', self.rows()['node11'])
        left = self.mapped()
        self.mock_object(self.faults, 'at')
        self.restart()
        return left, self.mapped()

    def kill(self, name):
        if self.faults.dead or name == 'after initialize_connection':
            self.faults.dead = True
            raise world.Killed(name)

    def elsewhere(self, connector):
        """Attach another volume while node13 is fenced."""
        endpoint.Endpoint(self.guard).export_fence(None, host='node13', user='alice')
        other = self.make_volume()
        self.attach(self.reserve(fake_constants.UUID2, other), connector, other)
        return self.mapped(other)

    def mapped(self, volume=None):
        return set(self.array.targets[(volume or self.volume).id])

    def rows(self):
        return {row.host: row.state for row in self.guard.ledger.of(
            Thing('volume', self.volume.id)) if row.peer}


class TestIscsi(Cloned):
    """The initiators, by which the array goes, tell the two apart."""

    def test_a_live_migration(self):
        self.assertEqual((BOTH, {DESTINATION['initiator']}), self.migrated())
        self.assertEqual({'node13': 'gone', 'node11': 'mapped'}, self.rows())

    def test_killed(self):
        self.assertEqual((BOTH, {SOURCE['initiator']}), self.killed())
        self.assertEqual({'node13': 'mapped', 'node11': 'gone'}, self.rows())

    def test_a_second_writer(self):
        """What the array has for node13 is not explained by what the instance has on node11."""
        self.attach(self.reserve(), DESTINATION)
        self.forget(self.source)
        refused = self.assertRaises(
            exception.VolumeBackendAPIException, self.attach, self.reserve(),
            {'host': 'node12', 'initiator': 'iqn.1994-05.com.redhat:12', **CLONED})
        self.assertIn('host node13 has an export of it', str(refused))

    def test_fenced(self):
        self.assertEqual({DESTINATION['initiator']}, self.elsewhere(DESTINATION))
        refused = self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                                    self.reserve(), {**SOURCE, 'host': 'node99'})
        self.assertIn('is fenced', str(refused))


class TestNvme(Cloned):
    """The control: the array has one mapping for both, which must not be taken from the guest."""

    driver = f'{__name__}.NvmeDriver'

    def test_a_live_migration(self):
        self.assertEqual((NVME, NVME), self.migrated())

    def test_killed(self):
        self.assertEqual((NVME, NVME), self.killed())
        self.assertEqual([], self.array.removed)

    def test_fenced(self):
        refused = self.assertRaises(
            exception.VolumeBackendAPIException, self.elsewhere, DESTINATION)
        self.assertIn('is fenced', str(refused))


class TestContradicting(Cloned):
    """Both names count."""

    driver = f'{__name__}.Contradicting'

    def test_a_live_migration(self):
        self.assertEqual((NVME, NVME), self.migrated())


class TestWords(test_driver.Backends):
    """What Cinder's own drivers call their protocols, and how many."""

    def test_each(self):
        for said, expected in (
                *((word, {'initiator'}) for word in (*constants.ISCSI_VARIANTS, constants.ISER)),
                *((word, {'wwpns'}) for word in constants.FC_VARIANTS),
                *((word, {'nqn'}) for word in constants.NVMEOF_ALL_PROTOCOLS),
                (constants.CEPH, {'initiator'}), (constants.FC_VARIANTS, {'wwpns'}),
                ([constants.ISCSI, constants.FC], {'initiator', 'wwpns'}),
                *((said, {*records.FORMS}) for said in (
                    None, '', [], constants.NFS, [constants.ISCSI, constants.SCALEIO]))):
            heard = protocols.Protocols()
            heard.tell(said)
            self.assertEqual(expected, set(heard.forms()), said)

    def test_lvm(self):
        """It reports what its target does, before it counts as initialized."""
        self.patch('cinder.volume.targets.lio.LioAdm._verify_rtstool')
        made = self.manager('cinder.volume.drivers.lvm.LVMVolumeDriver',
                            target_helper='lioadm').driver
        self.assertEqual({*records.FORMS}, set(made.migsafe_guard.ledger.forms()))
        made.vg = fake_lvm.FakeBrickLVM('cinder-volumes', False, None, 'default', None)
        made.init_capabilities()
        self.assertEqual({'initiator'}, set(made.migsafe_guard.ledger.forms()))
        made.migsafe_guard.stop()


class TestUnknown(Cloned):
    """All names count."""

    driver = f'{__name__}.Unknown'

    def test_a_live_migration(self):
        self.assertEqual((BOTH, BOTH), self.migrated())
