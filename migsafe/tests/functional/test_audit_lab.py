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
"""What plain Nova really leaves behind, by the laboratory's judge and by an audit of the records.

The judge looks at the cloud and shares no code with migsafe. The audit has a copy of Nova's own
database, eleven days later, and Cinder's attachments as rows.
"""

from __future__ import annotations

import datetime
import json
import os
import sqlite3

import fixtures
import sqlalchemy as sa
import testtools
from nova import context as nova_context

from migsafe.audit import activity, opening, report, scan
from migsafe.replay import catalogue
from migsafe.replay.lab import case
from migsafe.replay.lab import faults as lab_faults
from migsafe.replay.lab import lab as lab_lab
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE
from tools.clouds import schema

#: What records can show, and the judge looks for as well.
KINDS = ('R1', 'R2', 'R3', 'R5', 'R6', 'R12')
#: Of the replay's catalogue: what plain Nova makes incident 000 of, and a lost attachment.
FAULTS = ('incident-000', 'attachment-create-lost')
HOSTS = {'source': SOURCE, 'destination': DESTINATION}


class TestLaboratory(testtools.TestCase):
    """Plain Nova, without migsafe."""

    def setUp(self) -> None:
        super().setUp()
        self.lab = lab_lab.Lab(armed=False)
        self.lab.start()
        self.addCleanup(self.lab.stop)
        self.top = self.useFixture(fixtures.TempDir()).path

    def migrated(self, *faults: object) -> tuple[set[str], set[str], str]:
        """Migrate a guest with faults: kinds by the judge, kinds by the audit, and its words."""
        self.lab.clean()
        server = self.lab.new_server()
        self.lab.world.reset()
        plan = self.lab.arm_faults(case.Case('audit', tuple(faults)), 'migrate')
        self.lab.migrate(server)
        self.lab.world.rule = None
        self.assertEqual(set(faults), {one.fault for one in plan.fired})
        judged = {one.kind for one in self.lab.observer(server).look()}
        found = self.audit(server.uuid).findings
        told = '\n'.join(f'{one.rule} {one.what}' for one in found)
        return judged & set(KINDS), {one.rule for one in found} & set(KINDS), told

    def audit(self, uuid: str) -> report.Report:
        """The report on one instance, eleven days later."""
        later = datetime.datetime.now(datetime.UTC).replace(tzinfo=None) \
            + datetime.timedelta(days=11)
        nova, cinder = (sa.URL.create('sqlite', database=os.path.join(self.top, f'{name}-{uuid}'))
                        for name in ('nova', 'cinder'))
        self.copy_nova(str(nova.database), later)
        self.write_cinder(cinder)
        return scan.audit(opening.Sources([nova], cinder), report.Asked(instances=[uuid]),
                          activity.Spans(), later, lambda _done, _total: None)

    def copy_nova(self, path: str, heartbeat: datetime.datetime) -> None:
        """The database of the cell, in which every service has reported at ``heartbeat``."""
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        raw = context.db_connection.writer.get_engine().raw_connection()
        copy = sqlite3.connect(path)
        raw.driver_connection.backup(copy)
        raw.close()
        copy.execute('UPDATE services SET updated_at = ?, report_count = 1', (str(heartbeat),))
        copy.commit()
        copy.close()

    def write_cinder(self, url: sa.URL) -> None:
        """The laboratory's Cinder as rows."""
        engine, tables = sa.create_engine(url), schema.kept().tables
        tables['volumes'].metadata.create_all(engine)
        cinder = self.lab.parts.cinder
        with engine.begin() as connection:
            for one in cinder.volumes.values():
                connection.execute(sa.insert(tables['volumes']), {
                    'id': one.id, 'status': one.status, 'multiattach': one.multiattach,
                    'volume_type_id': 'x', 'use_quota': True, 'deleted': False})
            for one in cinder.attachments.values():
                connection.execute(sa.insert(tables['volume_attachment']), {
                    'id': one.id, 'volume_id': one.volume_id, 'deleted': False,
                    'instance_uuid': one.instance_uuid, 'attach_status': one.status,
                    'attach_mode': 'rw', 'connection_info': json.dumps(one.connection_info),
                    'connector': json.dumps({'host': one.host}) if one.host else None})
        engine.dispose()

    def test_the_same_kinds(self) -> None:
        self.assertEqual((set(), set(), ''), self.migrated())
        seen: set[str] = set()
        for name in FAULTS:
            entry = catalogue.arguments(catalogue.find(name), False, HOSTS)
            judged, found, told = self.migrated(*(
                lab_faults.Fault(**one) for one in entry['faults']))
            self.assertEqual(judged, found, f'{name}\n{told}')
            seen |= found
        self.assertLessEqual({'R1', 'R2', 'R3', 'R6'}, seen)
