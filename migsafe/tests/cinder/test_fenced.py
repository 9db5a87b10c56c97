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
"""An evacuation, while the array does not take the export of the dead host away.

Nova makes an attachment without a connector, deletes the old one, and then maps the volume to the
new host through the first.
"""

from unittest import mock

from cinder import exception, objects
from cinder.tests.unit import fake_constants

from migsafe import exceptions
from migsafe.cinder import inspectors
from migsafe.cinder.bus import endpoint, fencing
from migsafe.cinder.facts import compute_hosts, writers
from migsafe.ledger.records import Thing
from migsafe.tests.cinder import world

BOTH = {world.NODE13['initiator'], world.NODE11['initiator']}


class Evacuation(world.World):
    """Has an instance on node13."""

    def setUp(self):
        super().setUp()
        self.old = self.reserve()
        self.attach(self.old, world.NODE13)

    def away(self):
        """The array cannot unmap."""
        return mock.patch.object(world.ArrayDriver, 'terminate_connection', autospec=True,
                                 side_effect=exception.VolumeDriverException('array is away'))

    def mapped(self, volume=None):
        return self.array.targets.get((volume or self.volume).id, set())

    def reset(self):
        """What an operator does when the old attachment cannot be deleted."""
        self.forget(self.old)

    def fence(self, host='node13', *volumes):
        return endpoint.Endpoint(self.guard).export_fence(
            None, host=host, user='alice', volumes=volumes)

    def row(self, host='node13', volume=None):
        return next(row for row in self.guard.ledger.of(
            Thing('volume', (volume or self.volume).id)) if row.host == host)

    def refused(self, *words, instance=fake_constants.UUID1, connector=world.NODE11):
        before = self.array.exports()
        error = self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                                  self.reserve(instance), connector)
        for word in words:
            self.assertIn(word, str(error))
        self.assertEqual(before, self.array.exports())


class TestPlainCinder(Evacuation):
    """The control: two hosts can write the volume, and nothing says so."""

    guarded = False

    def test_the_volume_is_mapped_to_both(self):
        with self.away() as terminate:
            self.assertRaises(exception.VolumeBackendAPIException, self.detach, self.old)
            self.reset()
            self.attach(self.reserve(), world.NODE11)
        self.assertEqual(1, terminate.call_count)
        self.assertEqual(BOTH, self.mapped())


class TestNotFenced(Evacuation):
    """Nobody has said that the host is dead."""

    def test_an_array_that_cannot_unmap(self):
        with self.away() as terminate:
            self.assertRaises(exception.VolumeBackendAPIException, self.detach, self.old)
            self.reset()
            self.refused('node13', 'node11', '--host-is-fenced', 'unmapping')
            self.recover()
            self.refused('node13')
        self.assertGreater(terminate.call_count, 1)
        self.assertEqual({world.NODE13['initiator']}, self.mapped())
        self.recover()
        self.attach(self.reserve(), world.NODE11)
        self.assertEqual({world.NODE11['initiator']}, self.mapped())

    def test_another_host_is_fenced(self):
        other = self.make_volume()
        self.attach(self.reserve(fake_constants.UUID2, other), {
            **world.NODE13, 'host': 'node14', 'initiator': 'iqn.14'}, other)
        self.fence('node14')
        self.reset()
        self.refused('node13')
        self.assertRaises(endpoint.NoSuchExport, self.fence, 'node99')

    def test_another_volume_of_the_host_is_named(self):
        other = self.make_volume()
        self.attach(self.reserve(fake_constants.UUID2, other), world.NODE13, other)
        self.assertEqual({'marked': 1}, self.fence('node13', other.id))
        self.reset()
        self.refused('node13')


