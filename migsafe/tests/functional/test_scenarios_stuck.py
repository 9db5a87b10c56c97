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
"""Instances in ``migrating`` that nobody works on, and journals that cannot be written."""

from __future__ import annotations

import collections
import contextlib
import datetime
from unittest import mock

import fixtures
from nova import objects
from nova.tests.fixtures import libvirt as fakelibvirt
from oslo_utils import timeutils, uuidutils
from sqlalchemy import engine, event

from migsafe import exceptions
from migsafe.nova.clients import orphans
from migsafe.nova.host import recovery, upkeep
from migsafe.replay.lab import domain, faults, job, runner
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.matrix import client, points
from migsafe.tests.functional.scenarios import (
    DESTINATION,
    DESTINATION_DIES,
    JOB_FAILS,
    SOURCE,
    SOURCE_DIES,
)

#: Looks at the journal during one transfer, two seconds apart.
TICKS = 90


class TestOrphans(scenarios.ScenarioTest):

    def test_cast_to_the_source_is_lost(self):
        result = self.run_case(faults.Fault('rpc', 'live_migration', 'lost', 'control'))
        self.assertIn('R6', {r.kind for r in result.left})
        self.assertEqual([SOURCE], result.running_on)
        self.assertTrue(result.clean, result.residue)

    def undelivered(self, server):
        """The conductor puts it into ERROR."""
        self.migrate(server, faults.Fault('rpc', 'live_migration', 'bus-down', 'control'))

    def test_cast_to_the_source_fails(self):
        """In ERROR, with no task, and the destination's bindings stay."""
        server = self.guest()
        self.undelivered(server)
        self.assertLessEqual({'R6', 'R8'}, self.kinds(server))
        left = self.kinds(server)
        self.recover(1)
        # it might still come
        self.assertEqual(left, self.kinds(server))
        self.lab.pass_time(3600)
        self.recover()
        self.assertClean(server, SOURCE)
        self.assertEqual('ACTIVE', self.lab.show(server)['status'])
        self.migrate(server)
        self.assertClean(server, DESTINATION)

    def test_in_error_for_another_reason(self):
        """Something was asked for after it, or the guest does not run: nothing is done."""
        for then in ('rebooted', 'off'):
            with self.subTest(then):
                self.lab.clean()
                server = self.guest()
                self.undelivered(server)
                if then == 'off':
                    self.lab.parts.connections[SOURCE].lookupByUUIDString(server.uuid).destroy()
                else:
                    self.assertTrue(self.do(server, 'hard_reboot').done)
                    self.lab.stack.admin_api.post_server_action(
                        server.uuid, {'os-resetState': {'state': 'error'}})
                self.lab.pass_time(3600)
                self.recover()
                self.assertEqual('ERROR', self.lab.show(server)['status'])
                self.assertEqual([], self.transactions(SOURCE))

    def test_in_error_from_before_the_installation(self):
        """A transfer that failed under plain Nova, which has rolled back all but the state."""
        server = self.guest()
        self.plain(server, JOB_FAILS)
        self.assertEqual('ERROR', self.lab.show(server)['status'])
        self.install()
        self.lab.pass_time(3600)
        self.recover()
        self.assertUnharmed(server, SOURCE)
        self.assertEqual('ACTIVE', self.lab.show(server)['status'])
        self.assertEqual(set(), self.kinds(server) - {'R11'})

    def test_one_without_a_domain_does_not_keep_the_others_waiting(self):
        """Nova's driver raises for it, on every release."""
        gone, server = self.guest(), self.guest()
        for one in (gone, server):
            self.plain(one, JOB_FAILS)
        connection = self.lab.parts.connections[SOURCE]
        lookup = connection.lookupByUUIDString

        def without(uuid):
            if uuid == gone.uuid:
                raise job.error('Domain not found', fakelibvirt.VIR_ERR_NO_DOMAIN)
            return lookup(uuid)

        self.install()
        self.lab.pass_time(3600)
        with mock.patch.object(connection, 'lookupByUUIDString', side_effect=without) as asked:
            self.recover()
        self.assertIn(mock.call(gone.uuid), asked.mock_calls)
        self.assertEqual('ERROR', self.lab.show(gone)['status'])
        self.assertEqual('ACTIVE', self.lab.show(server)['status'])

    def test_locked_since(self):
        """What changes nothing on a host is no operation on the guest."""
        server = self.guest()
        self.plain(server, JOB_FAILS)
        with self.lab.world.looking():
            self.lab.stack.admin_api.post_server_action(server.uuid, {'lock': None})
        self.install()
        self.lab.pass_time(3600)
        self.recover()
        self.assertEqual('ACTIVE', self.lab.show(server)['status'])

    def plain(self, server, fault):
        """A live migration from before migsafe was installed, killed in the middle."""
        managers = [self.lab.stack.computes[h].manager for h in (SOURCE, DESTINATION)]
        with mock.patch.multiple(managers[0], _migsafe=None), \
                mock.patch.multiple(managers[1], _migsafe=None):
            self.migrate(server, fault)
        self.assertEqual([], [tx for h in (SOURCE, DESTINATION)
                              for tx in self.transactions(h)])
        self.assertNotEqual([], self.residue(server))

    def install(self):
        for host in (SOURCE, DESTINATION):
            self.assertTrue(self.lab.restart(host))

    def test_from_before_the_installation_guest_has_left(self):
        server = self.guest()
        self.plain(server, SOURCE_DIES)
        self.install()
        self.recover()
        self.assertClean(server, DESTINATION)
        self.assertTrue(self.do(server, 'stop_start').done)

    def test_from_before_the_installation_guest_is_here(self):
        server = self.guest()
        self.plain(server, scenarios.kill(SOURCE, 'rpc', 'pre_live_migration'))
        self.install()
        self.recover()
        self.assertUnharmed(server, SOURCE)
        # which attachment is whose is in Cinder; whose directory it is, nowhere
        self.assertEqual(set(), self.kinds(server) - {'R11'})
        self.assertTrue(self.do(server, 'stop_start').done)

    def test_task_was_taken_away_before_it_was_journalled(self):
        """By an operator here; an evacuation that is refused does the same."""
        server = self.guest()
        self.migrate(server, scenarios.kill(SOURCE, 'journal', 'begin', when='before'))
        self.assertEqual([], self.transactions(SOURCE))
        body = {'os-resetState': {'state': 'active'}}
        with self.lab.world.looking():
            self.lab.stack.admin_api.post_server_action(server.uuid, body)
        self.assertTrue(self.lab.restart(SOURCE))
        left = self.kinds(server)
        self.assertLessEqual({'R7', 'R12'}, left)
        self.recover(1)
        # it might be one that is about to come
        self.assertEqual(left, self.kinds(server))
        self.lab.pass_time(3600)
        self.recover()
        self.assertClean(server, SOURCE)
        self.assertTrue(self.do(server, 'hard_reboot').done)
        self.migrate(server)
        self.assertClean(server, DESTINATION)

    def test_records_that_never_ended_cost_little(self):
        """Of plain Nova, and of years: a round reads a page of them, and none of them twice."""
        self.useFixture(fixtures.MockPatchObject(orphans, 'PAGE', 30, create=True))
        server = self.guest()
        self.migrate(server, scenarios.kill(SOURCE, 'journal', 'begin', when='before'))
        self.records_that_never_ended(120)
        body = {'os-resetState': {'state': 'active'}}
        with self.lab.world.looking():
            self.lab.stack.admin_api.post_server_action(server.uuid, body)
        self.lab.restart(SOURCE)
        self.lab.pass_time(3600)
        asked = [self.queries() for _ in range(6)]
        # one of them is of this host's own instance, the first of all, and is taken up
        self.assertEqual(1, len(self.transactions(SOURCE)))
        # one of each round is for instances in ERROR
        self.assertGreaterEqual(5, max(asked[1:]), asked)
        # by then they are explained, and there is nothing to ask about
        self.assertGreaterEqual(4, asked[-1], asked)
        self.recover()
        self.assertClean(server, SOURCE)

    def records_that_never_ended(self, count):
        """Live migrations from the source, of instances that are not there any more."""
        from nova import context as nova_context
        from nova.db.main import api, models
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        old = timeutils.utcnow() - datetime.timedelta(days=400)
        rows = [{'uuid': uuidutils.generate_uuid(), 'instance_uuid': uuidutils.generate_uuid(),
                 'source_compute': SOURCE, 'source_node': SOURCE, 'dest_compute': DESTINATION,
                 'status': 'running', 'migration_type': 'live-migration', 'hidden': False,
                 'cross_cell_move': False, 'created_at': old, 'deleted': 0}
                for _ in range(count)]
        database = api.get_context_manager(context)
        with self.lab.world.looking(), database.writer.using(context):
            context.session.execute(models.Migration.__table__.insert(), rows)

    def queries(self):
        """How many statements a look for orphans on the source costs Nova's database."""
        found = []

        def note(_connection, _cursor, statement, *_more):
            found.append(statement)
        adopting = self.participant(SOURCE).recovery._upkeep._adoption
        event.listen(engine.Engine, 'before_cursor_execute', note)
        try:
            with self.lab.world.entered(self.lab.parts.processes[SOURCE]):
                adopting.adopt()
        finally:
            event.remove(engine.Engine, 'before_cursor_execute', note)
        return sum('FROM migrations' in one or 'FROM instances' in one for one in found)

    def test_a_migration_that_is_alive_is_left_alone(self):
        server = self.guest()
        seen = []

        def recover():
            for host in (SOURCE, DESTINATION):
                with self.lab.world.entered(self.lab.parts.processes[host]):
                    self.participant(host).recovery.once()

        class InTheMiddle:
            def __init__(self, lab):
                self._lab = lab

            def around(self, effect, call, later):
                if effect.name == 'jobStats' and not seen:
                    seen.append(effect)
                    self._lab.pass_time(7200)
                    recover()
                return call()

        self.lab.world.rule = InTheMiddle(self.lab)
        self.lab.migrate(server)
        self.lab.world.rule = None
        self.assertEqual(1, len(seen))
        self.recover()
        self.assertClean(server, DESTINATION)


