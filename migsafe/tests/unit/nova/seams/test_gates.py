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
import dataclasses
import datetime
import itertools
import json
import types
import unittest
import uuid
from unittest import mock

from nova import exception
from nova.compute import utils
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.nova.clients import instance_lock
from migsafe.nova.host import registry
from migsafe.nova.seams import at_start, deletion, effects, gates, precheck, refusals, swap
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.clients import OtherMove, VolumeRow
from migsafe.transaction.evidence import PRESENT, GuestState

SRC, DST, G = fake.SRC, fake.DST, GuestState


class VolumeApi:
    def __init__(self):
        self.rolled_back = []

    def roll_detaching(self, context, volume_id):
        self.rolled_back.append(volume_id)


class Manager:
    """As much of a ComputeManager as a gate looks at."""

    def __init__(self):
        self.volume_api = VolumeApi()


class Driver:
    """Its libvirt driver, with nothing behind it."""

    def _disconnect_volume(self, context, connection_info, instance):
        """See :class:`nova.virt.libvirt.driver.LibvirtDriver`."""


REBOOT = refusals.GATES['_reboot_instance'][1]
#: What starts a guest from its rows, or connects it anew: one rule for all of it.
ON_THIS_HOST = {method: refusals.GATES[method][1] for method in (
    '_reboot_instance', '_power_on', 'resume_instance', 'rescue_instance')}


class Case(hosts.TwoHosts):
    """``held``: the guest runs here, but the destination is away."""

    def setUp(self):
        super().setUp()
        self.manager, self.called = Manager(), []
        registry.put(self.manager, self.src.participant)
        self.src.participant.looked = self.dst.participant.looked = True
        self.instance = types.SimpleNamespace(uuid=fake.INSTANCE, host=SRC)
        self.bdm = types.SimpleNamespace(
            id=1, is_volume=True, volume_id=fake.volume(0), instance_uuid=fake.INSTANCE,
            attachment_id='stale', connection_info='{}', obj_reset_changes=lambda names: None)

    def held(self):
        self.break_off()
        del self.hosts[DST]

    def wrapped(self, context, bdm, instance, bdms=()):
        self.called.append(instance.uuid)
        return 'done'

    def call(self, gate):
        return gate(self.wrapped, self.manager,
                    (None, self.bdm, self.instance), {})

    def refused(self, gate, kind):
        """What the log says of it; the fault of the server names no host."""
        with self.assertLogs('migsafe.nova.seams', 'WARNING') as logged, \
                self.assertRaises(kind) as caught:
            self.call(gate)
        self.assertEqual([], self.called)
        fault = utils.exception_to_dict(caught.exception)['message']
        for word in (SRC, DST, fake.MIGRATION, 'migsafe'):
            self.assertNotIn(word, fault)
        self.assertIn('the request id is', fault)
        return '\n'.join(logged.output)


REFUSING = {
    'precheck': (precheck.precheck, exception.MigrationPreCheckError),
    'reboot': (REBOOT, exception.NovaException),
    'start': (refusals.GATES['_power_on'][1], exception.NovaException),
    'detach': (gates.detach, exception.NovaException),
    'swap of a volume': (swap.init_volume_connection, exception.NovaException),
}


