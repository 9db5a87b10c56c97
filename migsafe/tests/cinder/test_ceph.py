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
"""Cinder's RBD driver on a real Ceph: who has an image open is asked before it is given away.

A client is a process that has the image open as QEMU would. All of them have the address
127.0.0.1, which no connector gives: they are on another network, as they are in most deployments.
"""

import contextlib
import pathlib
import time
import types

import fixtures
from cinder import exception
from cinder.tests.unit import fake_constants
from cinder.volume import configuration
from cinder.volume.drivers import rbd as cinder_rbd

from migsafe.cinder.bus import cutting, endpoint
from migsafe.cinder.inspectors import rbd_block
from migsafe.cli import storage, storage_plugins
from migsafe.fencing.probes.base import Site
from migsafe.fencing.signs import Sign
from migsafe.ledger.records import Thing
from migsafe.tests import rbd_guest
from migsafe.tests.cinder import ceph, test_commands, world

NODE12 = {'host': 'node12', 'initiator': 'iqn.1994-05.com.redhat:12', 'ip': '172.24.9.12'}
#: What a loaded machine may add.
SLOW = 60


class CephWorld(world.World):
    """A backend on a cluster that all tests of a class share, each with an image of its own."""

    driver = 'cinder.volume.drivers.rbd.RBDDriver'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with contextlib.ExitStack() as stack:
            cls.bindings = stack.enter_context(ceph.Bindings())
            cls.ceph = stack.enter_context(ceph.Ceph())
            cls.addClassCleanup(stack.pop_all().close)

    def setUp(self):
        import rados
        import rbd
        # NOTE: the driver's module may have been imported before they could be.
        self.useFixture(fixtures.MonkeyPatch('cinder.volume.drivers.rbd.rados', rados))
        self.useFixture(fixtures.MonkeyPatch('cinder.volume.drivers.rbd.rbd', rbd))
        configuration.CONF.register_opts(cinder_rbd.RBD_OPTS, group='array')
        self.options = {'rbd_pool': ceph.POOL, 'rbd_user': ceph.USER,
                        'rbd_ceph_conf': self.ceph.conf}
        if self.guarded:
            self.options['migsafe_inspector'] = 'rbd'
        super().setUp()

    def make_volume(self, **values):
        made = super().make_volume(**{'status': 'creating', 'size': 1, **values})
        self.service.create_volume(self.admin, made, allow_reschedule=False)
        return made

    def again(self, **options):
        """Start cinder-volume again, with other options."""
        self.options |= options
        self.boot()

    def client(self):
        """A client that has written, so that it owns the exclusive lock."""
        opened = self.useFixture(ceph.Client(self.ceph, self.bindings, self.volume.name))
        self.assertEqual('written', opened.write(0, 'client'))
        return opened

    def looked_at(self):
        """The image, open for reading."""
        return cinder_rbd.RBDVolumeProxy(self.service.driver, self.volume.name, read_only=True)

    def watchers(self):
        with self.looked_at() as image:
            return [watcher['addr'] for watcher in image.watchers_list()]

    def owners(self):
        with self.looked_at() as image:
            return [address for _, _, address in image.list_lockers()['lockers']]

    def read(self, length):
        with self.looked_at() as image:
            return image.read(0, length).decode()

    def abandoned(self):
        """As an evacuation leaves it: the attachment is gone, and the client is not."""
        old = self.reserve()
        self.assertEqual('rbd', self.attach(old)['driver_volume_type'])
        client = self.client()
        self.detach(old)
        return client

    def refused(self, attachment, *words):
        error = self.assertRaises(exception.VolumeBackendAPIException, self.attach, attachment,
                                  world.NODE11)
        for word in (self.volume.id, *words):
            self.assertIn(word, str(error))

    def wait(self, attachment):
        """Attach as soon as it is allowed."""
        deadline = time.monotonic() + SLOW
        while True:
            try:
                return self.attach(attachment, world.NODE11)
            except exception.VolumeBackendAPIException:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.2)


