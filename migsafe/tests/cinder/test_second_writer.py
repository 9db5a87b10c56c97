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
"""A volume that is not multiattach has one writer, or two of one instance."""

import threading
from unittest import mock

from cinder import exception, objects
from cinder.tests.unit import fake_constants

from migsafe.brick import policy
from migsafe.cinder import attachments, calls, inspectors
from migsafe.ledger.api import Thing
from migsafe.tests.cinder import world


class Inspector(inspectors.Inspector):
    """Tells what the dictionary of the test's array holds."""

    opened = ()

    def list_exports(self, volume):
        mapped = self.driver.array.targets.get(volume['id'])
        if mapped is None:
            return []
        return [inspectors.Mapping(volume['name'], frozenset((name,))) for name in mapped] or [
            inspectors.Mapping(volume['name'])]

    def list_all(self):
        return iter(())

    def writers(self, volume):
        return [inspectors.Writer(f'initiator {name}', frozenset((name,)))
                for name in self.opened]

    def identity(self, volume):
        return frozenset(('naa.6001405' + volume['id'].replace('-', '')[:25],))


class TestSecondWriter(world.World):
    """With the ledger alone."""

    def stale(self, volume=None):
        """An export whose attachment is gone."""
        attachment = self.reserve(volume=volume)
        self.attach(attachment, world.NODE13, volume)
        objects.VolumeAttachment.get_by_id(self.admin, attachment).destroy()

    def inspect(self, *opened):
        made = self.guard.__dict__['inspector'] = Inspector(self.service.driver)
        made.opened = tuple(name['initiator'] for name in opened)

    def refused(self, *words):
        before = self.array.exports()
        error = self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                                  self.reserve(fake_constants.UUID2), world.NODE11)
        for word in ('node11', *words):
            self.assertIn(word, str(error))
        self.assertEqual(before, self.array.exports())

    def test_a_stale_export(self):
        self.stale()
        self.refused('node13', world.NODE13['initiator'], 'migsafe_second_writer')

    def test_a_live_migration(self):
        """Two attachments of one instance; then the source's goes."""
        source = self.reserve()
        self.attach(source, world.NODE13)
        self.attach(self.reserve(), world.NODE11)
        self.assertEqual(2, len(self.array.exports()))
        self.detach(source)
        self.recover()
        self.assertEqual({(self.volume.id, world.NODE11['initiator'])}, self.array.exports())

    def test_another_instance(self):
        self.attach(self.reserve(), world.NODE13)
        self.refused('node13')

    def test_multiattach(self):
        volume = self.make_volume(multiattach=True)
        self.attach(self.reserve(volume=volume), world.NODE13, volume)
        self.attach(self.reserve(fake_constants.UUID2, volume), world.NODE11, volume)
        self.assertEqual(2, len(self.array.exports()))

    def test_an_evacuation(self):
        """Nova deletes the old attachment first: its export is gone by then."""
        old = self.reserve()
        self.attach(old, world.NODE13)
        self.detach(old)
        self.attach(self.reserve(), world.NODE11)
        self.assertEqual({(self.volume.id, world.NODE11['initiator'])}, self.array.exports())

    def test_an_evacuation_while_the_old_host_writes(self):
        """Incident 004 on an array that does not cut the old host off, as RBD."""
        old = self.reserve()
        self.attach(old, world.NODE13)
        self.detach(old)
        self.inspect(world.NODE13)
        self.refused(world.NODE13['initiator'], 'has it open')

    def test_a_live_migration_while_the_source_writes(self):
        self.attach(self.reserve(), world.NODE13)
        self.inspect(world.NODE13)
        self.attach(self.reserve(), world.NODE11)
        self.assertEqual(2, len(self.array.exports()))

    def test_a_mapping_that_only_the_array_knows(self):
        self.inspect()
        self.array.targets[self.volume.id] = {'iqn.someone-else'}
        self.refused('iqn.someone-else')

    def test_the_array_does_not_answer(self):
        self.inspect()
        self.guard.inspector.writers = lambda volume: 1 / 0
        self.assertRaises(exception.VolumeBackendAPIException, self.attach, self.reserve())
        self.assertEqual(set(), self.array.exports())

    def test_revert_first(self):
        self.override_config('migsafe_second_writer', 'revert', group='array')
        self.stale()
        self.refused('node13')      # nobody can say that it is not used
        self.inspect(world.NODE13)
        self.refused('node13')      # it is
        self.inspect()
        self.attach(self.reserve(fake_constants.UUID2), world.NODE11)
        self.assertEqual({(self.volume.id, world.NODE11['initiator'])}, self.array.exports())

    def test_revert_spares_what_is_attached(self):
        self.override_config('migsafe_second_writer', 'revert', group='array')
        self.attach(self.reserve(), world.NODE13)
        self.inspect()
        self.refused('node13')

    def test_a_reset_attachment_with_an_inspector(self):
        """Recovery takes it away once the array says that nobody has it open."""
        self.stale()
        self.restart()
        self.inspect(world.NODE13)
        self.recover()
        self.assertEqual(1, len(self.array.exports()))
        self.inspect()
        self.recover()
        self.assertEqual({}, self.array.targets)

    def test_the_array_has_the_last_word(self):
        """A driver whose terminate_connection reports success and does nothing."""
        self.stale()
        self.restart()
        self.inspect()
        self.mock_object(world.ArrayDriver, 'terminate_connection', return_value=None)
        self.recover()
        row = self.guard.ledger.of(Thing('volume', self.volume.id))[1]
        self.assertEqual('unmapping', row.state)
        self.assertIn('the array still has', row.error)

    def test_two_at_once(self):
        """Cinder's database in memory has one connection: threads do not go there."""
        pairs = [(self.reserve(instance), connector) for instance, connector in (
            (fake_constants.UUID1, world.NODE13), (fake_constants.UUID2, world.NODE11))]
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        rows = attachments.of_volume(volume.id)
        self.mock_object(attachments, 'of_volume', side_effect=lambda _volume: rows)
        driver, results = self.service.driver, []

        def attach(attachment, connector):
            try:
                with calls.attaching(attachment):
                    driver.create_export(self.admin, volume, connector)
                    driver.initialize_connection(volume, connector)
                results.append('in')
            except exception.VolumeBackendAPIException:
                results.append('refused')

        threads = [threading.Thread(target=attach, args=pair) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(['in', 'refused'], sorted(results))
        self.assertEqual(1, len(self.array.exports()))


class TestIdentity(world.World):
    """What the array says of a volume's identity goes with its connection_info."""

    def test_it_is_added(self):
        self.guard.__dict__['inspector'] = Inspector(self.service.driver)
        info = self.attach(self.reserve())
        self.assertEqual(['naa.6001405' + self.volume.id.replace('-', '')[:25]],
                         info[policy.KEY])
        # What Nova's connect guard makes of it.
        self.assertEqual(frozenset(info[policy.KEY]), policy.wanted(info).identity)

    def test_without_an_inspector_there_is_none(self):
        self.assertNotIn(policy.KEY, self.attach(self.reserve()))


class TestTerminatedBefore(world.World):
    """A driver that cannot unmap what is not mapped, as LIO's helper, and a second try."""

    def setUp(self):
        super().setUp()
        self.attachment = self.reserve()
        self.attach(self.attachment)
        real = world.ArrayDriver.terminate_connection

        def terminate(driver, volume, connector, **kwargs):
            if volume['id'] not in driver.array.targets:
                raise exception.ISCSITargetDetachFailed(volume_id=volume['id'])
            return real(driver, volume, connector, **kwargs)
        self.patch('migsafe.tests.cinder.world.ArrayDriver.terminate_connection', terminate)
        self.inject()
        self.array.targets.clear()

    def test_the_array_says_that_it_is_gone(self):
        self.guard.__dict__['inspector'] = Inspector(self.service.driver)
        self.detach(self.attachment)
        self.assertEqual(set(), self.live())
        self.recover()
        self.assertEqual({'gone'}, {row.state for row in self.guard.ledger.of(
            Thing('volume', self.volume.id))})

    def test_the_array_cannot_tell(self):
        """The control: the driver's error stands."""
        self.assertRaises(exception.VolumeBackendAPIException, self.detach, self.attachment)
        self.assertEqual(1, len(self.live()))

    def test_the_array_does_not_answer(self):
        made = self.guard.__dict__['inspector'] = Inspector(self.service.driver)
        made.list_exports = mock.Mock(side_effect=OSError('no answer'))
        self.assertRaises(exception.VolumeBackendAPIException, self.detach, self.attachment)
        self.assertEqual(1, len(self.live()))
