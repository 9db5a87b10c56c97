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
"""A lock of an instance on real database servers, against one that comes at the same moment."""

import sqlalchemy as sa
from oslotest import base

from migsafe.repair import locks, writing
from migsafe.tests import servers
from migsafe.tests.unit.audit import cloud

UUID = 'vm'


class Cases:
    """One instance, and somebody who locks it when a repair is about to."""

    kind = None

    def setUp(self):
        super().setUp()
        server = self.useFixture(self.kind())
        columns = cloud.NEWEST['instances'] + ', locked BOOLEAN, locked_by VARCHAR(255)'
        number, no = 'INTEGER PRIMARY KEY AUTO_INCREMENT', '0'
        if self.kind is servers.PostgreSQL:
            columns, number, no = columns.replace('DATETIME', 'TIMESTAMP'), 'SERIAL', 'false'
        server.execute(
            f'CREATE TABLE instances ({columns})',
            f'CREATE TABLE instance_system_metadata (id {number}, instance_uuid VARCHAR(36), '
            'created_at TIMESTAMP NULL, deleted INTEGER, value VARCHAR(255), '
            + ('"key"' if self.kind is servers.PostgreSQL else '`key`') + ' VARCHAR(255))',
            "INSERT INTO instances (id, uuid, vm_state, deleted, locked) VALUES "
            f"(1, '{UUID}', 'active', 0, {no})")
        self.server, self.url, self.late = server, sa.make_url(server.url), None
        sa.event.listen(sa.Engine, 'before_cursor_execute', self.statement)
        self.addCleanup(sa.event.remove, sa.Engine, 'before_cursor_execute', self.statement)

    def statement(self, _connection, _cursor, text, *_more):
        """What comes right before the row is one's own."""
        if self.late and 'FOR UPDATE' in text:
            late, self.late = self.late, None
            self.server.execute(late)

    def locked(self):
        """(locked, by whom)"""
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            found = connection.execute(sa.text('SELECT locked, locked_by FROM instances')).one()
        return bool(found.locked), found.locked_by

    def take_and_give_back(self):
        """What a repair does; how it is in between."""
        with writing.changing(self.url) as snapshot:
            locks.take(snapshot, UUID, 'tx')
        between = self.locked()
        with writing.changing(self.url) as snapshot:
            locks.give_back(snapshot, UUID, 'tx')
        return between

    def test_the_control(self):
        self.assertEqual((True, 'admin'), self.take_and_give_back())
        self.assertEqual((False, None), self.locked())

    def test_its_owner_locks_it_at_the_same_moment(self):
        self.late = "UPDATE instances SET locked = true, locked_by = 'owner'"
        self.assertEqual((True, 'owner'), self.take_and_give_back())
        self.assertIsNone(self.late)
        self.assertEqual((True, 'owner'), self.locked())

    def test_an_operation_begins_at_the_same_moment(self):
        self.late = "UPDATE instances SET task_state = 'rebooting'"
        self.assertRaises(locks.Undecided, self.take_and_give_back)
        self.assertEqual((False, None), self.locked())


class TestMariaDB(Cases, base.BaseTestCase):
    kind = servers.MariaDB


class TestPostgreSQL(Cases, base.BaseTestCase):
    kind = servers.PostgreSQL
