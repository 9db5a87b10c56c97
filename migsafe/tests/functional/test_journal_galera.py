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
"""A journal on two nodes of Galera, where each connection may be to the other one."""

import contextlib
import itertools
import threading

import pymysql
import sqlalchemy as sa

from migsafe.journal import opening
from migsafe.tests import galera
from migsafe.tests.unit.journal import base

ROUNDS = 10


class TestGalera(base.JournalTestCase):
    """What was committed on one node is there on the other, for this host and its peer."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cluster = galera.Galera()
        cls.addClassCleanup(cluster.cleanUp)
        cluster.setUp()
        cls.nodes = cluster.nodes

    def setUp(self):
        super().setUp()
        self.conf.set_override('connection', self.nodes[0].url, 'migsafe')
        opening.sync(self.conf, self.host)
        self.journal = self.open()
        self.ports = itertools.cycle([node.port for node in self.nodes])
        self.used = []

        @sa.event.listens_for(self.journal._store.engine, 'do_connect')
        def lead(_dialect, _record, _given, options):
            options['port'] = next(self.ports)
            self.used.append(options['port'])

    def anew(self):
        """The journal, with a connection to the node whose turn it is."""
        self.journal._store.engine.dispose()
        return self.journal

    def raw(self, node):
        """A session that waits for nothing."""
        session = pymysql.connect(unix_socket=f'{node.base}/sock', user='root',
                                  database='migsafe', autocommit=True)
        self.addCleanup(session.close)
        return session.cursor()

    def test_a_pool_over_both_nodes(self):
        for number in range(ROUNDS):
            tx = self.anew().begin(f'm-{number}', 'source', 'i-1', self.host, 'node11')
            self.assertEqual(tx, self.anew().refresh(tx))
            intent = self.anew().intent(tx, 'host_device', 'connect_volume')
            self.anew().outcome(tx, intent, 'ok')
            self.anew().verdict(tx, 'COMMIT', 'x')
            self.anew().finish(tx)
            self.assertEqual('settled', self.anew().refresh(tx).state)
        self.assertEqual({node.port for node in self.nodes}, set(self.used))

    def test_a_node_that_is_behind_is_waited_for(self):
        second = self.nodes[1]
        block, look = self.raw(second), self.raw(second)
        # NOTE: it does not apply what the first one commits.
        block.execute('FLUSH TABLES WITH READ LOCK')
        self.ports = itertools.cycle([self.nodes[0].port])
        self.anew().begin('behind', 'source', 'i-1', self.host, 'node11')
        look.execute("SELECT count(*) FROM migsafe_transactions WHERE uuid = 'behind'")
        self.assertEqual(((0,),), look.fetchall(), 'the control: it is behind')
        self.ports, found = itertools.cycle([second.port]), []
        thread = threading.Thread(target=lambda: found.append(self.anew().get('behind')))
        thread.start()
        with contextlib.ExitStack() as stack:
            stack.callback(thread.join)
            stack.callback(block.execute, 'UNLOCK TABLES')
            while thread.is_alive() and not self.waits(look):
                self.assertEqual([], found)
        self.assertEqual('behind', found[0].uuid)

    @staticmethod
    def waits(look):
        """Whether a read waits for what the other node has committed."""
        look.execute("SELECT count(*) FROM information_schema.processlist WHERE user = 'migsafe' "
                     "AND command = 'Query' AND info LIKE 'SELECT %migsafe_transactions%'")
        return look.fetchone()[0] > 0