class TestBlocked(Case):
    def test_message_names_everything_an_operator_needs(self):
        self.held()
        reason = gates.blocked(self.src.participant, fake.INSTANCE)
        for text in (fake.INSTANCE, fake.MIGRATION, SRC, DST,
                     f'migsafe settle {fake.MIGRATION}',
                     f'migsafe journal show {fake.MIGRATION}'):
            self.assertIn(text, reason)
        self.assertNotIn(fake.SECRET, reason)

    def test_settled_at_once_where_that_is_possible(self):
        self.break_off()
        self.assertIsNone(gates.blocked(self.src.participant, fake.INSTANCE))
        self.assertEqual('settled', self.src.tx().state)

    def test_other_instances_are_not_concerned(self):
        self.held()
        self.assertIsNone(gates.blocked(self.src.participant,
                                        str(uuid.uuid4())))

    def test_nothing_unsettled_is_one_read_and_no_call(self):
        self.assertIsNone(gates.blocked(self.src.participant, fake.INSTANCE))
        self.assertEqual([], self.src.calls.made)
        self.assertEqual([], self.src.bus.asked)

    def test_still_going_on(self):
        self.break_off()
        attempt = self.src.participant.attempt(fake.MIGRATION, fake.INSTANCE)
        with self.src.participant.attempts.open(attempt):
            reason = gates.blocked(self.src.participant, fake.INSTANCE)
        self.assertIn('still going on', reason)
        self.assertEqual([], self.src.cloud.changes())

    def test_being_settled_by_another_thread(self):
        self.break_off()
        with self.src.participant.exclusive(self.src.tx(), 0):
            reason = gates.blocked(self.src.participant, fake.INSTANCE)
        self.assertIn('at this moment', reason)


class TestRefusing(Case):
    def test_unsettled_is_refused_with_the_reason(self):
        self.held()
        for name, (gate, kind) in REFUSING.items():
            if gate in ON_THIS_HOST.values():
                continue
            with self.subTest(name):
                message = self.refused(gate, kind)
                for word in (fake.MIGRATION, 'migsafe settle', 'server reboot --hard'):
                    self.assertIn(word, message)

    def test_settled_is_let_through(self):
        for name, (gate, _kind) in REFUSING.items():
            with self.subTest(name):
                self.assertEqual('done', self.call(gate))

    def test_not_armed_is_let_through(self):
        self.held()
        self.manager = Manager()
        for gate, _kind in REFUSING.values():
            self.assertEqual('done', self.call(gate))

    def test_damaged_journal_is_refused_and_names_the_row(self):
        self.break_off()
        self.local = SRC
        self.sql("UPDATE migsafe_records SET payload = '{x'")
        for gate, kind in REFUSING.values():
            self.assertIn('migsafe_records', self.refused(gate, kind))

    def test_any_failure_of_settling_is_refused(self):
        self.break_off()
        with mock.patch.object(self.src.participant, 'settle',
                               side_effect=RuntimeError('conductor')):
            for gate, kind in REFUSING.values():
                self.assertIn('conductor', self.refused(gate, kind))

    def test_not_enforced_lets_through_what_cannot_be_looked_at(self):
        self.conf.set_override('enforce', False, 'migsafe')
        self.break_off()
        self.local = SRC
        self.sql("UPDATE migsafe_records SET payload = '{x'")
        for gate, _kind in REFUSING.values():
            self.assertEqual('done', self.call(gate))

    def test_refused_detach_frees_the_volume(self):
        self.held()
        self.refused(gates.detach, exception.NovaException)
        self.assertEqual([fake.volume(0)],
                         self.manager.volume_api.rolled_back)

    def test_gate_says_that_the_lock_is_held_and_lets_go_of_it(self):
        self.break_off()
        seen = []
        self.world.records.replace_connection = lambda *args: seen.append(
            instance_lock.holds(fake.INSTANCE))
        with self.assertRaises(exception.NovaException):
            self.call(REBOOT)
        self.assertEqual({True}, set(seen))
        self.assertFalse(instance_lock.holds(fake.INSTANCE))


class TestWaits(unittest.TestCase):
    def test_all_operations(self):
        """By what it is about, and not by how it is called."""
        found = {waits: {gate.operation for _parameters, gate in refusals.GATES.values()
                         if gate.waits is waits} for waits in gates.Waits}
        self.assertEqual({
            gates.Waits.HERE: {'reboot', 'start', 'resume', 'rescue'},
            gates.Waits.ARMED: {'rebuild'},
            gates.Waits.BOTH: {'shelve', 'shelve offload', 'unshelve', 'resize', 'evacuation',
                               'revert of a resize'},
        }, found)


