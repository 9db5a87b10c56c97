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
"""A seeded part of the search, its controls, and whether it would notice a fault."""

import collections
import os
import unittest
from unittest import mock

from migsafe.nova.host import attempt
from migsafe.resources import base, host_device, instance_record, volume_connection
from migsafe.tests.search import (
    generate,
    invariants,
    journals,
    main,
    run,
    script,
    seams,
    shrink,
    unmended,
    world,
)
from migsafe.transaction import verdict
from migsafe.transaction.evidence import GuestState

#: How many schedules; ``tox -e search`` runs more.
SCHEDULES = int(os.environ.get('MIGSAFE_SCHEDULES', '120'))
FIRST = int(os.environ.get('MIGSAFE_FIRST', '0'))
CONTROLS = 200

FAILED_TRANSFER = 'at 5 migrate B\ntransfer 1 fail 20'


class TestSearch(unittest.TestCase):
    """Nothing breaks in the schedules of many seeds."""

    def test_schedules(self):
        tally = main.Tally(keep=5)
        seeds = list(range(FIRST, FIRST + SCHEDULES))
        main.search(seeds, tally)
        if tally.counts['broken']:
            tally.show()
        self.assertEqual([], list(tally.first), 'the schedules are printed above')
        self.assertEqual(len(seeds), tally.counts['schedules'])
        # a search in which nothing happens finds nothing either
        self.assertGreater(tally.migrations, len(seeds))
        self.assertEqual({'message', 'step', 'transfer'}, set(tally.fired))
        self.assertGreater(tally.counts['clean'], len(seeds) / 2)

    def test_plain_nova_is_found_out(self):
        """The control: without the plugin the same schedules break the same invariants."""
        tally = main.Tally()
        main.search(range(CONTROLS), tally, plain=True)
        # 38 of these 200: what plain Nova breaks in an operation that is no live migration, which
        # ends another 17, is not counted
        self.assertGreater(tally.counts['broken'], CONTROLS / 10, tally.counts)
        self.assertLessEqual({'row', 'settled'}, set(tally.counts), tally.counts)


class TestMutations(unittest.TestCase):
    """With a guard taken out of the product, the invariant that it keeps is broken."""

    def kinds(self, text, *mutations):
        """Kinds of invariants that a schedule breaks; none of them without the mutations."""
        schedule = script.parse(text)
        with seams.installed():
            self.assertEqual([], run.run(schedule).breaches)
            for target, name, instead in mutations:
                patch = mock.patch.object(target, name, instead)
                patch.start()
                self.addCleanup(patch.stop)
            return run.run(schedule).kinds

    def test_devices_are_not_disconnected_first(self):
        def released(self, move):
            move.released = True
        self.assertIn('export', self.kinds(
            FAILED_TRANSFER, (host_device.HostDevice, '_release', released),
            (host_device.HostDevice, 'inspect', lambda self, move: [])))

    def test_verdict_against_the_evidence(self):
        table = verdict.TABLE | {(GuestState.HERE, GuestState.ABSENT): (
            verdict.Verdict.COMMIT, True, 'mutated')}
        self.assertTrue(self.kinds(FAILED_TRANSFER, (verdict, 'TABLE', table)))

    def test_rows_are_not_put_right(self):
        nothing = volume_connection.VolumeConnection
        self.assertTrue(self.kinds(
            FAILED_TRANSFER, (nothing, '_act', lambda self, move, point: None),
            (nothing, 'inspect', lambda self, move: [])))

    def test_held_for_good(self):
        def held(self, move):
            raise base.Held({'': 'mutated'})
        self.assertEqual({'unsettled'}, self.kinds(
            FAILED_TRANSFER, (instance_record.InstanceRecord, '_done', held)))

    def test_a_disconnect_is_forgotten_by_a_power_cut(self):
        """The number of its export is another's by then, and no disk says which one it is."""
        self.assertEqual({'unsettled'}, self.kinds(
            'volumes 2\nidentity off\nat 5 migrate B\n'
            'step A attachment_delete 2 crash\nat 400 start A',
            (attempt.Attempt, '_ahead', lambda self, over: self.flush())))

    def test_destination_is_not_fenced(self):
        self.assertIn('settled', self.kinds(
            'at 5 migrate B\nstep B attachment_create 1 stall 640',
            (attempt.Registry, 'fence', lambda self, uuid: False),
            (attempt.Registry, 'busy', lambda self, instance: False)))


