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

from migsafe.cinder.inspectors import rbd_block
from migsafe.cinder.inspectors.rbd_clients import Address, Blocklist
from migsafe.tests import rbd_guest
from migsafe.tests.cinder import ceph
from migsafe.tests.functional import test_scenarios_incident_004
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE, Meanwhile

#: So many that the first and the last are in other blocks of the table of inodes.
OLD = [f'old{number}' for number in range(40)]


class TestDisk(test_scenarios_incident_004.EvacuatedTest):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with contextlib.ExitStack() as stack:
            stack.enter_context(ceph.Bindings())
            cls.ceph = stack.enter_context(ceph.Ceph())
            cls.addClassCleanup(stack.pop_all().close)

    def setUp(self):
        super().setUp()
        import rados
        import rbd
        self.cluster = rados.Rados(rados_id=ceph.USER, conffile=self.ceph.conf)
        self.cluster.connect()
        self.addCleanup(self.cluster.shutdown)
        self.pool = self.cluster.open_ioctx(ceph.POOL)
        self.addCleanup(self.pool.close)
        self.name = f'volume-{self.id().rpartition(".")[2]}'
        rbd.RBD().create(self.pool, self.name, rbd_guest.SIZE)
        with rbd.Image(self.pool, self.name) as image:
            rbd_guest.make_file_system(image)
        self.server = self.stopped()
        self.old = self.opened()
        self.assertEqual('', self.old.write(*OLD))
        self.new = None
        self.starts = self.lab.world.rule = Meanwhile(
            DESTINATION, 'libvirt', 'createWithFlags', self.start)

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
