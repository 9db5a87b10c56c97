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
"""A server that is another one after a failover, or has no connection left."""

import contextlib
import io
import os
import pathlib
import subprocess
import tempfile
import types

import sqlalchemy as sa
from oslotest import base as oslo_base

from migsafe import exceptions, journal, ledger
from migsafe.cli import manage
from migsafe.journal import opening, tokens
from migsafe.ledger import opening as ledger_opening
from migsafe.ledger import records
from migsafe.nova.bus import endpoint
from migsafe.tests import cutting, servers
from migsafe.tests.unit.journal import base
from migsafe.transaction import history
from migsafe.transaction.evidence import GuestState, HostEvidence

HOST = 'node13'
THING = records.Thing('volume', 'v-1')
PEER = records.Peer.of({'host': 'node11', 'initiator': 'iqn.11'})
ASKED = {'uuid': '5b2f8c1e-6a0d-4d39-8e77-0c9a1b3d5e01',
         'instance_uuid': '5b2f8c1e-6a0d-4d39-8e77-0c9a1b3d5e02'}
UNHEARD_OF = '5b2f8c1e-6a0d-4d39-8e77-0c9a1b3d5e03'


class Cases:
    """Two servers, and a name for one of them."""

    server_class = None

    def setUp(self):
        super().setUp()
        self.first = self.useFixture(self.server_class())
        self.proxy = cutting.Proxy(self.first.port)
        self.addCleanup(self.proxy.close)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.file = pathlib.Path(directory.name, 'nova.conf')
        url = sa.make_url(self.first.url).set(port=self.proxy.port).render_as_string(
            hide_password=False)
        self.conf = base.make_conf('/nonexistent', connection=url, ledger_connection=url)
        self.file.write_text(f'[DEFAULT]\nhost = {HOST}\n[migsafe]\nconnection = {url}\n'
                             f'ledger_connection = {url}\n')
        opening.sync(self.conf, HOST)
        ledger_opening.sync(self.conf, HOST)
        self.journal = self.started()
        self.tx = self.journal.begin('m-1', 'source', 'i-1', HOST, 'node11')

    def started(self):
        opened = journal.open_journal(self.conf, HOST)
        self.addCleanup(opened.close)
        return opened

    def ledger(self):
        opened = ledger.open_ledger(self.conf, HOST)
        self.addCleanup(opened.close)
        return opened

    def fail_over(self):
        """The next connection comes to a replica, which has what was in the first one by now."""
        second = self.useFixture(self.server_class())
        dumped = subprocess.run(
            self.dump(self.first), check=True, capture_output=True, env=self.environ).stdout
        self.assertIn(b'm-1', dumped)
        subprocess.run(self.load(second), check=True, input=dumped, capture_output=True,
                       env=self.environ)
        return lambda: self.proxy.lead_to(second.port)

    def follow(self, error, *more):
        """Run the command that a message names."""
        words = str(error).split('"')[1].split()
        self.assertEqual('migsafe-manage', words.pop(0))
        if words[0] == '--config-file':
            words = words[2:]
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
            code = manage.main(['--config-file', str(self.file), *words, *more])
        self.assertEqual(0, code, out.getvalue())

    def test_a_replica_that_has_all(self):
        """The control: nothing was lost, and all goes on."""
        for number in range(2 * tokens.KEPT + 5):
            self.journal.note(self.tx, f'{number}')
            if number == tokens.KEPT:
                self.fail_over()()
        self.assertEqual(number + 1, len(self.journal.records(self.tx)))

    def test_a_replica_without_the_last_commits(self):
        self.journal.request(self.tx, 'peer_is_dead', {'host': 'node11'})
        self.journal.verdict(self.tx, 'ABORT', 'dead')
        fail_over = self.fail_over()
        self.journal.withdraw(self.tx, 'ABORT', 'an operator')
        fail_over()
        # what would be done by the old verdict is recorded before, and is refused
        for write in (lambda: self.journal.intent(self.tx, 'host_device', 'disconnect_volume'),
                      lambda: self.journal.begin('m-2', 'source', 'i-2', HOST, 'node11'),
                      self.journal.check_writable,
                      lambda: self.journal.finish(self.tx)):
            error = self.assertRaises(exceptions.JournalRewound, write)
            self.assertNotIn(servers.PASSWORD, str(error))
        tx, = self.journal.list()
        self.assertEqual(('ABORT', 'open'), (tx.verdict, tx.state))
        self.assertEqual(['request', 'verdict'], [r.kind for r in self.journal.records(tx)])
        self.follow(error)
        again = self.started()
        again.check_writable()
        tx, = again.unsettled()
        self.assertEqual('HOLD', tx.verdict)
        self.assertEqual(set(), history.read(again.records(tx)).dead_hosts)

    def test_no_peer_is_told_what_an_old_server_says(self):
        """It would act on a verdict that was withdrawn, or on a migration that nobody knows."""
        told = endpoint.Endpoint(types.SimpleNamespace(
            host=HOST, journal=self.journal,
            attempts=types.SimpleNamespace(live=lambda _uuid: False), machine=lambda: '',
            evacuating=set(),
            engine=types.SimpleNamespace(
                history=lambda tx: history.read(self.journal.records(tx))),
            clients=types.SimpleNamespace(guests=types.SimpleNamespace(
                evidence=lambda _uuid: HostEvidence(HOST, GuestState.ABSENT, boot_id='b'))),
            # what it answers when it has read that all is done
            release=lambda uuid, _instance, _verdict: {
                'state': 'done' if self.journal.get(uuid) else 'refused', 'kept': {}}))
        tx = self.journal.begin(ASKED['uuid'], 'source', ASKED['instance_uuid'], HOST, 'node11')
        self.journal.verdict(tx, 'ABORT', 'dead')
        fail_over = self.fail_over()
        self.journal.withdraw(tx, 'ABORT', 'an operator')
        self.assertEqual('HOLD', told.describe(None, uuid=tx.uuid)['verdict'], 'the control')
        self.assertEqual('done', told.release(None, verdict='ABORT', **ASKED)['state'])
        fail_over()
        for answer in (lambda: told.describe(None, uuid=tx.uuid),
                       lambda: told.describe(None, uuid=UNHEARD_OF),
                       lambda: told.guest_evidence(None, **ASKED),
                       lambda: told.inspect(None, uuid=tx.uuid)):
            self.assertRaises(exceptions.JournalRewound, answer)
        found = told.release(None, verdict='ABORT', **ASKED)
        self.assertEqual('refused', found['state'])
        self.assertIn('db distrust', found['reason'])

    def test_a_ledger_without_the_last_commits(self):
        opened = self.ledger()
        opened.intend(THING, [PEER], 'mapping')
        fail_over = self.fail_over()
        opened.settle(THING, [PEER.key], 'mapped')
        fail_over()
        error = self.assertRaises(exceptions.JournalRewound, opened.intend, THING, [PEER],
                                  'unmapping')
        self.assertEqual(['mapping'], [row.state for row in opened.of(THING)
                                       if row.state != 'gone'])
        self.follow(error)
        again = self.ledger()
        self.assertEqual(['v-1'], [row.resource for row in again.due()])

    def test_no_connection_left(self):
        opened = self.ledger()
        for store in (self.journal._store, opened._store):
            store.engine.dispose()
        held = self.hold_all()
        try:
            for write in (self.journal.check_writable, self.started,
                          lambda: self.journal.begin('m-2', 'source', 'i-2', HOST, 'node11'),
                          lambda: opened.intend(THING, [PEER], 'mapping')):
                error = self.assertRaises(exceptions.JournalUnavailable, write)
                self.assertIn('no connection left', str(error))
                self.assertIn('raise max_connections', str(error))
                self.assertNotIn(servers.PASSWORD, str(error))
        finally:
            for one in held:
                one.close()
        self.retry(self.journal.check_writable)
        self.assertEqual(['m-1'], [tx.uuid for tx in self.journal.list()])
        self.assertEqual([], [row for row in opened.of(THING) if row.state != 'gone'])
        opened.intend(THING, [PEER], 'mapping')

    def hold_all(self):
        """Take connections until the server gives no more."""
        engine = sa.create_engine(self.first.url, poolclass=sa.NullPool)
        held = []
        while True:
            try:
                held.append(engine.connect())
            except sa.exc.OperationalError:
                self.assertGreater(len(held), 5)
                return held

    def retry(self, call):
        """A server takes a moment to notice that connections are closed."""
        for _ in range(1000):
            try:
                return call()
            except exceptions.JournalUnavailable as error:
                self.assertIn('no connection left', str(error))
        raise AssertionError('no connection comes back')


class TestMariaDB(Cases, oslo_base.BaseTestCase):
    """MariaDB."""

    server_class = servers.MariaDB
    environ = {'MYSQL_PWD': servers.PASSWORD}

    def of(self, program, server):
        return [servers.find(program, 'mariadb-client'), '--no-defaults', '-h127.0.0.1',
                f'-P{server.port}', '-umigsafe']

    def dump(self, server):
        return [*self.of('mariadb-dump', server), '--single-transaction', 'migsafe']

    def load(self, server):
        return [*self.of('mariadb', server), 'migsafe']


class TestPostgreSQL(Cases, oslo_base.BaseTestCase):
    """PostgreSQL."""

    server_class = servers.PostgreSQL
    environ = {'PGPASSWORD': servers.PASSWORD}

    def of(self, program, server):
        beside = os.path.dirname(server.binary)
        return [servers.find(program, 'postgresql-client', beside), '-h', '127.0.0.1',
                '-p', str(server.port), '-U', 'migsafe', 'migsafe']

    def dump(self, server):
        return self.of('pg_dump', server)

    def load(self, server):
        return [*self.of('psql', server), '-X', '-q', '-v', 'ON_ERROR_STOP=1']
