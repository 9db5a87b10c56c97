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
"""The watch of one host: what it sees, what it says of it and what it does."""

import dataclasses
import logging

import fixtures

from migsafe.nova.bus import endpoint
from migsafe.nova.clients.jobs import Record
from migsafe.nova.host import watch
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.watch.migration import Progress

SRC, DST = fake.SRC, fake.DST
RECORD = Record(fake.MIGRATION, 1, fake.INSTANCE, DST, 'running', True, 50.0, None)


class Jobs:
    """What :class:`migsafe.nova.clients.jobs.Jobs` says, as it is told."""

    def __init__(self):
        self.found, self.sent, self.limit = [RECORD], Progress(10.0, 1000, 300, 700), None
        self.line, self.dead, self.ended, self.error, self.seen = False, set(), [], None, True

    def records(self, host):
        if isinstance(self.found, Exception):
            raise self.found
        return list(self.found)

    def in_line(self, instance_uuid):
        return self.line

    def watched(self, instance_uuid):
        return self.seen

    def progress(self, instance_uuid):
        return self.sent

    def allowed(self, status, progress):
        return self.limit

    def down(self, host):
        return host in self.dead

    def abort(self, migration_uuid):
        self.ended.append(migration_uuid)
        if self.error:
            raise self.error


class Recovery:
    def __init__(self):
        self.taken, self.nudged = [], 0

    def at_once(self, tx):
        self.taken.append(tx.uuid)

    def nudge(self):
        self.nudged += 1


class WatchCase(hosts.TwoHosts):
    def setUp(self):
        super().setUp()
        self.break_off()
        self.jobs, self.now = Jobs(), 1000.0
        self.participant = self.src.participant
        self.participant.recovery = self.recovery = Recovery()
        self.watch = self.participant.watch = watch.Watch(
            self.participant, self.jobs, lambda: self.now)
        self.log = self.enterContext(fixtures.FakeLogger(level=logging.INFO))

    def policy(self, name):
        self.conf.set_override('stuck_policy', name, 'migsafe')

    def at_work(self):
        attempt = self.participant.attempt(fake.MIGRATION, fake.INSTANCE)
        self.enterContext(self.participant.attempts.open(attempt))

    def look(self, later=0.0):
        self.now += later
        found = self.watch.once()
        self.watch.wait()
        return [(one.state, one.phase) for one in found]


class TestStuck(WatchCase):
    def test_a_transfer_that_moves(self):
        self.at_work()
        for sent in range(300, 1000, 100):
            self.jobs.sent = Progress(10.0, 1000, sent, 1000 - sent)
            self.assertEqual([('running', 'transfer')], self.look(500))
        self.assertEqual('', self.log.output)

    def test_a_transfer_that_does_not(self):
        self.at_work()
        self.look()
        self.assertEqual([('running', 'transfer')], self.look(599))
        for _ in range(3):
            self.assertEqual([('stuck', 'transfer')], self.look(1))
        self.assertEqual(1, self.log.output.count('is stuck (transfer)'))
        self.assertEqual([], self.jobs.ended)
        self.jobs.sent = dataclasses.replace(self.jobs.sent, processed=301)
        self.assertEqual([('running', 'transfer')], self.look(1))
        self.assertIn('is not stuck any more', self.log.output)

    def test_steps_are_progress_without_a_transfer(self):
        self.at_work()
        self.jobs.sent = None
        self.assertEqual([('running', 'begun')], self.look())
        self.participant.journal.intent(self.src.tx(), 'host_device', 'connect_volume', 'v')
        self.assertEqual([('running', 'intent connect_volume')], self.look(600))
        self.assertEqual([('stuck', 'intent connect_volume')], self.look(600))

    def test_one_in_the_line_is_never_stuck(self):
        self.jobs.line, self.jobs.sent = True, None
        self.look()
        self.assertEqual([('running', 'in line')], self.look(1e6))

    def test_a_peer_that_is_down(self):
        self.at_work()
        self.jobs.dead = {DST}
        self.assertEqual([('stuck', 'transfer')], self.look())
        self.assertIn(f'nova-compute on {DST} is down', self.log.output)

    def test_longer_than_allowed(self):
        self.at_work()
        self.jobs.limit = 9.0
        self.assertEqual([('stuck', 'transfer')], self.look())

    def test_a_record_that_nothing_is_at(self):
        self.participant.journal.finish(self.src.tx(), 'over')
        self.jobs.sent = None
        self.assertEqual([('running', 'running')], self.look())
        self.assertEqual([('stuck', 'running')], self.look(600))
        self.jobs.found = []
        self.assertEqual([], self.look(1))
        self.assertIn('which was stuck', self.log.output)

    def test_of_an_instance_that_is_elsewhere(self):
        self.participant.journal.finish(self.src.tx(), 'over')
        self.jobs.found = [dataclasses.replace(RECORD, here=False)]
        self.assertEqual([], self.look())

    def test_unsettled(self):
        self.jobs.sent = None
        self.assertEqual([('unsettled', 'begun')], self.look())
        self.participant.journal.postpone(self.src.tx(), 60, 'held by vg0/lv0')
        self.watch.once()
        one, = self.watch.latest()[0]
        self.assertIn('held by vg0/lv0', one.reason)

    def test_nova_does_not_tell(self):
        self.at_work()
        self.jobs.found = ValueError('conductor')
        self.assertEqual([('running', 'transfer')], self.look())


