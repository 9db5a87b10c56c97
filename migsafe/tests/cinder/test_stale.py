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
"""Exports whose attachments have gone without a terminate, and copies that nobody ends."""

import contextlib
from unittest import mock

import sqlalchemy as sa
from cinder import exception, objects
from cinder.tests.unit import fake_constants
from cinder.tests.unit import utils as cinder_utils
from oslo_utils import fixture as time_fixture
from oslo_utils import timeutils

from migsafe.cinder.bus import endpoint
from migsafe.cinder.facts import attachments, calls
from migsafe.cinder.recovery import sweep
from migsafe.ledger import records
from migsafe.ledger.records import Thing
from migsafe.ledger.rows import PATIENCE
from migsafe.tests.cinder import world

#: The host of cinder-volume itself.
OWN = {'host': 'node', 'initiator': 'iqn.1994-05.com.redhat:0', 'ip': '172.24.9.10'}
#: The same host as node13, after it has got another initiator.
LATER = {**world.NODE13, 'initiator': 'iqn.1994-05.com.redhat:13b'}


class Stale(world.World):
    """Looks at rows."""

    def rows(self, volume=None):
        return [row for row in self.guard.ledger.of(Thing('volume', (volume or self.volume).id))
                if row.peer]

    def reset(self, attachment):
        self.forget(attachment)