class TestWhileTheOtherIsAway(Case):
    """What is done on this host alone needs no more than what is right here."""

    def setUp(self):
        super().setUp()
        self.held()

    def assertRefused(self):
        for gate in (REBOOT, ON_THIS_HOST['_power_on']):
            said = self.refused(gate, exception.NovaException)
            self.assertIn(fake.MIGRATION, said)
            self.assertNotIn('server reboot --hard', said)

    def test_goes_on(self):
        for method, gate in ON_THIS_HOST.items():
            with self.subTest(method):
                self.assertEqual('done', self.call(gate))
        self.assertEqual(('open', 'ABORT'), self.src.verdict())
        # what may be in use there is as it was
        self.assertEqual({SRC: 2, DST: 2}, self.attachments())

    def test_goes_on_with_a_guest_that_is_shut_off(self):
        self.src.guests.state = G.SHUT_OFF
        self.src.journal.verdict(self.src.tx(), 'ABORT', 'decided before')
        self.assertEqual('done', self.call(REBOOT))

    def test_a_row_that_cannot_be_put_right(self):
        self.world.records.changed_meanwhile = {fake.volume(1)}
        self.world.records.rows[fake.volume(1)] = VolumeRow(
            2, fake.volume(1), fake.attachment(DST, 1), fake.info(DST, 1))
        self.assertRefused()

    def test_a_binding_that_is_not_here(self):
        with mock.patch.object(self.world.network, 'bind'):
            self.world.network.ports = {'port-1': {SRC: 'INACTIVE', DST: 'ACTIVE'}}
            self.assertRefused()

    def test_what_cannot_be_read_back(self):
        self.src.settle()
        with mock.patch.object(self.world.network, 'bindings',
                               side_effect=TimeoutError('neutron')):
            self.assertRefused()

    def test_a_guest_that_is_not_here(self):
        self.src.settle()
        for state in G:
            if state not in PRESENT:
                self.src.guests.state = state
                self.assertRefused()

    def test_an_instance_that_is_elsewhere(self):
        self.src.settle()
        self.world.records.row = dataclasses.replace(self.world.records.row, host=fake.THIRD)
        self.assertRefused()

    def test_it_was_decided_that_the_other_has_it(self):
        self.src.journal.verdict(self.src.tx(), 'COMMIT', 'decided before')
        self.assertRefused()


class TestWhileTheSourceIsNotDone(Case):
    """The guest has come here, and its source has decided so and cannot end it yet."""

    def setUp(self):
        super().setUp()
        registry.put(self.manager, self.dst.participant)
        self.instance.host = DST
        self.world.records.status = 'running'
        self.break_off(G.ABSENT, G.HERE)
        with mock.patch.object(self.src.cloud.directories, 'find',
                               side_effect=OSError('stale file handle')):
            self.src.settle()
        self.assertEqual(('open', 'COMMIT'), self.src.verdict())

    def test_goes_on(self):
        for method, gate in ON_THIS_HOST.items():
            with self.subTest(method):
                self.assertEqual('done', self.call(gate))
        self.assertEqual(('open', None), self.dst.verdict())
        self.assertEqual([], self.dst.cloud.changes())

    def assertRefused(self):
        self.assertIn('is not settled', self.refused(REBOOT, exception.NovaException))

    def test_the_source_is_at_work(self):
        attempt = self.src.participant.attempt(fake.MIGRATION, fake.INSTANCE)
        with self.src.participant.attempts.open(attempt):
            self.assertRefused()

    def test_what_is_not_right_here(self):
        self.world.records.rows[fake.volume(1)] = VolumeRow(
            2, fake.volume(1), fake.attachment(SRC, 1), fake.info(SRC, 1))
        self.assertRefused()

    def test_what_cannot_be_read_back(self):
        with mock.patch.object(self.world.network, 'bindings',
                               side_effect=TimeoutError('neutron')):
            self.assertRefused()

    def test_the_guest_is_not_here(self):
        for state in set(G) - PRESENT:
            self.dst.guests.state = state
            self.assertRefused()

    def test_a_copy_runs_on_the_source(self):
        self.src.guests.state = G.HERE
        self.assertRefused()

    def test_the_source_has_decided_otherwise_or_nothing(self):
        for verdict in ('HOLD', 'ABORT', None):
            self.local = SRC
            self.sql('UPDATE migsafe_transactions SET verdict = ?', verdict)
            self.assertRefused()

    def test_others_wait_and_name_the_reboot(self):
        self.assertIn('server reboot --hard', self.refused(gates.detach, exception.NovaException))


