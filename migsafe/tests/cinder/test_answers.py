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
"""What an inspector or a driver says once is not believed: a name, a success, an old list."""

import datetime
from unittest import mock

from cinder import exception, objects
from cinder.tests.unit import fake_constants
from oslo_utils import fixture as time_fixture

from migsafe import clock, ledger
from migsafe.cinder import inspectors
from migsafe.ledger import records
from migsafe.ledger.records import Thing
from migsafe.tests.cinder import world


class ByName(world.Inspector):
    """An array that tells groups by names of its own, and no initiators."""

    tells_initiators = False

    def list_exports(self, volume):
        return [inspectors.Mapping(one.volume, host=f'grp-{min(one.initiators)[-2:]}')
                if one.initiators else one for one in super().list_exports(volume)]


class Late(world.Inspector):
    """An array whose lists are old for a while."""

    lag = 30.0
    #: lists that are given instead, one after the other
    old = ()

    def list_exports(self, volume):
        if self.old:
            found, *self.old = self.old
            return found
        return super().list_exports(volume)


class Answers(world.World):
    """Looks at rows."""

    def setUp(self):
        super().setUp()
        self.first = self.reserve()
        self.attach(self.first)

    def row(self):
        return next(row for row in self.guard.ledger.of(Thing('volume', self.volume.id))
                    if row.host == 'node13')

    def away(self):
        return mock.patch.object(world.ArrayDriver, 'terminate_connection',
                                 side_effect=exception.VolumeDriverException('array is away'))

    def does_nothing(self):
        return mock.patch.object(world.ArrayDriver, 'terminate_connection', return_value=None)

    def mapped(self):
        return {initiator for _volume, initiator in self.array.exports()}


class TestNamesOfTheArraysOwn(Answers):
    """They are not compared with the name of a connector's host."""

    def setUp(self):
        super().setUp()
        self.inspect(kind=ByName)

    def test_a_detach_that_fails(self):
        with self.away():
            self.assertRaises(exception.VolumeBackendAPIException, self.detach, self.first)
        self.assertEqual('unmapping', self.row().state)
        self.detach(self.first)
        self.assertEqual(set(), self.mapped())

    def test_recovery_does_not_skip_it(self):
        with self.away():
            self.assertRaises(exception.VolumeBackendAPIException, self.detach, self.first)
        self.forget(self.first)
        self.recover()
        self.assertEqual(set(), self.mapped())

    def test_one_too_many_is_another_writer(self):
        self.array.targets[self.volume.id].add('iqn.someone-else:99')
        error = self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                                  self.reserve(), world.NODE11)
        self.assertIn('grp-99', str(error))

    def test_a_live_migration(self):
        """The control: each host accounts for one."""
        self.attach(self.reserve(), world.NODE11)
        self.detach(self.first)
        self.recover()
        self.assertEqual({world.NODE11['initiator']}, self.mapped())


class TestASuccessThatIsNone(Answers):
    """The array says success and does nothing."""

    def setUp(self):
        super().setUp()
        self.inspect()

    def test_it_is_tried_again(self):
        with self.does_nothing(), mock.patch.object(world.ArrayDriver, 'remove_export'):
            self.detach(self.first)
            self.assertEqual('removed', self.row().state)
            self.assertIn('the array still has it', self.row().error)
            error = self.assertRaises(
                exception.VolumeBackendAPIException, self.attach,
                self.reserve(fake_constants.UUID2), world.NODE11)
            self.assertIn('node13', str(error))
            self.recover()
            self.assertEqual({world.NODE13['initiator']}, self.mapped())
        for _ in range(2):
            self.recover()
        self.assertEqual(({}, 'gone'), (self.array.targets, self.row().state))
        self.attach(self.reserve(fake_constants.UUID2), world.NODE11)

    def test_it_is_done_late(self):
        """By the time of the next attach."""
        with self.does_nothing(), mock.patch.object(world.ArrayDriver, 'remove_export'):
            self.detach(self.first)
        self.array.targets[self.volume.id].clear()
        self.attach(self.reserve(fake_constants.UUID2), world.NODE11)
        self.assertEqual({world.NODE11['initiator']}, self.mapped())


class TestClock(Answers):
    """A clock is not believed either."""

    def test_one_that_jumps_a_month_ahead_purges_nothing(self):
        self.detach(self.first)
        self.recover()
        self.assertEqual('gone', self.row().state)
        now = self.useFixture(time_fixture.TimeFixture())
        self.recover()
        now.advance_time_seconds(31 * 86400)
        self.recover()
        self.assertEqual('gone', self.row().state)
        # The control: so it would be if the month had gone by.
        self.guard.recovery._clock = clock.Steady(datetime.timedelta(0))
        self.recover()
        self.assertEqual([], self.guard.ledger.of(Thing('volume', self.volume.id)))


