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
"""What the preflight says of a guest's disks, against Nova's own code of the live migration."""

import dataclasses
import functools
import inspect
import os
import types
from unittest import mock

import fixtures
from nova import context as nova_context
from nova import exception, objects, test
from nova.compute import manager
from nova.tests.fixtures import libvirt as fakelibvirt
from nova.tests.unit import fake_block_device, fake_instance
from nova.virt import fake
from nova.virt.libvirt import driver as libvirt_driver
from nova.virt.libvirt import guest as libvirt_guest
from nova.virt.libvirt import utils as libvirt_utils
from oslo_concurrency import processutils
from oslo_serialization import jsonutils
from oslo_utils import uuidutils

import migsafe.conf
from migsafe.nova.clients import guest_disks
from migsafe.nova.seams import preflight
from migsafe.preflight import answers
from migsafe.preflight.decision import Asked, Refusal, Request, Situation
from migsafe.preflight.fate import Fate
from migsafe.tests.functional import preflight_guests as guests

ASKED = {Asked.AUTO: None, Asked.TRUE: True, Asked.FALSE: False}
IMAGE = '5a1d0c4e-9b7f-4e21-8c36-0f2d7b9a6e15'
#: What QEMU is told to copy, and what Nova makes an empty image for.
COPIES = {Fate.COPIED, Fate.ONTO_ITSELF}


class NovaTest(test.NoDBTestCase):
    """A libvirt driver, whose host is the source or the destination by its configuration."""

    def setUp(self):
        super().setUp()
        self.useFixture(fakelibvirt.LibvirtFixture())
        self.top = self.useFixture(fixtures.TempDir()).path
        self.context = nova_context.get_admin_context()
        self.flags(skip_cpu_compare_on_dest=True, group='workarounds')
        for name, instead in (
                ('nova.virt.disk.api.get_disk_info', self.image),
                ('nova.virt.libvirt.utils.get_disk_backing_file', lambda path, **_: ''),
                ('nova.privsep.fs.blockdev_size', self.device),
                ('nova.virt.libvirt.host.Host.get_guest', lambda *_: self.domain)):
            self.useFixture(fixtures.MonkeyPatch(name, instead))
        self.driver = libvirt_driver.LibvirtDriver(fake.FakeVirtAPI(), False)
        self.driver._network_api = mock.Mock(has_port_binding_extension=lambda *_: False)
        migsafe.conf.register_opts(libvirt_driver.CONF)
        self.flags(preflight='off', group='migsafe')
        self.driver.check_can_live_migrate_source = functools.partial(
            self.checked, self.driver.check_can_live_migrate_source)
        self.asked = []
        self.useFixture(fixtures.MockPatchObject(
            objects.BlockDeviceMappingList, 'get_by_instance_uuid', self.read))

    def read(self, *_args):
        """Nova's rows, from its database."""
        self.asked.append('rows')
        return self.rows

    def checked(self, real, *args, **kwargs):
        """The seam, as it is called in an armed nova-compute."""
        return preflight.check_source(real, self.driver, args, kwargs)

    @staticmethod
    def image(path):
        """qemu-img, whose program may not be there."""
        if not os.path.exists(path):
            raise exception.DiskNotFound(location=path)
        return types.SimpleNamespace(disk_size=os.stat(path).st_blocks * 512,
                                     virtual_size=os.path.getsize(path))

    @staticmethod
    def device(path):
        """blockdev, for files that stand for devices."""
        if not os.path.exists(path):
            raise processutils.ProcessExecutionError(exit_code=1)
        return str(os.path.getsize(path)), ''

    def build(self, setup):
        """A guest on the source."""
        uuid = uuidutils.generate_uuid()
        self.paths = {name: os.path.join(self.top, uuid, name)
                      for name in ('instances', 'there', 'vg', 'outside')}
        for path in self.paths.values():
            os.makedirs(path)
        volumes = {number: uuidutils.generate_uuid()
                   for number, made in enumerate(setup.disks) if made.volume}
        text = guests.xml(setup, uuid, volumes, self.paths)
        self.rows = objects.BlockDeviceMappingList(objects=[
            *self._root(setup, uuid), *(self._row(setup.disks[number], number, volume, uuid)
                                        for number, volume in volumes.items())])
        self.domain = libvirt_guest.Guest(mock.Mock(XMLDesc=lambda *_: text))
        return fake_instance.fake_instance_obj(
            self.context, uuid=uuid, image_ref=IMAGE if setup.disks else '', host='node13',
            numa_topology=None,
            system_metadata={}, pci_requests=None, info_cache=None,
            expected_attrs=['numa_topology', 'system_metadata'])

    def _root(self, setup, uuid):
        if setup.disks and not setup.disks[0].volume:
            yield self._object({'source_type': 'image', 'destination_type': 'local',
                                'boot_index': 0, 'image_id': IMAGE, 'device_name': '/dev/vda',
                                'instance_uuid': uuid})

    def _row(self, made, number, volume, uuid):
        info = {'driver_volume_type': 'iscsi', 'serial': volume, 'data': {}}
        return self._object({
            'source_type': 'volume', 'destination_type': 'volume', 'volume_id': volume,
            'boot_index': number or 0 if number == 0 else None, 'instance_uuid': uuid,
            'device_name': '/dev/vdzz' if made.volume == 'mislaid'
            else f'/dev/{guests.target(number)}',
            'connection_info': jsonutils.dumps(info) if made.connected else None})

    def _object(self, values):
        return fake_block_device.fake_bdm_object(self.context, values)

    def of_source(self, setup):
        """Nova's configuration is that of the source from here on."""
        self.flags(instances_path=self.paths['instances'], reserved_host_disk_mb=0)
        self.flags(images_type=setup.images, live_migration_tunnelled=setup.tunnelled,
                   group='libvirt')
        self.driver._parse_migration_flags()

    def of_destination(self, setup):
        """That of the destination."""
        self.flags(instances_path=self.paths['instances' if setup.shared else 'there'])
        self.flags(images_type=setup.destination or setup.images, group='libvirt')

    # -- the two answers ----------------------------------------------------------------------

    def novas(self, setup, instance, request):
        """Nova's: its migrate_data, or the exception."""
        self.of_destination(setup)
        room = {'free_disk_gb': setup.room, 'disk_available_least': setup.room}
        data = self.driver.check_can_live_migrate_destination(
            self.context, instance, {}, room, ASKED[request.block], request.over_commit)
        self.of_source(setup)
        source = manager.ComputeManager.__new__(manager.ComputeManager)
        source.driver = self.driver
        check = inspect.unwrap(manager.ComputeManager.check_can_live_migrate_source)
        try:
            return check(source, self.context, instance, data)
        except Exception as error:
            return error

    def situation(self, setup, instance):
        """What the preflight is told."""
        self.of_destination(setup)
        there = guest_disks.storage(libvirt_driver.CONF, '34.0.0')
        self.of_source(setup)
        guest = guest_disks.of(self.driver, self.context, instance, self.rows)
        here = guest_disks.storage(libvirt_driver.CONF, '34.0.0')
        # NOTE: both hosts are one machine here, and so two directories have different names.
        return Situation(guest, here, dataclasses.replace(
            there, instances_path=here.instances_path), setup.shared)

    def refusal(self, found):
        """The word of the preflight for an exception of Nova's source."""
        text = str(found)
        known = {exception.InvalidLocalStorage: Refusal.LOCAL,
                 exception.InvalidSharedStorage: Refusal.SHARED}
        if isinstance(found, exception.MigrationPreCheckError):
            return Refusal.SPACE if 'too large' in text else Refusal.TUNNELLED
        if isinstance(found, FileNotFoundError | exception.DiskNotFound
                      | exception.VolumeBDMPathNotFound):
            return Refusal.UNREADABLE
        if type(found) not in known:
            raise found
        return known[type(found)]