class TestSweep(Stale):
    """cinder-volume has run for long when an attachment goes without a terminate."""

    INTERVAL = 4000     # with what is added at random

    def setUp(self):
        super().setUp()
        self.clock = self.useFixture(time_fixture.TimeFixture())
        self.recover()      # at start, on an empty ledger
        self.attachment = self.reserve()
        self.attach(self.attachment)

    def test_nobody_has_it_open(self):
        self.inspect()
        self.clock.advance_time_seconds(self.INTERVAL)
        self.recover()
        self.assertEqual(1, len(self.array.exports()))
        self.reset(self.attachment)
        self.recover()      # it has just looked
        self.assertEqual(1, len(self.array.exports()))
        self.clock.advance_time_seconds(self.INTERVAL)
        self.recover()
        self.assertEqual(({}, ['gone']), (self.array.targets, [row.state for row in self.rows()]))

    def test_the_array_cannot_tell(self):
        self.reset(self.attachment)
        self.clock.advance_time_seconds(self.INTERVAL)
        self.recover()
        row, = self.rows()
        self.assertEqual('mapped', row.state)
        self.assertIn('cannot tell', row.error)

    def test_what_is_due_later_waits_for_that(self):
        """A sweep does not undo the pauses between two tries."""
        self.reset(self.attachment)
        row, = self.rows()
        self.guard.ledger.fail(Thing('volume', self.volume.id), [row.peer], 'held',
                               1.5 * self.INTERVAL, read=row)
        self.clock.advance_time_seconds(self.INTERVAL)
        self.guard.recovery.round(timeutils.utcnow())
        self.assertEqual((1, 'held'), (self.rows()[0].attempts, self.rows()[0].error))

    def test_never(self):
        self.override_config('ledger_sweep_interval', 0, group='migsafe')
        self.restart()
        self.reset(self.attachment)
        self.clock.advance_time_seconds(10 * self.INTERVAL)
        self.recover()
        self.assertEqual('', self.rows()[0].error)

    def test_what_it_costs(self):
        """A page in each round, one query for its attachments, and none to the array."""
        for _ in range(5):
            volume = self.make_volume()
            self.attach(self.reserve(volume=volume), volume=volume)
        volume = objects.Volume.get_by_id(self.admin, self.make_volume().id)
        self.service.initialize_connection(self.admin, volume, dict(world.NODE11))
        self.inspect()
        self.mock_object(sweep, 'PAGE', 4)
        self.reset(self.attachment)     # the first page has it, and the last one what is kept
        self.clock.advance_time_seconds(self.INTERVAL)
        # whether the ledger is the last one is looked at once more, and never again
        self.assertTrue(self.guard.standing.is_good())
        taken = []
        recovery, one = self.guard.recovery, self.guard.recovery.one
        with mock.patch.object(recovery, 'one', side_effect=taken.append):
            asked = [self.queries(recovery.round) for _ in range(5)]
        self.assertEqual([1, 1, 1, 1, 0], asked)
        self.assertEqual({self.volume.id, volume.id}, {row.resource for row in taken})
        with mock.patch.object(self.guard.inspector, 'writers', return_value=[]) as writers:
            for row in taken:
                one(row)
        self.assertEqual({self.volume.id}, {call.args[0].id for call in writers.call_args_list})
        self.assertNotIn(self.volume.id, self.array.targets)
        self.assertIn(volume.id, self.array.targets)

    def queries(self, call):
        """How often Cinder's table of attachments is read."""
        found = []

        def note(connection, cursor, statement, *_more):
            found.append(statement) if 'volume_attachment' in statement else None
        sa.event.listen(sa.Engine, 'before_cursor_execute', note)
        try:
            call(None)
        finally:
            sa.event.remove(sa.Engine, 'before_cursor_execute', note)
        return len(found)

    def test_the_database_is_away(self):
        """Nothing is taken for stale, what is due is done, and the page is looked at again."""
        other = self.make_volume()
        attachment = self.reserve(volume=other)
        self.attach(attachment, volume=other)
        with mock.patch.object(world.ArrayDriver, 'terminate_connection',
                               side_effect=exception.VolumeDriverException('array is away')):
            self.assertRaises(exception.VolumeBackendAPIException, self.detach, attachment)
        self.reset(attachment)
        self.reset(self.attachment)
        self.inspect()
        self.clock.advance_time_seconds(self.INTERVAL)
        with mock.patch.object(sweep, 'attachments', mock.Mock(
                wraps=attachments, of_volumes=mock.Mock(
                    side_effect=exception.CinderException('database is away')))):
            self.assertRaises(exception.CinderException, self.recover)
        self.assertEqual({self.volume.id}, set(self.array.targets))
        self.recover()
        self.assertEqual({}, self.array.targets)

    def test_an_unreadable_connector(self):
        """The attachment is there, and so nothing is taken away."""
        world.db.volume_attachment_update(self.admin, self.attachment, {'connector': '{"host'})
        self.inspect()
        self.clock.advance_time_seconds(self.INTERVAL)
        self.recover()
        self.assertEqual(1, len(self.array.exports()))
        row, = self.rows()
        self.assertEqual('mapped', row.state)
        one, = attachments.of_volume(self.volume.id)
        self.assertTrue(one.unclear)


