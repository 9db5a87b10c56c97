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
"""Exports of a real manager in the ledger, and what is done when a step fails."""

import contextvars
import os
import threading
import time
from unittest import mock

from cinder import exception, objects
from cinder.tests.unit import fake_constants

from migsafe import exceptions
from migsafe.brick import refusals
from migsafe.brick.connectors import guarded
from migsafe.brick.guard import kept_devices
from migsafe.cinder.facts import attachments, calls
from migsafe.cinder.recovery import bounded
from migsafe.ledger import records
from migsafe.ledger.records import Thing
from migsafe.tests.cinder import test_driver, world


class TestLife(world.World):
    """Attach and detach, as the ledger sees them."""

    def rows(self):
        return [(row.host, row.state) for row in self.guard.ledger.of(
            Thing('volume', self.volume.id))]

    def writes(self, call, *args):
        self.inject()
        call(*args)
        return self.faults.points.count('before ledger write')

    def test_attach_and_detach(self):
        attachment = self.reserve()
        info = self.attach(attachment)
        self.assertEqual('chap-secret', info['auth_password'])
        self.assertEqual([('', 'mapped'), ('node13', 'mapped')], self.rows())
        row = self.guard.ledger.of(Thing('volume', self.volume.id))[1]
        self.assertEqual((attachment, f'iqn.2010-10:{self.volume.id}', '0'),
                         (row.attachment, row.target, row.lun))
        self.assertEqual({(self.volume.id, world.NODE13['initiator'])}, self.array.exports())
        self.detach(attachment)
        self.assertEqual([('', 'gone'), ('node13', 'gone')], self.rows())
        self.assertEqual({}, self.array.targets)

    def test_no_secret_is_kept(self):
        self.attach(self.reserve())
        with open(self.guard.ledger._store.path + '-wal', 'rb') as log:
            content = log.read()
        self.assertIn(b'iqn.2010-10:', content)
        self.assertNotIn(b'chap-secret', content)

    def test_what_it_costs(self):
        """Two commits for create_export with initialize_connection, two for each other call."""
        attachment = self.reserve()
        self.assertEqual(2, self.writes(self.attach, attachment))
        self.assertEqual(4, self.writes(self.detach, attachment))

    def test_two_instances_on_one_host(self):
        """LVM and its like keep the mapping while the other instance has it."""
        volume = self.make_volume(multiattach=True)
        first, second = self.reserve(volume=volume), self.reserve(fake_constants.UUID2, volume)
        for attachment in (first, second):
            self.attach(attachment, volume=volume)
        with mock.patch.object(world.ArrayDriver, 'terminate_connection', return_value=True):
            self.detach(first)
        self.assertEqual(['mapped', 'mapped'], [row.state for row in self.guard.ledger.of(
            Thing('volume', volume.id))])
        self.recover()
        self.detach(second)
        self.assertEqual({}, self.array.targets)

    def test_a_call_without_an_attachment(self):
        """os-initialize_connection, and Cinder's own copying: nobody may take it away later."""
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        self.service.initialize_connection(self.admin, volume, dict(world.NODE13))
        self.assertEqual([('', 'mapped'), ('node13', 'mapped')], self.rows())
        self.restart()
        self.assertEqual(1, len(self.array.exports()))
        self.service.terminate_connection(self.admin, self.volume.id, dict(world.NODE13))
        self.service.remove_export(self.admin, self.volume.id)
        self.assertEqual({}, self.array.targets)

    def test_force_detach_takes_all(self):
        self.attach(self.reserve())
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        self.service.driver.terminate_connection(volume, None, force=True)
        self.assertEqual([('', 'mapped'), ('node13', 'gone')], self.rows())