class TestSettleFirst(scenarios.ScenarioTest):
    """What can be settled when an operation comes is settled first, and then it is done."""

    def test_guest_has_left(self):
        for operation in ('hard_reboot', 'stop_start', 'detach', 'delete'):
            with self.subTest(operation):
                self.lab.clean()
                server = self.guest()
                self.migrate(server, SOURCE_DIES)
                self.lab.restart(SOURCE)
                if operation != 'delete':
                    self.release(server)
                first = self.do(server, operation)
                self.assertEqual((), first.harms)
                if operation != 'stop_start':
                    # it was sent to the host that the guest has left
                    self.assertIn('to have moved to node11', self.fault_messages(server))
                    self.assertEqual([DESTINATION], self.lab.observer(server).running_on())
                self.recover()
                # a stop that was sent to the wrong host is done by now, as far as Nova knows
                step = self.do(server, 'hard_reboot' if operation == 'stop_start' else operation)
                self.assertEqual(((), True), (step.harms, step.done), step.status)
                self.recover()
                self.assertEqual([], self.lab.world.harms)
                self.assertEqual([], [str(r) for r in self.residue(server)])

    def test_guest_is_here(self):
        for operation in ('hard_reboot', 'stop_start', 'detach', 'delete'):
            with self.subTest(operation):
                self.lab.clean()
                server = self.guest()
                self.migrate(server, scenarios.kill(SOURCE, 'journal', 'the verdict'),
                             JOB_FAILS)
                self.assertNotEqual([], self.residue(server))
                self.lab.restart(SOURCE)
                # not one pass of recovery
                if operation != 'delete':
                    self.release(server)
                step = self.do(server, operation)
                self.assertEqual(((), True), (step.harms, step.done), step.status)
                self.recover()
                self.assertEqual([], self.lab.world.harms)
                self.assertEqual([], [str(r) for r in self.residue(server)])

    def release(self, server):
        """Nova's API refuses nearly everything while task_state is migrating."""
        with self.lab.world.looking():
            body = {'os-resetState': {'state': 'active'}}
            self.lab.stack.admin_api.post_server_action(server.uuid, body)


