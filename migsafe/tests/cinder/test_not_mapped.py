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
"""Drivers that fail to unmap what is not mapped, of arrays that cannot be asked.

Nothing but a success of the driver says that an export is gone then, and what was never mapped
has none.
"""

from unittest import mock

from cinder import exception, objects
from cinder.tests.unit import fake_constants

from migsafe.cinder.bus import endpoint
from migsafe.ledger.records import Thing
from migsafe.tests.cinder import test_space, world

OTHER = fake_constants.UUID2


class Strict(world.World):
    """The driver fails as LIO's helper does."""

    def setUp(self):
        super().setUp()
        driver = mock.patch.object(world.ArrayDriver, 'terminate_connection', test_space.strict)
        driver.start()
        self.addCleanup(driver.stop)

    def fresh(self):
        return objects.Volume.get_by_id(self.admin, self.volume.id)

    def row(self, host='node13'):
        return next(row for row in self.guard.ledger.of(Thing('volume', self.volume.id))
                    if row.host == host)

    def killed_before_the_mapping(self, connector=world.NODE13):
        """Cinder dies between the intent and the driver."""
        attachment = self.reserve()
        self.inject()
        with mock.patch.object(world.ArrayDriver, 'initialize_connection',
                               side_effect=world.Killed):
            self.assertIsInstance(self.quietly(self.attach, attachment, connector), world.Killed)
        self.restart()
        return attachment

    def terminate(self, connector):
        """Do what os-terminate_connection does."""
        self.service.terminate_connection(self.admin, self.volume.id, dict(connector))


class TestPlain(Strict):
    """The control: the volume can be attached."""

    guarded = False

    def test_plain_cinder(self):
        self.killed_before_the_mapping()
        self.assertRaises(exception.VolumeBackendAPIException, self.terminate, world.NODE11)
        self.attach(self.reserve(OTHER), world.NODE11)


class TestNotMapped(Strict):
    """It can be attached with the guard too."""

    def test_a_kill_before_the_mapping(self):
        self.killed_before_the_mapping()
        self.assertEqual(('gone', set()), (self.row().state, self.array.exports()))
        self.attach(self.reserve(OTHER), world.NODE11)
        self.assertEqual({(self.volume.id, world.NODE11['initiator'])}, self.array.exports())

    def test_a_terminate_for_a_host_that_never_had_it(self):
        """Whoever may use the volume can ask for that."""
        source = self.reserve()
        self.attach(source)
        error = self.assertRaises(exception.VolumeBackendAPIException, self.terminate,
                                  world.NODE11)
        self.assertIn('etach', str(error))
        row = self.row('node11')
        self.assertEqual('gone', row.state)
        self.assertIn('no attachment names it', row.error)
        self.attach(self.reserve(), {**world.NODE11, 'host': 'node12', 'initiator': 'iqn.x:12'})
        self.assertEqual(2, len(self.array.exports()))

    def test_a_terminate_that_fails_where_there_is_an_attachment(self):
        """What is from before the guard is no less there."""
        self.attach(self.reserve())
        self.guard.ledger._change('the guard was off', [], {'state': 'gone'})
        with mock.patch.object(world.ArrayDriver, 'terminate_connection',
                               side_effect=exception.VolumeDriverException('away')):
            self.assertRaises(exception.VolumeBackendAPIException, self.terminate, world.NODE13)
        self.assertEqual('unmapping', self.row().state)

    def test_while_somebody_has_it(self):
        """Nothing is mapped in order to be unmapped then: an array may have one host only."""
        self.attach(self.reserve())
        self.killed_before_the_mapping(world.NODE11)
        made = [mock.patch.object(world.ArrayDriver, name) for name in (
            'create_export', 'initialize_connection')]
        for one in made:
            self.addCleanup(one.stop)
        calls = [one.start() for one in made]
        self.recover()
        self.assertEqual([False, False], [call.called for call in calls])
        row = self.row('node11')
        self.assertEqual('unmapping', row.state)
        called = endpoint.Endpoint(self.guard)
        called.export_revert(None, volume=self.volume.id, host='node11')
        self.assertEqual('unmapping', self.row('node11').state)
        called.export_revert(None, volume=self.volume.id, host='node11', not_mapped='alice')
        row = self.row('node11')
        self.assertEqual('gone', row.state)
        self.assertIn('alice', row.error)

    def test_the_word_of_an_operator_counts_for_no_attachment(self):
        self.attach(self.reserve())
        with mock.patch.object(world.ArrayDriver, 'terminate_connection',
                               side_effect=exception.VolumeDriverException('away')):
            self.assertRaises(exception.VolumeBackendAPIException, self.terminate, world.NODE13)
            endpoint.Endpoint(self.guard).export_revert(
                None, volume=self.volume.id, host='node13', not_mapped='alice')
        self.assertEqual('unmapping', self.row().state)

    def test_the_word_of_an_operator_counts_against_no_array(self):
        attachment = self.reserve()
        self.attach(attachment)
        self.forget(attachment)
        self.inspect()
        with mock.patch.object(world.ArrayDriver, 'terminate_connection',
                               side_effect=exception.VolumeDriverException('away')):
            endpoint.Endpoint(self.guard).export_revert(
                None, volume=self.volume.id, host='node13', not_mapped='alice')
        self.assertEqual('unmapping', self.row().state)

    def test_the_array_is_away(self):
        """To map it fails as well: it is kept, and tried again."""
        attachment = self.reserve()
        self.attach(attachment)
        self.forget(attachment)
        away = exception.VolumeDriverException('away')
        with mock.patch.object(world.ArrayDriver, 'terminate_connection', side_effect=away), \
                mock.patch.object(world.ArrayDriver, 'create_export', side_effect=away):
            endpoint.Endpoint(self.guard).export_revert(
                None, volume=self.volume.id, host='node13')
        self.assertEqual('unmapping', self.row().state)
        self.assertEqual(1, len(self.array.exports()))
        self.recover()
        self.assertEqual(('gone', set()), (self.row().state, self.array.exports()))