class TestFailures(world.World):
    """What fails is kept, and tried until the array agrees."""

    def test_a_failed_terminate(self):
        self.inspect()
        attachment = self.reserve()
        self.attach(attachment)
        failing = mock.patch.object(world.ArrayDriver, 'terminate_connection',
                                    side_effect=exception.VolumeDriverException('array is away'))
        with failing:
            self.assertRaises(exception.VolumeBackendAPIException, self.detach, attachment)
            self.recover()
            self.assertEqual(1, len(self.array.exports()))
        # Somebody deletes the attachment in spite of it, as "volume attachment delete" of an
        # operator on a service that is down does.
        self.forget(attachment)
        with failing:
            self.recover()
        self.assertEqual(1, len(self.array.exports()))
        row = self.guard.ledger.of(Thing('volume', self.volume.id))[1]
        self.assertIn('array is away', row.error)
        self.assertGreater(row.attempts, 1)
        self.recover()
        self.assertEqual({}, self.array.targets)

    def test_a_failed_remove_export_that_cinder_ignores(self):
        self.inspect()
        attachment = self.reserve()
        self.attach(attachment)
        with mock.patch.object(world.ArrayDriver, 'remove_export',
                               side_effect=exception.VolumeDriverException('array is away')):
            self.detach(attachment)
            self.recover()
        self.assertEqual({self.volume.id: set()}, self.array.targets)
        self.recover()
        self.assertEqual({}, self.array.targets)

    def test_it_is_taken_away_at_once(self):
        """By the thread of recovery, which runs beside the service."""
        self.inspect()
        attachment = self.reserve()
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        # NOTE: Cinder's database in memory has one connection, of this thread.
        self.mock_object(attachments, 'of_volume', return_value=[
            attachments.Attachment(attachment, fake_constants.UUID1, '')])
        self.mock_object(attachments, 'thing', return_value=volume)
        test_driver.START(self.guard.recovery)
        self.addCleanup(self.guard.recovery._thread.join, 30)
        self.addCleanup(self.guard.recovery.stop)
        for write in ('volume_update', 'volume_attachment_update'):
            with mock.patch.object(world.db, write,
                                   side_effect=exception.CinderException('database is away')):
                self.assertRaises(exception.CinderException, self.attach, attachment)
            deadline = time.monotonic() + 4     # the next round by itself is after that
            while self.array.targets and time.monotonic() < deadline:
                time.sleep(0.02)
            self.assertEqual({}, self.array.targets, write)

    def test_one_volume_hangs(self):
        """The others go on, and this one is not begun once more."""
        self.inspect()
        other = objects.Volume.get_by_id(self.admin, self.make_volume().id)
        first = objects.Volume.get_by_id(self.admin, self.volume.id)
        for volume in (first, other):
            volume.update(self.service.driver.create_export(self.admin, volume, world.NODE13))
            self.array.targets[volume.id].add(world.NODE13['initiator'])
            self.guard.ledger.fail(Thing('volume', volume.id), ['', records.Peer.of(
                world.NODE13).key], 'it failed')
        # NOTE: Cinder's database in memory has one connection, of this thread.
        self.mock_object(attachments, 'of_volume', return_value=[])
        self.mock_object(attachments, 'thing', side_effect=lambda _kind, identifier: {
            volume.id: volume for volume in (first, other)}[identifier])
        self.mock_object(attachments, 'of_volumes', return_value={})
        self.mock_object(bounded, 'SECONDS', 0.2)
        going, real = threading.Event(), world.ArrayDriver.terminate_connection
        begun, ended = [], []

        def terminate(driver, volume, connector, **kwargs):
            if volume.id == first.id:
                begun.append(volume.id)
                going.wait(60)
                ended.append(volume.id)
            return real(driver, volume, connector, **kwargs)
        self.patch('migsafe.tests.cinder.world.ArrayDriver.terminate_connection', terminate)
        self.addCleanup(going.set)
        test_driver.START(self.guard.recovery)
        self.addCleanup(self.guard.recovery._thread.join, 30)
        self.addCleanup(self.guard.recovery.stop)
        self.wait(lambda: begun and other.id not in self.array.targets)
        self.assertEqual([], ended)
        self.guard.recovery.nudge()
        self.assertEqual([first.id], begun)
        going.set()
        self.wait(lambda: not self.array.exports())

    @staticmethod
    def wait(until):
        deadline = time.monotonic() + 120
        while not until() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert until()

    def test_a_live_attachment_is_never_taken_away(self):
        attachment = self.reserve()
        self.attach(attachment)
        ledger = self.guard.ledger
        for state in ('mapping', 'unmapping'):
            row = ledger.of(Thing('volume', self.volume.id))[1]
            ledger.intend(Thing('volume', self.volume.id), [_peer(row)], state)
            self.restart()
            self.assertEqual(1, len(self.array.exports()), state)
            ledger = self.guard.ledger

    def test_the_same_host_under_another_name_of_itself(self):
        """A connector that names one more initiator since an upgrade, for a second instance."""
        volume = self.make_volume(multiattach=True)
        self.attach(self.reserve(volume=volume), volume=volume)
        later = {**world.NODE13, 'nqn': 'nqn.2014-08.org.nvmexpress:13'}
        with mock.patch.object(world.db, 'volume_attachment_update',
                               side_effect=exception.CinderException('database is away')):
            self.assertRaises(exception.CinderException, self.attach,
                              self.reserve(fake_constants.UUID2, volume), later, volume)
        self.recover()
        self.assertEqual({(volume.id, world.NODE13['initiator'])}, self.array.exports())

    def test_a_volume_that_has_moved(self):
        """To another backend: this driver must not touch it."""
        attachment = self.reserve()
        self.attach(attachment)
        row = self.guard.ledger.of(Thing('volume', self.volume.id))[1]
        self.guard.ledger.intend(Thing('volume', self.volume.id), [_peer(row)], 'unmapping')
        self.forget(attachment)
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        volume.host = 'node@other#pool'
        volume.save()
        self.recover()
        self.assertEqual(1, len(self.array.exports()))
        self.assertIn('another backend', self.guard.ledger.of(
            Thing('volume', self.volume.id))[1].error)

    def test_an_attachment_that_was_reset(self):
        """The guest may still run: without an inspector nobody knows."""
        attachment = self.reserve()
        self.attach(attachment)
        self.forget(attachment)
        self.restart()
        self.assertEqual(1, len(self.array.exports()))
        row = self.guard.ledger.of(Thing('volume', self.volume.id))[1]
        self.assertIn('cannot tell', row.error)

    def test_a_deleted_volume(self):
        attachment = self.reserve()
        self.inject(self.points().index('after initialize_connection'))
        self.assertIsInstance(self.quietly(self.attach, attachment), world.Killed)
        self.faults.quiet = True
        self.forget(attachment)
        objects.Volume.get_by_id(self.admin, self.volume.id).destroy()
        self.restart()
        self.assertEqual([], self.guard.ledger.due())

    def points(self):
        self.inject()
        other = self.make_volume()
        attachment = self.reserve(volume=other)
        self.attach(attachment, volume=other)
        points = self.faults.points
        self.detach(attachment)
        return points

    def test_without_the_ledger_nothing_is_mapped(self):
        self.inject(0, exceptions.JournalUnavailable)
        with mock.patch.object(exceptions.JournalUnavailable, 'message', 'gone'):
            self.assertRaises(exception.VolumeBackendAPIException, self.attach, self.reserve())
        self.assertEqual({}, self.array.targets)


