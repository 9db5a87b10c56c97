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
"""Rows that no service has written so, databases that lack something, and those that fail."""

import itertools
import json
import os
import sqlite3
from unittest import mock

import sqlalchemy as sa

from migsafe.audit import activity, address, opening, report, scan
from migsafe.audit.readers import cinder, database, neutron, nova, pages, placement
from migsafe.audit.rules import RULES
from migsafe.journal import errors
from migsafe.tests.unit.audit.cloud import (
    NOW,
    SECRET,
    CloudTestCase,
    cinder_info,
    iscsi,
    nova_info,
)

#: Each beside rows that are wrong in a way that has to be found all the same.
BAD = (
    None, '', '   ', '{', '{"driver_volume_type": "iscsi", "data": {"target_iq', 'null', '[]',
    '"text"', '7', '{}', '{"data": 3, "driver_volume_type": "iscsi"}',
    '{"driver_volume_type": null, "data": {}}', '{"driver_volume_type": 7, "data": {"a": 1}}',
    '{"driver_volume_type": "iscsi", "data": {"target_iqn": {}, "target_lun": []}}',
    '{"driver_volume_type": "iscsi", "data": {"target_iqns": 5, "target_luns": "x"}}',
    '{"driver_volume_type": "fibre_channel", "data": {"target_wwn": [null, 3]}}',
    '{"driver_volume_type": "nvmeof", "data": {"volume_replicas": [1, {}]}}',
    '{"driver_volume_type": "nvmeof", "data": {"volume_replicas": 3}}',
    '{"driver_volume_type": "rbd", "data": {"name": []}}',
    '{"driver_volume_type": "made-up", "data": {"x": 1}}',
    '{"driver_volume_type": "iscsi", "data": {}, "connector": []}',
    '{"driver_volume_type": "iscsi", "data": {}, "connector": {"host": 5}}',
    '[' * 5000, '\x00\ud800'.encode('utf-8', 'surrogatepass'), b'\xff\xfe{',
)


