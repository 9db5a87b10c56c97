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
"""What plain Nova does in the laboratory: the ground on which migsafe is judged."""

import inspect
import signal
import sys

import fixtures
import testtools

from migsafe.replay.lab import case, errors, faults, lab, runner

SOURCE, DESTINATION = 'node13', 'node11'
JOB_FAILS = faults.Fault('libvirt', 'migrateToURI3', 'job-fail', SOURCE)

#: Newer libvirt drivers raise a failed transfer again after a complete rollback, which puts a
#: guest that runs well into ERROR; Nova 31 does not.
ERROR_AFTER_ROLLBACK = (
    ['R6'] if 'future.result()' in inspect.getsource(
        sys.modules['nova.virt.libvirt.driver'].LibvirtDriver._live_migration) else [])


class PlainLab(testtools.TestCase):
    """One plain Nova for all tests of a class; it takes seconds to start."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab = lab.Lab()
        with fixtures.EnvironmentVariable('OS_TEST_TIMEOUT', '3600'):
            cls.lab.start()
        cls.addClassCleanup(cls.lab.stop)

    def run_case(self, *chosen, **options):
        options.setdefault('next_step', None)
        result = runner.run(self.lab, case.Case(self.id(), tuple(chosen), **options))
        self.addDetail('nova.log', testtools.content.text_content(result.log))
        self.assertTrue(result.all_fired, f'fired only {result.fired}')
        return result

    @staticmethod
    def kinds(residues):
        return sorted({r.kind for r in residues}, key=lambda k: int(k[1:]))

    @staticmethod
    def harm(found):
        return sorted({h.kind for h in found})


class HealthyTest(PlainLab):

    def assertClean(self, result, host=DESTINATION):
        self.assertEqual([host], result.running_on)
        self.assertEqual(([], [], []), (result.left, result.residue, result.harms))
        self.assertTrue(result.clean)

    def test_limit_for_one_test_does_not_end_it(self):
        self.assertEqual((0.0, 0.0), signal.getitimer(signal.ITIMER_REAL))

    def test_start_under_a_fault_does_not_spoil_the_next_case(self):
        traits = faults.Fault('placement', 'GET /resource_providers/*/traits', 'connect-failure',
                              SOURCE, phase='recover')
        self.run_case(traits, restart=(SOURCE,))
        self.assertClean(self.run_case())

    def test_next_steps(self):
        for step in case.NEXT_STEPS:
            with self.subTest(step=step):
                self.assertClean(self.run_case(next_step=step))

    def test_kinds_of_guests(self):
        for options in ({'volumes': 1}, {'volumes': 26}, {'legacy': True},
                        {'multiattach': True}, {'encrypted': True},
                        {'volumes': 4, 'backends': ('iscsi', 'iscsi-2', 'rbd')}):
            with self.subTest(**options):
                self.assertClean(self.run_case(next_step='hard_reboot', **options))

    def test_numbers_are_those_of_incident_000(self):
        self.lab.clean()  # what a test before left has LUN numbers, too
        server = self.lab.new_server()
        self.addCleanup(self.lab.clean)

        def numbers():
            return {e.host: e.lun for v in server.volumes for e in self.lab.parts.san.exports(v)
                    if v == server.volumes[0]}

        self.assertEqual({SOURCE: 7}, numbers())
        self.lab.migrate(server)
        self.assertEqual({DESTINATION: 3}, numbers())
        self.lab.migrate(server, SOURCE)
        self.assertEqual({SOURCE: 7}, numbers())
        self.assertEqual([], self.lab.observer(server).look())

    def test_two_runs_do_the_same(self):
        first = [str(e) for e in runner.healthy_trace(self.lab)]
        self.assertEqual(first, [str(e) for e in runner.healthy_trace(self.lab)])
        self.assertLess(40, len(first))
        for kind in ('cinder', 'brick', 'db', 'libvirt', 'neutron', 'placement', 'rpc'):
            self.assertTrue(any(f' {kind} ' in e for e in first), kind)


class Incident000Test(PlainLab):
    """The rollback cannot delete the destination's attachments: Cinder answers 500."""

    FAULTS = (JOB_FAILS, faults.Fault('cinder', 'attachments.delete', 'cinder-500', SOURCE,
                                      times=faults.FOR_EVER))

    def test_bdms_stay_on_the_destination_and_a_start_opens_strangers(self):
        result = self.run_case(*self.FAULTS, next_step='stop_start')
        self.assertEqual([SOURCE], result.running_on)
        self.assertEqual(['R1', 'R2', 'R3', *ERROR_AFTER_ROLLBACK], self.kinds(result.residue))
        said = [str(r) for r in result.residue if r.kind == 'R1']
        self.assertEqual(['R1 volume 0 the BDM says LUN 3, on node13 the volume is LUN 7',
                          'R1 volume 1 the BDM says LUN 4, on node13 the volume is LUN 8'], said)
        opened = [h for h in result.next_step.harms if h.kind == 'foreign_open']
        self.assertEqual(2, len(opened))
        self.assertEqual({SOURCE}, {h.host for h in opened})
        self.assertTrue(any('lun-3 ' in h.detail for h in opened))

    def test_a_hard_reboot_deletes_the_exports_of_the_running_guest(self):
        result = self.run_case(*self.FAULTS, next_step='hard_reboot')
        self.assertIn('guest_export_lost', self.harm(result.next_step.harms))
        self.assertIn('foreign_open', self.harm(result.next_step.harms))

    def test_a_failed_job_alone_ends_in_error(self):
        result = self.run_case(JOB_FAILS)
        self.assertEqual(ERROR_AFTER_ROLLBACK, self.kinds(result.residue))
        self.assertEqual('ERROR' if ERROR_AFTER_ROLLBACK else 'ACTIVE', result.status)