def _peer(row):
    return records.peer_of(row)


class TestOvertaken(world.World):
    """Nova gives up and detaches while the outcome of its attach is on its way."""

    def before(self, step, action):
        real = getattr(self.guard, step)

        def late(call):
            # As another thread would, which is in no call.
            contextvars.Context().run(action)
            return real(call)
        return mock.patch.object(self.guard, step, late)

    def states(self):
        return [row.state for row in self.guard.ledger.of(Thing('volume', self.volume.id))]

    def test_a_detach_before_the_outcome_is_recorded(self):
        attachment = self.reserve()
        with self.before('_confirm', lambda: self.detach(attachment)):
            error = self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                                      attachment)
        self.assertIn('is not given away', str(error))
        self.assertEqual(({}, ['gone', 'gone'], []),
                         (self.array.targets, self.states(), self.guard.ledger.due()))
        self.attach(self.reserve(fake_constants.UUID2), world.NODE11)
        self.assertEqual({(self.volume.id, world.NODE11['initiator'])}, self.array.exports())

    def test_half_a_detach_before_the_outcome_is_recorded(self):
        """The target is not recorded as mapped either, without being due."""
        attachment = self.reserve()
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)

        def half():
            with calls.detaching(attachment):
                self.service.driver.terminate_connection(volume, dict(world.NODE13))
        with self.before('_confirm', half):
            self.assertRaises(exception.VolumeBackendAPIException, self.attach, attachment)
        self.assertEqual(['mapping', 'gone'], self.states())
        self.assertEqual([''], [row.peer for row in self.guard.ledger.due()])

    def test_a_detach_before_the_failure_is_recorded(self):
        """The manager has written the connector, and fails after that."""
        attachment = self.reserve()
        with self.before('_give_up', lambda: self.detach(attachment)), mock.patch.object(
                world.db, 'volume_attached', side_effect=exception.CinderException('no answer')):
            self.assertRaises(exception.CinderException, self.attach, attachment)
        self.assertEqual(({}, ['gone', 'gone'], []),
                         (self.array.targets, self.states(), self.guard.ledger.due()))

    def test_a_connection_without_an_attachment(self):
        """It is not given away, and what is left of it goes."""
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        real = world.ArrayDriver.initialize_connection

        def late(driver, volume, connector):
            info = real(driver, volume, connector)
            self.guard.ledger.intend(Thing('volume', volume['id']), [
                records.Peer.of(connector)], 'unmapping')
            return info
        with mock.patch.object(world.ArrayDriver, 'initialize_connection', late):
            error = self.assertRaises(
                exception.VolumeBackendAPIException, self.service.initialize_connection,
                self.admin, volume, dict(world.NODE13))
        self.assertIn('is not given away', str(error))
        self.recover()
        self.assertEqual({}, self.array.targets)


