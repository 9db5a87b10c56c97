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
"""A backend that gets another name, another host, or its guard back after a while without.

The ledger that it has then is not the one that was used last: an export that is in doubt is in
another one, and what was made meanwhile is in none.
"""

import os
from unittest import mock

import fixtures
from cinder import exception, objects
from cinder.tests.unit import fake_constants
from cinder.volume import manager

from migsafe import ledger
from migsafe.cinder.bus import endpoint
from migsafe.cinder.facts import backend_volumes
from migsafe.cinder.recovery import standing
from migsafe.cli import codes
from migsafe.ledger.records import Thing
from migsafe.tests.cinder import test_commands, world

OTHER = fake_constants.UUID2


class Standing(test_commands.Commands):
    """Node13 has one volume, and an attach of another one is killed."""

    def setUp(self):
        super().setUp()
        # NOTE: nothing here waits for it to pass, and a machine may be slow.
        with open(self.conf_file, 'a') as handle:
            handle.write('rpc_timeout = 300\n')
        self.first = self.reserve()
        self.attach(self.first)

    def attach(self, attachment, connector=world.NODE13, volume=None):
        """The API service writes the connection into the attachment."""
        info = super().attach(attachment, connector, volume)
        found = objects.VolumeAttachment.get_by_id(self.admin, attachment)
        found.connection_info = info
        found.save()

    def killed(self):
        """Mapped, and killed before Cinder could write the connector."""
        self.inject()
        with mock.patch.object(world.db, 'volume_attachment_update', side_effect=world.Killed):
            self.assertIsInstance(
                self.quietly(self.attach, self.reserve(volume=self.other), world.NODE13,
                             self.other), world.Killed)
        self.faults.quiet = True
        self.guard.stop()

    def renamed(self, host='renamed@array'):
        """Do what "cinder-manage volume update_host" does, and start under the new name."""
        for volume in objects.VolumeList.get_all(self.admin):
            volume.host = host
            volume.save()
        self.serve(host)

    def serve(self, host='node@array', **kwargs):
        """Start on the host, or on another one; the bus ends there from now on."""
        self.guard.stop()
        self.configure(self.driver)
        self.service = manager.VolumeManager(host=host, service_name='array', **kwargs)
        self.service.driver.do_setup(self.admin)
        self.service.driver.set_initialized()
        self.service.stats = {'pools': {}, 'allocated_capacity_gb': 0}
        self.endpoint._guard = self.guard

    @property
    def endpoint(self):
        return next(one for one in self.listening if isinstance(one, endpoint.Endpoint))

    def refused(self):
        """What an attach of the other volume says."""
        error = self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                                  self.reserve(OTHER, self.other), world.NODE11, self.other)
        return str(error)

    def adopt(self):
        """Look at the plan first, and give the steps of both."""
        before = self.array.exports()
        code, plan, err = self.run_command('adopt')
        self.assertEqual(codes.FOUND, code)
        self.assertIn('Nothing was done yet', err)
        self.assertEqual(plan, self.run_command('adopt')[1])
        code, done, _err = self.run_command('adopt', '--yes')
        self.assertEqual((codes.REPAIRED, plan), (code, done))
        self.assertEqual((codes.CLEAN, []), self.run_command('adopt')[:2])
        self.assertEqual(before, self.array.exports())
        return [row['Step'] for row in plan]

    def clean(self):
        """Recovery ends what was killed, and what is attached stays."""
        self.recover()
        self.assertEqual({(self.volume.id, world.NODE13['initiator'])}, self.array.exports())
        self.attach(self.reserve(OTHER, self.other), world.NODE11, self.other)
        self.detach(self.first)

    def row(self, thing=None):
        return self.guard.ledger.of(Thing('volume', (thing or self.volume).id))[1]