class TestPolicy(WatchCase):
    def still(self):
        self.look()
        self.assertEqual('stuck', self.look(600)[0][0])

    def test_ended(self):
        self.at_work()
        self.policy('abort')
        self.still()
        self.assertEqual([fake.MIGRATION], self.jobs.ended)
        self.look(599)
        self.assertEqual(1, len(self.jobs.ended))
        # it was of no use
        self.look(1)
        self.assertEqual(2, len(self.jobs.ended))

    def test_nova_refuses(self):
        self.at_work()
        self.policy('abort')
        self.jobs.error = ValueError('not running')
        self.still()
        self.assertIn('could not be ended: ValueError: not running', self.log.output)

    def test_what_nova_does_not_watch_is_not_ended(self):
        self.at_work()
        self.policy('settle')
        self.jobs.seen = False
        self.still()
        self.assertEqual([], self.jobs.ended)

    def test_what_the_journal_does_not_have_is_not_ended(self):
        self.participant.journal.finish(self.src.tx(), 'over')
        self.at_work()
        self.policy('settle')
        self.still()
        self.assertEqual([], self.jobs.ended)

    def test_held(self):
        self.jobs.sent = None
        self.participant.journal.postpone(self.src.tx(), 60, 'held')
        for policy, taken in (('report', 0), ('abort', 0), ('settle', 1)):
            self.policy(policy)
            self.look()
            self.assertEqual(taken, len(self.recovery.taken))

    def test_a_record_alone(self):
        self.participant.journal.finish(self.src.tx(), 'over')
        self.jobs.sent = None
        self.policy('settle')
        self.still()
        self.assertEqual((1, []), (self.recovery.nudged, self.recovery.taken))


class TestEndpoint(WatchCase):
    def test_what_was_found_last(self):
        asked = endpoint.Endpoint(self.participant)
        self.assertEqual({'host': SRC, 'ago': None, 'migrations': []}, asked.migrations(None))
        self.at_work()
        self.look()
        self.now += 7
        found = asked.migrations(None)
        one, = found['migrations']
        self.assertEqual((7.0, 'running', 30, DST), (
            found['ago'], one['state'], one['progress'], one['destination']))

    def test_on_the_destination(self):
        there = watch.Watch(self.dst.participant, self.jobs, lambda: self.now)
        self.jobs.found = []
        one, = there.once()
        self.assertEqual(('unsettled', 'destination'), (one.state, one.role))
        self.assertIn('which leads', one.reason)