class TestSharedTarget(world.World):
    """The volume is attached to node13, and another step of it ends with remove_export."""

    SOURCE = world.NODE13['initiator']

    def setUp(self):
        super().setUp()
        self.first = self.reserve()
        self.attach(self.first)

    def kept(self):
        """Node13 still has it; recovery does not change that, and a detach ends it."""
        self.assertIn((self.volume.id, self.SOURCE), self.array.exports())
        self.recover()
        self.assertEqual({(self.volume.id, self.SOURCE)}, self.array.exports())
        self.assertEqual([], self.guard.ledger.due())
        self.detach(self.first)
        self.assertEqual(({}, []), (self.array.targets, self.guard.ledger.due()))

    def fails(self):
        """Attach for the destination of a live migration; Nova deletes what has failed."""
        second = self.reserve()
        with mock.patch.object(world.ArrayDriver, 'remove_export', autospec=True,
                               side_effect=world.ArrayDriver.remove_export) as removed:
            error = self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                                      second, world.NODE11)
        self.assertEqual(0, removed.call_count)
        self.detach(second)
        return str(error)

    def test_the_driver_fails(self):
        with mock.patch.object(world.ArrayDriver, 'initialize_connection',
                               side_effect=exception.VolumeDriverException('array is away')):
            self.assertIn('array is away', self.fails())
        self.kept()

    def test_the_guard_refuses(self):
        """After create_export, whose own look was in time."""
        with mock.patch.object(self.guard.exports, 'initialize', side_effect=calls.VolumeBusy(
                kind='volume', id=self.volume.id, seconds=60)):
            self.assertIn('has been running', self.fails())
        self.kept()

    def test_an_attachment_that_is_older_than_the_guard(self):
        """Nothing of it is in the ledger."""
        self.guard.stop()
        os.unlink(self.guard.ledger._store.path)
        self.boot()
        self.test_the_driver_fails()

    def test_it_is_copied_while_it_is_attached(self):
        own = {'host': 'node', 'initiator': 'iqn.1994-05.com.redhat:0'}
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        driver = self.service.driver
        with calls.copy():
            driver.create_export(self.admin, volume, own)
            driver.initialize_connection(volume, own)
        self.assertEqual(2, len(self.array.exports()))
        driver._detach_volume(self.admin, None, volume, own)
        self.kept()

    def test_another_attach_goes_on(self):
        """Between its create_export and its initialize_connection nobody has the line."""
        second, write, ended = self.reserve(), world.db.volume_update, []

        def meanwhile(*args, **kwargs):
            if not ended:
                # As another thread would, which is in no call.
                ended.append(self.quietly(contextvars.Context().run, self.detach, self.first))
            return write(*args, **kwargs)
        with mock.patch.object(world.db, 'volume_update', meanwhile), mock.patch.object(
                world.ArrayDriver, 'terminate_connection', return_value=None):
            self.attach(second, world.NODE11)
        self.assertEqual([None], ended)
        self.assertIn((self.volume.id, world.NODE11['initiator']), self.array.exports())

    def test_control(self):
        """Without another one that needs it the target goes at once."""
        self.detach(self.first)
        with mock.patch.object(world.ArrayDriver, 'initialize_connection',
                               side_effect=exception.VolumeDriverException('array is away')):
            self.assertRaises(exception.VolumeBackendAPIException, self.attach, self.reserve())
        self.assertEqual({}, self.array.targets)


