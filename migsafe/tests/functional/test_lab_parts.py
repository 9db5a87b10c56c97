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
"""The laboratory's own world: what it must get right before any case means something."""

import oslo_messaging as messaging
import testtools
from keystoneauth1 import exceptions as ksa_exc
from oslo_concurrency import processutils

from migsafe.replay.lab import brick, faults, san, world

SOURCE, DESTINATION = 'node13', 'node11'


class SanTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.world = world.World()
        self.incident = san.Incident.load()
        self.san = san.San(self.incident, self.world)
        self.array = self.san.arrays['iscsi']
        self.root = self.incident.volumes[0][0]

    def test_numbers_of_the_incident(self):
        for number, (volume_id, lun) in enumerate(self.incident.volumes):
            self.array.order[volume_id] = number
            self.assertEqual(lun, self.array.map(DESTINATION, volume_id, 'a').lun)
        self.assertEqual([3, 4], [lun for _, lun in self.incident.volumes])

    def test_every_number_taken_to_the_other_host_is_a_stranger(self):
        for host, other in ((SOURCE, DESTINATION), (DESTINATION, SOURCE)):
            for number in range(26):
                volume_id = f'volume-{host}-{number}'
                lun = self.array.map(host, volume_id, 'a').lun
                self.assertEqual(volume_id, self.array.leads_to(host, lun))
                self.assertEqual(self.array.stranger(other, lun),
                                 self.array.leads_to(other, lun))

    def test_an_export_stays_while_anything_uses_it(self):
        first = self.array.map(SOURCE, self.root, 'a')
        self.assertIs(first, self.array.map(SOURCE, self.root, 'b'))
        self.assertFalse(self.array.unmap(SOURCE, self.root, 'a'))
        self.assertTrue(self.array.unmap(SOURCE, self.root, 'b'))
        self.assertEqual([], self.san.exports(self.root))


class KernelTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.world = world.World()
        self.san = san.San(san.Incident.load(), self.world)
        self.array = self.san.arrays['iscsi']
        self.kernel = brick.Kernel(SOURCE, self.san, self.world)
        self.lun = self.array.map(SOURCE, 'mine', 'a').lun

    def _props(self, lun):
        return {'target_iqn': self.array.iqn, 'target_portal': self.array.portal,
                'target_lun': lun, 'volume_id': 'mine'}

    def _harm(self):
        return [h.kind for h in self.world.harms]

    def test_own_disk(self):
        device = self.kernel.connect(self._props(self.lun))
        self.assertEqual(('mine', False), (device.volume_id, device.stranger))
        self.kernel.disconnect(self._props(self.lun), False)
        self.assertEqual(({}, []), (self.kernel.devices, self._harm()))

    def test_number_of_the_other_host_opens_and_yanks_a_stranger(self):
        self.assertTrue(self.kernel.connect(self._props(3)).stranger)
        self.kernel.disconnect(self._props(3), False)
        self.assertEqual(['foreign_connect', 'foreign_yank'], self._harm())

    def test_export_taken_away_leaves_a_dead_device(self):
        device = self.kernel.connect(self._props(self.lun))
        self.kernel.export_gone('mine')
        self.assertTrue(device.dead)
        self.assertEqual(['export_yank'], self._harm())

    def test_held_device_is_not_removed(self):
        self.kernel.connect(self._props(self.lun))
        self.kernel.held['mine'] = 'vg0-lv0'
        error = self.assertRaises(processutils.ProcessExecutionError,
                                  self.kernel.disconnect, self._props(self.lun), False)
        self.assertIn('map in use', str(error))
        self.assertEqual(1, len(self.kernel.devices))


class WorldTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.world = world.World()
        self.process = world.Process(SOURCE)
        self.done = []

    def _do(self, name='x', key=None):
        return self.world.effect('cinder', name, key, lambda: self.done.append(name))

    def _plan(self, *chosen):
        self.world.rule = faults.Plan(chosen, self.world, {})
        return self.world.rule

    def test_trace_counts_per_host_and_name(self):
        self.world.volumes = ['v0', 'v1']
        with self.world.entered(self.process):
            self._do()
            self._do(key='v1')
        self._do()
        self.assertEqual(
            ['node13 cinder x#1', 'node13 cinder x#2 volume 1', 'control cinder x#1'],
            [str(e) for e in self.world.trace])

    def test_looking_is_not_traced(self):
        with self.world.looking():
            self._do()
        self.assertEqual((['x'], []), (self.done, self.world.trace))

    def test_before_and_after(self):
        for when, done in (('before', []), ('after', ['x'])):
            self.done.clear()
            self._plan(faults.Fault('cinder', 'x', 'connect-failure', when=when))
            self.assertRaises(ksa_exc.ConnectFailure, self._do)
            self.assertEqual(done, self.done)

    def test_nth_and_times(self):
        plan = self._plan(faults.Fault('cinder', 'x', 'lost', nth=2, times=2))
        for _ in range(4):
            self._do()
        self.assertEqual(2, len(self.done))
        self.assertEqual([2, 3], [f.effect.nth for f in plan.fired])

    def test_killed_process_does_nothing_more(self):
        for when, done in (('before', []), ('after', ['x'])):
            self.done.clear()
            process = world.Process(SOURCE)
            self._plan(faults.Fault('cinder', 'x', 'kill', when=when))
            with self.world.entered(process):
                self.assertRaises(world.Killed, self._do)
                self.assertRaises(world.Killed, self._do, 'cleanup')
                carried = self.world.carry(self._do)
            self.assertRaises(world.Killed, carried)
            self.assertEqual(done, self.done)
        self._do('control')
        self.assertIn('control', self.done)

    def test_a_kill_point_finds_the_effect_it_came_from(self):
        self.world.volumes = ['v0', 'v1']

        def run():
            with self.world.entered(world.Process(SOURCE)):
                for key in ('v1', 'v0', 'v1', None):
                    self._do(key=key)

        run()
        recorded = list(self.world.trace)
        found = faults.points(recorded, [SOURCE])
        self.assertEqual(2 * len(recorded), len(found))
        for point, effect in zip(found[::2], recorded, strict=True):
            self.world.reset()
            plan = self._plan(point)
            self.assertRaises(world.Killed, run)
            self.assertEqual(str(effect), str(plan.fired[0].effect))

    def test_a_host_hangs_alone_and_goes_on(self):
        plan = self._plan(faults.Fault('cinder', 'x', 'hang', DESTINATION))
        there = world.Process(DESTINATION)
        kept = []

        def handle():
            with self.world.entered(there):
                self._do()
            return 'reply'

        def late():
            kept.append('late')
            raise messaging.MessagingTimeout('no reply')

        with self.world.entered(self.process):
            def ask():
                return self.world.effect('rpc', 'y', None, handle, late)
            self.assertRaises(messaging.MessagingTimeout, ask)
            self.assertTrue(plan.hang.stuck)
            self.assertEqual(([], []), (self.done, kept))
            self.assertRaises(messaging.MessagingTimeout, ask)
            self._do('own')
            self.assertEqual((['own'], ['late']), (self.done, kept))
            plan.hang.end()
            self.assertEqual(['own', 'x'], self.done)
            self.assertEqual('reply', ask())

    def test_a_host_that_does_not_hang_answers_and_fails_as_always(self):
        self._plan(faults.Fault('cinder', 'x', 'hang', DESTINATION))

        def fails():
            raise LookupError
        with self.world.entered(self.process):
            self.assertEqual('reply', self.world.effect('rpc', 'y', None, lambda: 'reply'))
            self.assertRaises(LookupError, self.world.effect, 'rpc', 'y', None, fails)

    def test_a_lie_is_an_answer_with_another_verdict(self):
        self._plan(faults.Fault('rpc', 'y', 'says-commit'))
        answers = [self.world.effect('rpc', 'y', None, lambda: {'verdict': None, 'more': 1})
                   for _ in range(2)]
        self.assertEqual(('COMMIT', None), tuple(a['verdict'] for a in answers))
        self.assertEqual(1, answers[0]['more'])

    def test_unknown_words_are_refused(self):
        self.assertRaises(ValueError, faults.Fault, 'cinder', 'x', 'no-such-action')
        self.assertRaises(ValueError, faults.Fault, 'cinder', 'x', 'kill', when='while')
        self.assertRaises(ValueError, self.world.harm, 'no-such-harm', SOURCE, '')
