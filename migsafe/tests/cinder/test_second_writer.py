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
import time
from unittest import mock

import fixtures
from cinder import exception, objects
from cinder.tests.unit import fake_constants
from oslotest import base

from migsafe.brick.guard import policy
from migsafe.cinder import inspectors
from migsafe.cinder.facts import attachments, calls, writers
from migsafe.cinder.recovery import evidence
from migsafe.ledger.records import Thing
from migsafe.tests.cinder import world


class TestSecondWriter(world.World):
    """With the ledger alone."""

    def stale(self, volume=None):
        """An export whose attachment is gone."""
        attachment = self.reserve(volume=volume)
        self.attach(attachment, world.NODE13, volume)
        self.forget(attachment)

    def refused(self, *words):
        before = self.array.exports()
        error = self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                                  self.reserve(fake_constants.UUID2), world.NODE11)
        for word in ('node11', *words):
            self.assertIn(word, str(error))
        self.assertEqual(before, self.array.exports())

    def test_a_stale_export(self):
        self.stale()
        command = f'{writers.REVERT} {self.guard.host}'
        self.refused('node13', world.NODE13['initiator'], 'migsafe_second_writer',
                     f'{command} {self.volume.id} --from-host node13;',
                     f'{command} --from-host node13 --host-is-fenced.')

    def test_the_name_of_a_host_is_no_shell(self):
        found = writers.Other('x', mock.Mock(host='$(reboot)'))
        error = writers.SecondWriter([found], volume='v', backend='node1@a', host='node11')
        self.assertIn("--from-host '$(reboot)' --host-is-fenced", str(error))

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

    def test_an_evacuation_while_an_address_writes(self):
        """Nothing is attached that could explain it. The message says what ends it."""
        old = self.reserve()
        self.attach(old, world.NODE13)
        self.detach(old)
        self.inspect(addresses=('10.1.0.13',))
        self.refused('client at 10.1.0.13 has it open', 'explains it. Wait for it.')

    def test_a_failed_live_migration_while_an_address_writes(self):
        """It may be the source's, and nobody was told of the destination's export."""
        self.attach(self.reserve(), world.NODE13)
        self.inspect(addresses=('10.1.0.13',))
        write = f'{world.db.__name__}.volume_attachment_update'
        with fixtures.MonkeyPatch(write, lambda *_, **__: 1 / 0):
            self.assertRaises(ZeroDivisionError, self.attach, self.reserve(), world.NODE11)
        self.assertEqual(2, len(self.array.exports()))
        self.inspect(addresses=('10.1.0.13', world.NODE11['ip']))
        self.recover()
        self.assertEqual(2, len(self.array.exports()))      # it has it open all the same
        self.inspect(addresses=('10.1.0.13',))
        self.recover()
        self.assertEqual({(self.volume.id, world.NODE13['initiator'])}, self.array.exports())

    def test_a_reset_attachment_while_an_address_writes(self):
        """It may be this one's. An operator can say that it is not."""
        self.stale()
        self.restart()
        self.inspect(addresses=('10.1.0.13',))
        self.recover()
        self.assertEqual(1, len(self.array.exports()))
        row = self.guard.ledger.of(Thing('volume', self.volume.id))[1]
        self.assertIn('cannot tell', row.error)
        self.guard.recovery.one(row, vouched=True)
        self.assertEqual(set(), self.array.exports())

    def test_a_live_migration_while_the_source_writes(self):
        self.attach(self.reserve(), world.NODE13)
        self.inspect(world.NODE13)
        self.attach(self.reserve(), world.NODE11)
        self.assertEqual(2, len(self.array.exports()))

    def test_a_mapping_that_only_the_array_knows(self):
        self.inspect()
        self.array.targets[self.volume.id] = {'iqn.someone-else'}
        self.refused('iqn.someone-else', f'as volume-{self.volume.id}',
                     f'--backend node@array {self.volume.id} --from-host HOST '
                     '--initiator iqn.someone-else;')

    def test_a_mapping_that_only_the_array_knows_beside_one_in_use(self):
        """A driver that is told to take it away could take the other one too."""
        self.attach(self.reserve())
        self.inspect()
        self.array.targets[self.volume.id].add('iqn.someone-else')
        error = self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                                  self.reserve(), world.NODE11)
        self.assertIn('unmap it in the array by hand', str(error))
        self.assertNotIn('--initiator', str(error))

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
        """Recovery takes it away once the array has said for a while that nobody has it open."""
        self.stale()
        self.restart()
        self.inspect(world.NODE13)
        self.recover()
        self.assertEqual(1, len(self.array.exports()))
        now = time.monotonic()
        with mock.patch.object(evidence, 'time', mock.Mock(monotonic=lambda: now)):
            for later, there in ((0, 1), (evidence.QUIET - 1, 1)):
                self.inspect()
                now += later
                self.recover()
                self.assertEqual(there, len(self.array.exports()))
            # it is back, and begins anew
            self.inspect(world.NODE13)
            self.recover()
            self.inspect()
            now += 2
            self.recover()
            self.assertEqual(1, len(self.array.exports()))
            now += evidence.QUIET
            self.recover()
        self.assertEqual({}, self.array.targets)

    def test_a_guest_that_has_lost_its_session(self):
        """The storage node has booted, and initiators have not logged in again yet."""
        self.stale()
        self.inspect(world.NODE13)
        self.recover()
        self.inspector.opened = ()
        self.boot()
        for _round in range(2):
            self.recover()
        self.assertEqual(1, len(self.array.exports()))
        row = self.guard.ledger.of(Thing('volume', self.volume.id))[1]
        self.assertIn('lost no more than its session', row.error)

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

    def test_a_backup_reads_a_volume_in_use(self):
        """As cinder-backup asks for it, on a host of its own; RBD gives out the volume itself."""
        self.attach(self.reserve())
        driver, backup = self.service.driver, {'host': 'backup1', 'initiator': 'iqn.backup'}
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        volume.status = 'in-use'
        for status in ('in-use', 'backing-up'):
            volume.status = status
            self.assertRaises(exception.VolumeBackendAPIException,
                              driver.initialize_connection, volume, backup)
        # What says that it is cinder-backup is that it has asked for the volume first.
        with mock.patch.object(world.ArrayDriver, 'get_backup_device',
                               return_value=(volume, False)):
            self.service.get_backup_device(self.admin, mock.Mock())
        driver.create_export(self.admin, volume, backup)
        driver.initialize_connection(volume, backup)
        self.assertEqual(2, len(self.array.exports()))
        for another in ({**backup, 'initiator': 'iqn.another'}, world.NODE11):
            self.assertRaises(exception.VolumeBackendAPIException, driver.create_export,
                              self.admin, volume, another)
        driver.terminate_connection(volume, backup)
        volume.status = 'in-use'
        self.recover()
        self.assertEqual({(self.volume.id, world.NODE13['initiator'])}, self.array.exports())

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


