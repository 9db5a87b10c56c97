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
"""An audit with Cinder's API in place of its database; migsafe/tests/cinder has the real one."""

import json
import sqlite3

from migsafe.audit import activity, opening, report, scan
from migsafe.audit.readers import cinder_api, database
from migsafe.tests.unit.audit.cloud import NOW, CloudTestCase, cinder_info, iscsi, nova_info

#: Rows of a page.
SIZE = 2


class Api:
    """Answers as Cinder does, out of the rows of a cloud.

    :ivar fail: (path, number of a page) that is not answered
    """

    def __init__(self, cloud, hosts=True):
        self.cloud, self.hosts, self.fail, self.asked = cloud, hosts, None, []

    def __call__(self, path, query):
        self.asked.append(path)
        if self.fail and self.fail == (path, self.asked.count(path)):
            raise database.Unreadable(label=cinder_api.LABEL, reason='gone away')
        if path == '/os-services':
            return {'services': []}
        table, key, made = {'/volumes/detail': ('volumes', 'volumes', self._volume),
                            '/attachments/detail': ('volume_attachment', 'attachments', _held)}[
            path]
        rows = [made(one) for one in self._rows(table)]
        names = [one['id'] for one in rows]
        marker = query.get('marker')
        if marker and marker not in names:
            return None
        begin = names.index(marker) + 1 if marker else 0
        return {key: rows[begin:begin + SIZE]}

    def _rows(self, table, condition='1'):
        self.cloud.connection.row_factory = sqlite3.Row
        return self.cloud.connection.execute(
            f'SELECT * FROM {table} WHERE deleted = 0 AND {condition} ORDER BY id').fetchall()

    def _volume(self, one):
        return {'id': one['id'], 'status': one['status'], 'multiattach': bool(one['multiattach']),
                'migration_status': one['migration_status'], 'updated_at': one['updated_at'],
                'attachments': [
                    {'attachment_id': held['id'],
                     'host_name': held['attached_host'] if self.hosts else None}
                    for held in self._rows('volume_attachment', "attach_status = 'attached' "
                                           f"AND volume_id = '{one['id']}'")]}


def _held(one):
    return {'id': one['id'], 'volume_id': one['volume_id'], 'instance': one['instance_uuid'],
            'status': one['attach_status'], 'attach_mode': one['attach_mode'],
            'attached_at': '', 'connection_info': json.loads(one['connection_info'] or '{}')}


class TestCinderApi(CloudTestCase):
    """Three instances, of which one has a row that leads elsewhere."""

    def setUp(self):
        super().setUp()
        self.made = self.cloud()
        for uuid in ('vm', 'vm2', 'vm3'):
            self.made.instance(uuid)
            self.made.attached(volume=f'of-{uuid}', attachment=f'att-{uuid}', instance_uuid=uuid)
        self.made.volume()
        self.made.row(nova_info(iscsi(3)), attachment='there')
        self.made.attachment('there', 'node11', cinder_info(iscsi(3)))
        self.api = Api(self.made)

    def look(self, **asked):
        url = self.made.url()
        return scan.audit(opening.Sources([url], cinder_api=lambda: cinder_api.CinderApi(
            self.api)), report.Asked(**asked), activity.Spans(), NOW, lambda _done, _total: None)

    def rules(self, found):
        return [(one.rule, one.volume) for one in found.findings]

    def test_the_same_as_by_the_database(self):
        found = self.look()
        self.assertEqual(self.found(self.made), self.rules(found))
        self.assertEqual([('R1', 'vol'), ('R2', 'vol'), ('R3', 'vol')], self.rules(found))
        self.assertFalse(found.failed)
        self.assertEqual(4, found.counts['attachments'])
        self.assertIn("Cinder: Cinder's API", found.sources)
        self.assertEqual([('R3', 'vol')], self.rules(self.look(rules=['R3'], volumes=['vol'])))

    def test_what_is_not_complete_is_not_judged(self):
        self.made.connection.execute(
            "UPDATE volume_attachment SET attach_status = 'attaching' WHERE id = 'there'")
        self.made.connection.commit()
        found = self.look()
        self.assertEqual([], self.rules(found))
        self.assertIn('never completed', ' '.join(found.unseen))

    def test_it_fails_in_the_middle(self):
        for path, page in (('/os-services', 1), ('/volumes/detail', 1), ('/volumes/detail', 2),
                           ('/attachments/detail', 1), ('/attachments/detail', 2)):
            self.api.asked.clear()
            self.api.fail = (path, page)
            found = self.look()
            self.assertEqual(page, self.api.asked.count(path), path)
            self.assertEqual([], self.rules(found))
            self.assertTrue(found.failed)
            self.assertIn('gone away', ' '.join(found.unseen))
        self.assertIn(f'after {SIZE} attachments', ' '.join(found.unseen))

    def test_it_fails_in_the_second_look(self):
        self.api.fail = ('/attachments/detail', 5)
        found = self.look()
        self.assertGreaterEqual(self.api.asked.count('/attachments/detail'), 5)
        self.assertTrue(found.failed)
        self.assertEqual([], self.rules(found))
        self.assertIn('Cinder, which was to be looked at again', ' '.join(found.unseen))

    def test_it_shows_no_hosts(self):
        self.api.hosts = False
        found = self.look()
        self.assertEqual([], self.rules(found))
        self.assertIn('does not tell this account the host', ' '.join(found.unseen))

    def test_answers_that_are_none(self):
        for body in ({}, {'volumes': 'x'}, {'volumes': [1]}, {'volumes': [{}]},
                     {'volumes': [{'id': 'v', 'attachments': 7}]},
                     {'volumes': [{'id': 'v', 'updated_at': 7, 'status': []}] * 2}):
            self.api.__class__ = type('Other', (Api,), {
                '__call__': lambda _self, path, _query, body=body: body})
            found = self.look()
            self.assertTrue(found.failed, body)
            self.assertEqual([], self.rules(found))