class TestTwoOfOneHost(Stale):
    """Two instances of a host, which had one more initiator when it attached the second."""

    def setUp(self):
        super().setUp()
        self.volume = self.make_volume(multiattach=True)
        self.attached = [self.reserve(), self.reserve(fake_constants.UUID2)]
        for attachment, connector in zip(self.attached, (world.NODE13, LATER), strict=True):
            self.attach(attachment, connector)
        self.assertEqual(2, len(self.array.exports()))

    def states(self):
        return [row.state for row in self.rows()]

    def test_revert(self):
        for attachment in self.attached:
            self.reset(attachment)
        self.restart()
        self.assertEqual(['cannot tell'] * 2, [
            'cannot tell' if 'cannot tell' in row.error else row.error for row in self.rows()])
        endpoint.Endpoint(self.guard).export_revert(None, volume=self.volume.id, host='node13')
        self.assertEqual((['gone', 'gone'], {}), (self.states(), self.array.targets))

    def test_fence(self):
        self.inspect()
        for attachment in self.attached:
            self.reset(attachment)
        endpoint.Endpoint(self.guard).export_fence(None, host='node13', user='alice')
        self.recover()
        self.assertEqual((['gone', 'gone'], {}), (self.states(), self.array.targets))

    def test_the_array_says_that_neither_is_used(self):
        for attachment in self.attached:
            self.reset(attachment)
        self.restart()
        self.inspect()
        self.recover()
        self.assertEqual((['gone', 'gone'], {}), (self.states(), self.array.targets))

    def test_the_array_says_that_one_is_used(self):
        """To take the other one away could take it away too."""
        for attachment in self.attached:
            self.reset(attachment)
        self.inspect(LATER)
        for _ in range(2):
            self.recover()
        self.assertEqual(2, len(self.array.exports()))
        self.assertEqual([True] * 2, ['has it open' in row.error for row in self.rows()])

    def test_one_is_attached(self):
        """The array says that the other one is not used; they are one host all the same."""
        self.reset(self.attached[0])
        self.restart()
        self.inspect()
        endpoint.Endpoint(self.guard).export_revert(None, volume=self.volume.id, host='node13')
        self.assertEqual(['mapped'] * 2, self.states())
        self.assertEqual(2, len(self.array.exports()))

    def test_one_was_not_made_for_an_attachment(self):
        """Whoever asked for it may use it."""
        self.detach(self.attached[1])
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        self.service.driver.initialize_connection(volume, LATER)
        self.reset(self.attached[0])
        self.inspect()
        self.recover()
        self.guard.recovery.one(self.rows()[0], vouched=False)
        self.guard.recovery.one(self.rows()[1], vouched=False)
        self.assertEqual(2, len(self.array.exports()))

    def test_one_is_just_being_made(self):
        for attachment in self.attached:
            self.reset(attachment)
        self.inspect()
        peer = records.Peer.of(LATER)
        self.guard.ledger.intend(Thing('volume', self.volume.id), [peer], 'mapping')
        first = next(row for row in self.rows() if row.peer != peer.key)
        self.guard.recovery.one(first)
        self.assertEqual(2, len(self.array.exports()))
        self.guard.ledger.fail(Thing('volume', self.volume.id), [peer.key], 'it failed', 30)
        self.guard.recovery.one(next(row for row in self.rows() if row.peer == first.peer))
        self.assertEqual({(self.volume.id, LATER['initiator'])}, self.array.exports())


