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
"""Exports whose attachments have gone without a terminate, and copies that nobody ends."""

from cinder import objects
from cinder.tests.unit import fake_constants

from migsafe.cinder import endpoint
from migsafe.ledger import records
from migsafe.ledger.api import Thing
from migsafe.tests.cinder import test_second_writer, world

#: The same host, after it has got an HBA.
LATER = {**world.NODE13, 'initiator': 'iqn.1994-05.com.redhat:13b'}


class Stale(world.World):
    """Looks at rows."""

    def rows(self, volume=None):
        return [row for row in self.guard.ledger.of(Thing('volume', (volume or self.volume).id))
                if row.peer]

    def inspect(self, *opened):
        made = self.guard.__dict__['inspector'] = test_second_writer.Inspector(
            self.service.driver)
        made.opened = tuple(name['initiator'] for name in opened)

    def reset(self, attachment):
        objects.VolumeAttachment.get_by_id(self.admin, attachment).destroy()


class TestTwoOfOneHost(Stale):
    """Two instances of a host, which had one more initiator when it attached the second."""

    def setUp(self):
        super().setUp()
        self.volume = self.make_volume(multiattach=True)
        self.attached = [self.reserve(), self.reserve(fake_constants.UUID2)]
        for attachment, connector in zip(self.attached, (world.NODE13, LATER), strict=True):
            self.attach(attachment, connector)
        self.assertEqual(2, len(self.array.exports()))

    def states(self):
        return [row.state for row in self.rows()]

    def test_revert(self):
        for attachment in self.attached:
            self.reset(attachment)
        self.restart()
        self.assertEqual(['cannot tell'] * 2, [
            'cannot tell' if 'cannot tell' in row.error else row.error for row in self.rows()])
        endpoint.Endpoint(self.guard).export_revert(None, volume=self.volume.id, host='node13')
        self.assertEqual((['gone', 'gone'], {}), (self.states(), self.array.targets))

    def test_fence(self):
        for attachment in self.attached:
            self.reset(attachment)
        endpoint.Endpoint(self.guard).export_fence(None, host='node13', user='alice')
        self.recover()
        self.assertEqual((['gone', 'gone'], {}), (self.states(), self.array.targets))

    def test_the_array_says_that_neither_is_used(self):
        for attachment in self.attached:
            self.reset(attachment)
        self.restart()
        self.inspect()
        self.recover()
        self.assertEqual((['gone', 'gone'], {}), (self.states(), self.array.targets))

    def test_the_array_says_that_one_is_used(self):
        """To take the other one away could take it away too."""
        for attachment in self.attached:
            self.reset(attachment)
        self.inspect(LATER)
        for _ in range(2):
            self.guard.recovery._swept = False
            self.recover()
        self.assertEqual(2, len(self.array.exports()))
        self.assertEqual([True] * 2, ['has it open' in row.error for row in self.rows()])

    def test_one_is_attached(self):
        """The array says that the other one is not used; they are one host all the same."""
        self.reset(self.attached[0])
        self.restart()
        self.inspect()
        endpoint.Endpoint(self.guard).export_revert(None, volume=self.volume.id, host='node13')
        self.assertEqual(['mapped'] * 2, self.states())
        self.assertEqual(2, len(self.array.exports()))

    def test_one_was_not_made_for_an_attachment(self):
        """Whoever asked for it may use it."""
        self.detach(self.attached[1])
        volume = objects.Volume.get_by_id(self.admin, self.volume.id)
        self.service.driver.initialize_connection(volume, LATER)
        self.reset(self.attached[0])
        self.inspect()
        self.recover()
        self.guard.recovery.one(self.rows()[0], vouched=False)
        self.guard.recovery.one(self.rows()[1], vouched=False)
        self.assertEqual(2, len(self.array.exports()))

    def test_one_is_just_being_made(self):
        for attachment in self.attached:
            self.reset(attachment)
        self.inspect()
        peer = records.Peer.of(LATER)
        self.guard.ledger.intend(Thing('volume', self.volume.id), [peer], 'mapping')
        first = next(row for row in self.rows() if row.peer != peer.key)
        self.guard.recovery.one(first)
        self.assertEqual(2, len(self.array.exports()))
        self.guard.ledger.fail(Thing('volume', self.volume.id), [peer.key], 'it failed', 30)
        self.guard.recovery.one(next(row for row in self.rows() if row.peer == first.peer))
        self.assertEqual({(self.volume.id, LATER['initiator'])}, self.array.exports())