class TestSecondWriter(CephWorld):
    """Incident 004: the guest still runs on the host that it is evacuated from."""

    def test_a_client_that_still_watches(self):
        client, new = self.abandoned(), self.reserve()
        self.assertEqual([client.address], self.watchers())
        self.refused(new, 'to host node11', '30 seconds',
                     f'{client.address}, owner of the exclusive lock, has it open',
                     f'ceph osd blocklist add {client.address}')
        self.assertEqual('written', client.write(0, 'still-here'))
        client.kill()

    def test_a_client_that_is_on_the_blocklist(self):
        """Others that are on it do not count, whole networks among them."""
        client, new = self.abandoned(), self.reserve()
        for entry in ({'addr': '10.1.0.13'}, {'addr': '[fd00::13]:0/7'},
                      {'addr': '10.1.2.0/24', 'range': 'range'},
                      {'addr': 'fd00::/64', 'range': 'range'}):
            self.ceph.tell('osd blocklist', blocklistop='add', **entry)
        self.refused(new, client.address)
        self.ceph.tell('osd blocklist', blocklistop='add', addr=client.address)
        self.attach(new, world.NODE11)
        self.assertEqual('written', self.client().write(0, 'evacuated'))
        self.assertEqual('ConnectionShutdown', client.write(0, 'fenced'))
        self.assertEqual('evacuated', self.read(9))

    def test_another_spelling_of_its_address_on_the_blocklist_fences_nobody(self):
        """Ceph compares IPv4 addresses with none that are mapped to IPv6: the client writes on."""
        client, new = self.abandoned(), self.reserve()
        _, _, nonce = client.address.rpartition('/')
        for entry in ({'addr': f'[::ffff:7f00:1]:0/{nonce}'}, {'addr': '[::ffff:7f00:1]:0/0'},
                      {'addr': '::ffff:7f00:0/104', 'range': 'range'}):
            self.ceph.tell('osd blocklist', blocklistop='add', **entry)
        self.assertEqual('written', client.write(0, 'still-here'))
        self.refused(new, client.address)
        # the control: with its own address it is fenced
        self.ceph.tell('osd blocklist', blocklistop='add', addr=client.address)
        self.assertEqual('ConnectionShutdown', client.write(0, 'fenced'))
        self.attach(new, world.NODE11)

    def test_a_client_that_has_died(self):
        """Its watch ends, its lock does not. Who takes that over puts the client on the blocklist
        first; where Ceph is told not to, the client still counts.
        """
        client, new = self.abandoned(), self.reserve()
        client.kill()
        self.refused(new, client.address)
        self.again(rbd_ceph_conf=self.conf_with('rbd_blocklist_on_break_lock = false'))
        deadline = time.monotonic() + SLOW
        while self.watchers() and time.monotonic() < deadline:
            time.sleep(0.2)
        self.assertEqual([client.address], self.owners())
        self.refused(new, f'the owner of the exclusive lock at {client.address} has it open',
                     'rbd_blocklist_on_break_lock', f'ceph osd blocklist add {client.address}')
        self.again(rbd_ceph_conf=self.ceph.conf)
        self.attach(new, world.NODE11)
        self.assertEqual('written', self.client().write(0, 'evacuated'))

    def conf_with(self, line):
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'ceph.conf'
        path.write_text(f'{pathlib.Path(self.ceph.conf).read_text()}{line}\n')
        return str(path)

    def test_a_client_that_comes_back(self):
        """It has lost its watch. Who takes its lock over puts it on the blocklist first."""
        client, new = self.abandoned(), self.reserve()
        client.freeze()
        self.addCleanup(client.thaw)
        self.refused(new, client.address)
        self.wait(new)
        self.assertEqual([client.address], self.owners())
        self.assertEqual('written', self.client().write(0, 'evacuated'))
        self.assertIn(client.address, self.ceph.tell('osd blocklist ls'))
        client.thaw()
        self.assertEqual('ConnectionShutdown', client.write(0, 'returned'))
        self.assertEqual('evacuated', self.read(9))

    def test_another_instance(self):
        self.attach(self.reserve())
        client = self.client()
        self.refused(self.reserve(fake_constants.UUID2), 'node13', client.address)

    def test_verify_names_it(self):
        def differences():
            return endpoint.Endpoint(self.guard).export_verify(None, self.volume.id)['differences']
        old = self.reserve()
        self.attach(old)
        client = self.client()
        self.assertEqual([], differences())
        self.detach(old)
        found, = differences()
        self.assertIn(f'{client.address}, owner of the exclusive lock, has it open', found)


