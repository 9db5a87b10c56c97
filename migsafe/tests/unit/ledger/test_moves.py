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
"""Rows whose volume has got another id."""

from migsafe.ledger import records
from migsafe.tests.unit.ledger import test_ledger

ONE, OTHER = (records.Thing('volume', name * 36) for name in 'ab')
NODE13, NODE11 = (records.Peer.of(connector) for connector in (test_ledger.ONE, test_ledger.TWO))
TARGET = records.Peer()


class TestMoves(test_ledger.LedgerTestCase):
    """One volume has an export that is there, the other one what the test gives it."""

    def setUp(self):
        super().setUp()
        self.make(ONE, 'a1', TARGET, NODE13)

    def make(self, thing, attachment, *peers):
        self.ledger.intend(thing, peers, 'mapping', attachment=attachment)
        self.ledger.settle(thing, [peer.key for peer in peers], 'mapped', target=attachment)

    def rows(self, thing):
        """Host, state, target; the target's row, which has no host, first."""
        return [(row.host, row.state, row.target) for row in self.ledger.of(thing)
                if row.peer == '' or row.state != 'gone']

    def test_swap_with_nothing(self):
        self.ledger.swap(ONE, OTHER)
        self.assertEqual([('', 'gone', '')], self.rows(ONE))
        self.assertEqual([('', 'mapped', 'a1'), ('node13', 'mapped', 'a1')], self.rows(OTHER))

    def test_swap_of_the_same_peer(self):
        self.make(OTHER, 'b1', TARGET, NODE13)
        self.make(OTHER, 'b2', NODE11)
        locks = [self.ledger.of(thing)[0].id for thing in (ONE, OTHER)]
        self.ledger.swap(OTHER, ONE)
        self.assertEqual([('', 'mapped', 'a1'), ('node13', 'mapped', 'a1')], self.rows(OTHER))
        self.assertEqual([('', 'mapped', 'b1'), ('node11', 'mapped', 'b2'),
                          ('node13', 'mapped', 'b1')],
                         self.sorted(ONE))
        self.assertEqual(locks, [self.ledger.of(thing)[0].id for thing in (ONE, OTHER)])
        self.ledger.swap(ONE, OTHER)
        self.assertEqual([('', 'mapped', 'a1'), ('node13', 'mapped', 'a1')], self.rows(ONE))

    def sorted(self, thing):
        return sorted(self.rows(thing))

    def test_a_snapshot_of_the_same_id_stays(self):
        snapshot = records.Thing('snapshot', ONE.id)
        self.make(snapshot, 's', TARGET, NODE11)
        self.ledger.swap(ONE, OTHER)
        self.assertEqual([('', 'mapped', 's'), ('node11', 'mapped', 's')], self.rows(snapshot))

    def test_whoever_has_read_a_row_before_cannot_claim_it(self):
        row = self.ledger.of(ONE)[1]
        self.ledger.swap(ONE, OTHER)
        self.assertFalse(self.ledger.claim(row))

    def test_adopt(self):
        self.ledger.adopt(ONE, OTHER)
        self.assertEqual([('', 'gone', 'a1')], self.rows(ONE))
        self.assertEqual([('', 'mapped', 'a1'), ('node13', 'mapped', 'a1')], self.rows(OTHER))
        self.assertIn(OTHER.id, self.ledger.of(ONE)[0].error)

    def test_adopt_where_that_peer_is_gone(self):
        self.make(OTHER, 'b1', TARGET, NODE13)
        self.ledger.intend(OTHER, [TARGET, NODE13], 'unmapping')
        self.ledger.settle(OTHER, ['', NODE13.key], 'gone')
        self.assertEqual([('', 'gone', 'b1')], self.rows(OTHER))
        self.ledger.adopt(ONE, OTHER)
        self.assertEqual([('', 'mapped', 'a1'), ('node13', 'mapped', 'a1')], self.rows(OTHER))

    def test_adopt_where_that_peer_is_newer(self):
        self.make(OTHER, 'b1', TARGET, NODE13)
        self.ledger.adopt(ONE, OTHER)
        self.assertEqual([('', 'mapped', 'b1'), ('node13', 'mapped', 'b1')], self.rows(OTHER))
        self.assertEqual([], [row for row in self.ledger.of(ONE) if row.state != 'gone'])