class ReportClient:
    def __init__(self):
        self.deleted = []

    def delete_allocation_for_instance(self, context, uuid, force):
        self.deleted.append((uuid, force))


class TestRefusals(Case):
    """How each operation says no, so that nothing is stuck after it."""

    def setUp(self):
        super().setUp()
        self.held()
        self.failed = []
        self.manager.reportclient = ReportClient()
        self.manager._set_migration_status = lambda *args: self.failed.append(args)

    def refuse(self, method, kind=exception.NovaException, **call):
        def wrapped(context, instance, migration=None, bdms=None,
                    recreate=False, evacuate=False):
            self.called.append(method)
            return 'done'
        with self.assertRaises(kind) as caught:
            refusals.GATES[method][1](
                wrapped, self.manager, (None, self.instance), call)
        self.assertEqual([], self.called)
        self.assertIn('migsafe settle', str(
            getattr(caught.exception, 'inner_exception', caught.exception)))

    def test_in_place(self):
        """Any other exception puts the instance into ERROR there."""
        self.refuse('_prep_resize', exception.InstanceFaultRollback)
        self.refuse('_do_rebuild_instance_with_claim',
                    exception.InstanceFaultRollback, evacuate=True)

    def test_migration_record_is_ended(self):
        self.refuse('_resize_instance', migration='record')
        self.assertEqual([('record', 'error')], self.failed)

    def test_claim_of_an_unshelved_instance_is_given_back(self):
        self.refuse('_unshelve_instance')
        self.assertEqual([(fake.INSTANCE, True)],
                         self.manager.reportclient.deleted)

    def test_rebuild_and_evacuation_meet_one_gate_each(self):
        for method, name, other in (
                ('rebuild_instance', 'recreate', True),
                ('_do_rebuild_instance_with_claim', 'evacuate', False)):
            gate = refusals.GATES[method][1]
            self.assertEqual((name, not other), gate.when)
            self.assertEqual('done', gate(
                lambda context, instance, recreate, evacuate, bdms: 'done',
                self.manager, (None, self.instance, other, other, ()), {}))

    def test_lock_is_claimed_only_where_nova_holds_it(self):
        """Else the rows are swapped with nobody's lock."""
        seen = set()
        for method, (_parameters, gate) in refusals.GATES.items():
            def blocked(_participant, uuid, _waits, method=method):
                if instance_lock.holds(uuid):
                    seen.add(method)
                return 'no'
            with mock.patch.object(gates, 'blocked', blocked):
                self.assertEqual('no', gates.settle_first(
                    self.src.participant, self.instance,
                    under_lock=gate.under_lock))
        self.assertEqual(
            {'_reboot_instance', '_shelve_instance', '_unshelve_instance',
             '_shelve_offload_instance'}, seen)


class TestPrecheck(Case):
    def test_journal_that_cannot_be_written(self):
        with mock.patch.object(
                self.src.journal, 'check_writable',
                side_effect=exceptions.JournalUnavailable(
                    database='/x/node13.sqlite', reason='the disk is full',
                    cure='')):
            message = self.refused(precheck.precheck,
                                   exception.MigrationPreCheckError)
            self.assertIn('node13.sqlite', message)
            self.assertIn('disk is full', message)
            self.conf.set_override('enforce', False, 'migsafe')
            self.assertEqual('done', self.call(precheck.precheck))

    def test_what_the_conductor_takes_for_an_error_becomes_a_refusal(self):
        def fails(context, bdm, instance):
            raise RuntimeError('HTTP 500')
        self.wrapped = fails
        self.assertIn('HTTP 500', self.refused(
            precheck.precheck, exception.MigrationPreCheckError))

    def test_refusals_of_nova_stay_what_they_are(self):
        def fails(context, bdm, instance):
            raise exception.InvalidSharedStorage(path='/x', reason='y')
        self.wrapped = fails
        self.assertRaises(exception.InvalidSharedStorage, self.call, precheck.precheck)


