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
"""An evacuation while Nova has not ended a live migration of the instance."""

import types
import unittest
from unittest import mock

from nova import exception, objects

from migsafe import exceptions
from migsafe.fencing import verdict
from migsafe.fencing.facts import Limits
from migsafe.fencing.signs import Checker, Observation, Sign
from migsafe.nova.clients import hosts, records
from migsafe.nova.host import attempt
from migsafe.nova.seams import evacuation, moves, refusals
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.evidence import NO_QEMU, GuestState, HostEvidence

SRC, DST, THIRD, G = fake.SRC, fake.DST, fake.THIRD, GuestState
LIVE, EVACUATION, RESIZE = 'live-migration', 'evacuation', 'resize'


def migration(number, kind=LIVE, status='running', source=SRC, dest=DST):
    return types.SimpleNamespace(
        id=number, uuid=f'm-{number}', migration_type=kind, status=status,
        source_compute=source, dest_compute=dest)


class Case(unittest.TestCase):
    def setUp(self):
        super().setUp()
        objects.register_all()
        self.attempts = attempt.Registry()
        self.migrations, self.fenced, self.asked = [], set(), []
        self.there, self.said = HostEvidence(DST, G.UNKNOWN), None
        #: host -> what each probe sees of it; the host that is evacuated is dead
        self.signs = {SRC: (Sign.SILENT, Sign.DECLARED)}
        self.judged = []
        for owner, name, value in (
                (objects.MigrationList, 'get_by_filters', lambda *_args: self.migrations),
                (objects.Service, 'get_by_compute_host', self.service),
                (hosts.servicegroup, 'API', mock.Mock())):
            patched = mock.patch.object(owner, name, value)
            patched.start()
            self.addCleanup(patched.stop)

    def service(self, _context, host):
        if host not in (SRC, DST, THIRD):
            raise exception.ComputeHostNotFound(host=host)
        return types.SimpleNamespace(
            forced_down=host in self.fenced, last_seen_up=None, report_count=0, binary='x',
            host=host, created_at=None, topic='compute', updated_at=None)

    def evidence(self, host, _uuid, _instance_uuid):
        self.asked.append(host)
        return self.there

    def judge(self, host, instance_uuid, confirmed=False):
        self.judged.append((host, instance_uuid))
        signs = self.signs.get(host, (Sign.SILENT, Sign.DECLARED) if host in self.fenced
                               else (Sign.SILENT,))
        if isinstance(signs, Exception):
            raise signs
        return verdict.judge(
            host, [Observation(f'probe{number}', sign, sample=0)
                   for number, sign in enumerate(signs)], Checker(True, 9, 0), Limits(1))

    def clients(self, peer=None, **more):
        return types.SimpleNamespace(
            peer=peer, records=records.Records(None), hosts=types.SimpleNamespace(
                judge=self.judge, declared=hosts.Hosts(None, mock.Mock(), SRC).declared), **more)

    def refusal(self, host=THIRD, policy='enforce', source=SRC):
        peer = types.SimpleNamespace(evidence=self.evidence, describe=lambda *_args: self.said)
        return evacuation.refusal(
            types.SimpleNamespace(host=host, clients=self.clients(peer), attempts=self.attempts,
                                  conf=types.SimpleNamespace(evacuation=policy)),
            types.SimpleNamespace(uuid=fake.INSTANCE, host=source))


class TestStillAtWork(Case):
    def test_not_while_a_call_hangs_here(self):
        self.fenced.add(SRC)
        with self.attempts.step(fake.INSTANCE):
            self.assertIn('still at work', self.refusal())
        self.assertNotIn('still at work', str(self.refusal()))


class TestHostIsNotDead(Case):
    def test_refused_with_what_is_known_and_what_to_do(self):
        for signs in ((Sign.SILENT, Sign.STALE), (Sign.GUEST_RUNS, Sign.DECLARED),
                      (Sign.NOTHING, Sign.DECLARED)):
            self.signs[SRC] = signs
            why = self.refusal()
            for word in (SRC, fake.INSTANCE, 'not proven dead', f'probe0: {signs[0].value}',
                         'Next: ', '[migsafe] evacuation'):
                self.assertIn(word, why)
        self.signs[SRC] = (Sign.SILENT, Sign.STALE)
        self.assertIn(f'service set --down {SRC} nova-compute', self.refusal())

    def test_dead_goes_through(self):
        self.assertIsNone(self.refusal())
        self.assertEqual({(SRC, fake.INSTANCE)}, set(self.judged))

    def test_host_that_lives_and_has_no_guest_at_this_moment(self):
        """It may be in the middle of a hard reboot, which starts the guest again."""
        self.signs[SRC] = (Sign.GUEST_GONE, Sign.DECLARED)
        self.assertIn('can be started there', self.refusal())

    def test_policies(self):
        self.signs[SRC] = (Sign.GUEST_RUNS,)
        with self.assertLogs(evacuation.LOG.logger, 'WARNING') as logged:
            self.assertIsNone(self.refusal(policy='warn'))
        self.assertIn('a second copy', ''.join(logged.output))
        self.judged.clear()
        self.assertIsNone(self.refusal(policy='off'))
        self.assertEqual([], self.judged)

    def test_probes_that_cannot_be_used(self):
        self.signs[SRC] = exceptions.ConfigError(group='migsafe', option='probes', reason='no x')
        self.assertIn('nothing can be said of node13', self.refusal())

    def test_own_host_is_not_judged(self):
        """Nova does not choose it; that it lives is plain."""
        for source in (THIRD, None, ''):
            self.assertIsNone(self.refusal(source=source))
        self.assertEqual([], self.judged)