class TestFenced(Evacuation):
    """An operator has said so."""

    def test_afterwards(self):
        """After the evacuation was refused once."""
        with self.away() as terminate:
            self.assertRaises(exception.VolumeBackendAPIException, self.detach, self.old)
            self.reset()
            self.refused('node13')
            self.assertEqual({'marked': 1}, self.fence())
            self.recover()
            self.assertGreater(terminate.call_count, 1)
            self.assertEqual('unmapping', self.row().state)
            self.assertIn('by alice at 20', self.row().fenced)
            self.attach(self.reserve(), world.NODE11)
            self.assertEqual(BOTH, self.mapped())
            self.recover()
            self.assertIn('array is away', self.row().error)
        # It was not forgotten.
        self.recover()
        self.assertEqual({world.NODE11['initiator']}, self.mapped())
        self.assertEqual('gone', self.row().state)

    def test_before(self):
        """Nova's call to delete the old attachment does not fail with the array."""
        self.fence()
        self.recover()
        self.assertEqual({world.NODE13['initiator']}, self.mapped())
        self.assertEqual('mapped', self.row().state)
        new = self.reserve()
        with self.away() as terminate:
            self.detach(self.old)
            self.assertEqual(1, terminate.call_count)
            self.assertEqual('unmapping', self.row().state)
            self.attach(new, world.NODE11)
            self.assertEqual(BOTH, self.mapped())
        self.recover()
        self.assertEqual({world.NODE11['initiator']}, self.mapped())
        self.assertEqual({(self.volume.id, world.NODE11['initiator'])}, self.live())

    def test_nova_tries_again(self):
        """The first evacuation failed with the array; the attachment is still there."""
        with self.away():
            self.assertRaises(exception.VolumeBackendAPIException, self.detach, self.old)
            self.fence()
            self.detach(self.old)
            self.attach(self.reserve(), world.NODE11)
        self.recover()
        self.assertEqual({world.NODE11['initiator']}, self.mapped())

    def test_an_array_that_works(self):
        self.fence()
        new = self.reserve()
        self.detach(self.old)
        self.assertEqual(('gone', set()), (self.row().state, self.mapped()))
        self.attach(new, world.NODE11)
        self.assertEqual({world.NODE11['initiator']}, self.mapped())

    def test_an_array_that_is_slow(self):
        """It reports success and has the mapping for a while."""
        self.inspect()
        self.fence()
        new = self.reserve()
        with mock.patch.object(world.ArrayDriver, 'terminate_connection', return_value=False):
            self.detach(self.old)
        self.assertEqual('removed', self.row().state)
        self.assertIn('the array still has', self.row().error)
        self.attach(new, world.NODE11)
        self.recover()
        self.assertEqual({world.NODE11['initiator']}, self.mapped())

    def test_a_session_that_lingers(self):
        """The array says that the dead host has the volume open."""
        self.inspect(world.NODE13)
        self.reset()
        self.recover()
        self.assertEqual({world.NODE13['initiator']}, self.mapped())
        self.refused('node13')
        self.fence()
        with self.away():
            self.recover()
            self.attach(self.reserve(), world.NODE11)
        self.recover()
        self.assertEqual({world.NODE11['initiator']}, self.mapped())

    def test_the_word_is_taken_back(self):
        """Nova is asked again whenever the mark decides; it may not answer, too."""
        with self.away():
            self.reset()
            self.fence()
            self.recover()
            for answer in (False, OSError('no answer')):
                with self.says(answer):
                    self.refused('node13')
            # the control
            self.attach(self.reserve(), world.NODE11)
        self.assertEqual(BOTH, self.mapped())

    def test_the_word_is_taken_back_while_the_host_has_it_open(self):
        self.inspect(world.NODE13)
        self.fence()
        self.reset()
        for answer in (False, OSError('no answer')):
            with self.says(answer):
                self.recover()
            self.assertEqual({world.NODE13['initiator']}, self.mapped())
        # the control
        self.recover()
        self.assertEqual(set(), self.mapped())

    def says(self, answer):
        """What Nova says of the host now."""
        return mock.patch.object(compute_hosts, 'declared', side_effect=[answer] * 99)

    def test_a_watcher_that_lingers(self):
        """Where the array tells an address only: there is no mapping that could be taken away, so
        that nothing would keep a client out that is not dead after all.
        """
        made = self.inspect()
        made.writers = lambda volume: [inspectors.Writer('client.4711', address='172.24.9.13')]
        self.reset()
        self.refused('client.4711')
        self.fence()
        with self.away():
            self.recover()
            self.refused('client.4711')
            made.writers = lambda volume: []
            self.attach(self.reserve(), world.NODE11)
        self.assertEqual(BOTH, self.mapped())

    def test_another_writer_still_counts(self):
        self.inspect({'initiator': 'iqn.someone-else'})
        self.reset()
        self.fence()
        with self.away():
            self.recover()
            self.refused('iqn.someone-else')

    def test_a_mapping_that_only_the_array_knows_still_counts(self):
        self.inspect()
        self.reset()
        self.fence()
        self.array.targets[self.volume.id].add('iqn.someone-else')
        with self.away():
            self.recover()
            self.refused('iqn.someone-else')

    def test_what_is_attached_is_left_alone_and_counts(self):
        """Another instance cannot have it."""
        self.fence()
        self.recover()
        self.assertEqual({world.NODE13['initiator']}, self.mapped())
        self.refused('node13', instance=fake_constants.UUID2)

    def test_a_live_migration(self):
        """Its source is said to be fenced in the middle: both attachments are there."""
        self.attach(self.reserve(), world.NODE11)
        self.fence()
        self.recover()
        self.assertEqual(BOTH, self.mapped())
        self.assertEqual({'mapped'}, {row.state for row in self.guard.ledger.of(
            Thing('volume', self.volume.id))})
        self.detach(self.old)
        self.assertEqual({world.NODE11['initiator']}, self.mapped())

    def test_force_detach_of_all(self):
        """Who has it is named: others would lose it, fenced or not. Alone, it goes."""
        new = self.reserve()
        self.attach(new, world.NODE11)
        self.fence()
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        driver = self.service.driver
        error = self.assertRaises(exception.VolumeBackendAPIException,
                                  driver.terminate_connection, volume, None, force=True)
        for word in ('node13', 'node11', new):
            self.assertIn(word, str(error))
        self.assertEqual(BOTH, self.mapped())
        self.detach(new)
        with self.away():
            self.assertTrue(driver.terminate_connection(volume, None, force=True))

    def test_killed_after_the_mark(self):
        self.inspect()
        self.reset()
        self.fence()
        self.restart()
        self.assertEqual({}, self.array.targets)

    def test_killed_at_each_point_of_taking_it_away(self):
        self.inspect()
        for kind in (world.Killed, exception.VolumeDriverException):
            number = 0
            while True:
                volume = self.make_volume()
                attachment = self.reserve(volume=volume)
                self.attach(attachment, world.NODE13, volume)
                self.fence('node13', volume.id)
                self.forget(attachment)
                self.inject(number, kind)
                self.quietly(self.guard.recovery.round)
                hit = self.faults.struck
                self.restart()
                self.assertEqual(set(), self.leaks(), (kind, number))
                if not hit:
                    break
                number += 1
            self.assertGreaterEqual(number, 6, kind)

    def test_the_host_itself(self):
        """A cinder-volume does not believe that its own host is dead."""
        for name in writers.own_names(self.guard.host):
            self.assertRaises(fencing.OwnHost, self.fence, name)

    def test_bad_words(self):
        for host in ('', None, 7, 'x' * 300, 'a\nb'):
            self.assertRaises(exceptions.JournalBadValue, self.fence, host)
        called = endpoint.Endpoint(self.guard).export_fence
        for user in ('', None, 'x' * 101):
            self.assertRaises(exceptions.JournalBadValue, called, None, 'node13', user)
        self.assertRaises(exceptions.JournalBadValue, self.fence, 'node13', 'x' * 65)
        self.assertEqual('', self.row().fenced)