class TestAnotherName(Standing):
    """cinder-manage volume update_host."""

    def test_the_ledger_of_the_former_name_is_taken_over(self):
        self.killed()
        self.renamed()
        said = self.refused()
        for word in ('node@array', 'export adopt --backend renamed@array', 'Guests keep running',
                     'ledger_connection', self.guard.ledger.database):
            self.assertIn(word, said)
        exports = self.array.exports()
        self.recover()
        self.assertRaises(exception.VolumeBackendAPIException, self.detach, self.first)
        self.assertEqual(exports, self.array.exports())
        steps = self.adopt()
        self.assertEqual(4, len([step for step in steps if 'the ledger of node@array' in step]))
        self.assertEqual(('mapped', self.first), (self.row().state, self.row().attachment))
        self.clean()

    def test_only_of_what_is_here(self):
        self.guard.stop()
        away = self.make_volume(host='node@elsewhere')
        self.guard.ledger.intend(Thing('volume', away.id), [ledger.Peer()], 'mapping')
        self.renamed()
        objects.Volume.get_by_id(self.admin, away.id).update({'host': 'node@elsewhere'})
        away = objects.Volume.get_by_id(self.admin, away.id)
        away.host = 'node@elsewhere'
        away.save()
        self.adopt()
        self.assertEqual([], self.guard.ledger.of(Thing('volume', away.id)))

    def test_a_name_that_is_served_is_not_a_former_one(self):
        """What a migration of Cinder has left there is that backend's."""
        self.killed()
        self.forget(self.first)
        other = objects.Service(self.admin, host='node@array', binary='cinder-volume',
                                topic='cinder-volume', report_count=1)
        other.create()
        self.renamed()
        self.guard.standing.require()
        other.destroy()
        self.guard.standing.reconsider()
        self.assertIn('node@array', self.refused())

    def test_it_is_looked_at_once_more(self):
        """The service of the former name seemed to run when this one was started."""
        self.killed()
        self.forget(self.first)
        with mock.patch.object(standing.services, 'is_served', return_value=True):
            self.renamed()
            self.assertTrue(self.guard.standing.is_good())
        self.assertTrue(self.guard.standing.is_good())
        self.guard.standing._again -= 2 * standing.AGAIN
        self.assertFalse(self.guard.standing.is_good())
        self.refused()

    def test_a_file_that_cannot_be_read(self):
        path = os.path.join(os.path.dirname(self.guard.ledger.database), 'gone@array.sqlite')
        with open(path, 'w'):
            os.chmod(path, 0o600)
        self.serve()
        self.assertIn(path, self.refused())
        os.unlink(path)
        self.attach(self.reserve(OTHER, self.other), world.NODE11, self.other)

    def test_killed_while_it_is_taken_over(self):
        """At each write: it is in one of the two ledgers at least, and taken over later."""
        self.killed()
        self.renamed()
        for number in range(20):
            self.inject(number)
            self.quietly(endpoint.Endpoint(self.guard).export_adopt, None, '', True, 'alice')
            struck = self.faults.struck
            self.faults.quiet = True
            self.serve('renamed@array')
            if not struck:
                break
        self.assertGreater(number, 5)
        self.guard.standing.require()
        self.clean()


class TestACluster(Standing):
    """It has a database; the files of its hosts are left."""

    def test_a_cluster_is_switched_on(self):
        self.killed()
        for volume in objects.VolumeList.get_all(self.admin):
            volume.cluster_name = 'many@array'
            volume.save()
        self.mock_object(world.ArrayDriver, 'SUPPORTS_ACTIVE_ACTIVE', True)
        path = self.guard.ledger.database
        self.override_config('ledger_connection', f'sqlite:///{path}.of-the-cluster',
                             group='migsafe')
        with mock.patch('migsafe.ledger.opening.check_cluster'):
            self.serve('node@array', cluster='many@array')
        self.assertIn('node@array', self.refused())
        self.adopt()
        self.clean()


class TestTwoControllers(Standing):
    """Active-passive: one host name, and a local file on each of two controllers."""

    def setUp(self):
        super().setUp()
        self.database = self.guard.ledger.database

    def controller(self, number):
        self.guard.stop()
        directory = os.path.join(os.path.dirname(os.path.dirname(
            self.database)), f'controller{number}')
        self.override_config('ledger_path', directory, group='migsafe')
        self.serve()

    def test_another_controller_takes_over(self):
        self.controller(2)
        self.assertIn(self.first, self.refused())
        self.adopt()
        self.assertEqual(('mapped', self.first), (self.row().state, self.row().attachment))
        self.detach(self.first)
        self.assertEqual(set(), self.array.exports())

    def test_and_back(self):
        """The first one's ledger has an attachment that is gone, and not the one that is."""
        self.controller(2)
        self.adopt()
        self.controller(1)
        self.adopt()
        self.controller(2)
        self.detach(self.first)
        second = self.reserve(OTHER)
        self.attach(second, world.NODE11)
        self.controller(1)
        self.assertIn(second, self.refused())
        steps = ' '.join(self.adopt())
        self.assertIn(f'attachment {second} has it on host node11', steps)
        self.assertIn('recorded as gone', steps)
        self.detach(second)
        self.assertEqual(set(), self.array.exports())

    def test_the_file_of_the_other_one_is_brought(self):
        """With what it had in doubt."""
        self.killed()
        path = self.guard.ledger.database
        self.guard.stop()
        there = os.path.join(os.path.dirname(os.path.dirname(path)), 'controller2')
        os.mkdir(there, 0o700)
        os.rename(path, os.path.join(there, 'controller1.sqlite'))
        self.controller(2)
        self.assertIn('controller1.sqlite', self.refused())
        self.adopt()
        self.clean()

    def test_one_database(self):
        """The control, and the cure."""
        path = self.guard.ledger.database
        self.override_config('ledger_connection', f'sqlite:///{path}', group='migsafe')
        self.controller(2)
        self.attach(self.reserve(OTHER, self.other), world.NODE11, self.other)

    def test_a_first_switch_on(self):
        """What was attached before the guard was there is no sign of another ledger."""
        found = objects.VolumeAttachment.get_by_id(self.admin, self.first)
        found.connection_info = {'driver_volume_type': 'iscsi'}
        found.save()
        self.controller(2)
        self.attach(self.reserve(OTHER, self.other), world.NODE11, self.other)
        self.adopt()
        self.assertEqual('mapped', self.row().state)