class TestSecondLook(Case):
    """Right before the guest is started, where the first is no longer fresh."""

    def setUp(self):
        super().setUp()
        self.now, self.made = 1000.0, []
        patched = mock.patch.object(evacuation.time, 'monotonic', lambda: self.now)
        patched.start()
        self.addCleanup(patched.stop)
        peer = types.SimpleNamespace(evidence=self.evidence, describe=lambda *_args: None)
        self.participant = types.SimpleNamespace(
            host=THIRD, clients=self.clients(peer), attempts=self.attempts,
            conf=types.SimpleNamespace(evacuation='enforce', enforce=True), evacuating=set())
        self.instance = types.SimpleNamespace(uuid=fake.INSTANCE, host=SRC)

    def start(self, instance=None):
        def create(context, xml, instance, power_on=True):
            self.made.append(instance.uuid)
        evacuation.create_guest(create, None, ('context', '<domain/>'),
                                {'instance': instance or self.instance})

    def evacuate(self, seconds, instance=None):
        with evacuation.under_way(self.participant, self.instance):
            self.now += seconds
            self.start(instance)

    def test_fresh_evidence_is_good(self):
        self.evacuate(evacuation.FRESH)
        self.assertEqual(([fake.INSTANCE], []), (self.made, self.judged))

    def test_host_that_is_still_dead(self):
        self.evacuate(evacuation.FRESH + 1)
        self.assertEqual(([fake.INSTANCE], [(SRC, fake.INSTANCE)]), (self.made, self.judged))

    def test_host_that_came_back(self):
        self.signs[SRC] = (Sign.GUEST_RUNS, Sign.DECLARED)
        with self.assertRaises(exception.InstanceFaultRollback) as caught:
            self.evacuate(600)
        self.assertEqual([], self.made)
        inner = caught.exception.inner_exception
        for word in ('before the guest was started', SRC, fake.INSTANCE, 'guest runs'):
            self.assertIn(word, str(inner))
        # what its owner reads names no host
        self.assertNotIn(SRC, inner.format_message())

    def test_what_cannot_be_looked_at(self):
        """The policy is that of evacuations alone."""
        self.signs[SRC] = OSError('password=hush')
        for policy, goes_on in (('enforce', False), ('warn', True), ('off', True)):
            for enforce in (True, False):
                self.participant.conf = types.SimpleNamespace(
                    evacuation=policy, enforce=enforce)
                self.made.clear()
                try:
                    self.evacuate(600)
                except exception.InstanceFaultRollback as error:
                    self.assertNotIn('hush', str(error.inner_exception))
                self.assertIs(goes_on, bool(self.made), (policy, enforce))

    def test_others_are_told_while_it_is_carried_out(self):
        with evacuation.under_way(self.participant, self.instance):
            self.assertEqual({fake.INSTANCE}, self.participant.evacuating)
        self.assertEqual(set(), self.participant.evacuating)

    def test_any_other_start_is_not_looked_at(self):
        self.signs[SRC] = (Sign.GUEST_RUNS,)
        self.start()
        self.evacuate(600, types.SimpleNamespace(uuid='another', host=SRC))
        self.assertEqual(([fake.INSTANCE, 'another'], []), (self.made, self.judged))


class TestUnknown(Case):
    """Of the gate itself."""

    def test_policies(self):
        gate = refusals.GATES['_do_rebuild_instance_with_claim'][1]
        self.signs[SRC] = OSError('down')
        for policy in ('enforce', 'warn', 'off'):
            for enforce in (True, False):
                why = gate._further(types.SimpleNamespace(
                    host=THIRD, clients=self.clients(), attempts=self.attempts,
                    conf=types.SimpleNamespace(evacuation=policy, enforce=enforce)),
                    types.SimpleNamespace(uuid=fake.INSTANCE, host=SRC))
                self.assertIs(policy == 'enforce', why is not None, (policy, enforce))
                for word in (SRC, fake.INSTANCE, 'down', '[migsafe] evacuation') if why else ():
                    self.assertIn(word, why)