class TestLiveMigration(CephWorld):
    """Two attachments of one instance, and clients on another network than their connectors."""

    def test_it_goes_through(self):
        source = self.reserve()
        self.attach(source)
        client = self.client()
        self.attach(self.reserve(), world.NODE11)
        self.assertEqual('written', self.client().write(0, 'destination'))
        client.end()
        self.detach(source)
        self.assertEqual(['node11'], self.exports())

    def exports(self):
        self.recover()
        return sorted(row.host for row in self.guard.ledger.of(Thing('volume', self.volume.id))
                      if row.peer and row.state != 'gone')

    def test_a_failed_one_leaves_nothing_that_hinders_the_next(self):
        self.attach(self.reserve())
        self.client()
        write = f'{world.db.__name__}.volume_attachment_update'
        with fixtures.MonkeyPatch(write, lambda *_, **__: 1 / 0):
            self.assertRaises(ZeroDivisionError, self.attach, self.reserve(), world.NODE11)
        self.assertEqual(['node13'], self.exports())
        self.attach(self.reserve(), NODE12)
        self.assertEqual(['node12', 'node13'], self.exports())


class TestInspector(CephWorld):
    """What is asked, and what becomes of a cluster that does not answer."""

    def test_a_look_is_no_watch(self):
        with self.looked_at() as image:
            self.assertEqual([], list(image.watchers_list()))
            self.assertEqual([], self.guard.inspector.writers(self.volume))
            client = self.client()
            found, = image.watchers_list()
            self.assertEqual(client.address, found['addr'])
        writer, = self.guard.inspector.writers(self.volume)
        self.assertEqual('127.0.0.1', writer.address)

    def test_no_such_image(self):
        self.assertEqual([], self.guard.inspector.writers({'name': 'volume-none'}))

    def test_all_images(self):
        client, first = self.client(), self.volume.name
        self.volume = self.make_volume()
        other = self.client()
        found = {(mapping.volume, mapping.host) for mapping in self.guard.inspector.list_all()}
        self.assertLessEqual({(first, client.address), (self.volume.name, other.address)}, found)
        self.assertEqual(1, sum(volume == first for volume, _ in found))

    def test_a_cluster_that_does_not_answer(self):
        self.again(rados_connect_timeout=1, rados_connection_retries=1)
        new = self.reserve()
        self.ceph.freeze()
        self.addCleanup(self.ceph.thaw)
        self.refused(new, 'cannot be found out', 'Error connecting to ceph cluster')
        self.assertEqual([], self.guard.ledger.of(Thing('volume', self.volume.id)))
        self.ceph.thaw()
        self.attach(new, world.NODE11)


class TestPlain(CephWorld):
    """The control: without the guard, both hosts get the volume, and both write."""

    guarded = False

    def test_an_evacuation(self):
        old, new = self.abandoned(), self.reserve()
        self.attach(new, world.NODE11)
        evacuated = self.client()
        self.assertEqual({old.address, evacuated.address}, set(self.watchers()))
        for number in range(4):
            writer = (old, evacuated)[number % 2]
            self.assertEqual('written', writer.write(8 * number, ('OLD-----', 'NEW-----')[
                number % 2]))
        self.assertEqual('OLD-----NEW-----' * 2, self.read(32))


