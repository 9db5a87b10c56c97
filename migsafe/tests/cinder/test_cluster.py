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
"""A volume that another cinder-volume of the cluster is at work on.

The other one is its ledger alone, on the database of the one under test.
"""

import time
from unittest import mock

from cinder import exception, objects

from migsafe import ledger
from migsafe.cinder.exports import intents, targets
from migsafe.cinder.facts import calls
from migsafe.ledger import records
from migsafe.ledger.records import Thing
from migsafe.tests.cinder import world


class TestCluster(world.World):
    """Its calls wait for the other one, for a bounded time."""

    def setUp(self):
        super().setUp()
        own = self.guard.ledger
        self.other = ledger.Ledger(own._store, own.backend, 'node2@array', 'other')
        self.thing = Thing('volume', self.volume.id)

    def stale(self):
        """The other one takes node13's export of an old attachment away."""
        self.attach(self.reserve())
        self.forget(objects.VolumeAttachmentList.get_all(self.admin)[0].id)
        row = self.row()
        self.assertTrue(self.other.claim(row))

    def row(self):
        return self.guard.ledger.of(self.thing)[1]

    def meanwhile(self, action):
        """What happens when a call looks again whether the other one has ended."""
        # NOTE: the module's own, since oslo.db sleeps too.
        clock = mock.Mock(monotonic=time.monotonic, sleep=mock.Mock(side_effect=action))
        return mock.patch.object(intents, 'time', clock)

    def end(self, _seconds):
        """The other one's driver has done it."""
        self.array.targets[self.volume.id].discard(world.NODE13['initiator'])
        self.assertTrue(self.other.settle(self.thing, [self.row().peer], 'gone'))

    def test_an_attach_waits(self):
        self.stale()
        with self.meanwhile(self.end) as waited:
            self.attach(self.reserve())
        self.assertEqual(1, waited.sleep.call_count)
        self.assertEqual({(self.volume.id, world.NODE13['initiator'])}, self.array.exports())
        self.assertEqual('mapped', self.row().state)

    def test_an_attach_is_refused(self):
        self.stale()
        before = self.row()
        with mock.patch.object(calls, 'LINE_SECONDS', 0.5):
            error = self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                                      self.reserve())
        for word in (self.volume.id, 'node13', 'node2@array', 'Try again'):
            self.assertIn(word, str(error))
        self.assertEqual(before, self.row())
        self.recover()
        self.assertEqual(before, self.row())

    def test_who_has_died_blocks_nobody(self):
        self.stale()
        self.other.intend(self.thing, [records.peer_of(self.row())], 'unmapping')
        with mock.patch.object(calls, 'LINE_SECONDS', 30), self.meanwhile(self.expire) as waited:
            self.attach(self.reserve())
        self.assertEqual(1, waited.sleep.call_count)
        self.assertEqual('mapped', self.row().state)

    def expire(self, _seconds):
        self.guard.ledger._change('time', [ledger.models.EXPORTS.c.due_at.isnot(None)],
                                  {'due_at': self.row().created_at})

    def test_a_detach_waits(self):
        """And sees what the other one has mapped: the target stays."""
        attachment = self.reserve()
        self.attach(attachment)
        peer = records.Peer.of(world.NODE11)
        self.other.intend(self.thing, [records.Peer(), peer], 'mapping')

        def end(_seconds):
            self.make_attached()
            self.array.targets[self.volume.id].add(world.NODE11['initiator'])
            self.assertTrue(self.other.settle(self.thing, ['', peer.key], 'mapped'))
        with self.meanwhile(end) as waited, mock.patch.object(
                world.ArrayDriver, 'terminate_connection', return_value=None):
            self.detach(attachment)
        self.assertEqual(1, waited.sleep.call_count)
        self.assertIn(self.volume.id, self.array.targets)

    def test_a_target_that_is_used_at_the_last_moment(self):
        """The other one maps between the look at attachments and the intent."""
        attachment, real = self.reserve(), targets.user
        self.attach(attachment)
        peer, mapped = records.Peer.of(world.NODE11), []

        def late(*args):
            found = real(*args)
            if not mapped:
                mapped.append(self.other.intend(self.thing, [peer], 'mapping'))
                self.other.settle(self.thing, [peer.key], 'mapped')
                self.make_attached()
            return found
        with mock.patch.object(targets, 'user', late):
            self.detach(attachment)
        self.assertIn(self.volume.id, self.array.targets)

    def make_attached(self):
        row = objects.VolumeAttachment.get_by_id(self.admin, self.reserve())
        row.connector = dict(world.NODE11)
        row.save()

    def test_a_driver_that_takes_long(self):
        """The other one knows that the work goes on; without a cluster nothing is written."""
        self.patch('migsafe.cinder.wrapping.guard.RENEW_SECONDS', 0.05)
        due, real = [], world.ArrayDriver.initialize_connection

        def slow(driver, volume, connector):
            row = self.row()
            deadline = time.monotonic() + 20
            while self.row().due_at == row.due_at and time.monotonic() < deadline \
                    and self.guard.cluster:
                time.sleep(0.02)
            time.sleep(0.2)
            due.append(self.row().due_at > row.due_at)
            return real(driver, volume, connector)
        with mock.patch.object(world.ArrayDriver, 'initialize_connection', slow):
            for cluster in (None, 'cluster@array'):
                self.guard.cluster = cluster
                attachment = self.reserve()
                self.attach(attachment)
                self.detach(attachment)
        self.assertEqual([False, True], due)