class TestRows(CloudTestCase):
    """What is in the columns."""

    def test_all_of_them_beside_what_is_wrong(self):
        cloud = self.cloud()
        cloud.instance()
        cloud.attached()
        for number, bad in enumerate(BAD):
            cloud.row(bad, f'bad-{number}', f'bad-{number}')
            cloud.attachment(f'bad-{number}', 'node13', bad, f'bad-{number}', connector=bad)
        cloud.attachment('left', 'node11', cinder_info(iscsi(3)))
        self.assertEqual([('R10', 'vol'), ('R3', 'vol')], self.found(cloud))

    def test_what_cannot_be_read_is_said(self):
        cloud = self.cloud()
        cloud.instance()
        cloud.row('{"driver_volume_type": "isc', 'v1')
        cloud.row(None, 'v2')
        cloud.attachment('broken', 'node13', '{"target', 'v3')
        unseen = ' '.join(self.audit(cloud).unseen)
        for words in ('1 rows have a connection_info that cannot be read', '1 (not JSON, or cut',
                      '1 rows of instances that have a host have no connection_info: 2.',
                      '1 attachments have a connection_info that cannot be read', 'broken'):
            self.assertIn(words, unseen)

    def test_any_value_at_any_key_that_is_read(self):
        """Of all kinds of JSON; what is read of it can be compared and told."""
        values = (None, True, 3, -1.5, 10 ** 40, '', 'x', [], [[]], [3], ['x', None], [{}], {},
                  {'host': 5})
        keys = ('target_iqn', 'target_lun', 'target_iqns', 'target_luns', 'target_wwn',
                'target_wwns', 'volume_replicas', 'target_nqn', 'nqn', 'vol_uuid',
                'volume_nguid', 'ns_id', 'name', 'export', 'device_path', 'connector', 'data')
        usual = {'target_iqn': 'a', 'target_lun': 1, 'target_wwn': ['b'], 'nqn': 'c',
                 'vol_uuid': 'd', 'name': 'e', 'export': 'f', 'device_path': 'g'}
        kinds = (*address._PARTS, 'made-up')
        for kind, key, value in itertools.product(kinds, keys, values):
            for data in (usual, {}):
                found = address.read(json.dumps({
                    'driver_volume_type': kind, 'data': {**data, key: value}, key: value}))
                self.assertIsInstance(address.words(found), str, (kind, key, value))
                self.assertIn(address.same(found, found), (True, None))

    def test_times_with_a_zone(self):
        """As converters of dumps write them; in each table, beside one that is wrong."""
        for text in ('2026-06-20T14:00:00Z', '2026-06-20 14:00:00+02:00',
                     '0001-01-01T00:00:00+05:00', '9999-12-31T23:00:00-05:00'):
            cloud = self.cloud()
            cloud.instance(updated_at=text)
            cloud.instance('other', updated_at=text, task_state='migrating')
            cloud.attached()
            cloud.migration('error', updated_at=text)
            cloud.insert('services', host='odd', updated_at=text, deleted=0)
            cloud.attachment('left', 'node11', cinder_info(iscsi(3)))
            self.assertEqual({('R10', 'vol'), ('R3', 'vol')},
                             set(self.found(cloud)) - {('R6', 'other')}, text)
        self.assertEqual(NOW, database.moment(f'{NOW.isoformat()}Z'))
        self.assertEqual(NOW, database.moment('2026-07-01 14:00:00+02:00'))

    def test_a_case_that_no_rule_can_judge(self):
        cloud = self.cloud()
        cloud.instance()
        cloud.attached()
        cloud.attachment('left', 'node11', cinder_info(iscsi(3)))
        cloud.instance('odd')
        judge = RULES['R12']

        def fail(case, clock):
            if case.instance.uuid == 'odd':
                raise TypeError('odd')
            return judge(case, clock)
        with mock.patch.dict(RULES, R12=fail):
            found = self.audit(cloud)
        self.assertEqual(['R10', 'R3'], [one.rule for one in found.findings])
        self.assertTrue(found.failed)
        self.assertIn('and were not judged: odd (TypeError).', ' '.join(found.unseen))

    def test_times_and_numbers_that_are_none(self):
        cloud = self.cloud()
        cloud.instance(updated_at='soon', power_state='on', hidden='no')
        cloud.connection.execute("UPDATE instances SET hidden = ''")
        cloud.attached(updated_at='0000-00-00 00:00:00')
        cloud.attachment('left', 'node11', cinder_info(iscsi(3)), updated_at='')
        cloud.migration('error', updated_at='yesterday')
        self.assertEqual([('R10', 'vol'), ('R3', 'vol')], self.found(cloud))

    def test_no_secret_is_shown(self):
        cloud = self.cloud()
        cloud.instance()
        cloud.volume()
        cloud.row(nova_info(iscsi(3)), attachment='there')
        cloud.attachment('there', 'node11', cinder_info(iscsi(3)))
        cloud.row(nova_info(iscsi(3))[:-20], 'cut')
        found = self.audit(cloud)
        self.assertTrue(found.findings)
        self.assertNotIn(SECRET, repr(found))


