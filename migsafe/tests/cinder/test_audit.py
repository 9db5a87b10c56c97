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
"""What the audit reads of Cinder is there in this release, and written as it expects."""

import os

import fixtures
import sqlalchemy as sa
from cinder.db import models
from oslotest import base

from migsafe.audit.readers import cinder, database
from tools.clouds import schema


class TestSchema(base.BaseTestCase):
    """Cinder's own models."""

    def test_the_tables_that_synthetic_clouds_are_made_with(self):
        for name, table in schema.kept().tables.items():
            real = models.BASE.metadata.tables[name]
            for column in table.c:
                self.assertEqual(
                    (str(real.c[column.name].type), real.c[column.name].primary_key),
                    (str(column.type), column.primary_key), column.name)
            self.assertLessEqual(
                {column.name for column in real.c
                 if not column.nullable and not column.default and not column.primary_key},
                {column.name for column in table.c if not column.nullable})

    def test_rows_of_its_own_model(self):
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'cinder.sqlite')
        engine = sa.create_engine(f'sqlite:///{path}')
        self.addCleanup(engine.dispose)
        models.BASE.metadata.create_all(engine)
        with sa.orm.Session(engine) as session, session.begin():
            session.add(models.Volume(id='v', volume_type_id='t', multiattach=True,
                                      use_quota=True))
            session.add(models.VolumeAttachment(
                id='a', volume_id='v', instance_uuid='vm', attach_status='attached',
                attach_mode='rw', connector='{"host": "node11"}',
                connection_info='{"driver_volume_type": "rbd", "name": "p/v"}'))
            session.add(models.VolumeAttachment(id='gone', volume_id='v', deleted=True))
        with database.opened(sa.make_url(f'sqlite:///{path}')) as snapshot:
            reader = cinder.Cinder(snapshot)
            found = list(reader.attachments())
            self.assertEqual([('a', 'vm', 'node11', True, (('p/v', ''),))], [
                (one.uuid, one.instance, one.host, one.writes, one.connection.parts)
                for one in found])
            self.assertTrue(reader.unusual()['v'].multiattach)
            self.assertTrue(reader.records_hosts)