class TestDelete(Case):
    """Nova disconnects, by force, whatever the rows name that it has read."""

    def setUp(self):
        super().setUp()
        # as the API sent it, when the destination had just changed it
        self.bdm.id = self.world.records.rows[fake.volume(0)].bdm_id
        self.bdm.attachment_id = fake.attachment(DST, 0)
        self.bdm.connection_info = json.dumps(fake.info(DST, 0))
        self.seen = []

    def wrapped(self, context, bdm, instance, bdms=()):
        self.seen.append((bdms[0].attachment_id, json.loads(bdms[0].connection_info)))
        return super().wrapped(context, bdm, instance)

    def call(self, gate):
        return gate(self.wrapped, self.manager,
                    (None, self.bdm, self.instance, [self.bdm]), {})

    def deleted(self):
        """It is done, with what this host has."""
        self.assertEqual('done', self.call(gates.delete))
        (attachment, info), = self.seen
        self.assertEqual(fake.attachment(SRC, 0), attachment)
        self.assertEqual(fake.info(SRC, 0)['data']['target_lun'],
                         info['data']['target_lun'])

    def test_rows_are_right_though_something_is_held(self):
        self.held()
        self.deleted()
        self.assertEqual('open', self.src.tx().state)

    def test_what_it_disconnects_is_noted_for_what_is_not_settled(self):
        """Nova gives its LUN number up next, and another tenant has it at once."""
        noted = deletion.noted(lambda wrapped, _driver, args, kwargs: wrapped(*args, **kwargs))
        driver, volume = Driver(), fake.volume(0)
        self.held()

        def disconnect(*_args):
            noted(driver._disconnect_volume, driver, (
                None, fake.info(SRC, 0), self.instance), {})

        def ended():
            return volume in self.src.participant.engine.history(self.src.tx()).ended

        self.wrapped = lambda context, bdm, instance, bdms=(): disconnect()
        for paths, outside, expected in (([], True, False), (['/dev/sda'], False, False),
                                         ([], False, True)):
            with mock.patch.object(effects.devices, 'own_paths', return_value=paths):
                disconnect() if outside else self.call(gates.delete)
            self.assertEqual(expected, ended(), (paths, outside))

    def test_settled_first(self):
        self.break_off()
        self.deleted()
        self.assertEqual('settled', self.src.tx().state)

    def test_settled_while_the_message_was_on_its_way(self):
        self.break_off()
        self.src.settle()
        self.deleted()

    def test_long_ago_is_not_read_again(self):
        # whether the rows lead to their volumes is another question, see test_recorded
        self.conf.set_override('device_guards', False, 'migsafe')
        self.break_off()
        self.src.settle()
        now = timeutils.utcnow() + datetime.timedelta(hours=2)
        self.src.calls.made.clear()
        self.world.calls.made.clear()
        with mock.patch.object(timeutils, 'utcnow', return_value=now):
            self.assertEqual('done', self.call(gates.delete))
        # whether its rows lead elsewhere is a question to Nova's database; that they lead here
        # the journal knows, and Cinder may be away
        self.assertEqual([('volumes', fake.INSTANCE)],
                         self.src.calls.made + self.world.calls.made)

    def refused(self, gate=gates.delete, kind=exception.NovaException):
        message = super().refused(gate, kind)
        self.assertEqual([], self.seen)
        self.assertNotIn(fake.SECRET, message)
        return message

    def test_rows_that_name_the_destination(self):
        self.break_off()
        for error in (RuntimeError('conductor'), KeyError('x'),
                      exceptions.JournalError(database='d', reason='r')):
            with mock.patch.object(self.src.participant, 'settle',
                                   side_effect=error):
                message = self.refused()
                self.assertIn(fake.volume(0), message)
                self.assertIn(DST, message)

    def test_not_known_where_the_guest_is(self):
        self.break_off(G.UNKNOWN, G.UNKNOWN)
        self.assertIn('migsafe settle', self.refused())
        self.world.records.rows.clear()
        for number in (0, 1):
            self.world.records.rows[fake.volume(number)] = VolumeRow(
                number + 1, fake.volume(number), fake.attachment(SRC, number),
                fake.info(SRC, number))
        self.deleted()

    def test_cinder_and_the_settlement_fail(self):
        self.break_off()
        self.world.calls.errors['attachments'] = OSError('HTTP 503')
        self.assertIn('HTTP 503', self.refused())

    def test_damaged_journal_and_rows_that_cinder_knows(self):
        self.break_off()
        self.local = SRC
        self.sql("UPDATE migsafe_records SET payload = '{x'")
        self.assertIn(DST, self.refused())
        for row in list(self.world.records.rows.values()):
            self.world.records.rows[row.volume_id] = dataclasses.replace(
                row, attachment_id=fake.attachment(SRC, row.bdm_id - 1),
                connection_info=fake.info(SRC, row.bdm_id - 1))
        self.deleted()

    def test_volume_attached_since(self):
        """Nothing journalled knows it; Cinder does."""
        self.held()
        for host, refused in ((SRC, False), (DST, True), (None, True)):
            self.seen.clear()
            self.called.clear()
            self.world.volumes.add('new', 'v-new', host, {})
            self.world.records.rows['v-new'] = VolumeRow(9, 'v-new', 'new', {})
            if refused:
                self.assertIn('v-new', self.refused())
            else:
                self.deleted()

    def test_legacy_flow(self):
        for number in (0, 1):
            self.world.legacy(number)
        self.break_off()
        with mock.patch.object(self.src.participant, 'settle',
                               side_effect=RuntimeError('conductor')):
            self.assertIn(fake.volume(0), self.refused())

    def test_not_enforced(self):
        self.conf.set_override('enforce', False, 'migsafe')
        self.break_off()
        with mock.patch.object(self.src.participant, 'settle',
                               side_effect=RuntimeError('conductor')):
            self.assertEqual('done', self.call(gates.delete))