class TestDecision(NovaTest):

    def agree(self, setup, overs=(None, True, False)):
        """For each way of asking: Nova's answer, and what it then copies; how many agreed."""
        instance, count = self.build(setup), 0
        found = self.situation(setup, instance)
        for block in Asked:
            for over in overs:
                request = Request(block, over, setup.room * 1024)
                mine = answers.answer(found, request)
                novas = self.novas(setup, instance, request)
                told = (setup, request, mine.decision, novas)
                if isinstance(novas, Exception):
                    self.assertEqual(self.refusal(novas), mine.decision.refusal, told)
                else:
                    self.assertIsNone(mine.decision.refusal, told)
                    self.assertEqual(novas.block_migration, mine.decision.block, told)
                    self.assertEqual(novas.is_shared_block_storage, mine.decision.shared_block,
                                     told)
                    self.assertEqual(self.copied(instance, novas, setup), [
                        one.disk.target for one in mine.disks if one.row.fate in COPIES], told)
                count += 1
        return count

    def copied(self, instance, data, setup):
        """What Nova has QEMU copy, by its own code; see LibvirtDriver._live_migration."""
        if not data.block_migration or setup.tunnelled:
            # NOTE: _live_migration_operation drops the list of a tunnelled one.
            return []
        return self.driver._live_migration_copy_disk_paths(
            self.context, instance, self.domain)[1]

    def test_inside_nova_compute(self):
        """By the same guests: refused is what Nova agrees to and the tables call harmful, and
        Nova's rows are read anew for no other."""
        self.flags(preflight='enforce', group='migsafe')
        harmed = fine = 0
        for setup in guests.SETUPS:
            with self.subTest(setup.name):
                instance = self.build(setup)
                found = self.situation(setup, instance)
                for block in Asked:
                    request = Request(block)
                    mine = answers.answer(found, request)
                    self.asked.clear()
                    novas = self.novas(setup, instance, request)
                    if mine.decision.refusal:
                        continue
                    told = (setup, request, mine, novas)
                    self.assertEqual(bool(mine.harms), isinstance(
                        novas, exception.MigrationPreCheckError), told)
                    # without its row a volume that is not connected looks like a local disk
                    doubtful = bool(mine.harms) or any(
                        made.volume and not made.connected for made in setup.disks)
                    self.assertEqual(1 + doubtful, len(self.asked), told)
                    harmed, fine = harmed + bool(mine.harms), fine + (not mine.harms)
        self.assertLess(10, harmed)
        self.assertLess(20, fine)

    def test_a_warning_refuses_nothing(self):
        setup = next(one for one in guests.SETUPS if one.name.endswith('ISO config drive'))
        instance = self.build(setup)
        for mode, said in (('warn', 'arrives blank'), ('off', '')):
            with self.subTest(mode), fixtures.FakeLogger() as log:
                self.flags(preflight=mode, group='migsafe')
                self.assertTrue(self.novas(setup, instance, Request()).block_migration)
                self.assertIn(said, log.output)
                self.assertEqual(bool(said), 'preflight = warn' in log.output)

    def test_named(self):
        self.assertLessEqual(50, len(guests.SETUPS))
        for setup in guests.SETUPS:
            with self.subTest(setup.name):
                self.assertEqual(9, self.agree(setup))

    def test_drawn(self):
        seed, count = (os.environ.get(f'MIGSAFE_{name}', usual)
                       for name, usual in (('SEED', '15'), ('GUESTS', '60')))
        for number, setup in enumerate(guests.drawn(seed, int(count))):
            with self.subTest(setup.name):
                self.assertEqual(3, self.agree(setup, [(None, True, False)[number % 3]]))

    def test_a_wrong_table_is_found(self):
        """The control: with a row of the table turned round, the comparison fails."""
        row = answers.decision.TABLE[-2]
        wrong = tuple(answers.decision.Row(one.when, False, None, '') if one is row else one
                      for one in answers.decision.TABLE)
        self.useFixture(fixtures.MonkeyPatch('migsafe.preflight.decision.TABLE', wrong))
        setup = next(one for one in guests.SETUPS if one.name.endswith('ISO config drive'))
        self.assertRaises(AssertionError, self.agree, setup)


