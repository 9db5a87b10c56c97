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
"""An instance is deleted in the middle of a migration; its LUN numbers are used again at once."""

from __future__ import annotations

import threading

from migsafe.nova.seams import deletion
from migsafe.replay import unmended
from migsafe.replay.lab import observe, steps
from migsafe.resources import host_device, loser_attachments
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE
from migsafe.tests.functional.test_scenarios_word import Says
from migsafe.transaction.move import Move


def _some_export(device, move):
    """An attachment without a host stands for an export to any host."""
    return {a.volume_id for a in device._attachments(move) if a.host in (None, move.local)}


#: Each mending of it: what does the same as if it were not there.
NOTED = (deletion, '_note', lambda *_asked: None)
MAPPED = (host_device.HostDevice, '_mapped', _some_export)
LOST_TOO = (loser_attachments, 'lost_too', lambda _move: False)
CLAIMED = (Move, 'peer_attachments', lambda _move, needed=False: {})


class TestDeletedInTheMiddle(scenarios.ScenarioTest):
    """Right before the destination makes its first attachment: the rows are the source's."""

    def deleted(self):
        """The guest that was deleted, another tenant's that has its numbers on the source, and for
        which of its volumes the destination has made an attachment."""
        server = self.guest()
        own = self.luns(server)
        meanwhile = self.lab.world.rule = scenarios.Meanwhile(
            DESTINATION, 'cinder', 'attachments.create', lambda: self.delete(server))
        self.lab.migrate(server)
        self.assertTrue(meanwhile.done)
        self.lab.world.rule = None
        self.assertIsNone(observe.records(self.lab.stack, server.uuid))
        self.assertTrue(self.lab.restart(SOURCE))
        other = self.guest()
        self.assertEqual(own, self.luns(other))
        # the controls: it is open on both, and the destination has what it made before it met a
        # row that was deleted
        for host in (SOURCE, DESTINATION):
            tx, = self.transactions(host)
            self.assertIsNone(tx.verdict)
        made, = self.exports(server, DESTINATION)
        return server, other, made

    def delete(self, server):
        """In a thread of its own, as the API is no part of the migration; then the source dies."""
        def ask():
            with self.lab.world.entered(None):
                refused.append(steps.delete(self.lab.stack, server))
        refused: list[str | None] = []
        asked = threading.Thread(target=ask)
        asked.start()
        asked.join()
        self.assertEqual([None], refused)
        self.lab.parts.processes[SOURCE].alive = False

    def told(self):
        """The destination says falsely that the guest has arrived, and the source believes it."""
        lies = self.lab.world.rule = Says('COMMIT', 2)
        self.lab.recover_one(SOURCE)
        self.lab.wait()
        self.lab.world.rule = None
        self.assertGreater(lies.said, 0)
        tx, = self.participant(SOURCE).journal.list(newest=True, limit=1)
        self.assertEqual('COMMIT', tx.verdict)

    def test_a_false_word_leads_to_nobody_elses_disk(self):
        server, other, _made = self.deleted()
        self.told()
        self.recover()
        self.assertOver(server)
        self.assertUntouched(other)
        self.assertTrue(self.do(other, 'hard_reboot').done)
        self.assertUntouched(other)

    def test_control_without_either_note_or_export_of_its_own(self):
        """It is what the numbers lead to by now that is disconnected."""
        with unmended.without((NOTED, MAPPED)):
            _server, other, made = self.deleted()
            self.told()
        self.assertEqual([('guest_yank', SOURCE)],
                         [(harm.kind, harm.host) for harm in self.lab.world.harms])
        self.assertEqual([1 - made], self.devices(other, SOURCE))

    def test_controls_without_one_of_them(self):
        """It is held for good over another tenant's device, or what the destination made stays."""
        for mending, held_on in ((NOTED, SOURCE), (LOST_TOO, None), (CLAIMED, SOURCE)):
            with self.subTest(mending[1]), unmended.without((mending,)):
                self.lab.clean()
                self.lab.forget()
                server, other, made = self.deleted()
                self.told()
                self.recover()
                self.assertUntouched(other)
                self.assertEqual([made], self.exports(server, DESTINATION))
                self.assertEqual(held_on, SOURCE if self.transactions(SOURCE) else None)

    def assertOver(self, server):
        """Nothing is left of it, and nothing is left to do."""
        for host in (SOURCE, DESTINATION):
            self.assertEqual(([], []), (self.exports(server, host), self.devices(server, host)))
            self.assertEqual([], self.transactions(host))
            self.assertFalse(self.directory(server, host))
        self.assertEqual([], [one for one in self.lab.parts.cinder.attachments.values()
                              if one.instance_uuid == server.uuid])

    def assertUntouched(self, other):
        """The guest that has the numbers now runs on, with its disks."""
        self.assertUnharmed(other, SOURCE)
        self.assertEqual(([0, 1], [0, 1]),
                         (self.exports(other, SOURCE), self.devices(other, SOURCE)))
