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
"""Nova's rollback at the destination, and what its message may meet there."""

import contextlib
import dataclasses
import itertools
import types
import unittest
import uuid
from unittest import mock

from nova import exception

from migsafe import exceptions
from migsafe.nova.host import registry
from migsafe.nova.seams import destination
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.evidence import GuestState

SRC, DST, G = fake.SRC, fake.DST, GuestState
VERDICTS = (None, 'HOLD', 'ABORT', 'COMMIT')
#: (guest here, verdict of that migration here) for which it may go on.
FINE = {(G.ABSENT, 'ABORT'), (G.IN_TRANSFER, 'ABORT'),
        (G.IN_TRANSFER, None), (G.IN_TRANSFER, 'HOLD')}


class Data(dict):
    """LiveMigrateData, as far as it is looked at."""

    @property
    def migration(self):
        return self['migration']


class Case(hosts.TwoHosts):
    #: whether the source has migsafe
    plugin = True

    def setUp(self):
        super().setUp()
        self.manager = type('Manager', (), {})()
        self.called, self.nudged = [], []
        registry.put(self.manager, self.dst.participant)
        self.dst.participant.recovery = types.SimpleNamespace(
            nudge=lambda: self.nudged.append(1))
        self.dst.guests.state = G.ABSENT

    def own(self, verdict=None):
        """The only migration that this host has not settled."""
        for tx in self.dst.journal.unsettled():
            self.dst.journal.finish(tx)
        number = str(uuid.uuid4())
        self.begin_destination(number)
        if self.plugin:
            self.src.journal.begin(number, 'source', fake.INSTANCE, SRC, DST)
        if verdict:
            self.dst.journal.verdict(self.dst.tx(number), verdict, 'because')
        return number

    def wrapped(self, context, instance, destroy_disks, migrate_data):
        self.called.append(instance.uuid)

    def roll_back(self, number):
        """Why it was refused; None if Nova's own way went on.

        :param number: of the migration; None if the message does not say
        """
        self.called.clear()
        data = Data({'migration': types.SimpleNamespace(uuid=number)}
                    if number else {})
        instance = types.SimpleNamespace(uuid=fake.INSTANCE)
        try:
            destination.rollback_live_migration_at_destination(
                self.wrapped, self.manager, (None, instance, True, data), {})
        except exception.MigrationError as error:
            self.assertEqual(([], [1]), (self.called, self.nudged))
            self.nudged.clear()
            return str(error)
        self.assertEqual(([fake.INSTANCE], []), (self.called, self.nudged))
        return None


class TestStates(Case):
    def test_own_migration(self):
        for guest, verdict in itertools.product(G, VERDICTS):
            with self.subTest(guest=guest, verdict=verdict):
                number = self.own(verdict)
                self.dst.guests.state = guest
                for told in (number, None):
                    message = self.roll_back(told)
                    self.assertIs((guest, verdict) in FINE, message is None)
                    for word in (fake.INSTANCE, DST, guest.value,
                                 'migsafe residue list') if message else ():
                        self.assertIn(word, message)

    def test_a_source_that_leads_says_it_itself(self):
        number = self.own()
        self.src.journal.verdict(self.src.tx(number), 'ABORT', 'because')
        self.assertIsNotNone(self.roll_back(number))
        self.assertEqual({SRC: 2, DST: 2}, self.attachments())
        self.assertEqual(('open', None), self.dst.verdict_of(number))

    def test_settled_already(self):
        number = self.own('ABORT')
        self.dst.journal.finish(self.dst.tx(number))
        for guest in G:
            self.dst.guests.state = guest
            self.assertIs((guest, 'ABORT') in FINE,
                          self.roll_back(number) is None)

    def test_without_a_journal_of_it(self):
        for guest, enforce in itertools.product(G, (True, False)):
            with self.subTest(guest=guest, enforce=enforce):
                self.conf.set_override('enforce', enforce, 'migsafe')
                self.dst.guests.state = guest
                # the conductor may have made a port binding all the same
                fine = guest is G.ABSENT or (
                    not enforce and guest is G.IN_TRANSFER)
                for number in (str(uuid.uuid4()), None):
                    self.assertIs(fine, self.roll_back(number) is None)

    def test_journal_that_cannot_be_read(self):
        error = exceptions.JournalUnavailable(
            database='d', reason='full', cure='make room')
        for guest, enforce in itertools.product(G, (True, False)):
            with self.subTest(guest=guest, enforce=enforce), mock.patch.object(
                    self.dst.journal, 'get', side_effect=error):
                self.conf.set_override('enforce', enforce, 'migsafe')
                self.dst.guests.state = guest
                fine = not enforce and guest in (G.ABSENT, G.IN_TRANSFER)
                self.assertIs(fine, self.roll_back(fake.MIGRATION) is None)