class TestReadBefore(Case):
    """Nova reads rows and chooses a host before the gate settles."""

    def test_rows_are_brought_up_to_date(self):
        self.break_off()
        row = self.src.cloud.records.rows[fake.volume(0)]
        self.bdm.id = row.bdm_id
        self.assertEqual('done', self.call(gates.detach))
        row = self.src.cloud.records.rows[fake.volume(0)]
        self.assertEqual(row.attachment_id, self.bdm.attachment_id)
        self.assertEqual(row.connection_info, json.loads(self.bdm.connection_info))

    def moved(self, gate):
        self.break_off()
        with mock.patch.object(gates, '_moved', return_value='has moved to node11'):
            self.assertIn('has moved', self.refused(gate, exception.NovaException))

    def test_instance_that_comes_here_has_not_moved(self):
        """Its host is the other one, as Nova knows."""
        self.break_off()
        self.instance.host = SRC
        registry.put(self.manager, self.dst.participant)
        self.src.settle()
        self.assertEqual('done', self.call(refusals.GATES['_prep_resize'][1]))

    def test_no_reboot_on_a_host_that_the_guest_has_left(self):
        self.moved(REBOOT)

    def test_no_detach_there(self):
        self.moved(gates.detach)
        self.assertEqual([fake.volume(0)], self.manager.volume_api.rolled_back)

    def test_no_delete_there(self):
        self.moved(gates.delete)