class OutageAtTheEnd:
    """A fault plan: the journal is away while the destination hears that the guest has come."""

    def __init__(self, outage):
        self._outage = outage
        self.asked = 0

    def around(self, effect, call, later):
        if effect.name != 'post_live_migration_at_destination':
            return call()
        with self._outage() as asked:
            try:
                return call()
            finally:
                self.asked += asked.call_count


class TestJournal(scenarios.ScenarioTest):

    def test_full_disk_is_refused_at_the_precheck(self):
        for host in (SOURCE, DESTINATION):
            with self.subTest(host):
                self.lab.clean()
                server = self.guest()
                before = self.luns(server)
                journal = self.participant(host).journal
                real = type(journal).check_writable

                def refuse(asked, mine=journal, check=real):
                    with mock.patch('migsafe.journal.files.free_bytes',
                                    return_value=4096 if asked.host == mine.host else 1 << 40):
                        check(asked)

                with mock.patch.object(type(journal), 'check_writable', refuse):
                    self.lab.migrate(server)
                said = self.fault_messages(server)
                self.assertIn(f'{host}.sqlite', said)
                self.assertIn('KiB left', said)
                self.assertEqual('ACTIVE', self.lab.show(server)['status'])
                self.assertEqual(before, self.luns(server))
                self.assertClean(server, SOURCE)
                # and when there is room again, it migrates
                self.migrate(server)
                self.assertClean(server, DESTINATION)

    def test_journal_fails_later(self):
        for host in (SOURCE, DESTINATION):
            with self.subTest(host):
                result = self.run_case(
                    faults.Fault('journal', 'begin', 'os-error', host, times=faults.FOR_EVER))
                self.assertEqual([SOURCE], result.running_on)
                self.assertTrue(result.clean, result.residue)

    def unreadable(self, host):
        """A host's journal does not answer."""
        error = exceptions.JournalUnavailable(database=f'{host}.sqlite', reason='no reply',
                                              cure='Look at its disk.')
        return mock.patch.object(self.participant(host).journal, 'unsettled_for_instance',
                                 side_effect=error)

    def test_cannot_be_read_when_the_guest_has_come(self):
        server = self.guest()
        end = self.lab.world.rule = OutageAtTheEnd(lambda: self.unreadable(DESTINATION))
        self.lab.migrate(server)
        self.lab.world.rule = None
        self.assertEqual(1, end.asked)
        self.assertIn('no reply', self.lab.log())
        # not even for the moment until the source has settled it
        self.assertNotIn(f'Post live migration at destination {DESTINATION} failed',
                         self.lab.log())
        shown = self.lab.show(server)
        self.assertEqual(('ACTIVE', None, DESTINATION),
                         (shown['status'], shown['OS-EXT-STS:task_state'],
                          shown['OS-EXT-SRV-ATTR:host']))
        self.recover()
        self.assertClean(server, DESTINATION)
        self.assertTrue(self.do(server, 'hard_reboot').done)

    def test_cannot_be_read_when_nova_compute_starts(self):
        """The guest runs on; one that a power cycle has ended is not started on a guess."""
        server = self.guest()
        error = exceptions.JournalUnavailable(database='d', reason='no reply', cure='')
        with mock.patch('migsafe.journal.reader.JournalReader.unsettled_for_instance',
                        side_effect=error) as asked:
            self.assertTrue(self.lab.restart(SOURCE))
            asked.assert_called_once_with(server.uuid)
            self.assertUnharmed(server, SOURCE)
            self.lab.stack.flags(resume_guests_state_on_host_boot=True)
            self.addCleanup(self.lab.stack.flags, resume_guests_state_on_host_boot=False)
            self.assertTrue(self.lab.restart(SOURCE, reboot=True))
        self.assertEqual([], self.lab.observer(server).running_on())
        self.assertEqual([], self.lab.world.harms)


