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
"""A guest that ends, by itself or with its host, while it is being migrated.

Its domain stays, shut off. Nova takes that for a migration that is complete.
"""

from __future__ import annotations

from nova.tests.fixtures import libvirt as fakelibvirt

from migsafe.replay.lab import domain as lab_domain
from migsafe.replay.lab import faults, job
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.matrix import client
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE, SOURCE_DIES
from migsafe.transaction import witness
from migsafe.transaction.evidence import GuestState

ENDS = {f'job-{end}': reason for end, reason in job.ENDS.items()}


class EndedTest(scenarios.ScenarioTest):

    def domain(self, server, host):
        """Its domain on a host, or None."""
        found: list[lab_domain.Domain] = [
            d for d in self.lab.parts.connections[host]._vms.values()
            if d.UUIDString() == server.uuid]
        return found[0] if found else None

    def assertStarts(self, server, host):
        """Nothing is left, and its owner can start it there."""
        self.assertEqual([], self.transactions(SOURCE) + self.transactions(DESTINATION))
        self.assertEqual(set(), self.kinds(server))
        self.assertTrue(self.do(server, 'stop_start').done)
        self.assertClean(server, host)


class TestEndsInTheTransfer(EndedTest):

    def test_control_plain_nova_takes_it_for_a_success(self):
        for end in ENDS:
            with self.subTest(end):
                plain = client.Laboratory(armed=False)
                self.addCleanup(plain.stop)
                control = plain.run(
                    f'healthy,{end}:before:{SOURCE}:libvirt:migrateToURI3:1', step=False)
                self.assertEqual([], control.unfired)
                left = ' '.join(control.left)
                self.assertIn('the guest runs on no host', left)
                self.assertIn(f'port bindings: {DESTINATION} ACTIVE', left)

    def test_it_was_not_handed_over(self):
        for end, reason in ENDS.items():
            with self.subTest(end):
                self.lab.clean()
                server = self.guest()
                self.migrate(server, faults.Fault('libvirt', 'migrateToURI3', end))
                self.recover()
                self.assertEqual([], self.lab.world.harms)
                # the fault took place
                self.assertEqual([fakelibvirt.VIR_DOMAIN_SHUTOFF, reason],
                                 self.domain(server, SOURCE).state())
                self.assertTrue(self.directory(server, SOURCE))
                self.assertFalse(self.directory(server, DESTINATION))
                journal = self.participant(SOURCE).journal
                tx, = journal.list(instance_uuid=server.uuid)
                self.assertEqual('ABORT', tx.verdict)
                self.assertEqual([], [r.text for r in journal.records(tx) if r.kind == 'note'
                                      and r.text == witness.HANDED_OVER])
                self.assertStarts(server, SOURCE)


class TestWhatLibvirtTells(EndedTest):
    """libvirt refuses to speak of jobs where there is no QEMU, and of what is coming in."""

    def evidence(self, server, host):
        found = self.participant(host).clients.guests.evidence(server.uuid)
        return found.guest, found.job

    def assertRefused(self, code, server, host):
        error = self.assertRaises(fakelibvirt.libvirtError, self.domain(server, host).jobStats)
        self.assertEqual(code, error.get_error_code())

    def test_in_the_transfer(self):
        server = self.guest()
        seen = []
        outer = self

        class InTheMiddle:
            def around(self, effect, call, later):
                if effect.name == 'jobStats' and not seen:
                    with outer.lab.world.looking():
                        outer.assertRefused(fakelibvirt.VIR_ERR_OPERATION_UNSUPPORTED, server,
                                            DESTINATION)
                        seen.append(outer.evidence(server, DESTINATION))
                return call()

        self.lab.world.rule = InTheMiddle()
        self.lab.migrate(server)
        self.lab.world.rule = None
        self.assertEqual([(GuestState.IN_TRANSFER, False)], seen)
        self.assertEqual((GuestState.HERE, False), self.evidence(server, DESTINATION))
        self.assertClean(server, DESTINATION)

    def test_shut_off(self):
        server = self.guest()
        self.domain(server, SOURCE)._die(job.SHUTOFF_CRASHED)
        self.assertRefused(fakelibvirt.VIR_ERR_OPERATION_INVALID, server, SOURCE)
        self.assertEqual((GuestState.SHUT_OFF, False), self.evidence(server, SOURCE))


class TestRebooted(EndedTest):

    def test_source_before_the_guest_has_left(self):
        server = self.guest()
        self.migrate(server, scenarios.kill(SOURCE, 'rpc', 'pre_live_migration'))
        self.assertNotEqual([], self.residue(server))
        self.assertTrue(self.lab.restart(SOURCE, reboot=True))
        self.assertEqual([], self.lab.observer(server).running_on())
        self.recover()
        self.assertEqual([], self.lab.world.harms)
        self.assertTrue(self.directory(server, SOURCE))
        self.assertStarts(server, SOURCE)

    def test_destination_with_the_guest(self):
        """The source died before it could say that the guest has gone."""
        server = self.guest()
        self.migrate(server, SOURCE_DIES)
        self.assertUnharmed(server, DESTINATION)
        self.lab.restart(DESTINATION, reboot=True)
        self.lab.restart(SOURCE)
        self.recover()
        self.assertEqual([], self.lab.world.harms)
        self.assertTrue(self.directory(server, DESTINATION))
        self.assertStarts(server, DESTINATION)

    def test_both_after_the_guest_has_left(self):
        server = self.guest()
        self.migrate(server, SOURCE_DIES)
        for host in (SOURCE, DESTINATION):
            self.lab.restart(host, reboot=True)
        self.recover()
        self.assertEqual([], self.lab.world.harms)
        self.assertTrue(self.directory(server, DESTINATION))
        self.assertStarts(server, DESTINATION)


class TestEndsAfterwards(EndedTest):

    def test_the_guest_powers_itself_off_where_it_has_arrived(self):
        server = self.guest()
        self.migrate(server, SOURCE_DIES)
        self.domain(server, DESTINATION)._die(job.SHUTOFF_SHUTDOWN)
        self.lab.restart(SOURCE)
        self.recover()
        self.assertEqual([], self.lab.world.harms)
        self.assertTrue(self.directory(server, DESTINATION))
        self.assertFalse(self.directory(server, SOURCE))
        self.assertStarts(server, DESTINATION)