class TestCut(CephWorld):
    """A host is cut off from the cluster, though its volumes are attached to it."""

    def setUp(self):
        super().setUp()
        self.old = self.reserve()
        self.attach(self.old)
        self.endpoint = endpoint.Endpoint(self.guard)

    def look(self):
        found = self.endpoint.export_open(None, host='node13')
        self.assertEqual(([self.volume.id], False), (found['volumes'], found['maps']))
        return found

    def cut(self, *addresses):
        return self.endpoint.export_cut(
            None, host='node13', user='alice', volumes=[self.volume.id],
            addresses=list(addresses or ('127.0.0.1',)))['open']

    def test_its_client_writes_no_more(self):
        client = self.client()
        found = self.look()
        for name in ('open', 'active'):
            text, = found[name]
            self.assertIn(client.address, text)
        self.assertEqual([], self.cut())
        self.assertEqual('ConnectionShutdown', client.write(0, 'fenced'))
        self.assertEqual(([], []), tuple(self.look()[name] for name in ('open', 'active')))
        self.assertEqual([], self.cut())
        # the evacuation goes through
        new = self.reserve()
        self.detach(self.old)
        self.attach(new, world.NODE11)
        self.assertEqual('written', self.client().write(0, 'evacuated'))

    def test_a_client_that_may_be_somebody_else(self):
        """A backup, say: nothing is done to anybody, before its address is said to be the host's.
        """
        client = self.client()
        text, = self.look()['others']
        self.assertIn(client.address, text)
        error = self.assertRaises(cutting.NotItsOwn, self.cut, '172.24.9.14')
        for word in (client.address, '172.24.9.13, 172.24.9.14', '--client-address'):
            self.assertIn(word, str(error))
        self.assertNotIn(client.address, self.ceph.tell('osd blocklist ls'))
        self.assertEqual('written', client.write(0, 'still-here'))
        # the control
        self.assertEqual([], self.cut())
        self.assertEqual([], self.look()['others'])

    def test_the_address_that_a_connector_gives(self):
        self.detach(self.old)
        self.attach(self.reserve(), {**world.NODE13, 'ip': '127.0.0.1'})
        client = self.client()
        self.assertEqual([], self.look()['others'])
        self.assertEqual([], self.cut('172.24.9.14'))
        self.assertEqual('ConnectionShutdown', client.write(0, 'fenced'))

    def test_a_client_that_is_frozen(self):
        """It has lost its watch, and would go on as the owner of the lock."""
        client = self.client()
        client.freeze()
        self.addCleanup(client.thaw)
        deadline = time.monotonic() + SLOW
        while self.watchers() and time.monotonic() < deadline:
            time.sleep(0.2)
        found = self.look()
        self.assertEqual((1, 0), (len(found['open']), len(found['active'])))
        self.assertEqual([], self.cut())
        client.thaw()
        self.assertEqual('ConnectionShutdown', client.write(0, 'returned'))

    def test_nobody_has_it_open(self):
        """Whoever opens it next could write, as the address of the host is not known."""
        for open_ in (self.look()['open'], self.cut()):
            self.assertIn('nobody has it open', open_[0])

    def test_the_address_of_a_server_of_ceph_is_not_blocked(self):
        """Here it is that of the cluster and of this service, too."""
        client = self.client()
        self.assertEqual([], self.cut())
        self.assertNotIn('127.0.0.1:0/0', self.ceph.tell('osd blocklist ls'))
        client.kill()
        again = self.client()
        self.assertIn(again.address, self.look()['open'][0])

    def test_another_host_has_it_too(self):
        """Its clients are left alone where its address tells them from those of the host."""
        client = self.client()
        self.attach(self.reserve(), {**world.NODE11, 'ip': '127.0.0.1'})
        # said of both, it is nobody's
        error = self.assertRaises(cutting.NotItsOwn, self.cut)
        self.assertIn(client.address, str(error))
        self.cut('172.24.9.13')
        self.assertEqual([], self.look()['others'])
        self.assertEqual('written', client.write(0, 'still-here'))

    def test_an_account_that_may_not(self):
        client = self.client()
        self.ceph.tell('auth caps', entity=f'client.{ceph.USER}', caps=[
            'mon', 'allow r', 'osd', f'profile rbd pool={ceph.POOL}'])
        self.addCleanup(self.ceph.tell, 'auth caps', entity=f'client.{ceph.USER}', caps=[
            'mon', 'profile rbd', 'osd', f'profile rbd pool={ceph.POOL}'])
        error = self.assertRaises(rbd_block.NotBlocked, self.cut)
        self.assertIn('profile rbd', str(error))
        self.assertEqual('written', client.write(0, 'still-here'))


