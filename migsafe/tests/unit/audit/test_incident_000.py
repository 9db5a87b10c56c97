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
"""Incident 000, out of the records of its cloud."""

import json
import os
import sqlite3

import fixtures
import sqlalchemy as sa

from migsafe.audit import activity, opening, report, scan
from migsafe.replay.lab import san
from migsafe.tests.unit.audit import cloud

ROOT, DATA = 'e0c8da7e-baff-4530-a512-a67f71018e3f', '3de94ee8-30b8-4faf-82eb-24e1df144337'


class TestIncident000(cloud.CloudTestCase):
    """A Nova and a Cinder of before Pike, years later."""

    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.useFixture(fixtures.TempDir()).path, '000.sqlite')
        self.connection = sqlite3.connect(self.path)
        self.addCleanup(self.connection.close)
        self.connection.executescript(cloud.INCIDENT.read_text(encoding='utf-8'))

    def look(self, **asked):
        url = sa.URL.create('sqlite', database=self.path)
        return scan.audit(opening.Sources([url], url), report.Asked(**asked), activity.Spans(),
                          cloud.NOW, lambda _done, _total: None)

    def test_the_rows_are_those_of_the_report(self):
        recorded = json.loads(san.INCIDENT.read_text(encoding='utf-8'))
        rows = self.connection.execute('SELECT connection_info FROM block_device_mapping')
        self.assertCountEqual(recorded['bdm_connection_info_found_in_nova_db'],
                              [json.loads(text) for text, in rows])
        last = self.connection.execute(
            'SELECT id, source_compute, dest_compute, status FROM migrations ORDER BY id DESC')
        names = ('migration_id', 'source_host', 'destination_host', 'migration_status')
        self.assertEqual(tuple(recorded[name] for name in names), last.fetchone())

    def test_both_rows_and_the_double_mapping(self):
        found = self.look()
        self.assertEqual(
            {(rule, volume) for rule in ('R1', 'R3', 'R10') for volume in (ROOT, DATA)},
            {(one.rule, one.volume) for one in found.findings})
        for one in found.findings:
            self.assertEqual(('node13', 'node11'), one.hosts)
        rows = {one.volume: dict(one.evidence) for one in found.findings if one.rule == 'R1'}
        self.assertEqual({ROOT: '3', DATA: '4'}, {
            volume: shown['connection_info'].split()[1] for volume, shown in rows.items()})
        for shown in rows.values():
            self.assertEqual(('node11', 'node13'),
                             (shown['connector_host'], shown['instance_host']))
        self.assertEqual('2017-06-05 03:30:00', str(found.now))

    def test_after_the_repair_of_its_operators(self):
        """Whoever puts node13's numbers in by hand leaves the connector of node13, too."""
        self.connection.execute(
            "UPDATE block_device_mapping SET connection_info = replace(replace(connection_info, "
            "'\"target_lun\": 3', '\"target_lun\": 5'), '\"node11\"', '\"node13\"')")
        self.connection.commit()
        self.assertEqual([], self.look().findings)

    def test_what_could_not_be_seen_is_said(self):
        unseen = ' '.join(self.look().unseen)
        for word in ('Placement was not given', 'does not write down for which host',
                     'devices left there (R4)', 'bindings of ports'):
            self.assertIn(word, unseen)

    def test_the_sixth_attempt_is_part_of_the_evidence(self):
        found = self.look(rules=['R3'], volumes=[DATA]).findings
        self.assertEqual(1, len(found))
        self.assertEqual('1419 (live-migration node13 -> node11, error)',
                         dict(found[0].evidence)['newest_migration'])
