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
"""``migsafe repair``: incident 000, with what its hosts say over a message bus."""

import json
import os
import pathlib
import sqlite3
from unittest import mock

import oslo_messaging
from oslo_config import cfg
from oslo_utils import importutils

import migsafe
from migsafe.cli import bus
from migsafe.journal import opening
from migsafe.nova.bus import endpoint
from migsafe.repair import transaction
from migsafe.tests.unit.audit import cloud
from migsafe.tests.unit.cli import base

VM = '66009d94-114f-4062-99b0-000000000000'
TARGET = 'iqn.1992-08.com.netapp:sn.5a7alde1aeb11e79f8600a098ac0ce9:vs.11'
ROOT, DATA = 'e0c8da7e-baff-4530-a512-a67f71018e3f', '3de94ee8-30b8-4faf-82eb-24e1df144337'
BEFORE = cloud.INCIDENT.with_name('incident-000-before.sql')


def facts(host, luns):
    """What a host says; without LUNs it has no such guest.

    :param luns: volume -> the LUN that its guest has open
    """
    return {
        'evidence': {'host': host, 'guest': 'here' if luns else 'absent', 'job': False,
                     'boot_id': 'b', 'detail': '', 'rebooted': None},
        'power': 1 if luns else None, 'unsettled': False, 'waiting': False, 'devices': [],
        'connector': {'host': host, 'initiator': f'iqn.1994-05.com.redhat:{host}'},
        'disks': [{'volume': volume, 'leads': [[TARGET, str(lun)]],
                   'path': f'/dev/disk/by-path/ip-172.24.3.101:3260-iscsi-{TARGET}-lun-{lun}'}
                  for volume, lun in luns.items()]}


class RepairTestCase(base.CommandTestCase):
    """The database is a file; the bus and the endpoint are real, what the endpoint reads is not.
    """

    instance = VM

    def setUp(self):
        super().setUp()
        self.database = os.path.join(os.path.dirname(self.state), '000.sqlite')
        for text in (cloud.INCIDENT, BEFORE):
            with sqlite3.connect(self.database) as made:
                made.executescript(text.read_text(encoding='utf-8'))
            made.close()
        with open(self.nova_conf, 'w') as handle:
            handle.write('[DEFAULT]\nhost = controller\ntransport_url = fake:/\n[migsafe]\n'
                         f'rpc_timeout = 60\nstate_path = {self.state}\n')
        self.said = {host: facts(host, {}) for host in (
            'node1', 'node2', 'node3', 'node11', 'node18')}
        self.said['node13'] = facts('node13', {ROOT: 5, DATA: 6})
        for host in self.said:
            self.serve(host)
        self.both = ('--nova-database', self.database, '--cinder-database', self.database)

    def serve(self, host):
        """Start the endpoint of a host."""
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[], default_config_dirs=[])
        for module, group in bus.GLOBAL:
            conf.register_opts(getattr(importutils.try_import(module), group, []), group=group)
        participant = mock.Mock(host=host)
        participant.guest_facts = lambda uuid, leads: (
            self.facts_of(host) if uuid == self.instance else {})
        server = oslo_messaging.get_rpc_server(
            oslo_messaging.get_rpc_transport(conf, url='fake:/'),
            oslo_messaging.Target(topic='compute', server=host),
            [endpoint.Endpoint(participant)], executor='threading')
        server.start()
        self.addCleanup(server.wait)
        self.addCleanup(server.stop)

    def facts_of(self, host):
        """What a host says."""
        return self.said[host]