class TestTheHostIsBack(Evacuation):
    """A connector says what its caller likes, so that it takes nothing back.

    Cinder lets each member of a project give a connector for a volume of his own.
    """

    def setUp(self):
        super().setUp()
        self.other = self.make_volume()
        self.stuck()

    def stuck(self):
        """An export that the array keeps, of a host that is fenced."""
        self.reset()
        self.fence()
        with self.away():
            self.recover()
        self.assertNotEqual('', self.row().fenced)

    def kept_out(self, connector, volume=None):
        """It is not mapped, the mark stands, and the evacuation goes on."""
        before = self.array.exports()
        error = self.assertRaises(
            exception.VolumeBackendAPIException, self.attach,
            self.reserve(fake_constants.UUID2, volume or self.volume), connector,
            volume or self.volume)
        for word in ('is fenced', 'alice', 'export unfence --backend'):
            self.assertIn(word, str(error))
        self.assertEqual(before, self.array.exports())
        self.assertNotEqual('', self.row().fenced)
        with self.away():
            self.attach(self.reserve(), world.NODE11)
        self.assertEqual(BOTH, self.mapped())

    def unfence(self, host='node13'):
        return endpoint.Endpoint(self.guard).export_unfence(None, host=host, user='bob')

    def test_the_same_volume(self):
        self.kept_out(world.NODE13)

    def test_another_volume(self):
        """A tenant's own."""
        self.kept_out(world.NODE13, self.other)

    def test_its_name_alone(self):
        self.kept_out({'host': 'node13', 'initiator': 'iqn.of-nobody'}, self.other)

    def test_its_initiator_under_another_name(self):
        self.kept_out({**world.NODE13, 'host': 'node99',
                       'initiator': world.NODE13['initiator'].upper()}, self.other)

    def test_under_another_connector(self):
        self.kept_out({**world.NODE13, 'nqn': 'nqn.2014-08.org.nvmexpress:13'}, self.other)

    def test_an_operator_takes_it_back(self):
        """The stuck export counts again, though nothing has changed about it."""
        self.assertEqual({'unmarked': 1}, self.unfence())
        self.attach(self.reserve(fake_constants.UUID2, self.other), world.NODE13, self.other)
        self.assertEqual(('unmapping', ''), (self.row().state, self.row().fenced))
        with self.away():
            self.refused('node13')
        self.assertRaises(endpoint.NoSuchExport, self.unfence)
        self.assertRaises(exceptions.JournalBadValue, self.unfence, 'a\nb')

    def test_nothing_is_left_of_it(self):
        """The array has let go of all that was marked: the mark has nothing to say any more."""
        self.recover()
        self.assertEqual('gone', self.row().state)
        self.attach(self.reserve(fake_constants.UUID2, self.other), world.NODE13, self.other)
        self.attach(self.reserve(), world.NODE13)
        self.assertEqual(('mapped', ''), (self.row().state, self.row().fenced))

    def test_another_host(self):
        self.attach(self.reserve(fake_constants.UUID2, self.other), world.NODE11, self.other)
        self.assertNotEqual('', self.row().fenced)

    def test_a_detach(self):
        """An evacuation detaches with its connector."""
        self.unfence()
        attachment = self.reserve(fake_constants.UUID2, self.other)
        self.attach(attachment, world.NODE13, self.other)
        self.fence()
        self.detach(attachment)
        self.assertNotEqual('', self.row().fenced)
