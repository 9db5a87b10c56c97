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
"""A host's journal of yesterday is put back by the commands, as the backup page says."""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import subprocess
import tempfile

from nova import context as nova_context
from nova.conf import CONF

from migsafe.cli import manage
from migsafe.replay.lab import case
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, JOB_FAILS, SOURCE, THIRD
from migsafe.transaction import history


class TestRestored(scenarios.ThirdHostTest):

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.copy = pathlib.Path(directory.name, 'copy.sqlite')
        self.conf = pathlib.Path(directory.name, 'nova.conf')
        self.conf.write_text(f'[migsafe]\nstate_path = {CONF.migsafe.state_path}\n')

    def manage(self, host, *args):
        """Run ``migsafe-manage db``; return its exit code and what it says."""
        with contextlib.redirect_stdout(io.StringIO()) as out, \
                contextlib.redirect_stderr(out):
            code = manage.main(['--config-file', str(self.conf), '--host', host, 'db', *args])
        return code, out.getvalue()

    def backup(self, host):
        self.copy.unlink(missing_ok=True)
        self.assertEqual(0, self.manage(host, 'backup', str(self.copy))[0])

    def restore(self, host):
        """The four steps of the page; nova-compute takes it up when it starts."""
        self.lab.stack.silence_host(host)
        code, said = self.manage(host, 'restore', str(self.copy))
        self.assertEqual(1, code, said)
        journal = pathlib.Path(CONF.migsafe.state_path, f'{host}.sqlite')
        for old in journal.parent.glob(f'{host}.sqlite.old*'):
            old.unlink()
        subprocess.run(['sh', '-euc', said[said.index('for s in'):]], check=True)
        self.assertFalse(os.path.lexists(journal))
        code, said = self.manage(host, 'restore', str(self.copy))
        self.assertEqual(0, code, said)
        self.assertTrue(self.lab.restart(host))

    def middle(self, host, kind, name, faults):
        """A migration to its end, and a copy of a host's journal from the middle of it."""
        server = self.guest()
        copied = scenarios.Meanwhile(host, kind, name, lambda: self.backup(host))
        plan = self.lab.arm_faults(case.Case('scenario', faults), 'migrate')

        class Both:
            def around(self, effect, call, later):
                return copied.around(effect, lambda: plan.around(effect, call, later), later)
        self.lab.world.rule = Both()
        self.lab.migrate(server)
        self.lab.world.rule = None
        for connection in self.lab.parts.connections.values():
            connection.next_verdict = 'complete'
        self.assertTrue(copied.done)
        self.assertEqual(set(faults), {f.fault for f in plan.fired})
        self.recover()
        host = SOURCE if faults else DESTINATION
        self.assertClean(server, host)
        return server, host

    def ends(self, server, host):
        self.recover()
        self.assertClean(server, host)
        self.assertTrue(self.do(server, 'hard_reboot').done)
        self.assertClean(server, host)

    def start(self):
        self.lab.clean()
        self.lab.forget()

    def copies(self, host, kind, name, *faults):
        """Nothing else has happened to the guest since, or it was migrated on, or back."""
        for then in (None, THIRD, SOURCE if not faults else DESTINATION):
            with self.subTest(then):
                self.start()
                server, where = self.middle(host, kind, name, faults)
                if then:
                    self.migrate(server, host=then)
                self.restore(host)
                # the control: the migration is open again there
                tx, = self.transactions(host)
                self.assertIsNone(tx.verdict)
                self.ends(server, then or where)

    def test_source_of_one_that_succeeded(self):
        self.copies(SOURCE, 'libvirt', 'migrateToURI3')

    def test_destination_of_one_that_succeeded(self):
        self.copies(DESTINATION, 'cinder', 'attachments.complete')

    def test_source_of_one_that_failed(self):
        self.copies(SOURCE, 'libvirt', 'jobStats', JOB_FAILS)

    def test_destination_of_one_that_failed(self):
        self.copies(DESTINATION, 'cinder', 'attachments.complete', JOB_FAILS)

    def test_a_copy_between_two(self):
        """What began after it is not in it; the other host has it, and the records are right."""
        for host in (SOURCE, DESTINATION):
            with self.subTest(host):
                self.start()
                server = self.guest()
                self.migrate(server)
                self.backup(host)
                self.migrate(server, host=SOURCE)
                self.restore(host)
                self.assertEqual([], self.transactions(host))
                self.ends(server, SOURCE)

    def test_a_copy_of_before_one_that_is_open(self):
        """One host has lost what the other one asks it for."""
        for host, other, fault in (
                (SOURCE, DESTINATION, scenarios.DESTINATION_DIES),
                (DESTINATION, SOURCE, scenarios.SOURCE_DIES),
                (DESTINATION, SOURCE, scenarios.LAST_COMMIT),
                # the record says completed, and Placement still has the claim
                (SOURCE, DESTINATION, scenarios.kill(
                    SOURCE, 'placement', 'PUT /allocations/*', when='before'))):
            with self.subTest(f'{host} {fault}'):
                self.start()
                server = self.guest()
                self.backup(host)
                self.migrate(server, fault)
                self.restore(host)
                self.assertTrue(self.lab.restart(other))
                running, = self.lab.observer(server).running_on()
                self.ends(server, running)

    def test_a_claim_of_one_that_has_failed_since_the_copy(self):
        """Nothing but its journal knew that it was still to be given back."""
        server = self.guest()
        self.backup(SOURCE)
        self.migrate(server, JOB_FAILS)
        self.recover()
        self.assertClean(server, SOURCE)
        failed, = self.participant(SOURCE).journal.list()
        context = nova_context.get_admin_context()
        self.assertTrue(self.lab.stack.computes[SOURCE].manager.reportclient.move_allocations(
            context, server.uuid, failed.uuid))
        self.recover()
        # the control: as long as the journal says that it is settled, nobody gives it back
        self.assertEqual({'R7'}, {left.kind for left in self.residue(server)})
        self.restore(SOURCE)
        self.ends(server, SOURCE)

    def test_what_was_decided_or_declared_then_was_taken_back_since(self):
        """And the host that knows better is down while the old journal is taken up."""
        for host, other, faults, verdict in (
                (SOURCE, DESTINATION, (scenarios.LAST_COMMIT,), 'ABORT'),
                (DESTINATION, SOURCE, (JOB_FAILS, scenarios.kill(
                    DESTINATION, 'brick', 'disconnect_volume', when='before')), 'COMMIT')):
            with self.subTest(host):
                self.start()
                server = self.guest()
                self.migrate(server, *faults)
                self.assertEqual([host], self.lab.dead())
                journal, (tx,) = self.participant(host).journal, self.transactions(host)
                journal.request(tx, 'peer_is_dead', {'host': other})
                journal.verdict(tx, verdict, f'{other} is dead')
                self.backup(host)
                journal.request(tx, history.WITHDRAW, {'host': other})
                self.assertTrue(self.lab.restart(host))
                self.recover()
                self.assertClean(server, other)
                self.lab.stack.silence_host(other)
                self.restore(host)
                self.recover()
                self.assertUnharmed(server, other)
                self.assertEqual([], [str(r) for r in self.residue(server)])
                # the control: it is open again, and the other one was not heard
                tx, = self.transactions(host)
                self.assertIn(other, self.lab.dead())
                self.assertEqual('HOLD', tx.verdict)
                self.assertEqual((), self.do(server, 'hard_reboot').harms)
                self.assertTrue(self.lab.restart(other))
                self.ends(server, other)