class TestDatabases(CloudTestCase):
    """What is not there, or goes away."""

    def ready(self, *without):
        """A cloud with something of each database to find."""
        cloud = self.cloud(*without)
        if not {'compute_nodes', 'resource_providers'} & set(without):
            for host in ('node11', 'node13'):
                cloud.node(host)
                cloud.allocation(host)
        cloud.instance()
        # the newest time of a cloud without services
        cloud.instance('other', updated_at=NOW)
        cloud.volume() if 'volumes' not in without else None
        cloud.row(nova_info(iscsi(3), host='node11'))
        return cloud

    def test_what_is_found_without_each_table(self):
        for table, rules in (
                ('migrations', {'R1', 'R3', 'R7', 'R10'}), ('services', {'R1', 'R3', 'R7', 'R10'}),
                ('volumes', {'R1', 'R3', 'R7', 'R10'}), ('compute_nodes', {'R1', 'R3', 'R10'}),
                ('volume_attachment', {'R1', 'R3', 'R7', 'R10'}),
                ('resource_providers', {'R1', 'R3', 'R10'}),
                ('instance_actions', {'R1', 'R3', 'R7', 'R10'})):
            found = self.audit(self.ready(table))
            self.assertEqual(rules, {one.rule for one in found.findings}, table)
            if table != 'instance_actions':
                self.assertIn(f'no table {table}', ' '.join(found.unseen))

    def test_what_no_audit_can_do_without(self):
        for table in ('instances', 'block_device_mapping'):
            error = self.assertRaises(database.Unreadable, self.audit, self.cloud(table))
            self.assertIn(f'it has no table {table}', str(error))

    def look(self, nova_url, cinder_url=None):
        return scan.audit(
            opening.Sources([nova_url], cinder_url), report.Asked(), activity.Spans(), NOW,
            lambda _done, _total: None)

    def test_a_server_that_is_down(self):
        down = sa.make_url('mysql+pymysql://nova:hush-word@127.0.0.1:1/nova')
        found = self.look(self.ready().url(), down)
        self.assertEqual({'R1', 'R3', 'R10'}, {one.rule for one in found.findings})
        self.assertTrue(found.failed)
        self.assertIn('127.0.0.1:1/nova cannot be read', ' '.join(found.unseen))
        self.assertNotIn('hush-word', ' '.join(found.unseen))
        error = self.assertRaises(database.Unreadable, self.look, down)
        self.assertNotIn('hush-word', str(error))

    def test_a_file_that_is_cut_short(self):
        cloud = self.ready()
        for number in range(300):
            cloud.attachment(f'more-{number}', 'node13', cinder_info(iscsi(1)), f'v{number}')
        cloud.connection.close()
        size = os.path.getsize(cloud.path)
        whole = self.audit(self.ready())
        with open(cloud.path, 'r+b') as handle:
            handle.truncate(size * 2 // 3)
        try:
            found = self.audit(cloud)
        except database.Unreadable as error:
            self.assertIn('cannot be read', str(error))
        else:
            self.assertTrue(found.failed)
        self.assertFalse(whole.failed)

    def test_a_cinder_that_fails_in_the_middle(self):
        cloud = self.ready()
        rows, calls = database.Snapshot.rows, []

        def fail(snapshot, query):
            if 'volume_attachment' in str(query):
                calls.append(query)
                raise database.Unreadable(label=snapshot.label + '-c', reason='gone away')
            return rows(snapshot, query)
        self.patch(database.Snapshot, 'rows', fail)
        self.patch(cinder.Cinder, 'label', 'x-c')
        self.patch(cinder.Cinder, '__init__', labelled(cinder.Cinder.__init__))
        found = self.audit(cloud)
        self.assertTrue(calls)
        self.assertTrue(found.failed)
        self.assertEqual({'R1', 'R3', 'R7', 'R10'}, {one.rule for one in found.findings})
        self.assertIn('gone away', ' '.join(found.unseen))

    def test_a_nova_that_fails_in_the_middle(self):
        cloud = self.ready()
        for number in range(3):
            cloud.instance(f'more-{number}')
        read = nova.Nova.instances

        def some(self, only=None, after=None):
            for page in read(self, only, after):
                if only is None:
                    yield page[:2]
                    raise database.Unreadable(label='nova', reason='gone away')
                yield page
        self.patch(nova.Nova, 'instances', some)
        found = self.audit(cloud)
        self.assertTrue(found.failed)
        self.assertEqual({'R1', 'R3', 'R7', 'R10'}, {one.rule for one in found.findings})
        self.assertIn('Everything after 2 of 5 instances: nova cannot be read: gone away',
                      found.unseen)

    def test_a_cell_that_fails_in_the_middle(self):
        first, second = self.ready(), self.cloud()
        second.instance('elsewhere', 'node21')
        first.attachment('b', 'node22', cinder_info(iscsi(2)), 'v2', instance_uuid='elsewhere')
        read = nova.Nova.instances

        def instances(reader, only=None, after=None):
            if reader.label == errors.label(first.url()):
                raise database.Unreadable(label=reader.label, reason='gone away')
            yield from read(reader, only, after)
        self.patch(nova.Nova, 'instances', instances)
        found = self.audit(first, second)
        self.assertEqual(([('R3', 'v2')], True), ([
            (one.rule, one.volume) for one in found.findings], found.failed))
        self.assertIn('The rest of a cell of Nova', ' '.join(found.unseen))

    def test_a_cell_that_is_gone_when_it_is_to_be_looked_at_again(self):
        """What was found in it has not gone; in the other cell something has."""
        first, second = self.ready(), self.cloud()
        second.instance('elsewhere', 'node21')
        for volume in ('v2', 'v3'):
            first.attachment(f'of-{volume}', 'node22', cinder_info(iscsi(2)), volume,
                             instance_uuid='elsewhere')
        opened, looks = database.opened, []

        def again(url):
            if url == second.url():
                looks.append(url)
                if len(looks) == 2:
                    raise database.Unreadable(label='second', reason='gone away')
            return opened(url)
        self.patch(database, 'opened', again)
        found = self.audit(first, second, placement=False)
        self.assertEqual((['R1', 'R10', 'R3'], 0, True), (
            [one.rule for one in found.findings], found.doubts, found.failed))
        self.assertIn('2 findings of R3, which could not be looked at again: what they go by '
                      'could not be read any more.', found.unseen)

    def test_a_placement_or_neutron_that_fails_in_the_middle(self):
        for kind, name, method in ((placement.Placement, 'Placement', 'allocations'),
                                   (neutron.Neutron, 'Neutron', 'bindings')):
            with mock.patch.object(kind, method, side_effect=database.Unreadable(
                    label='x', reason='gone away')):
                found = self.audit(self.ready())
            self.assertTrue(found.failed)
            self.assertEqual({'R1', 'R3', 'R10'}, {one.rule for one in found.findings} - {'R7'})
            self.assertIn(f'The rest of {name}: x cannot be read: gone away', found.unseen)

    def test_a_cinder_that_is_gone_when_it_is_to_be_looked_at_again(self):
        cloud = self.ready()
        with mock.patch.object(cinder.Cinder, 'of', side_effect=database.Unreadable(
                label=errors.label(cloud.url()), reason='gone away')) as asked:
            found = self.audit(cloud)
        self.assertTrue(asked.called)
        self.assertTrue(found.failed)
        self.assertEqual({'R1', 'R3', 'R7', 'R10'}, {one.rule for one in found.findings})
        self.assertIn('Cinder, which was to be looked at again', ' '.join(found.unseen))

    def test_a_cinder_that_is_read_page_by_page_while_others_write(self):
        """However slow it is: what has changed since its snapshot is looked at again."""
        self.patch(pages, 'SIZE', 2)
        cloud = self.ready()
        cloud.connection.execute('PRAGMA journal_mode = WAL')
        for number in range(6):
            cloud.attachment(f'a-{number}', 'node11', cinder_info(iscsi(number)), f'v-{number}')
        rows, read = database.Snapshot.rows, []

        def slow(snapshot, query):
            if 'volume_attachment' in str(query):
                read.append(query)
                if len(read) <= 3:
                    cloud.connection.execute('UPDATE volume_attachment SET deleted = 1 '
                                             'WHERE id = ?', (f'a-{len(read)}',))
                    cloud.connection.commit()
            return rows(snapshot, query)
        self.patch(database.Snapshot, 'rows', slow)
        found = self.audit(cloud)
        self.assertGreater(len(read), 4)
        self.assertEqual({'vol', 'v-0', 'v-4', 'v-5'}, {
            one.volume for one in found.findings if one.rule == 'R3'})
        self.assertGreaterEqual(found.doubts, 3)

    def test_what_is_gone_when_it_is_looked_at_again(self):
        cloud = self.ready()
        begun = scan.opening.look
        looks = []

        def look(*args):
            looks.append(1)
            if len(looks) == 2:
                cloud.connection.execute('UPDATE block_device_mapping SET connection_info = ?',
                                         (nova_info(iscsi(3), host='node13'),))
                cloud.connection.commit()
            return begun(*args)
        self.patch(scan.opening, 'look', look)
        found = self.audit(cloud, placement=False)
        self.assertEqual(([], 3), (found.findings, found.doubts))

    def test_nothing_is_written(self):
        cloud = self.ready()
        with open(cloud.path, 'rb') as handle:
            before = handle.read()
        self.audit(cloud)
        with open(cloud.path, 'rb') as handle:
            self.assertEqual(before, handle.read())
        with database.opened(cloud.url()) as snapshot:
            error = self.assertRaises(sa.exc.OperationalError, snapshot.connection.exec_driver_sql,
                                      'DELETE FROM instances')
            self.assertIn('readonly', str(error))

    def test_one_snapshot(self):
        cloud = self.ready()
        cloud.connection.execute('PRAGMA journal_mode = WAL')
        with database.opened(cloud.url()) as snapshot:
            reader = nova.Nova(snapshot)
            self.assertEqual(2, reader.count())
            cloud.instance('later')
            self.assertEqual(2, reader.count())
        with database.opened(cloud.url()) as snapshot:
            self.assertEqual(3, nova.Nova(snapshot).count())


def labelled(init):
    """A database of Cinder with a name of its own."""
    def made(self, snapshot):
        init(self, snapshot)
        self.label = snapshot.label + '-c'
    return made


class TestPages(CloudTestCase):
    """More rows than a page has."""

    def test_all_of_them(self):
        cloud = self.cloud()
        count = 2500
        cloud.connection.executemany(
            "INSERT INTO instances (uuid, host, vm_state, updated_at, deleted) "
            "VALUES (?, 'node13', 'active', '2020-01-01 00:00:00', 0)",
            [(f'vm-{number}',) for number in range(count)])
        cloud.connection.executemany(
            'INSERT INTO block_device_mapping (instance_uuid, volume_id, attachment_id, '
            "connection_info, updated_at, deleted) VALUES (?, ?, ?, ?, '2020-01-01 00:00:00', 0)",
            [(f'vm-{number}', f'v-{number}', f'a-{number}', nova_info(iscsi(number)))
             for number in range(count)])
        cloud.connection.executemany(
            'INSERT INTO volume_attachment (id, volume_id, instance_uuid, attach_status, '
            'connector, connection_info, updated_at, deleted) '
            "VALUES (?, ?, ?, 'attached', ?, ?, '2020-01-01 00:00:00', 0)",
            [(f'a-{number}', f'v-{number}', f'vm-{number}',
              json.dumps({'host': 'node11' if number % 1000 == 999 else 'node13'}),
              cinder_info(iscsi(number))) for number in range(count)])
        cloud.connection.commit()
        found = self.audit(cloud)
        self.assertEqual((count, count, count), tuple(
            found.counts[name] for name in ('instances', 'rows', 'attachments')))
        self.assertEqual({('R1', 'v-999'), ('R2', 'v-999'), ('R3', 'v-999'), ('R1', 'v-1999'),
                          ('R2', 'v-1999'), ('R3', 'v-1999')},
                         {(one.rule, one.volume) for one in found.findings})


class TestSqlite(CloudTestCase):
    """Files of SQLite in odd places."""

    def test_a_name_with_marks_of_a_url(self):
        cloud = self.cloud()
        cloud.instance()
        odd = os.path.join(os.path.dirname(cloud.path), 'a?b#c%20 d.sqlite')
        with sqlite3.connect(odd) as copy:
            cloud.connection.backup(copy)
        copy.close()
        found = self.look_at(odd)
        self.assertEqual(1, found.counts['instances'])

    def look_at(self, path):
        return scan.audit(
            opening.Sources([sa.URL.create('sqlite', database=path)]), report.Asked(),
            activity.Spans(), NOW, lambda _done, _total: None)