A, B, C = '172.24.9.13', '172.24.9.11', '172.24.9.12'
#: Addresses of the array's network.
A_THERE, B_THERE, C_THERE = '10.1.0.13', '10.1.0.11', '10.1.0.12'


class TestWhoExplainsAWriter(base.BaseTestCase):
    """Writers of which the array knows the address only."""

    #: what it is, (host, address) of the same instance's attachments, addresses of writers, and
    #: which of those are refused
    CASES = (
        ('nobody writes', [('A', A)], [], []),
        ('the address of the connector', [('A', A)], [A], []),
        ('the address on another network', [('A', A)], [A_THERE], []),
        ('a live migration whose two sides have it open', [('A', A), ('B', B)],
         [A_THERE, B_THERE], []),
        ('one of them by the address of the connector', [('A', A), ('B', B)], [A, B_THERE], []),
        ('an evacuation: nothing is attached', [], [A_THERE], [A_THERE]),
        ('an evacuation, the address being that of the connector', [], [A], [A]),
        ('one more than is attached', [('A', A)], [A_THERE, C_THERE], [A_THERE, C_THERE]),
        ('one more, and the host that is attached is known', [('A', A)], [A, C_THERE],
         [C_THERE]),
        ('three of two', [('A', A), ('B', B)], [A, B_THERE, C_THERE], [B_THERE, C_THERE]),
        ('two clients on one host', [('A', A)], [A_THERE, A_THERE], []),
        ('two attachments on one host', [('A', A), ('A', A)], [A_THERE, C_THERE],
         [A_THERE, C_THERE]),
        ('one host with two addresses, one of which is known', [('A', A), ('A', C)],
         [A, C_THERE], [C_THERE]),
        ('a connector without an address', [('A', '')], [A_THERE], []),
        ('an attachment without a connector', [('', None)], [A_THERE], [A_THERE]),
    )

    def unexplained(self, attached, *found):
        return writers.unexplained(found, [attachments.Attachment(
            f'{number}', 'instance', host, '' if ip is None else f'peer of {host}',
            address=ip or '') for number, (host, ip) in enumerate(attached)])

    def test_each(self):
        for what, attached, addresses, refused in self.CASES:
            self.assertEqual(refused, [writer.address for writer in self.unexplained(attached, *(
                inspectors.Writer(f'client.{number}', address=address)
                for number, address in enumerate(addresses)))], what)

    def test_only_a_writer_without_initiators_and_with_an_address_is_taken_for_granted(self):
        for writer in (inspectors.Writer('somebody'),
                       inspectors.Writer('x', frozenset(('iqn.x',)), A_THERE)):
            self.assertEqual([writer], self.unexplained([('A', ''), ('B', B)], writer))

    def test_addresses_are_compared_as_such(self):
        for ip, expected in (('FD00:0::1', 'fd00::1'), ('10.0.0.1', '10.0.0.1'), (None, ''),
                             ('node13', ''), ({}, ''), ('10.0.0.1\n', '')):
            self.assertEqual(expected, attachments.address({'ip': ip}), ip)


class TestIdentity(world.World):
    """What the array says of a volume's identity goes with its connection_info."""

    def test_it_is_added(self):
        self.guard.__dict__['inspector'] = world.Inspector(self.service.driver)
        info = self.attach(self.reserve())
        self.assertEqual(['naa.6001405' + self.volume.id.replace('-', '')[:25]],
                         info[policy.KEY])
        # What Nova's connect guard makes of it.
        self.assertEqual(frozenset(info[policy.KEY]), policy.wanted(info).identity)

    def test_without_an_inspector_there_is_none(self):
        # empty, which only says that a ledger has it
        self.assertEqual([], self.attach(self.reserve())[policy.KEY])


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
        self.guard.__dict__['inspector'] = world.Inspector(self.service.driver)
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
        made = self.guard.__dict__['inspector'] = world.Inspector(self.service.driver)
        made.list_exports = mock.Mock(side_effect=OSError('no answer'))
        self.assertRaises(exception.VolumeBackendAPIException, self.detach, self.attachment)
        self.assertEqual(1, len(self.live()))