class TestBadInput(world.World):
    """Connectors that are none, calls in any order."""

    def test_connectors(self):
        for connector in ({'host': 'a\x00'}, {'initiator': 'x' * 10_000_000, 'host': 'n'},
                          {'host': 'n\udcff', 'initiator': 'i'}):
            self.assertRaises(exception.InvalidInput, self.attach, self.reserve(), connector)
        self.assertEqual({}, self.array.targets)

    def test_calls_out_of_order(self):
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        driver = self.service.driver
        driver.terminate_connection(volume, dict(world.NODE13))
        driver.remove_export(self.admin, volume)
        self.assertRaises(KeyError, driver.initialize_connection, volume, dict(world.NODE13))
        self.recover()
        for _ in range(2):
            volume.update(driver.create_export(self.admin, volume, dict(world.NODE13)))
        for _ in range(2):
            driver.initialize_connection(volume=volume, connector=dict(world.NODE13))
        self.recover()
        self.assertEqual(1, len(self.array.exports()))
        for _ in range(2):
            driver.terminate_connection(volume, dict(world.NODE13))
            driver.remove_export(self.admin, volume)
        self.assertEqual({}, self.array.targets)
        self.assertEqual([], self.guard.ledger.due())


class Brick:
    """What is below the guard, in os-brick's place."""

    def __init__(self):
        self.called = 0

    def disconnect_volume(self, properties, info, force=False, ignore_errors=False):
        """As os-brick."""
        self.called += 1


class GuardedBrick(guarded.Guarded, Brick):
    """A guarded connector with one disk."""

    def __init__(self, host):
        Brick.__init__(self)
        self.policy = mock.Mock()
        self.policy.guard.host = host

    def _devices(self, properties, info):
        return ['sda'], []


