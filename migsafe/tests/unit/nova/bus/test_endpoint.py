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
"""What another host may hear of an error here."""

import json
import logging
import traceback
import unittest
from unittest import mock

import fixtures

from migsafe import exceptions
from migsafe.nova.bus import endpoint
from migsafe.preflight import report
from migsafe.preflight.surroundings import Surroundings
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.preflight import cases
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction import answers

SECRET = 'AQBhush4711=='
MACHINE = '4c4c4544-0051-3310-8054-b4c04f4d3132'
ASKED = {'uuid': fake.MIGRATION, 'instance_uuid': fake.INSTANCE,
         'verdict': 'ABORT'}


class TestDiscreet(hosts.TwoHosts):
    def setUp(self):
        super().setUp()
        self.break_off()
        self.endpoint = endpoint.Endpoint(self.dst.participant)
        self.log = self.enterContext(fixtures.FakeLogger(level=logging.DEBUG))

    def broken(self, name, error):
        """A part of the participant that raises, from something worse."""
        def fail(*args, **kwargs):
            try:
                raise RuntimeError(f'keyring={SECRET}')
            except RuntimeError as cause:
                raise error from cause
        self.enterContext(fixtures.MockPatch(name, fail))

    def ask(self, method):
        """What an error looks like to oslo.messaging, which logs all of it."""
        with self.assertRaises(exceptions.MigsafeError) as caught:
            getattr(self.endpoint, method)(None, **ASKED)
        return caught.exception, ''.join(
            traceback.format_exception(caught.exception))

    def test_which_machine_it_is(self):
        self.dst.participant.machine = lambda: MACHINE
        asked = {name: ASKED[name] for name in ('uuid', 'instance_uuid')}
        for machine, heard in ((MACHINE, MACHINE), ('', ''), ('x' * 9000, ''), (7, '')):
            self.dst.participant.machine = lambda machine=machine: machine
            reply = self.endpoint.guest_evidence(None, **asked)
            self.assertEqual(heard, answers.sign(fake.DST, '', reply).machine)
            # only of itself
            self.assertEqual('', answers.sign(fake.SRC, '', reply).machine)

    def test_no_error_brings_a_secret_along(self):
        for name in ('migsafe.journal.Journal.get',
                     'migsafe.nova.host.attempt.Registry.live'):
            self.broken(name, ValueError(f'key = {SECRET}'))
        for method in ('describe', 'guest_evidence', 'inspect'):
            error, said = self.ask(method)
            self.assertIn('ValueError', str(error))
            self.assertNotIn(SECRET, said, method)
        self.assertIn('ValueError', self.log.output)
        self.assertNotIn(SECRET, self.log.output)

    def test_an_error_of_its_own_keeps_its_class(self):
        self.broken('migsafe.journal.Journal.get',
                    exceptions.JournalUnavailable(f'password={SECRET}'))
        error, said = self.ask('describe')
        self.assertIs(exceptions.JournalUnavailable, type(error))
        self.assertNotIn(SECRET, said)

    def test_a_release_that_fails(self):
        self.broken('migsafe.nova.host.participant.Participant.release',
                    ValueError(f'key = {SECRET}'))
        found = self.endpoint.release(None, **ASKED)
        self.assertEqual('refused', found['state'])
        self.assertIn('ValueError', found['reason'])
        for said in (found['reason'], self.log.output):
            self.assertIn('ValueError', said)
            self.assertNotIn(SECRET, said)

    def test_a_reason_in_the_journal(self):
        self.dst.journal.verdict(self.dst.tx(), 'HOLD', f'key = {SECRET}')
        found = self.endpoint.inspect(None, uuid=fake.MIGRATION)
        self.assertEqual('HOLD', found['verdict'])
        self.assertNotIn(SECRET, str(found))


