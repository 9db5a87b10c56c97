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
"""An audit on real database servers: nothing is written, and nothing moves while it reads."""

import sqlalchemy as sa
from oslotest import base

from migsafe.audit import activity, opening, report, scan
from migsafe.audit.readers import database, nova
from migsafe.tests import servers
from migsafe.tests.unit.audit import cloud


class Cases:
    """The tables of an audit, on a server."""

    kind = None

    def setUp(self):
        super().setUp()
        self.server = self.useFixture(self.kind())
        self.statements = []
        for table, columns in cloud.NEWEST.items():
            if self.kind is servers.PostgreSQL:
                columns = columns.replace('DATETIME', 'TIMESTAMP')
            self.statements.append(f'CREATE TABLE {table} ({columns})')
        no, yes = ('false', 'true') if self.kind is servers.PostgreSQL else ('0', '1')
        old, now = f"'{cloud.OLD}'", f"'{cloud.NOW}'"
        for number, host, deleted in ((1, 'node13', 0), (2, 'node13', 2)):
            self.statements.append(
                'INSERT INTO instances (id, uuid, host, vm_state, updated_at, hidden, deleted) '
                f"VALUES ({number}, 'vm{number}', '{host}', 'active', {old}, {no}, {deleted})")
        self.statements += [
            f"INSERT INTO services (id, host, updated_at, deleted) VALUES (1, 'x', {now}, 0)",
            'INSERT INTO block_device_mapping (id, instance_uuid, volume_id, attachment_id, '
            f"connection_info, updated_at, deleted) VALUES (1, 'vm1', 'v1', 'a1', "
            f"'{cloud.nova_info(cloud.iscsi(3))}', {old}, 0)",
            f"INSERT INTO volumes (id, multiattach, deleted) VALUES ('v1', {no}, {no}), "
            f"('v2', {yes}, {no})"]
        for uuid, vm, host, deleted in (('a1', 'vm1', 'node11', no), ('a2', 'vm2', 'node12', no),
                                        ('a3', 'vm2', 'node12', yes)):
            self.statements.append(
                'INSERT INTO volume_attachment (id, volume_id, instance_uuid, attach_status, '
                f"connector, connection_info, updated_at, deleted) VALUES ('{uuid}', "
                f"'v{vm[-1]}', '{vm}', 'attached', '{{\"host\": \"{host}\"}}', "
                f"'{cloud.cinder_info(cloud.iscsi(3))}', {old}, {deleted})")
        self.server.execute(*self.statements)
        self.url = sa.make_url(self.server.url)

    def test_findings(self):
        found = scan.audit(
            opening.Sources([self.url], self.url, self.url), report.Asked(), activity.Spans(),
            cloud.NOW, lambda _done, _total: None)
        self.assertEqual(
            [('R1', 'vm1'), ('R2', 'vm1'), ('R3', 'vm1'), ('R3', 'vm2')],
            [(one.rule, one.instance) for one in found.findings])
        self.assertFalse(found.failed, found.unseen)
        self.assertNotIn(servers.PASSWORD, repr(found))

        with database.opened(self.url) as snapshot:
            reader = nova.Nova(snapshot)
            self.assertEqual(1, reader.count())
            # The control: it is there for everybody else.
            self.server.execute('UPDATE instances SET deleted = 0')
            self.assertEqual([2], self.server.column('SELECT count(*) FROM instances '
                                                     'WHERE deleted = 0'))
            self.assertEqual(1, reader.count())
            error = self.assertRaises(
                sa.exc.DBAPIError, snapshot.connection.exec_driver_sql, 'DELETE FROM instances')
            self.assertRegex(str(error).lower(), 'read.only transaction')


class TestMariaDB(Cases, base.BaseTestCase):
    """MariaDB."""

    kind = servers.MariaDB


class TestPostgreSQL(Cases, base.BaseTestCase):
    """PostgreSQL."""

    kind = servers.PostgreSQL