class TestRepair(RepairTestCase):
    """Of incident 000."""

    def luns(self):
        """Volume -> (LUN, host of the connector), by the rows."""
        with sqlite3.connect(self.database) as made:
            found = made.execute('SELECT volume_id, connection_info FROM block_device_mapping')
            infos = {volume: json.loads(text) for volume, text in found}
        made.close()
        return {volume: (info['data']['target_lun'], info['connector']['host'])
                for volume, info in infos.items()}

    def test_incident_000_to_clean_as_the_documentation_shows_it(self):
        root = pathlib.Path(migsafe.__file__).parent.parent
        page = (root / 'doc' / 'source' / 'admin' / 'repair-incident-000.inc').read_text()
        shown = [line.strip() for line in page.splitlines()]
        for args, code in ((('audit', *self.both, '-c', 'Rule', '-c', 'Hosts', '-c', 'Volume'), 3),
                           (('repair', *self.both, '--apply', '-f', 'json'), 3)):
            found, out, err = self.run_command(*args)
            self.assertEqual(code, found, err)
            for line in (*out.splitlines(), *err.splitlines()):
                if not line.startswith('Read in '):
                    self.assertIn(line.strip(), shown)
        self.assertEqual({ROOT: (5, 'node13'), DATA: (6, 'node13')}, self.luns())
        self.assertEqual([], self.rows('audit', *self.both))

    def test_what_only_the_row_said_is_not_told_as_mended(self):
        """The array may have the export, and no later audit of the records can know of it."""
        rows = self.rows('repair', *self.both, '--apply', code=3)
        self.assertEqual([('repaired', 'R1, R10'), ('left', 'R3'), ('left', 'R3')],
                         [(row['Result'], row['Rules']) for row in rows])
        self.assertIn('Ask the array whether it still gives the volume to node11 as LUN 3 of',
                      str(rows))

    def test_a_disk_is_left_on_the_other_host(self):
        self.said['node11']['devices'] = ['sdq']
        rows = self.rows('repair', *self.both, '--apply', code=3)
        self.assertEqual([('repaired', 'R1'), *[('left', rule) for rule in (
            'R3', 'R3', 'R10', 'R10')]], [(row['Result'], row['Rules']) for row in rows])
        self.assertIn('node11 has sdq, which leads there', rows[-1]['What'])

    def test_a_plan_changes_nothing(self):
        before = pathlib.Path(self.database).read_bytes()
        rows = self.rows('repair', *self.both, code=3)
        self.assertEqual([('planned', 'R1, R10'), ('left', 'R3'), ('left', 'R3')], [
            (row['Result'], row['Rules']) for row in rows])
        self.assertIn('what the guest on node13 has open: LUN 6 of', rows[0]['What'])
        self.assertEqual(before, pathlib.Path(self.database).read_bytes())

    def test_a_guest_that_was_started_with_the_wrong_disks(self):
        """Eleven days later: it has open what the rows say, and that is somebody else's."""
        self.said['node13'] = facts('node13', {ROOT: 3, DATA: 4})
        rows = self.rows('repair', *self.both, '--apply', code=3)
        self.assertEqual({'left'}, {row['Result'] for row in rows})
        self.assertIn('it may be the disk of somebody else. Stop it at once', rows[0]['What'])
        self.assertEqual({ROOT: (3, 'node11'), DATA: (4, 'node11')}, self.luns())

    def test_what_hosts_may_say_that_forbids_it(self):
        two = facts('node11', {ROOT: 3, DATA: 4})
        moving = facts('node13', {ROOT: 5, DATA: 6})
        moving['evidence'] = moving['evidence'] | {'job': True}
        for host, said, words in (
                ('node11', two, 'runs on node11 and node13 at once'),
                ('node11', {}, 'node11 has not said what it has of the guest'),
                ('node11', facts('node12', {}), 'node11 has not said'),
                ('node11', facts('node11', {}) | {'unsettled': True}, 'has an open transaction'),
                ('node13', moving, 'migration of the guest is under way on node13'),
                ('node13', facts('node13', {}), 'The guest runs nowhere'),
                ('node13', facts('node13', {ROOT: 5}), 'does not say which disk'),
                ('node13', facts('node13', {ROOT: 5, DATA: 6}) | {'connector': {}},
                 'no record has the rest')):
            with mock.patch.dict(self.said, {host: said}):
                rows = self.rows('repair', *self.both, '--apply', '--volume', DATA, code=3)
            self.assertIn(words, str([row['What'] for row in rows]), words)
            self.assertEqual((4, 'node11'), self.luns()[DATA], words)

    def test_a_limit(self):
        rows = self.rows('repair', *self.both, '--apply', '--limit', '1', code=3)
        self.assertEqual(['beyond --limit', 'left', 'left'], [row['Result'] for row in rows])
        self.assertEqual((3, 'node11'), self.luns()[ROOT])
        code, _out, err = self.run_command('repair', *self.both, '--limit', '-1')
        self.assertEqual((127, '--limit: it is less than none\n'), (code, err))

    def test_a_bare_copy_is_planned_for_alone(self):
        with open(self.nova_conf, 'w') as handle:
            handle.write(f'[DEFAULT]\nhost = c\n[migsafe]\nstate_path = {self.state}\n')
        rows = self.rows('repair', *self.both, code=3)
        self.assertEqual({'left'}, {row['Result'] for row in rows})
        self.assertIn('it was not asked', rows[0]['What'])

    def test_one_that_was_killed_is_ended_first(self):
        """It was killed with the instance locked, and before it wrote."""
        with mock.patch.object(transaction.Repair, '_write', side_effect=KeyboardInterrupt), \
                mock.patch.object(transaction.Repair, '_end'):
            self.assertEqual(130, self.run_command('repair', *self.both, '--apply')[0])
        self.assertEqual(1, self.locked())
        rows = self.rows('repair', *self.both, '--apply', code=3)
        self.assertEqual(['recovered', 'repaired', 'left', 'left'],
                         [row['Result'] for row in rows])
        self.assertIn('killed before anything was written', rows[0]['What'])
        self.assertEqual(0, self.locked())
        journal = opening.open_journal(self.conf, 'repair@controller')
        self.addCleanup(journal.close)
        self.assertEqual([], journal.unsettled())

    def test_one_that_was_killed_and_cannot_be_ended(self):
        """Its database has another name now, or somebody has changed what it was to change."""
        with mock.patch.object(transaction.Repair, '_write', side_effect=KeyboardInterrupt), \
                mock.patch.object(transaction.Repair, '_end'):
            self.assertEqual(130, self.run_command('repair', *self.both, '--apply')[0])
        other = os.path.join(os.path.dirname(self.database), 'other.sqlite')
        os.symlink(self.database, other)
        rows = self.rows('repair', '--nova-database', other, '--apply', '--rule', 'R6', code=3)
        self.assertEqual(['left'], [row['Result'] for row in rows])
        self.assertIn('was not given by this name', rows[0]['What'])
        self.assertEqual(1, self.locked())
        with sqlite3.connect(self.database) as made:
            made.execute("UPDATE block_device_mapping SET connection_info = '{}'")
        made.close()
        rows = self.rows('repair', *self.both, '--apply', '--rule', 'R6', code=3)
        self.assertEqual(['left'], [row['Result'] for row in rows])
        self.assertIn('neither as it was nor as it was planned', rows[0]['What'])
        self.assertEqual(0, self.locked())

    def locked(self):
        """Whether the instance is."""
        with sqlite3.connect(self.database) as made:
            found = made.execute('SELECT locked FROM instances').fetchone()[0]
        made.close()
        return found

    def test_a_second_one_at_the_same_time(self):
        with mock.patch.object(transaction.Repair, 'recover', lambda repair: [
                ('', True, self.run_command('repair', *self.both, '--apply'))]):
            rows = self.rows('repair', *self.both, '--apply', code=3)
        self.assertIn('Another migsafe repair --apply runs', rows[0]['What'])

    def test_a_lock_of_somebody_else_stays(self):
        with sqlite3.connect(self.database) as made:
            made.execute("UPDATE instances SET locked = 1, locked_by = 'owner'")
        made.close()
        self.rows('repair', *self.both, '--apply', code=3)
        self.assertEqual(1, self.locked())

    def test_a_row_that_is_changed_right_before_the_write(self):
        carry_out = transaction.acts.carry_out

        def late(snapshot, acts):
            snapshot.connection.exec_driver_sql(
                "UPDATE block_device_mapping SET connection_info = replace(connection_info, "
                f"'172.24.3.101', '172.24.3.102') WHERE volume_id = '{DATA}'")
            return carry_out(snapshot, acts)
        with mock.patch.object(transaction.acts, 'carry_out', late):
            rows = self.rows('repair', *self.both, '--apply', code=3)
        self.assertEqual(['changed', 'left', 'left'], [row['Result'] for row in rows])
        self.assertEqual({ROOT: (3, 'node11'), DATA: (4, 'node11')}, self.luns())
        self.assertEqual(0, self.locked())