class TestLeft(Case):
    """The guest is on the other host, and Nova's record names this one again."""

    def setUp(self):
        super().setUp()
        self.break_off(G.ABSENT, G.HERE)
        self.src.settle()
        self.assertEqual(('settled', 'COMMIT'), self.src.verdict())
        records = self.world.records
        records.row = dataclasses.replace(records.row, host=SRC)

    def test_nothing_is_done_to_it_here(self):
        for gate in (REBOOT, gates.detach, gates.delete,
                     *(refusals.GATES[name][1] for name in ('_power_on', '_shelve_instance'))):
            with self.subTest(gate):
                reason = self.refused(gate, exception.NovaException)
                for word in (fake.INSTANCE, fake.MIGRATION, fake.volume(0), DST, SRC):
                    self.assertIn(word, reason)
        self.assertEqual([fake.volume(0)], self.manager.volume_api.rolled_back)

    def test_before_anything_was_looked_for(self):
        """A host that has just got its journal may be in the middle of a migration."""
        # whether the rows lead to their volumes is another question, see test_recorded
        self.conf.set_override('device_guards', False, 'migsafe')
        for table in ('migsafe_records', 'migsafe_transactions'):
            self.sql(f'DELETE FROM {table}')
        self.assertEqual('done', self.call(refusals.GATES['_shelve_instance'][1]))
        self.called.clear()
        self.src.participant.looked = False
        reason = self.refused(gates.detach, exception.NovaException)
        for word in (fake.INSTANCE, fake.volume(0), f'is attached to {DST}'):
            self.assertIn(word, reason)
        self.assertNotIn('last live migration', reason)

    def test_evacuated_from_here_without_a_journal(self):
        """It has failed once the guest was started there."""
        for table in ('migsafe_records', 'migsafe_transactions'):
            self.sql(f'DELETE FROM {table}')
        records = self.src.participant.clients.records
        for status, by_hand in (('failed', False), ('completed', False), (None, True)):
            moves = [OtherMove('evacuation', 'e-1', status, SRC, DST, status == 'completed')]
            with mock.patch.object(records, 'moves', return_value=moves if status else []):
                reason = self.refused(REBOOT, exception.NovaException)
                self.assertIn('may run there' if by_hand else f'is not on {SRC}', reason)

    def test_what_comes_to_this_host_is_let_through(self):
        self.assertEqual('done', self.call(refusals.GATES['_prep_resize'][1]))

    def test_a_guest_that_is_here_with_rows_of_the_other_host(self):
        """What they lead to is somebody else's disk here, whoever has written them."""
        for state in (G.HERE, G.SHUT_OFF):
            self.src.guests.state = state
            reason = self.refused(REBOOT, exception.NovaException)
            for word in (fake.INSTANCE, fake.volume(0), f'is attached to {DST}', f'is on {SRC} ',
                         'attachment list'):
                self.assertIn(word, reason)

    def test_an_evacuation_to_here_detaches_by_the_rows_of_the_other_host(self):
        self.instance.host = DST
        records = self.world.records
        records.row = dataclasses.replace(records.row, host=DST)
        for self.src.participant.looked in (True, False):
            self.assertEqual('done', self.call(gates.detach))

    def test_attachments_of_this_host(self):
        """It was evacuated to here, and its domain is gone."""
        rows = self.world.volumes.rows
        rows.update({name: dataclasses.replace(row, host=SRC) for name, row in rows.items()})
        self.assertEqual('done', self.call(REBOOT))

    def test_attachments_of_no_host(self):
        """A rebuild has made them, and has failed before it knew where they are to go."""
        rows = self.world.volumes.rows
        for host in (None, ''):
            rows.update({name: dataclasses.replace(row, host=host)
                         for name, row in rows.items()})
            for gate in (REBOOT, gates.delete):
                with self.subTest(f'{host} {gate}'):
                    self.assertEqual('done', self.call(gate))
        rows.clear()
        self.assertEqual('done', self.call(REBOOT))

    def test_rows_of_before_there_were_attachments(self):
        with mock.patch.object(self.src.participant.clients.records, 'volumes', return_value=[
                dataclasses.replace(row, attachment_id=None) for row in
                self.src.participant.clients.records.volumes(fake.INSTANCE)]):
            self.assertEqual('done', self.call(REBOOT))

    def test_cinder_is_away(self):
        with mock.patch.object(self.src.participant.clients.volumes, 'attachments',
                               side_effect=OSError('away')):
            self.assertIn('away', self.refused(REBOOT, exception.NovaException))
            self.src.participant.conf.enforce = False
            self.assertEqual('done', self.call(REBOOT))