class TestOwnDevice(world.World):
    """Cinder has copied a volume, and something on its host holds the device."""

    OWN = {'host': 'node', 'initiator': 'iqn.1994-05.com.redhat:0', 'ip': '172.24.9.10'}

    def setUp(self):
        super().setUp()
        kept_devices.clear()
        self.addCleanup(kept_devices.clear)
        self.brick = GuardedBrick('node')
        self.volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        self.driver = self.service.driver
        with calls.copy():
            self.volume.update(self.driver.create_export(self.admin, self.volume, self.OWN))
            self.volume.save()
            self.driver.initialize_connection(self.volume, self.OWN)

    def hold(self):
        self.brick.policy.may_remove.side_effect = refusals.VolumeHeld(
            volume=self.volume.id, host='node', device='/dev/sda', holder='vg0-data',
            left=refusals.LEFT, way_out='Release it.')

    def disconnect(self, connector=None, **kwargs):
        # no volume_id, as most drivers of Fibre Channel leave it out
        self.driver._detach_volume(self.admin, {
            'connector': connector or self.brick, 'conn': {'data': {}}, 'device': {}},
            self.volume, self.OWN, **kwargs)

    def test_nothing_holds_it(self):
        self.disconnect()
        self.assertEqual((1, {}), (self.brick.called, self.array.targets))

    def test_the_export_stays(self):
        self.hold()
        for given in ({'force': True, 'ignore_errors': True}, {'force': True}, {}):
            with self.subTest(given):
                error = self.quietly(lambda given=given: self.disconnect(**given))
                self.assertEqual('ignore_errors' in given, error is None)
                self.assertEqual({(self.volume.id, self.OWN['initiator'])}, self.array.exports())
        self.assertEqual(0, self.brick.called)
        self.brick.policy.may_remove.side_effect = None
        self.disconnect()
        self.assertEqual((1, {}), (self.brick.called, self.array.targets))

    def test_control(self):
        """An error that is not a guard's: Cinder takes the export away, with force."""
        failing = mock.Mock()
        failing.disconnect_volume.side_effect = OSError('multipath -f failed')
        self.disconnect(failing, force=True, ignore_errors=True)
        self.assertEqual({}, self.array.targets)

    def test_a_target_is_not_removed_either(self):
        self.hold()
        self.quietly(self.disconnect)
        error = self.assertRaises(exception.VolumeBackendAPIException,
                                  self.driver.remove_export, self.admin, self.volume)
        for word in (self.volume.id, 'node', 'vg0-data', 'restart cinder-volume'):
            self.assertIn(word, str(error))
        self.assertIn(self.volume.id, self.array.targets)

    def test_other_hosts_and_volumes_go(self):
        self.hold()
        self.quietly(self.disconnect)
        self.attach(self.reserve())
        self.driver.terminate_connection(self.volume, dict(world.NODE13))
        self.assertEqual({(self.volume.id, self.OWN['initiator'])}, self.array.exports())
        other = self.make_volume()
        attachment = self.reserve(volume=other)
        self.attach(attachment, volume=other)
        self.detach(attachment)
        self.assertEqual({self.volume.id}, set(self.array.targets))

    def test_it_stays_by_whatever_name_a_caller_asks(self):
        """A member of the project may ask for his volume, with any connector."""
        self.hold()
        self.quietly(self.disconnect)
        for name in ('another', 'NODE', '', 'node.example.org'):
            for initiator in (self.OWN['initiator'], self.OWN['initiator'].upper()):
                with self.subTest((name, initiator)):
                    error = self.quietly(lambda name=name, initiator=initiator: (
                        self.service.terminate_connection(self.admin, self.volume.id, {
                            'host': name, 'initiator': initiator})))
                    self.assertIn('vg0-data', str(error))
                    self.assertEqual({(self.volume.id, self.OWN['initiator'])},
                                     self.array.exports())

    def test_copying_of_the_manager(self):
        self.hold()
        info = {'connector': self.brick, 'conn': {'data': {}}, 'device': {}}
        self.assertRaises(refusals.VolumeHeld, self.service._detach_volume, self.admin, info,
                          self.volume, self.OWN)
        self.assertEqual(['node'], list(kept_devices.hosts(self.volume.id)))
