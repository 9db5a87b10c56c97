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
"""A journal moves from its file to a server and back, step by step as the backup page says."""

import contextlib
import io
import os
import pathlib
import subprocess
import tempfile

from oslotest import base as oslo_base

from migsafe import journal
from migsafe.cli import keeping, manage
from migsafe.tests import servers
from migsafe.tests.unit.journal import base
from migsafe.transaction import history

HOST, OTHER = 'node13', 'node11'
CONF = """[DEFAULT]
host = {host}
[migsafe]
state_path = {state}
{connection}
"""


class Cases:
    """From a file to a server that another host uses too, and back."""

    server_class = None

    def setUp(self):
        super().setUp()
        self.server = self.useFixture(self.server_class())
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.top = pathlib.Path(directory.name)
        self.state = str(self.top / 'state')
        self.where('file')
        with self.started() as opened:
            self.settled = opened.begin('m-1', 'source', 'i-1', HOST, OTHER)
            intent = opened.intent(self.settled, 'volume_connection', 'attachment_create', 'v-1')
            opened.note(self.settled, '\U0001f600 between')
            opened.outcome(self.settled, intent, 'ok', {'attachment_id': 'a-1'})
            opened.finish(self.settled, verdict='COMMIT')
            self.tx = opened.begin('m-2', 'destination', 'i-2', OTHER, HOST, captures=[
                ('volume_connection', 'v-2', base.CONNECTION)])
            for volume in ('v-2', 'v-3'):
                opened.intent(self.tx, 'volume_connection', 'connect_volume', volume,
                              base.CONNECTION)
            opened.request(self.tx, 'peer_is_dead', {'host': OTHER})
            opened.verdict(self.tx, 'ABORT', 'dead')
            opened.set_findings('R9', {('i-2', 'v-2'): 'another disk'})

    def where(self, place, host=HOST):
        """Set [migsafe] connection, or unset it."""
        url = self.server.url if place == 'server' else None
        self.conf = base.make_conf(self.state, **({'connection': url} if url else {}))
        (self.top / 'nova.conf').write_text(CONF.format(
            host=host, state=self.state, connection=f'connection = {url}' if url else ''))

    @contextlib.contextmanager
    def started(self, host=HOST):
        """What a service does when it starts."""
        with contextlib.closing(journal.open_journal(self.conf, host)) as opened:
            opened.check_writable()
            yield opened

    def manage(self, *args):
        with contextlib.redirect_stdout(io.StringIO()) as out, \
                contextlib.redirect_stderr(out):
            code = manage.main(['--config-file', str(self.top / 'nova.conf'), 'db', *args])
        self.assertNotIn(servers.PASSWORD, out.getvalue())
        return code, out.getvalue()

    def done(self, *args):
        code, said = self.manage(*args)
        self.assertEqual(0, code, said)
        return said

    def copy(self, name):
        return str(self.top / name)

    def content(self, opened):
        """All that a journal has of this host, but for ids and what a restoration adds."""
        found = {}
        for tx in opened.list():
            lines = opened.records(tx)
            named = {line.id: (line.effect, line.key) for line in lines}
            found[tx.uuid, tx.role] = (
                tx.instance_uuid, tx.source_host, tx.dest_host, tx.state, tx.created_at,
                [(line.kind, line.effect, line.key, line.status, line.payload, line.created_at,
                  named.get(line.ref), line.text)
                 for line in lines if line.effect != history.RESTORED
                 and keeping.REASON not in line.text])
        return found, [(one.kind, one.key, one.text) for one in opened.findings()]

    def assertThere(self, before):
        """All is there, and nothing that was decided or said counts for more than evidence."""
        with self.started() as opened:
            self.assertEqual(before, self.content(opened))
            self.assertEqual('COMMIT', opened.get('m-1').verdict)
            tx, = opened.unsettled()
            self.assertEqual(('m-2', 'HOLD'), (tx.uuid, tx.verdict))
            read = history.read(opened.records(tx))
            self.assertEqual(set(), read.dead_hosts)
            self.assertEqual({'v-2', 'v-3'}, set(read.connections))
            self.assertEqual({'a-1'}, set(history.read(
                opened.records(opened.get('m-1'))).attachments['v-1']))

    def test_there_and_back_and_there_again(self):
        with self.started() as opened:
            before = self.content(opened)
        self.where('server', OTHER)
        self.done('sync')
        with self.started(OTHER) as other:
            other.begin('m-9', 'source', 'i-9', OTHER, HOST)
            theirs = other.list()
        # to the server
        self.where('file')
        self.done('backup', self.copy('one'))
        self.where('server')
        self.done('sync')
        self.done('restore', self.copy('one'))
        self.assertThere(before)
        # nothing is overwritten
        code, said = self.manage('restore', self.copy('one'))
        self.assertEqual((1, True), (code, f'2 transactions of {HOST}' in said), said)
        delete = said[said.index('DELETE FROM'):].strip()
        # and back
        self.done('backup', self.copy('two'))
        self.where('file')
        code, said = self.manage('restore', self.copy('two'))
        self.assertEqual(1, code, said)
        subprocess.run(['sh', '-euc', said[said.index('for s in'):]], check=True)
        self.done('restore', self.copy('two'))
        self.assertThere(before)
        # and there again, as the message says
        self.where('server')
        self.server.execute(delete)
        self.done('restore', self.copy('two'))
        self.assertThere(before)
        with self.started(OTHER) as other:
            self.assertEqual(theirs, other.list())
        self.assertEqual([], [name for name in os.listdir(self.top) if 'new' in name])

    def test_what_is_refused_changes_nothing(self):
        self.done('backup', self.copy('one'))
        self.where('server')
        code, said = self.manage('restore', self.copy('one'))
        self.assertEqual((1, True), (code, 'db sync' in said), said)
        self.done('sync')
        self.where('server', OTHER)
        code, said = self.manage('restore', self.copy('one'))
        self.assertEqual((1, True), (code, f'but of {HOST}' in said), said)
        self.where('server')
        self.server.execute(self.refuse)
        code, said = self.manage('restore', self.copy('one'))
        self.assertEqual(1, code, said)
        self.assertEqual([0], self.server.column('SELECT count(*) FROM migsafe_transactions'))
        self.server.execute('ALTER TABLE migsafe_findings DROP CONSTRAINT never')
        self.done('restore', self.copy('one'))


class TestMariaDB(Cases, oslo_base.BaseTestCase):
    """MariaDB."""

    server_class = servers.MariaDB
    #: the last row of a copy does not get in
    refuse = "ALTER TABLE migsafe_findings ADD CONSTRAINT never CHECK (kind <> 'R9')"


class TestPostgreSQL(Cases, oslo_base.BaseTestCase):
    """PostgreSQL."""

    server_class = servers.PostgreSQL
    refuse = TestMariaDB.refuse
