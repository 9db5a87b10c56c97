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
"""Guests that Nova would destroy at start: which of them are this host's."""

import types
from unittest import mock

from nova import exception, objects

from migsafe.nova.host import registry
from migsafe.nova.seams import kept_guests, stale_guests
from migsafe.nova.seams.kept_guests import Fate
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.clients import InstanceRow
from migsafe.transaction.evidence import GuestState

SRC, DST = fake.SRC, fake.DST
G, EVACUATION = GuestState, '70a05c7f-764b-4334-bda3-d1b864780cb3'
BUILDING, MAPPING, SPAWNING = kept_guests.UNDER_WAY


class Case(hosts.TwoHosts):

    def setUp(self):
        super().setUp()
        objects.register_all()
        self.here, self.taken = self.src.participant, []
        self.evacuation = types.SimpleNamespace(
            uuid=EVACUATION, instance_uuid=fake.INSTANCE, dest_compute=DST, status='accepted')
        self.instance = mock.Mock(save=self.save)
        self.now = None
        patched = mock.patch.object(
            objects.Instance, 'get_by_uuid', lambda *_args, **_kwargs: self.instance)
        patched.start()
        self.addCleanup(patched.stop)
        self.src.guests.state, self.dst.guests.state = G.HERE, G.ABSENT

    def save(self, expected_task_state):
        if expected_task_state != [self.now or self.world.records.row.task_state]:
            raise exception.UnexpectedTaskStateError(
                instance_uuid=fake.INSTANCE, expected={}, actual={})
        self.taken.append(self.instance.task_state)

    def fate(self, task=BUILDING, host=SRC, here=G.HERE):
        self.world.records.row = InstanceRow(fake.INSTANCE, host, host, task, 'active')
        self.src.guests.state = here
        return kept_guests._fate(self.here, self.evacuation)[0]


class TestFate(Case):

    def test_what_is_not_this_hosts_or_not_here_is_novas(self):
        for seen in ({'host': DST}, {'here': G.ABSENT}, {'here': G.SHUT_OFF},
                     {'here': G.HANDED_OVER}):
            self.assertIs(Fate.NOVAS, self.fate(**seen), seen)
        self.world.records.instance = lambda _uuid: None
        self.assertIs(Fate.NOVAS, self.fate())
        self.assertEqual([], self.taken)

    def test_it_is_taken_back_before_the_new_host_starts_it(self):
        for task in (BUILDING, MAPPING):
            self.assertIs(Fate.TAKEN_BACK, self.fate(task))
        self.assertEqual([None, None], self.taken)
        self.assertEqual([], self.src.bus.asked)

    def test_the_new_host_was_faster(self):
        self.now = SPAWNING
        for task in (BUILDING, MAPPING):
            for there, fate in ((G.HERE, Fate.NOVAS), (G.ABSENT, Fate.HELD),
                                (G.SHUT_OFF, Fate.HELD), (G.UNKNOWN, Fate.HELD)):
                self.dst.guests.state = there
                self.assertIs(fate, self.fate(task), (task, there))
        self.assertEqual([], self.taken)

    def test_what_is_about_to_be_started(self):
        self.assertIs(Fate.HELD, self.fate(SPAWNING))
        self.dst.participant.evacuating.add(fake.INSTANCE)
        self.assertIs(Fate.NOVAS, self.fate(SPAWNING))
        with self.away(DST):
            self.assertIs(Fate.HELD, self.fate(SPAWNING))
        self.without(DST)
        self.assertIs(Fate.NOVAS, self.fate(SPAWNING))
        self.evacuation.dest_compute = None
        self.assertIs(Fate.HELD, self.fate(SPAWNING))

    def test_nothing_is_at_work_on_it_any_more(self):
        for here in (G.HERE, G.SHUT_OFF):
            self.assertIs(Fate.STALE, self.fate(None, here=here))
        self.dst.guests.state = G.HERE
        self.assertIs(Fate.NOVAS, self.fate(None))

    def test_unknown_is_held(self):
        self.assertIs(Fate.HELD, self.fate(here=G.UNKNOWN))
        self.world.records.instance = mock.Mock(side_effect=OSError('password=hush'))
        with self.assertLogs(kept_guests.LOG.logger, 'ERROR') as logged:
            self.assertEqual(([], {fake.INSTANCE: self.evacuation}),
                             kept_guests.kept(self.here, [self.evacuation]))
        self.assertNotIn('hush', logged.output[0])


class TestStart(Case):
    """In Nova's own function."""

    def start(self, policy='enforce'):
        self.world.records.row = InstanceRow(fake.INSTANCE, SRC, SRC, BUILDING, 'active')
        manager, gone = types.SimpleNamespace(), {'other': 'done'}
        registry.put(manager, self.here)
        self.conf.set_override('evacuation', policy, group='migsafe')
        read = []

        def destroy(context, node_cache):
            for _ in range(2):
                found = types.SimpleNamespace(objects=[self.evacuation])
                read.append(kept_guests.evacuations(
                    mock.Mock(return_value=found), None, (None, {}), {}).objects)
            return gone
        left = stale_guests.destroy_evacuated(destroy, manager, (None, {}), {})
        return read, left

    def test_nova_goes_by_the_others_and_leaves_it_alone(self):
        """Only what Nova itself reads: it is the first."""
        with self.assertLogs(kept_guests.LOG.logger, 'ERROR') as logged:
            read, left = self.start()
        self.assertEqual([[], [self.evacuation]], read)
        self.assertEqual({'other': 'done', fake.INSTANCE: self.evacuation}, left)
        for word in (fake.INSTANCE, SRC, DST, EVACUATION, 'accepted', 'guest here',
                     f'server set --state active {fake.INSTANCE}',
                     f'migsafe evacuate {fake.INSTANCE}'):
            self.assertIn(word, logged.output[0])

    def test_without_enforce_it_is_novas(self):
        for policy in ('warn', 'off'):
            read, left = self.start(policy)
            self.assertEqual(([[self.evacuation]] * 2, {'other': 'done'}), (read, left))
        self.assertEqual([], self.taken)

    def test_at_any_other_time_it_is_not_looked_at(self):
        found = types.SimpleNamespace(objects=[self.evacuation])
        self.assertEqual([self.evacuation], kept_guests.evacuations(
            lambda *_args: found, None, (None, {}), {}).objects)
        self.assertEqual([], self.taken)