class TestCopies(Stale):
    """Cinder was copying a volume on its own host when cinder-volume died."""

    def copy(self, connector=OWN, **values):
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        with calls.copy() if connector is OWN else contextlib.nullcontext():
            self.service.initialize_connection(self.admin, volume, dict(connector))
        self.set(**values)

    def set(self, **values):
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        volume.update(values)
        volume.save()

    def restart(self, *opened, asks=True):
        self.inspector = None
        self.boot()
        if asks:
            self.inspect(*opened)
        self.recover()

    def later(self):
        """A minute after the start."""
        self.guard.recovery.since -= PATIENCE
        self.recover()

    def held(self, *words):
        row, = self.rows()
        self.assertEqual('mapped', row.state)
        for word in words:
            self.assertIn(word, row.error)
        self.assertEqual({(self.volume.id, OWN['initiator'])}, self.array.exports())

    def refused(self):
        error = self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                                  self.reserve(), world.NODE11)
        self.assertIn('host node has an export of it', str(error))

    def revert(self, host='node'):
        found = endpoint.Endpoint(self.guard).export_revert(
            None, volume=self.volume.id, host=host)['exports']
        return [row['state'] for row in found]

    def test_it_goes_on(self):
        """The control: in the process that has begun it, it is nobody's business."""
        self.copy()
        self.inspect()
        for row in self.rows():
            self.guard.recovery.one(row)
        self.later()
        self.held()
        self.attach(self.reserve(), world.NODE11)

    def test_the_array_cannot_tell(self):
        self.copy()
        self.restart(asks=False)
        self.later()
        self.held('cannot tell')
        self.refused()
        self.assertEqual(['gone'], self.revert())
        self.attach(self.reserve(), world.NODE11)
        self.assertEqual({(self.volume.id, world.NODE11['initiator'])}, self.array.exports())

    def test_nobody_has_it_open(self):
        self.copy()
        self.restart()
        self.held('just started')
        self.refused()
        self.later()
        self.assertEqual(({}, ['gone']), (self.array.targets, [row.state for row in self.rows()]))
        self.attach(self.reserve(), world.NODE11)

    def test_cinder_backup_goes_on(self):
        """It runs on this host as well, and has not ended with cinder-volume."""
        self.copy()
        self.restart(OWN)
        self.later()
        self.held('has it open')
        self.refused()

    def test_something_is_going_on(self):
        for values in ({'status': 'backing-up'}, {'status': 'available',
                                                  'migration_status': 'migrating'}):
            with self.subTest(values):
                self.copy(**values)
                self.restart()
                self.later()
                self.held(*values.values()) if len(values) == 1 else self.held('migrating')
        self.set(migration_status=None)
        self.recover()
        self.assertEqual({}, self.array.targets)

    def test_an_operator_says_that_nothing_is(self):
        self.copy(status='backing-up')
        self.restart()
        self.assertEqual(['gone'], self.revert())
        self.assertEqual({}, self.array.targets)

    def test_another_host(self):
        """It may be cinder-backup's, or of a caller of os-initialize_connection."""
        self.copy(world.NODE13)
        self.restart()
        self.later()
        self.assertEqual(({(self.volume.id, world.NODE13['initiator'])}, ''),
                         (self.array.exports(), self.rows()[0].error))
        self.assertEqual(['gone'], self.revert('node13'))

    def test_a_target_that_was_left(self):
        """Killed between the mapping and the target of a copy."""
        self.copy()
        driver = self.service.driver
        driver.terminate_connection(
            objects.Volume.get_by_id(self.admin, self.volume.id), dict(OWN))
        self.assertEqual({self.volume.id: set()}, self.array.targets)
        self.restart()
        self.assertEqual({}, self.array.targets)

    def test_a_snapshot(self):
        """Of a cinder-backup on another host, which has died."""
        snapshot = cinder_utils.create_snapshot(
            self.admin, self.volume.id, status='available')
        driver = self.service.driver
        snapshot.update(driver.create_export_snapshot(self.admin, snapshot, dict(world.NODE13)))
        snapshot.save()
        driver.initialize_connection_snapshot(snapshot, dict(world.NODE13))
        self.assertEqual(1, len(self.array.exports()))
        self.restart(asks=False)
        self.later()
        self.assertEqual(1, len(self.array.exports()))
        found = endpoint.Endpoint(self.guard).export_revert(
            None, volume=snapshot.id, host='node13')['exports']
        self.assertEqual([('snapshot', 'gone')], [(row['kind'], row['state']) for row in found])
        self.assertEqual({}, self.array.targets)
        self.assertEqual(['gone'] * 2, [
            row.state for row in self.guard.ledger.of(Thing('snapshot', snapshot.id))])

    def test_a_snapshot_on_this_host(self):
        snapshot = cinder_utils.create_snapshot(
            self.admin, self.volume.id, status='available')
        driver = self.service.driver
        with calls.copy():
            snapshot.update(driver.create_export_snapshot(self.admin, snapshot, dict(OWN)))
            snapshot.save()
            driver.initialize_connection_snapshot(snapshot, dict(OWN))
        self.set(status='backing-up')
        self.restart()
        self.later()
        self.assertEqual(1, len(self.array.exports()))
        self.assertIn('backing-up', self.guard.ledger.of(
            Thing('snapshot', snapshot.id))[1].error)
        self.set(status='in-use')
        self.recover()
        self.assertEqual({}, self.array.targets)
