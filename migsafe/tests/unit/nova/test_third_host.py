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
"""An open transaction of an instance that a later operation has brought to a third host."""

import dataclasses

from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.clients import OtherMove
from migsafe.transaction.evidence import GuestState
from migsafe.transaction.verdict import Verdict

SRC, DST = fake.SRC, fake.DST


class TestThirdHost(hosts.TwoHosts):
    """The source died and the instance was evacuated, while the destination did not answer."""

    def evacuated(self, there, status='done', over=True):
        """The record names a third host; the rows still name what the destination made.

        :param there: the guest on the destination
        """
        self.dst.guests.state = there
        self.begin_destination()
        records = self.world.records
        records.row = dataclasses.replace(records.row, host=fake.THIRD, node=fake.THIRD,
                                          task_state=None)
        records.others = [OtherMove('evacuation', 'e1', status, SRC, fake.THIRD, over)]
        for number in range(self.world.count):
            self.world.volumes.add(fake.attachment(fake.THIRD, number), fake.volume(number),
                                   fake.THIRD, {**fake.info(SRC, number), 'of': fake.THIRD})
        self.assertEqual([fake.attachment(DST, n) for n in range(2)], self.named())
        with self.away(SRC):
            return self.dst.settle()

    def named(self):
        """The attachments that the rows name."""
        return [row.attachment_id for row in self.world.records.rows.values()]

    def test_rows_are_put_right_although_it_is_held(self):
        outcome = self.evacuated(GuestState.ABSENT)
        self.assertIs(Verdict.HOLD, outcome.verdict)
        self.assertEqual([fake.attachment(fake.THIRD, n) for n in range(2)], self.named())
        self.assertEqual([], self.world.calls.of('delete_attachment'))
        self.assertEqual([], self.dst.calls.of('disconnect'))

    def test_rows_stay_while_the_evacuation_goes_on(self):
        self.evacuated(GuestState.ABSENT, 'pre-migrating', over=False)
        self.assertEqual([fake.attachment(DST, n) for n in range(2)], self.named())

    def test_rows_stay_when_the_evacuation_has_failed(self):
        self.evacuated(GuestState.ABSENT, 'failed')
        self.assertEqual([fake.attachment(DST, n) for n in range(2)], self.named())

    def test_second_copy(self):
        outcome = self.evacuated(GuestState.HERE)
        self.assertIs(Verdict.HOLD, outcome.verdict)
        self.assertIn(f'it may run on BOTH {DST} and {fake.THIRD}',
                      outcome.held['transaction', ''])
        self.assertEqual(('open', 'HOLD'), self.dst.verdict())
        self.assertEqual([fake.attachment(fake.THIRD, n) for n in range(2)], self.named())

    def test_second_copy_of_what_was_decided_before(self):
        self.begin_destination()
        self.dst.journal.verdict(self.dst.tx(), 'COMMIT', 'runs on the destination')
        self.dst.guests.state = GuestState.HERE
        records = self.world.records
        records.row = dataclasses.replace(records.row, host=fake.THIRD)
        records.others = [OtherMove('evacuation', 'e1', 'done', SRC, fake.THIRD, True)]
        with self.away(SRC):
            outcome = self.dst.settle()
        self.assertIn('BOTH', outcome.held['transaction', ''])
        self.assertEqual(2, self.attachments()[DST])