class TestIdempotent(scenarios.ScenarioTest):

    def changes(self, server):
        """What one pass of recovery changes outside of the journal."""
        self.lab.world.trace.clear()
        self.lab.recover()
        return [str(e) for e in self.lab.world.trace if e.kind != 'journal'
                and not points.Point(e.kind, e.name, e.host, 1).reads]

    def test_second_pass_changes_nothing(self):
        for fault, host in ((JOB_FAILS, SOURCE), (DESTINATION_DIES, SOURCE),
                            (SOURCE_DIES, DESTINATION)):
            with self.subTest(str(fault)):
                self.lab.clean()
                server = self.guest()
                self.migrate(server, fault)
                for dead in self.lab.dead():
                    self.lab.restart(dead)
                self.recover()
                self.assertClean(server, host)
                self.assertEqual([], self.changes(server))

    def test_second_pass_of_a_hold_changes_nothing(self):
        server = self.guest()
        self.migrate(server, DESTINATION_DIES)
        self.recover()
        left = [str(r) for r in self.residue(server)]
        self.assertEqual([], self.changes(server))
        self.assertEqual(left, [str(r) for r in self.residue(server)])


class TestHealthy(scenarios.ScenarioTest):

    def test_same_calls_plus_one(self):
        plain = client.Laboratory(armed=False)
        self.addCleanup(plain.stop)
        control = plain.run('healthy', step=False)
        self.assertEqual(([], []), (control.unfired, control.left))
        healthy = runner.healthy_trace(self.lab)
        calls = collections.Counter((e.host, e.kind, e.name) for e in healthy
                                    if e.kind != 'journal')
        before = collections.Counter(control.trace)
        self.assertEqual({}, dict(before - calls))
        self.assertEqual({(SOURCE, 'rpc', 'migsafe.guest_evidence'): 1}, dict(calls - before))

    def test_minutes_of_transfer_with_recovery_at_work(self):
        """Both recoveries look at their journals every two seconds, and at nothing more than on
        a host without a migration."""
        still, asked = self.calls(ticking=False), self.asked
        self.assertEqual({}, dict(asked))
        at_work, asked = self.calls(ticking=True), self.asked
        self.assertEqual(2 * TICKS, self.rounds)
        self.assertEqual(({}, {}), (dict(still - at_work), dict(at_work - still)))
        self.assertEqual(1, at_work[SOURCE, 'rpc', 'migsafe.guest_evidence'])
        self.assertEqual({'InstanceList', 'MigrationList'}, set(asked))
        rounds = TICKS * recovery.POLL / 30
        # instances in migrating, and those in ERROR; migrations that have not ended, and once on
        # each host after its start those that have ended and that its journal has not
        for name, each, once in (('InstanceList', 2, 0), ('MigrationList', 1, 1)):
            self.assertGreaterEqual(asked[name], 2 * each * rounds)
            self.assertLessEqual(asked[name], 2 * (each * (rounds / upkeep.LEAST + 1) + once))

    def calls(self, ticking):
        """What a migration calls whose transfer takes some minutes."""
        self.rounds, self.asked = 0, collections.Counter()
        server, ticks = self.guest(), []
        real = domain.Domain.jobStats

        def look(guest, flags=0):
            if guest._job is not None and len(ticks) < TICKS:
                guest._job.polls += 1
                self.lab.pass_time(recovery.POLL)
                ticks.append(ticking and self.tick())
            return real(guest, flags)
        with mock.patch.object(domain.Domain, 'jobStats', look):
            self.lab.migrate(server)
        self.assertEqual(TICKS, len(ticks))
        self.assertClean(server, DESTINATION)
        return collections.Counter((e.host, e.kind, e.name) for e in self.lab.world.trace
                                   if e.kind != 'journal')

    def tick(self):
        """A round of recovery on both hosts."""
        for host in (SOURCE, DESTINATION):
            self.rounds += 1
            recovering = self.participant(host).recovery
            with contextlib.ExitStack() as stack:
                stack.enter_context(self.lab.world.entered(self.lab.parts.processes[host]))
                for found in (objects.InstanceList, objects.MigrationList):
                    stack.enter_context(mock.patch.object(
                        found, 'get_by_filters', self.counted(found)))
                recovering.round(timeutils.utcnow)
                recovering._crew.wait()
                recovering._upkeep._aside.wait()

    def counted(self, found):
        """Its query, which goes to the conductor, as one that is counted."""
        real = found.get_by_filters

        def query(*args, **kwargs):
            self.asked[found.__name__] += 1
            return real(*args, **kwargs)
        return query