class TestPowerCuts(unittest.TestCase):
    """The power of a host fails at each step of a healthy migration."""

    STEPS = ('journal', 'attachment_create', 'connect_volume', 'bdm', 'disconnect_volume',
             'attachment_delete')

    def cut(self, host, step, number):
        """Whether there is such a step."""
        found = run.run(script.parse(
            f'volumes 2\nidentity off\nat 5 migrate B\nstep {host} {step} {number} crash\n'
            f'at 400 start {host}'))
        self.assertEqual([], found.breaches + found.plain, (host, step, number))
        return bool(found.fired)

    def test_each(self):
        lost, real = [], journals.MemoryStore.power_cut

        def power_cut(store):
            lost.append(store.synced is not None)
            real(store)
        with seams.installed(), mock.patch.object(
                journals.MemoryStore, 'power_cut', power_cut):
            for host in 'AB':
                for step in self.STEPS:
                    number = 1
                    while self.cut(host, step, number):
                        number += 1
        # it takes something away, and not always
        self.assertEqual({True, False}, set(lost))


class TestUnmended(unittest.TestCase):
    """Each fault that there was is found by the search when what mends it is taken out."""

    def test_each(self):
        for number, fault in unmended.FAULTS.items():
            schedule = script.parse(fault.schedule)
            with self.subTest(fault.what), seams.installed():
                mended = run.run(schedule)
                self.assertEqual([], mended.breaches + mended.plain)
                with unmended.unmended(number):
                    self.assertTrue(run.run(schedule).breaches)


class TestItself(unittest.TestCase):
    """A schedule is the same each time, can be written down, and is made short."""

    def test_a_seed_is_one_schedule(self):
        for seed in range(40):
            one = generate.generate(seed)
            self.assertEqual(str(one), str(generate.generate(seed)))
            self.assertEqual(one, script.parse(str(one)))

    def test_a_schedule_is_one_run(self):
        for seed in range(8):
            with seams.installed():
                one, other = (run.run(generate.generate(seed)) for _ in range(2))
            self.assertEqual(one.trace, other.trace)
            self.assertEqual(one.steps, other.steps)

    def test_what_is_kept_of_a_journal(self):
        """What a host remembers of its journal is what the journal says."""
        def asked(name):
            return getattr(journals.api.Journal, name)
        plain = {name: asked(name) for name in (
            'get', 'records', 'list', 'refresh', 'statuses', 'unsettled_for_instance',
            'unsettled')}
        with seams.installed():
            for seed in range(6):
                schedule = generate.generate(seed)
                kept = run.run(schedule)
                with mock.patch.multiple(journals.Journal, **plain):
                    self.assertEqual(kept.trace, run.run(schedule).trace)

    def test_lines_that_are_not_understood(self):
        for line in ('frobnicate', 'volumes', 'at soon migrate B'):
            with self.assertRaisesRegex(script.BadScript, line.split()[0]):
                script.parse(line)

    def test_shortest(self):
        text = 'volumes 2\nskew C 300\nat 5 migrate B\nat 900 attach\ntransfer 1 fail 20\n' \
               'message remove_volume_connection A B 1 lose'
        with seams.installed():
            long = script.parse(text)
            found = run.run(long, plain=True)
            self.assertTrue(found.breaches)
            short = shrink.shrink(long, found, plain=True)
            self.assertTrue(shrink.same(run.run(short, plain=True), found))
        self.assertLess(len(short.lines), len(long.lines))
        self.assertIn('at 5 migrate B', short.lines)

    def test_same_breach_of_other_hosts(self):
        one, other = (invariants.Breach('row', f'{host} makes the row of volume-{n} lead to B')
                      for host, n in (('A', 1), ('C', 2)))
        self.assertEqual(one.signature, other.signature)

    def test_seams_of_the_model(self):
        """Those of the live migration are all there."""
        wanted = collections.Counter(str(seam) for seam in seams.table.SEAMS)
        wanted.subtract(seams.MISSING)
        found = {name.rpartition('.')[2] for name, count in wanted.items() if count > 0}
        self.assertLessEqual({
            '_do_live_migration', '_do_pre_live_migration_from_source',
            '_rollback_volume_bdms', '_remove_remote_volume_connections',
            '_post_live_migration_update_host', 'pre_live_migration',
            'post_live_migration_at_destination', 'remove_volume_connection',
            'rollback_live_migration_at_destination', 'attachment_create',
            'attachment_delete', '_connect_volume', '_disconnect_volume', '_reboot_instance',
            '_delete_instance', '_detach_volume', '_prep_resize', '_resize_instance',
            'check_can_live_migrate_destination'}, found)

    def test_hosts(self):
        self.assertEqual(('A', 'B', 'C'), world.HOSTS)


if __name__ == '__main__':
    unittest.main()