class TestRefusal(Case):
    def test_every_state_of_the_destination(self):
        self.migrations = [migration(1)]
        for state in G:
            for job in (False, True):
                self.there = HostEvidence(DST, state, job=job, boot_id='boot-1')
                self.assertIs(state in NO_QEMU and not job, self.refusal() is None, state)

    def test_silence_is_enough_only_of_a_fenced_host(self):
        self.migrations = [migration(1)]
        why = self.refusal()
        for word in ('m-1', fake.INSTANCE, DST, f'service set --down {DST}'):
            self.assertIn(word, why)
        self.signs[DST] = (Sign.SILENT, Sign.DECLARED)
        self.assertIsNone(self.refusal())
        # one that answers is not dead, whatever was said of it
        self.there = HostEvidence(DST, G.UNKNOWN, boot_id='')
        self.assertIsNotNone(self.refusal())

    def test_destination_that_has_not_let_go(self):
        """Without a guest: what the rows name may still be connected there."""
        self.migrations = [migration(1)]
        self.there = HostEvidence(DST, G.ABSENT, boot_id='boot-1')
        for known, state, stops in ((True, 'open', True), (True, 'settled', False),
                                    (False, '', False)):
            self.said = {'known': known, 'state': state}
            why = self.refusal()
            self.assertIs(stops, why is not None)
        self.said = {'known': True, 'state': 'open'}
        for word in ('m-1', fake.INSTANCE, DST, 'migsafe settle m-1', SRC):
            self.assertIn(word, self.refusal())

    def test_what_nova_says_of_a_host(self):
        self.fenced = {DST}
        declared = self.clients().hosts.declared
        self.assertEqual([True, False, None], [declared(host) for host in (DST, SRC, 'node99')])

    def test_nobody_else_is_asked(self):
        """Not the host itself, not the one that is evacuated, and none that was not chosen yet."""
        self.migrations = [migration(1, dest=THIRD), migration(2, dest='')]
        self.assertIsNone(self.refusal())
        self.assertEqual([], self.asked)


class TestUndecided(Case):
    def moves(self, *migrations):
        self.migrations = list(migrations)
        return self.clients().records.moves(fake.INSTANCE)

    def undecided(self, *migrations):
        return [move.uuid for move in moves.undecided(self.moves(*migrations))]

    def test_only_live_migrations_that_have_begun_and_have_not_ended(self):
        for status in ('queued', 'preparing', 'running', 'post-migrating', 'pre-migrating'):
            self.assertEqual(['m-1'], self.undecided(migration(1, status=status)))
        for status in ('accepted', 'error', 'failed', 'cancelled', 'completed'):
            self.assertEqual([], self.undecided(migration(1, status=status)))
        self.assertEqual([], self.undecided(migration(1, RESIZE, 'pre-migrating')))

    def test_evacuations_whatever_became_of_them(self):
        """Nova's own word that one is completed comes from the old host, when it starts."""
        for status in ('accepted', 'pre-migrating', 'failed', 'error', 'done', 'completed'):
            self.assertEqual(['m-1'], self.undecided(migration(1, EVACUATION, status)))

    def test_what_has_moved_it_since_says_more(self):
        stuck = migration(1, status='preparing')
        for since, found in ((migration(2, LIVE, 'completed'), []),
                             (migration(2, EVACUATION, 'done'), ['m-2']),
                             (migration(2, RESIZE, 'confirmed'), []),
                             (migration(2, LIVE, 'failed'), ['m-1']),
                             (migration(2, EVACUATION, 'accepted'), ['m-2', 'm-1'])):
            self.assertEqual(found, self.undecided(since, stuck))

    def test_taken_from_a_host(self):
        for status in ('accepted', 'failed', 'done', 'completed'):
            gone = migration(1, EVACUATION, status, SRC, DST)
            for later, taken in (([], True), ([migration(2, LIVE, 'failed')], True),
                                 ([migration(2, LIVE, 'completed', DST, SRC)], False)):
                found = self.moves(gone, *later)
                self.assertIs(taken, moves.taken(found, SRC))
                self.assertFalse(moves.taken(found, DST))


class TestLastEvacuation(Case):
    """The host that an evacuation has failed on may have the guest."""

    def test_each_answer(self):
        self.migrations = [migration(1, EVACUATION, 'failed'),
                           migration(2, EVACUATION, 'accepted', dest=THIRD)]
        for state in G:
            self.there = HostEvidence(DST, state, boot_id='boot-1')
            self.assertIs(state in NO_QEMU, self.refusal() is None, state)
        why = self.refusal()
        for word in ('evacuation m-1', 'may run on node11', 'virsh list --all',
                     f'service set --down {DST}'):
            self.assertIn(word, why)

    def test_one_that_is_on_the_host_that_is_evacuated_now(self):
        """The last one was done, and this is judged anyway."""
        self.migrations = [migration(1, EVACUATION, 'done', THIRD, SRC)]
        self.assertIsNone(self.refusal())
        self.assertEqual([], self.asked)