class TestSourceWithoutPlugin(Case):
    """Its message is the only word that it has."""

    plugin = False

    def setUp(self):
        super().setUp()
        self.dst.bus.unarmed_hosts.add(SRC)

    def test_heard(self):
        for guest, verdict in itertools.product(G, VERDICTS):
            with self.subTest(guest=guest, verdict=verdict):
                number = self.own(verdict)
                self.dst.guests.state = guest
                fine = (guest, verdict) in FINE or (
                    guest is G.ABSENT and verdict != 'COMMIT')
                self.assertIs(fine, self.roll_back(number) is None)

    def test_what_was_made_here_is_taken_back_and_no_more(self):
        number = self.own()
        self.assertEqual({SRC: 2, DST: 2}, self.attachments())
        self.assertIsNone(self.roll_back(number))
        self.assertEqual(('settled', 'ABORT'), self.dst.verdict_of(number))
        self.assertEqual(({SRC: 2, DST: 0}, set(), False), (
            self.attachments(), self.dst.devices.present, self.dst.cloud.directories.there))
        # the rest is for Nova to go back to
        self.assertEqual([], self.world.calls.of(
            'release_task', 'finish_migration', 'move_allocations', 'bind', 'to_host'))

    def test_silence_is_no_such_word(self):
        self.dst.bus.unarmed_hosts.clear()
        with self.away(SRC):
            self.assertIsNotNone(self.roll_back(self.own()))
        self.assertEqual({SRC: 2, DST: 2}, self.attachments())


class TestSomethingElse(Case):
    """It may go on, but for one thing that is going on as well."""

    def assertStops(self, change, *words):
        """With a change (a context) each case that is fine is so no more."""
        for guest, verdict in sorted(FINE, key=str):
            with self.subTest(guest=guest, verdict=verdict):
                number = self.own(verdict)
                self.dst.guests.state = guest
                self.assertIsNone(self.roll_back(number))
                with change():
                    message = self.roll_back(number)
                for word in words:
                    self.assertIn(word, message or '')

    def test_another_attempt_here(self):
        self.assertStops(lambda: contextlib.nullcontext(
            self.begin_destination(str(uuid.uuid4()))), 'is not settled')

    def test_on_its_way_to_a_third_host(self):
        self.assertStops(lambda: contextlib.nullcontext(
            self.dst.journal.begin(str(uuid.uuid4()), 'source', fake.INSTANCE,
                                   DST, fake.THIRD)), 'is not settled')

    def test_at_it_just_now(self):
        attempt = self.dst.participant.attempt(str(uuid.uuid4()),
                                               fake.INSTANCE)
        self.assertStops(
            lambda: self.dst.participant.attempts.open(attempt), 'just now')

    def test_its_host_is_this_one(self):
        row = dataclasses.replace(self.world.records.row, host=DST)
        self.assertStops(
            lambda: mock.patch.object(self.world.records, 'row', row),
            'is the host of the instance')

    def test_evacuated_to_here(self):
        other = str(uuid.uuid4())
        self.assertStops(
            lambda: mock.patch.dict(self.world.records.moving, {other: DST}),
            other, f'brings it to {DST}')

    def test_moving_elsewhere_is_no_hindrance(self):
        number = self.own('ABORT')
        self.world.records.moving = {number: DST, str(uuid.uuid4()): SRC}
        self.assertIsNone(self.roll_back(number))


if __name__ == '__main__':
    unittest.main()