class TestOffForAWhile(Standing):
    """volume_driver named the driver itself for a while, and volumes moved meanwhile."""

    def moved(self):
        driver = self.service.driver
        guarded, driver.__class__ = driver.__class__, world.ArrayDriver
        with mock.patch.object(driver, 'migsafe_guard', None):
            self.detach(self.first)
            self.second = self.reserve(OTHER)
            super().attach(self.second, world.NODE11)
        driver.__class__ = guarded
        self.assertEqual({(self.volume.id, world.NODE11['initiator'])}, self.array.exports())

    def test_each_volume_that_moved_was_refused(self):
        self.moved()
        self.serve()
        migrating = self.reserve(OTHER)
        error = self.assertRaises(exception.VolumeBackendAPIException, self.attach, migrating,
                                  {**world.NODE11, 'host': 'node12', 'initiator': 'iqn.x:12'})
        self.assertIn('host node13 has an export of it', str(error))
        steps = ' '.join(self.adopt())
        for word in (self.second, 'node11', 'node13', 'recorded as gone'):
            self.assertIn(word, steps)
        self.attach(migrating, {**world.NODE11, 'host': 'node12', 'initiator': 'iqn.x:12'})

    def test_what_the_array_has_stays(self):
        self.moved()
        self.array.targets[self.volume.id].add(world.NODE13['initiator'])
        self.serve()
        self.guard.__dict__['inspector'] = world.Inspector(self.service.driver)
        code, plan, _err = self.run_command('adopt', '--yes')
        self.assertEqual(codes.FOUND, code)
        self.assertIn('the array still has it', str(plan))
        self.assertEqual('mapped', next(
            row.state for row in self.guard.ledger.of(Thing('volume', self.volume.id))
            if row.host == 'node13'))

    def test_what_was_made_without_an_attachment_is_left(self):
        volume = objects.Volume.get_by_id(self.admin, self.other.id)
        self.service.initialize_connection(self.admin, volume, dict(world.NODE13))
        code, plan, _err = self.run_command('adopt', '--yes')
        self.assertEqual(codes.FOUND, code)
        self.assertIn('it was not made for one', str(plan))
        self.assertEqual('mapped', self.row(self.other).state)


class TestPages(Standing):
    """The volumes of a backend are gone through while others delete some."""

    def test_the_last_one_of_a_page_is_deleted(self):
        self.useFixture(fixtures.MonkeyPatch('migsafe.cinder.facts.backend_volumes.PAGE', 1))
        everything = sorted((self.volume.id, self.other.id))
        walk = backend_volumes.pages(self.guard)
        self.assertEqual([everything[0]], [found.id for found in next(walk)])
        objects.Volume.get_by_id(self.admin, everything[0]).destroy()
        self.assertEqual([everything[1:]], [[found.id for found in page] for page in walk])
        self.assertEqual([everything[1:]], [
            [found.id for found in page]
            for page in backend_volumes.pages(self.guard, everything[0])])
        self.assertEqual([everything[1:]], [
            [found.id for found in page] for page in backend_volumes.pages(self.guard)])

    def test_there_never_was_such_a_page(self):
        error = self.assertRaises(backend_volumes.NoSuchPage, self.endpoint.export_adopt, None,
                                  'nothing')
        self.assertIn('Say the command again', str(error))


class TestTheLedgerWasLost(Standing):
    """Its file is removed while cinder-volume runs."""

    def test_it_is_found_and_cured(self):
        path = self.guard.ledger.database
        for name in os.listdir(os.path.dirname(path)):
            os.unlink(os.path.join(os.path.dirname(path), name))
        self.assertIn('removed or replaced', self.refused())
        self.assertFalse(os.path.exists(path))
        self.serve()
        self.assertIn(self.first, self.refused())
        self.adopt()
        self.detach(self.first)
        self.assertEqual(set(), self.array.exports())
