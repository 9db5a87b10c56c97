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
"""Incident 004 with the disk of the guest: an ext4 on a real Ceph, opened by real QEMUs.

Nova starts the second QEMU where it would start the guest. Both are real clients of Ceph, with the
exclusive lock that images of Cinder have: it is handed over when the other one asks for it.
"""

import contextlib
import json

import fixtures
from cinderclient import exceptions as cinder_exc

from migsafe.cinder.inspectors import rbd_block
from migsafe.cinder.inspectors.rbd_clients import Address, Blocklist
from migsafe.replay.lab import cinder, steps
from migsafe.tests import rbd_guest
from migsafe.tests.cinder import ceph, process
from migsafe.tests.functional import test_scenarios_incident_004
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE, Meanwhile

LAB = 'migsafe.replay.lab.cinder.Cinder'
#: So many that the first and the last are in other blocks of the table of inodes.
OLD = [f'old{number}' for number in range(40)]


class DiskTest(test_scenarios_incident_004.EvacuatedTest):
    """What both have: a cluster, whose class has to start it as ``ceph``, and a guest's image."""

    def setUp(self):
        super().setUp()
        import rados
        import rbd
        self.cluster = rados.Rados(rados_id=ceph.USER, conffile=self.ceph.conf)
        self.cluster.connect()
        self.addCleanup(self.cluster.shutdown)
        self.pool = self.cluster.open_ioctx(ceph.POOL)
        self.addCleanup(self.pool.close)
        self.name = self.make_image(rbd)
        with rbd.Image(self.pool, self.name) as image:
            rbd_guest.make_file_system(image)
        self.server = self.stopped()
        self.old = self.opened()
        self.assertEqual('', self.old.write(*OLD))
        self.new = None
        self.starts = self.lab.world.rule = Meanwhile(
            DESTINATION, 'libvirt', 'createWithFlags', self.start)

    def make_image(self, rbd):
        """Make one of each test's own; return its name."""
        name = f'volume-{self.id().rpartition(".")[2]}'
        rbd.RBD().create(self.pool, name, rbd_guest.SIZE)
        return name

    def opened(self):
        return self.useFixture(rbd_guest.Guest(self.ceph.conf, ceph.USER, ceph.POOL, self.name))

    def start(self):
        self.new = self.opened()

    def look(self, ask):
        import rbd
        with rbd.Image(self.pool, self.name, read_only=True) as image:
            return ask(image)

    def watchers(self):
        return [one['addr'] for one in self.look(lambda image: list(image.watchers_list()))]

    def check(self):
        """Once nobody writes any more."""
        for guest in (self.old, self.new):
            if guest is not None:
                guest.kill()
        return self.look(rbd_guest.check_file_system)

    def fence(self, address):
        """As the fence "storage" does it, and read back."""
        client = Address.of(address)
        self.assertFalse(self.blocked().has(client))
        rbd_block.block(self.cluster, self.blocked(), [client])
        self.assertTrue(self.blocked().has(client))

    def blocked(self):
        code, text, _status = self.cluster.mon_command(
            json.dumps({'prefix': 'osd blocklist ls', 'format': 'json'}), b'')
        self.assertEqual(0, code)
        return Blocklist.of('blocklist', text)


class TestDisk(DiskTest):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with contextlib.ExitStack() as stack:
            stack.enter_context(ceph.Bindings())
            cls.ceph = stack.enter_context(ceph.Ceph())
            cls.addClassCleanup(stack.pop_all().close)

    def test_plain_nova_destroys_the_file_system(self):
        """The control."""
        self.policy('off')
        self.assertEqual([DESTINATION, SOURCE], sorted(self.evacuated(self.server)))
        self.assertEqual(2, len(self.watchers()))
        # Which block and which inode are free each of them knows from its own view.
        self.assertEqual('', self.new.write('new', without=OLD[:1]))
        self.assertEqual('', self.old.write('late'))
        code, said = self.check()
        self.assertEqual(rbd_guest.ERRORS, code, said)
        self.assertIn("Entry 'old0' in / (2) has deleted/unused inode", said)

    def test_second_copy_opens_it_only_once_the_first_is_fenced(self):
        self.assertEqual([SOURCE], self.evacuated(self.server))
        self.assertFalse(self.starts.done)
        address, = self.watchers()
        self.assertEqual('', self.old.write('more'))
        self.fence(address)
        self.assertIn(rbd_guest.BLOCKED, self.old.write('late'))
        self.force_down(SOURCE)
        self.addCleanup(self.force_up, SOURCE)
        self.assertIn(DESTINATION, self.evacuated(self.server))
        self.assertEqual('', self.new.write('new1', 'new2'))
        self.assertIn(rbd_guest.BLOCKED, self.old.write('later'))
        code, said = self.check()
        self.assertEqual(0, code, said)


class TestBothReal(DiskTest):
    """Nova's real managers, and a real cinder-volume with the guarded driver in another process.

    The guard in nova-compute is off, so that the storage alone refuses the second writer. The
    control is TestDisk's, in which nothing does.
    """

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with contextlib.ExitStack() as stack:
            stack.enter_context(ceph.Bindings())
            cls.ceph = stack.enter_context(process.Cinder())
            cls.addClassCleanup(stack.pop_all().close)

    def make_image(self, _rbd):
        return self.ceph.image

    def setUp(self):
        #: id of an attachment in Nova -> of that in the real Cinder
        self.ids = {}
        self.useFixture(fixtures.MonkeyPatch(f'{LAB}.create', self.around(
            cinder.Cinder.create, lambda made, *_: self.ids.update(
                {made.id: self.ceph.ask('reserve')}))))
        self.useFixture(fixtures.MonkeyPatch(f'{LAB}.delete', self.around(
            cinder.Cinder.delete, lambda _none, identifier: self.ceph.ask(
                'detach', self.ids.pop(identifier)))))
        self.useFixture(fixtures.MonkeyPatch(f'{LAB}._connect', self.connect(
            cinder.Cinder._connect)))
        super().setUp()
        self.policy('off')

    @staticmethod
    def around(real, then):
        def both(of, *args):
            made = real(of, *args)
            then(made, *args)
            return made
        return both

    def connect(self, real):
        def both(of, attachment, connector):
            known = self.ids.get(attachment.id)
            if known is None:
                known = self.ids[attachment.id] = self.ceph.ask('reserve')
            try:
                self.ceph.ask('attach', known, connector)
            except RuntimeError as error:
                raise cinder_exc.ClientException(500, str(error)) from None
            real(of, attachment, connector)
        return both

    def test_the_storage_refuses_until_it_is_fenced(self):
        address, = self.watchers()
        self.assertEqual([SOURCE], self.evacuated(self.server))
        self.assertFalse(self.starts.done)
        self.assertIn(f'{address}, owner of the exclusive lock, has it open',
                      self.fault_messages(self.server))
        self.assertEqual('', self.old.write('more'))
        self.fence(address)
        self.assertIn(rbd_guest.BLOCKED, self.old.write('late'))
        # what Nova leaves of an evacuation that has failed
        self.assertIsNone(steps.api_action(
            self.lab.stack, self.server.uuid, {'os-resetState': {'state': 'active'}}))
        self.assertIn(DESTINATION, self.evacuated(self.server))
        self.assertEqual('', self.new.write('new1', 'new2'))
        self.assertIn(rbd_guest.BLOCKED, self.old.write('later'))
        code, said = self.check()
        self.assertEqual(0, code, said)