class TestResetLiveMigration(Case):
    def test_left_to_recovery(self):
        self.assertIsNone(self.call(at_start.reset_live_migration))
        self.assertEqual([], self.called)

    def test_not_armed_is_nova_s(self):
        self.manager = Manager()
        self.assertEqual('done', self.call(at_start.reset_live_migration))


class TestInitInstance(Case):
    """resume_guests_state_on_host_boot starts what the database says."""

    def setUp(self):
        super().setUp()
        self.instance.task_state, self.instance.vm_state = None, 'active'

    def test_unsettled_and_not_here_is_not_started(self):
        self.held()
        for state in G:
            self.src.guests.state = state
            self.called.clear()
            self.call(at_start.init_instance)
            self.assertEqual(state is G.HERE, bool(self.called), state)

    def test_migrating_and_not_here_is_not_started(self):
        self.instance.task_state = 'migrating'
        self.src.guests.state = G.ABSENT
        self.call(at_start.init_instance)
        self.assertEqual([], self.called)

    def test_settled_is_nova_s(self):
        """libvirt is not asked: it answers late of each guest whose storage hangs."""
        self.src.guests.state = G.ABSENT
        self.src.guests.evidence = mock.Mock()
        self.assertEqual('done', self.call(at_start.init_instance))
        self.src.guests.evidence.assert_not_called()

    def test_evacuated_and_attached_elsewhere_is_not_started(self):
        self.src.guests.state = G.ABSENT
        self.world.records.evacuated_from = {SRC}
        gone = [OtherMove('evacuation', 'e-1', 'failed', SRC, DST, True)]
        rows = self.world.volumes.rows
        for host, starts in ((DST, False), (SRC, True)):
            rows.update({name: dataclasses.replace(row, host=host) for name, row in rows.items()})
            self.called.clear()
            with mock.patch.object(self.world.records, 'moves', return_value=gone):
                self.call(at_start.init_instance)
            self.assertEqual(starts, bool(self.called))
        # all of them are read once
        self.assertEqual(1, len(self.world.calls.of('evacuated')))

    def test_what_cannot_be_told_at_start(self):
        for enforce in (True, False):
            self.conf.set_override('enforce', enforce, 'migsafe')
            self.called.clear()
            with mock.patch.object(self.world.records, 'evacuated', side_effect=OSError('away')):
                self.call(at_start.init_instance)
            self.assertEqual(not enforce, bool(self.called))

    def test_deletion_goes_on(self):
        """It was let through before, has ended the guest and starts none."""
        self.held()
        for task, vm in (('deleting', 'active'), ('deleting', 'error'), (None, 'deleted')):
            self.instance.task_state, self.instance.vm_state = task, vm
            for self.src.guests.state in G:
                self.assertEqual('done', self.call(at_start.init_instance))

    def test_journal_that_cannot_be_read_holds_this_one_alone(self):
        """An error here would keep nova-compute from starting."""
        error = exceptions.JournalCorrupt(
            database='d', table='migsafe_transactions', row=1, column='verdict', reason='is odd')
        for enforce, state in itertools.product((True, False), G):
            with self.subTest(enforce=enforce, state=state), mock.patch.object(
                    self.src.journal, 'unsettled_for_instance', side_effect=error), \
                    self.assertLogs('migsafe.nova.seams.at_start', 'ERROR') as said:
                self.conf.set_override('enforce', enforce, 'migsafe')
                self.src.guests.state = state
                self.called.clear()
                self.call(at_start.init_instance)
                self.assertEqual(state is G.HERE or not enforce, bool(self.called))
                self.assertIn('migsafe_transactions', str(said.output))


if __name__ == '__main__':
    unittest.main()