class TestOverview(hosts.TwoHosts):
    """What the command ``migsafe`` hears of a host."""

    def setUp(self):
        super().setUp()
        self.break_off()
        self.journal = self.dst.participant.journal
        self.endpoint = endpoint.Endpoint(self.dst.participant)

    def test_a_host_that_never_reported(self):
        found = self.endpoint.overview({}, later='x')
        self.assertEqual(({}, self.dst.participant.host), (found['status'], found['host']))

    def test_it_is_bounded_whatever_piles_up(self):
        self.journal.set_status(
            armed=True, pid=5, boot_id='b', plugin_version='1', nova_version='34',
            concurrency='threading', seams=['a', 'b'], detail='x' * 10_000)
        for number in range(endpoint.MAX_PIECES + 5):
            tx = self.journal.begin(f'm-{number}', 'destination', f'i-{number}', 'a', 'b')
            self.journal.postpone(tx, 30, f"auth_password='{SECRET}' " + 'y' * 10_000)
        found = self.endpoint.overview({})
        self.assertEqual((True, 2), (found['status']['armed'], found['status']['seams']))
        self.assertLessEqual(endpoint.MAX_PIECES + 5, found['unsettled'])
        self.assertEqual((True, endpoint.MAX_PIECES), (found['more'], len(found['residue'])))
        self.assertLess(len(json.dumps(found)), 400_000)
        self.assertNotIn(SECRET, json.dumps(found))

    def test_damaged_rows(self):
        tx = self.journal.begin('m-9', 'destination', 'i-9', 'a', 'b')
        with self.journal._store.engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE migsafe_transactions SET verdict = 'x', reason = x'ff1b5b324a' "
                f'WHERE id = {tx.id}')
        found = self.endpoint.overview({})
        self.assertIn('m-9', [piece['transaction'] for piece in found['residue']])
        self.assertNotIn('\x1b', repr(found))


class TestPreflight(hosts.TwoHosts):
    """What the command ``migsafe preflight`` hears of a host."""

    def setUp(self):
        super().setUp()
        self.break_off()
        self.endpoint = endpoint.Endpoint(self.dst.participant)

    def test_it_is_what_the_host_says(self):
        said = cases.made('node11', cases.GUEST)
        self.dst.participant.survey = {cases.UUID: said}.__getitem__
        found = self.endpoint.preflight({}, cases.UUID, later='x')
        self.assertEqual(said, report.read(report.Report, json.loads(json.dumps(found))))

    def test_what_it_finds_around_itself(self):
        said = cases.around('node11')
        self.dst.participant.surroundings = {cases.UUID: said}.__getitem__
        found = self.endpoint.surroundings({}, cases.UUID, later='x')
        self.assertEqual(said, report.read(Surroundings, json.loads(json.dumps(found))))
        self.assertRaises(exceptions.MigsafeError, self.endpoint.surroundings, {}, '../x')

    def test_no_instance(self):
        for name in (None, 5, '../x', cases.UUID * 2):
            self.assertRaises(exceptions.MigsafeError, self.endpoint.preflight, {}, name)

    def test_a_journal_that_does_not_answer(self):
        """Nothing is said then: that nothing was found would be taken for settled."""
        self.dst.participant.survey = lambda uuid: cases.made('node11')
        with mock.patch.object(self.dst.participant.journal, 'check_answered',
                               side_effect=exceptions.JournalUnavailable('away')):
            self.assertRaises(exceptions.JournalUnavailable, self.endpoint.preflight, {},
                              cases.UUID)


class TestGuestFacts(hosts.TwoHosts):
    """What the command ``migsafe repair`` hears of a host."""

    def setUp(self):
        super().setUp()
        self.break_off()
        self.endpoint = endpoint.Endpoint(self.dst.participant)

    def test_it_is_what_the_host_says(self):
        self.dst.participant.guest_facts = lambda uuid, leads: {(cases.UUID, None): {'disks': []}}[
            uuid, leads]
        self.assertEqual({'disks': []}, self.endpoint.guest_facts({}, cases.UUID, later='x'))
        self.assertRaises(exceptions.MigsafeError, self.endpoint.guest_facts, {}, '../x')

    def test_where_an_attachment_leads(self):
        self.dst.participant.guest_facts = lambda uuid, leads: {'devices': leads}
        self.assertEqual({'devices': [('iqn.x', 5)]},
                         self.endpoint.guest_facts({}, cases.UUID, leads=[['iqn.x', 5]]))
        for leads in ('x', {}, [5], [['x']], [['x', '5']], [['x', True]], [['', 5]], [[5, 5]],
                      [['x' * 9999, 5]], [['x', 5]] * 999):
            self.assertRaises(exceptions.MigsafeError, self.endpoint.guest_facts, {}, cases.UUID,
                              leads=leads)

    def test_the_guests_that_run(self):
        self.dst.participant.guests = lambda: ['x'] * 6000
        found = self.endpoint.guests({}, later='x')
        self.assertEqual((self.dst.participant.host, 5000), (found['host'], len(found['guests'])))

    def test_a_journal_that_does_not_answer(self):
        """That nothing is open in it would be taken for settled."""
        self.dst.participant.guest_facts = lambda uuid, leads: {}
        with mock.patch.object(self.dst.participant.journal, 'check_answered',
                               side_effect=exceptions.JournalUnavailable('away')):
            self.assertRaises(exceptions.JournalUnavailable, self.endpoint.guest_facts, {},
                              cases.UUID)


if __name__ == '__main__':
    unittest.main()