class TestStorage(test_commands.Commands, CephWorld):
    """The fence and the probe, over a message bus, and a guest that is a real QEMU."""

    def setUp(self):
        super().setUp()
        self.old = self.reserve()
        self.attach(self.old)
        with cinder_rbd.RBDVolumeProxy(self.service.driver, self.volume.name) as image:
            rbd_guest.make_file_system(image)
        self.conf = types.SimpleNamespace(
            state_path=self.useFixture(fixtures.TempDir()).path, fence_limit=2,
            cinder_conf=self.conf_file, storage_backends=['node@array'])

    def guest(self):
        return self.useFixture(rbd_guest.Guest(
            self.ceph.conf, ceph.USER, ceph.POOL, self.volume.name))

    def fence(self, *addresses):
        made = storage_plugins.StorageFence(self.conf, 'storage')
        made.addresses = addresses or ('127.0.0.1',)
        return made

    def signs(self):
        probe = storage_plugins.StorageProbe(Site(self.conf, None, None), 'storage')
        return [(one.sign, one.detail) for one in probe.look('node13', '')]

    def check(self, *guests):
        for guest in guests:
            guest.kill()
        with self.looked_at() as image:
            return rbd_guest.check_file_system(image)

    def evacuate(self):
        """What Nova asks of Cinder, if nothing of migsafe stands in the way there."""
        new = self.reserve()
        self.detach(self.old)
        return new

    def test_second_writer_is_refused_until_the_host_is_fenced(self):
        old = self.guest()
        self.assertEqual('', old.write('old'))
        (sign, detail), = self.signs()
        self.assertEqual(Sign.OPENED, sign)
        self.assertIn(self.volume.name, detail)
        error = self.assertRaises(storage.NotItsOwn, self.fence('172.24.9.13').fence, 'node13')
        self.assertIn('--client-address', str(error))
        self.assertEqual('', old.write('more'))
        fence = self.fence()
        self.assertEqual('node@array accepts nothing of its 1 volume(s)', fence.fence('node13'))
        self.assertEqual([Sign.CUT], [sign for sign, _ in self.signs()])
        self.assertIn(rbd_guest.BLOCKED, old.write('late'))
        self.assertEqual('node@array accepts nothing of its 1 volume(s)', fence.fence('node13'))
        self.attach(self.evacuate(), world.NODE11)
        new = self.guest()
        self.assertEqual('', new.write('new'))
        self.assertIn(rbd_guest.BLOCKED, old.write('later'))
        code, said = self.check(old, new)
        self.assertEqual(0, code, said)

    def test_bypassed(self):
        """Nothing has looked at the host, and nothing was fenced."""
        old = self.guest()
        new = self.evacuate()
        self.refused(new, 'owner of the exclusive lock, has it open')
        self.assertEqual('', old.write('old'))
        self.assertEqual(0, self.check(old)[0])

    def test_a_backend_that_is_not_named(self):
        volume = super(CephWorld, self).make_volume(host='node@other#pool')
        world.db.volume_attached(
            self.admin, self.reserve(volume=volume), fake_constants.UUID1, 'node13', '/dev/vdb')
        fence = self.fence()
        error = self.assertRaises(storage.NotNamed, fence.fence, 'node13')
        self.assertIn('node@other', str(error))

    def test_nothing_to_be_cut_off_from(self):
        fence = self.fence()
        self.assertRaises(storage.NothingSeen, fence.fence, 'node99')
        self.assertRaises(storage.StillOpen, fence.fence, 'node13')