class TestOldLists(Answers):
    """Where the array is known to lag, one look is none."""

    def setUp(self):
        super().setUp()
        self.inspect(kind=Late)
        monotonic = mock.patch('migsafe.cinder.facts.looks.time.monotonic', lambda: self.now)
        self.now = 1000.0
        monotonic.start()
        self.addCleanup(monotonic.stop)
        self.clock = self.useFixture(time_fixture.TimeFixture())

    def later(self):
        self.now += 40
        self.clock.advance_time_seconds(40)
        self.recover()

    def test_an_error_of_the_driver(self):
        self.inspector.old = [[], []]
        with self.away():
            self.assertRaises(exception.VolumeBackendAPIException, self.detach, self.first)
        self.assertEqual('unmapping', self.row().state)

    def test_recovery_does_not_skip_it(self):
        with self.away():
            self.assertRaises(exception.VolumeBackendAPIException, self.detach, self.first)
        self.forget(self.first)
        self.inspector.old = [[]]
        self.recover()
        self.later()
        self.assertEqual((set(), 'gone'), (self.mapped(), self.row().state))
        # what else the target carries is looked at twice as well
        self.later()
        self.assertEqual({}, self.array.targets)

    def test_a_success_that_is_none_and_an_old_list(self):
        self.inspector.old = [[inspectors.Mapping('x')], []]
        with self.does_nothing(), mock.patch.object(world.ArrayDriver, 'remove_export'):
            self.detach(self.first)
        self.assertEqual('removed', self.row().state)
        self.assertEqual({world.NODE13['initiator']}, self.mapped())
        self.later()
        self.later()
        self.assertEqual(set(), self.mapped())

    def test_a_detach_of_a_late_array(self):
        """It is seen twice, and does not keep the volume from another host meanwhile."""
        self.detach(self.first)
        self.assertEqual(('removed', ''), (self.row().state, self.row().error))
        self.attach(self.reserve(fake_constants.UUID2), world.NODE11)
        self.later()
        self.later()
        self.assertEqual('gone', self.row().state)
        self.assertEqual({world.NODE11['initiator']}, self.mapped())

    def test_what_was_not_there_before_it_was_mapped_again(self):
        """A look from before an intent says nothing of what was made since."""
        self.detach(self.first)
        self.assertEqual(('removed', ''), (self.row().state, self.row().error))
        again = self.reserve()
        self.now += 28
        initialize = world.ArrayDriver.initialize_connection

        def late(*args, **kwargs):
            initialize(*args, **kwargs)
            raise exception.VolumeDriverException('no answer')
        with mock.patch.object(world.ArrayDriver, 'initialize_connection', late), \
                mock.patch.object(self.guard.recovery, 'nudge'):
            self.assertRaises(exception.VolumeBackendAPIException, self.attach, again)
        self.assertEqual({world.NODE13['initiator']}, self.mapped())
        self.forget(again)
        # three seconds later the list is still that of ten seconds ago
        self.now += 3
        self.inspector.old = [[]]
        self.recover()
        self.assertNotEqual('gone', self.row().state)
        for _ in range(3):
            self.later()
        self.assertEqual((set(), 'gone'), (self.mapped(), self.row().state))

    def test_what_was_not_there_before_it_was_unmapped_again(self):
        """The same with a removal that does nothing: the look was not after that one."""
        self.detach(self.first)
        self.now += 10
        self.attach(self.reserve())
        again = next(iter(objects.VolumeAttachmentList.get_all(self.admin))).id
        self.now += 21
        self.inspector.old = [[inspectors.Mapping('x')], []]
        with self.does_nothing(), mock.patch.object(world.ArrayDriver, 'remove_export'):
            self.detach(again)
        self.assertEqual('removed', self.row().state)
        for _ in range(3):
            self.later()
        self.assertEqual((set(), 'gone'), (self.mapped(), self.row().state))

    def test_another_process_has_mapped_it_since(self):
        """The same where that was another service of the cluster, which has died."""
        self.detach(self.first)
        own, peer = self.guard.ledger, records.Peer.of(world.NODE13)
        other = ledger.Ledger(own._store, own.backend, 'node2@array', 'other')
        thing = Thing('volume', self.volume.id)
        other.intend(thing, [peer], 'mapping')
        self.array.targets[self.volume.id].add(world.NODE13['initiator'])
        other.fail(thing, [peer.key], 'no answer')
        self.now += 31
        self.inspector.old = [[], []]
        with self.away():
            self.recover()
        self.assertEqual((own.incarnation, []), (self.row().incarnation, self.inspector.old))
        self.assertEqual('unmapping', self.row().state)
        for _ in range(3):
            self.later()
        self.assertEqual((set(), 'gone'), (self.mapped(), self.row().state))

    def test_what_is_there_still_is_looked_at_no_sooner_than_the_array_may_lag(self):
        with self.does_nothing(), mock.patch.object(world.ArrayDriver, 'remove_export'):
            self.detach(self.first)
        row = self.row()
        self.assertIn('the array still has it', row.error)
        self.assertEqual(Late.lag, (row.due_at - row.updated_at).total_seconds())