class TestBlank(NovaTest):
    """What Nova does about a config drive on an ISO that is on a local disk of the source."""

    def prepare(self, setup):
        """Have the destination prepare, by its own code; the files that it makes."""
        instance = self.build(setup)
        found = self.situation(setup, instance)
        self.of_source(setup)
        disk_info = self.driver.get_instance_disk_info(instance, {
            'block_device_mapping': [{'mount_device': row.device_name} for row in self.rows
                                     if row.is_volume]})
        data = self.novas(setup, instance, Request())
        self.assertTrue(data.block_migration)
        self.of_destination(setup)
        self.useFixture(fixtures.MockPatchObject(libvirt_utils, 'create_image', self.create))
        data.instance_relative_path = instance.uuid
        with mock.patch.object(self.driver, '_pre_live_migration_plug_vifs'), \
                mock.patch.object(self.driver, '_connect_volume'), \
                mock.patch.object(self.driver._host, 'find_secret', return_value=None):
            self.driver.pre_live_migration(
                self.context, instance, {'block_device_mapping': []}, [], disk_info, data)
        folder = os.path.join(self.paths['there'], instance.uuid)
        return found, {name: os.path.join(folder, name) for name in os.listdir(folder)}

    @staticmethod
    def create(path, _format, size, *_args, **_kwargs):
        """qemu-img create."""
        with open(path, 'wb') as handle:
            handle.truncate(size)

    def test_iso(self):
        setup = guests.Setup('x', (guests.SAN, guests.ISO))
        found, made = self.prepare(setup)
        with open(os.path.join(self.paths['instances'], found.guest.uuid, 'disk.config'),
                  'r+b') as handle:
            handle.write(b'CD001')
        with open(made['disk.config'], 'rb') as handle:
            self.assertEqual(b'\0' * 5, handle.read(5))
        given = answers.answer(found, Request())
        self.assertEqual([Fate.CONNECTED, Fate.BLANK], [one.row.fate for one in given.disks])
        self.assertFalse(given.works)
        self.assertEqual([], answers.working(found, Request()))
        self.assertTrue(answers.config_drive_alone(found, given))

    def test_vfat(self):
        found, made = self.prepare(guests.Setup('x', (guests.SAN, guests.VFAT)))
        self.assertIn('disk.config', made)
        given = answers.answer(found, Request())
        self.assertEqual([Fate.CONNECTED, Fate.COPIED], [one.row.fate for one in given.disks])
        self.assertEqual([Asked.AUTO, Asked.TRUE], answers.working(found, Request()))
        self.assertTrue(answers.config_drive_alone(found, given))
