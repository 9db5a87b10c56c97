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
"""What of a call waits for the disk, and what it leaves."""

from unittest import mock

from migsafe.journal import store
from migsafe.journal.effects import Planned
from migsafe.nova.host import attempt
from migsafe.nova.seams import effects, preparation
from migsafe.tests.unit.journal import base
from migsafe.transaction import history


class TestSteps(base.JournalTestCase):
    """On a real journal."""

    def setUp(self):
        super().setUp()
        self.journal = self.open()
        self.writes, real = [], store.Store.write

        def write(store_, what, work, synced=True):
            self.writes.append(synced)
            return real(store_, what, work, synced)
        patch = mock.patch.object(store.Store, 'write', write)
        patch.start()
        self.addCleanup(patch.stop)
        self.tx = self.begin(self.journal)
        self.attempt = attempt.Attempt('m-1', 'i-1', self.journal, tx=self.tx)
        self.writes.clear()

    def step(self, kind, key, status='ok', payload=None):
        number = self.attempt.intent(kind.resource, kind.effect, key, None)
        self.attempt.done(number, status, payload, kind.lasting)

    def plan(self):
        planned = [kind.planned(key) for kind, key in (
            (effects.DISCONNECT, 'v-1'), (effects.DISCONNECT, 'v-2'),
            (effects.DELETE, 'a-1'), (effects.DELETE, 'a-2'))]
        self.journal.verdict(self.tx, 'COMMIT', 'arrived', planned=planned)
        self.attempt.planned = {(p.effect, p.key): p.id for p in planned}
        self.writes.clear()

    def history(self):
        return history.read(self.journal.records(self.tx))

    def test_devices_are_gone_for_certain_before_an_export_is_deleted(self):
        self.plan()
        waits = []
        for kind, key in ((effects.DISCONNECT, 'v-1'), (effects.DISCONNECT, 'v-2'),
                          (effects.DELETE, 'a-1'), (effects.DELETE, 'a-2')):
            self.step(kind, key)
            waits.append(list(self.writes))
            self.writes.clear()
        self.assertEqual([[], [False], [True], [False]], waits)
        self.assertEqual({'v-1', 'v-2'}, self.history().ended)

    def test_the_same_of_a_device_whose_intent_was_not_planned(self):
        self.plan()
        self.step(effects.DISCONNECT, 'v-3')
        self.writes.clear()
        self.step(effects.DELETE, 'a-1')
        self.assertEqual([True], self.writes)
        self.assertEqual({'v-3'}, self.history().ended)

    def test_what_was_written_already_becomes_durable_too(self):
        self.plan()
        self.step(effects.DISCONNECT, 'v-1')
        self.attempt.flush()
        self.writes.clear()
        self.step(effects.DELETE, 'a-1')
        self.assertEqual([True], self.writes)

    def test_planned_intents_that_are_given_up_are_in_no_doubt(self):
        self.plan()
        self.step(effects.DISCONNECT, 'v-1')
        self.assertEqual(3, len(self.history().open_intents) - 1)
        self.attempt.give_up_planned()
        self.attempt.flush()
        now = self.history()
        self.assertEqual(({}, set(), {'v-1'}), (now.open_intents, now.undone, now.ended))

    def test_what_names_a_thing_that_stays_waits(self):
        self.step(effects.CONNECT, 'v-1')
        self.writes.clear()
        self.attempt.flush()
        self.assertEqual([False], self.writes)
        self.step(effects.CREATE, 'v-1', payload={'attachment_id': 'a-1'})
        self.writes.clear()
        self.attempt.flush()
        self.assertEqual([True], self.writes)
        self.assertEqual({'v-1': ['a-1']}, self.history().attachments)

    def test_a_directory_is_made_when_the_captures_are_durable(self):
        for durable, waits in ((True, []), (False, [True])):
            self.attempt.durable = durable
            self.writes.clear()
            with attempt.working(self.attempt):
                made = preparation.driver_pre_live_migration(
                    lambda: list(self.writes), None, (), {})
            self.assertEqual(waits, made)
        with attempt.working(None):
            self.assertEqual('done', preparation.driver_pre_live_migration(
                lambda: 'done', None, (), {}))

    def test_a_verdict_that_does_not_stand_plans_nothing(self):
        self.journal.verdict(self.tx, 'ABORT', 'it did not')
        plan = Planned('host_device', history.DISCONNECT, 'v-1')
        self.assertEqual('ABORT', self.journal.verdict(
            self.tx, 'COMMIT', 'late', planned=[plan]).verdict)
        self.assertIsNone(plan.id)
        self.assertEqual({}, self.history().open_intents)