class FaultsTest(PlainLab):

    def _first(self, kind):
        hosts = (SOURCE, DESTINATION)
        return next(e for e in self.trace if e.kind == kind and e.host in hosts)

    def test_every_action_fires_and_leaves_the_laboratory_usable(self):
        self.trace = runner.healthy_trace(self.lab)
        for kind, actions in errors.SUITS.items():
            if kind == 'journal':
                continue
            effect = self._first(kind)
            for action in actions:
                with self.subTest(kind=kind, action=action):
                    self.run_case(faults.Fault(kind, effect.name, action, effect.host))
        self.assertTrue(self.run_case(next_step='hard_reboot').clean)

    def test_a_late_destination_overwrites_the_rollback(self):
        result = self.run_case(faults.Fault('rpc', 'pre_live_migration', 'late'),
                               next_step='hard_reboot')
        self.assertEqual(['pre_live_migration to node11'], result.late)
        self.assertEqual(['R1', 'R2', 'R3', 'R4', 'R8', 'R11'], self.kinds(result.residue))
        self.assertIn('foreign_open', self.harm(result.next_step.harms))

    def test_a_lost_reply_leaves_devices_without_exports(self):
        result = self.run_case(faults.Fault('rpc', 'pre_live_migration', 'timeout',
                                            when='after'))
        self.assertIn('R4', self.kinds(result.residue))
        self.assertEqual(['export_yank'], self.harm(result.harms))

    def test_a_lost_cast_leaves_the_guest_migrating(self):
        result = self.run_case(faults.Fault('rpc', 'live_migration', 'lost', 'control'))
        self.assertIn('R6', self.kinds(result.residue))
        self.assertIn('R12', self.kinds(result.residue))

    def test_an_abort_by_the_user(self):
        result = self.run_case(faults.Fault('libvirt', 'jobStats', 'job-cancel', SOURCE))
        self.assertEqual([SOURCE], result.running_on)
        self.assertEqual(ERROR_AFTER_ROLLBACK, self.kinds(result.residue))

    def test_001_a_held_device_loses_its_export(self):
        result = self.run_case(hold=((SOURCE, 1, 'vg0-lv0'),))
        self.assertEqual([DESTINATION], result.running_on)
        self.assertEqual(['R4'], self.kinds(result.residue))
        self.assertEqual(['export_yank'], self.harm(result.harms))


class KillTest(PlainLab):

    def test_source_killed_before_the_switch(self):
        result = self.run_case(faults.Fault('libvirt', 'migrateToURI3', 'kill', SOURCE),
                               next_step='hard_reboot')
        self.assertEqual([SOURCE], result.killed)
        self.assertEqual([SOURCE], result.running_on)
        self.assertIn('R6', self.kinds(result.left))
        self.assertEqual(['R1', 'R2', 'R3', 'R4', 'R7', 'R8', 'R11'],
                         self.kinds(result.residue))
        self.assertIn('foreign_open', self.harm(result.next_step.harms))

    def test_the_hypervisor_goes_on_without_the_killed_source(self):
        result = self.run_case(faults.Fault('libvirt', 'jobStats', 'kill', SOURCE),
                               next_step='hard_reboot')
        self.assertEqual([DESTINATION], result.running_on)
        self.assertIn('R5', self.kinds(result.residue))
        self.assertIn('double_run', self.harm(result.next_step.harms))

    def test_destination_killed(self):
        result = self.run_case(faults.Fault('brick', 'connect_volume', 'kill', DESTINATION,
                                            nth=2))
        self.assertEqual([DESTINATION], result.killed)
        self.assertIn('R4', self.kinds(result.residue))

    def test_killed_again_while_it_starts(self):
        result = self.run_case(
            faults.Fault('libvirt', 'migrateToURI3', 'kill', SOURCE),
            faults.Fault('db', 'instance.save', 'kill', SOURCE, phase='recover'))
        self.assertEqual([], self.lab.dead())
        self.assertEqual(2, len(result.fired))

    def test_reboot_of_the_host_ends_its_guests_and_devices(self):
        result = self.run_case(faults.Fault('libvirt', 'migrateToURI3', 'kill', SOURCE),
                               reboot=(SOURCE,))
        self.assertEqual([], result.running_on)
        self.assertEqual({}, self.lab.parts.kernels[SOURCE].devices)

    def test_a_host_that_stays_down(self):
        result = self.run_case(faults.Fault('rpc', 'pre_live_migration', 'kill', SOURCE),
                               stays_down=(SOURCE,))
        self.assertEqual([SOURCE], self.lab.dead())
        self.assertIn('R6', self.kinds(result.residue))
        self.lab.clean()
        self.assertEqual([], self.lab.dead())
