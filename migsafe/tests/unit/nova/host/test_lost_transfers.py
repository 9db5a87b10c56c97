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
"""A transfer that nobody watches: whose it is to take up, and what becomes of it."""

import threading
import unittest
from unittest import mock

from migsafe.nova.host import lost_transfers
from migsafe.resources.instance_record import TERMINAL
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.evidence import GuestState
from migsafe.watch.migration import GOING_ON

SRC, DST, G = fake.SRC, fake.DST, GuestState


class Transfers:
    """What :class:`migsafe.nova.clients.transfers.Transfers` does; a watch lasts until it ends."""

    def __init__(self):
        self.called, self.state, self.active = [], 'running', True
        self.begun, self.over, self.error = threading.Event(), threading.Event(), None

    def going_on(self, tx):
        return self.active

    def status(self, tx):
        return self.state

    def watch(self, tx):
        self.called.append('watch')
        self.begun.set()
        self.over.wait(60)
        if self.error:
            raise self.error

    def end(self, tx):
        self.called.append('end')


class Case(hosts.TwoHosts):
    def setUp(self):
        super().setUp()
        self.break_off()
        self.src.guests.job = True
        self.jobs = Transfers()
        self.addCleanup(self.jobs.over.set)
        self.lost = lost_transfers.LostTransfers(self.src.participant, self.jobs)

    def take_up(self, tx=None):
        return self.lost.take_up(tx or self.src.tx())

    def end(self):
        self.jobs.over.set()
        self.lost.wait()


class TestTakenUp(Case):
    def test_at_work_until_it_has_ended_and_then_settled(self):
        self.assertTrue(self.take_up())
        self.assertTrue(self.jobs.begun.wait(60))
        self.assertTrue(self.src.participant.attempts.live(fake.MIGRATION))
        self.assertEqual(('open', None), self.src.verdict())
        self.src.guests.job = False
        self.end()
        self.assertFalse(self.src.participant.attempts.live(fake.MIGRATION))
        self.assertEqual((['watch'], ('settled', 'ABORT')),
                         (self.jobs.called, self.src.verdict()))

    def test_once(self):
        for _ in range(3):
            self.assertTrue(self.take_up())
        self.end()
        self.assertEqual(['watch'], self.jobs.called)

    def test_again_when_the_watch_fails(self):
        self.jobs.error = TimeoutError('no conductor')
        self.assertTrue(self.take_up())
        self.end()
        # libvirt goes on, so that nothing was decided
        self.assertEqual(('open', 'HOLD'), self.src.verdict())
        self.assertTrue(self.take_up())
        self.end()
        self.assertEqual(['watch', 'watch'], self.jobs.called)

    def test_a_settlement_that_fails_is_left_to_recovery(self):
        with mock.patch.object(self.src.participant, 'settle', side_effect=OSError) as settle:
            self.assertTrue(self.take_up())
            self.end()
        settle.assert_called_once()


class TestNotTakenUp(Case):
    def assertLeft(self, tx=None):
        self.assertFalse(self.take_up(tx))
        self.assertEqual([], self.jobs.called)

    def test_no_job(self):
        self.src.guests.job = False
        self.assertLeft()

    def test_a_job_of_another_kind_or_that_nova_watches(self):
        self.jobs.active = False
        self.assertLeft()

    def test_of_a_guest_that_is_not_leaving(self):
        for guest in set(G) - lost_transfers.LEAVING:
            self.src.guests.state = guest
            self.assertLeft()

    def test_on_the_destination(self):
        self.lost = lost_transfers.LostTransfers(self.dst.participant, self.jobs)
        self.dst.guests.state, self.dst.guests.job = G.HERE, True
        self.assertLeft(self.dst.tx())

    def test_without_a_destination(self):
        uuid = '0d1f7a52-5e0c-4f6b-9b57-000000000001'
        self.src.journal.begin(uuid, 'source', fake.INSTANCE, SRC, '')
        self.assertLeft(self.src.tx(uuid))

    def test_decided(self):
        for verdict, decided in (('HOLD', False), ('ABORT', True)):
            tx = self.src.journal.verdict(self.src.tx(), verdict, 'because')
            self.assertIs(decided, not self.take_up(tx))
        self.end()


class TestFate(Case):
    def test_of_each_status(self):
        for status in (*GOING_ON, None):
            self.assertIs(lost_transfers.Fate.WATCH, lost_transfers.fate(status))
        for status in TERMINAL:
            self.assertIs(lost_transfers.Fate.END, lost_transfers.fate(status))

    def test_ended_and_not_watched(self):
        self.jobs.state = 'error'
        self.assertFalse(self.take_up())
        self.assertEqual(['end'], self.jobs.called)


if __name__ == '__main__':
    unittest.main()
