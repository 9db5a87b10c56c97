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

import functools
import json
import os

import fixtures
import sqlalchemy as sa
import webob
from cinder import context, objects
from cinder.db import models
from cinder.tests.unit import test as cinder_test
from cinder.tests.unit import utils
from cinder.tests.unit.api import fakes
from oslotest import base

from migsafe.audit.readers import cinder, cinder_api, database
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


@functools.cache
def _router():
    """Cinder's, which takes a while to make."""
    return fakes.router.APIRouter()


class TestApi(cinder_test.TestCase):
    """Cinder's own API, over its own database."""

    def setUp(self):
        super().setUp()
        self.override_config('osapi_max_limit', 2)
        self.admin = context.RequestContext('u', 'p', is_admin=True, roles=['admin'])
        self.asked = []
        self.held = [self.held_by(f'p{number % 2}', f'node1{number}', number != 2)
                     for number in range(5)]

    def held_by(self, project, host, complete):
        """A volume with an attachment of a host."""
        owner = context.RequestContext('u', project, is_admin=True)
        volume = utils.create_volume(owner, status='in-use', multiattach=host == 'node11',
                                     volume_type_id=self.vt['id'])
        made = objects.VolumeAttachment(owner, volume_id=volume.id)
        made.instance_uuid, made.attached_host, made.attach_mode = volume.id, host, 'rw'
        made.attach_status = 'attached' if complete else 'attaching'
        made.connector = {'host': host}
        made.create()
        made.connection_info = {'driver_volume_type': 'rbd', 'name': f'p/{host}'}
        made.save()
        return made

    def get(self, who):
        """Ask as somebody."""
        app = fakes.wsgi_app(fake_auth_context=who, inner_app_v3=_router())

        def get(path, query):
            self.asked.append((path, dict(query)))
            url = f'/v3/{who.project_id}{path}?' + '&'.join(
                f'{key}={value}' for key, value in query.items())
            request = webob.Request.blank(
                url, headers={'OpenStack-API-Version': 'volume 3.27'})
            response = request.get_response(app)
            if response.status_int == 404:
                return None
            if response.status_int != 200:
                raise database.Unreadable(label='x', reason=str(response.status_int))
            return json.loads(response.body)
        return get

    def test_all_projects_page_by_page(self):
        reader = cinder_api.CinderApi(self.get(self.admin))
        found = {one.uuid: one for one in reader.attachments()}
        self.assertEqual({one.id for one in self.held}, set(found))
        for number, one in enumerate(self.held):
            self.assertEqual(
                (one.volume_id, one.instance_uuid, None if number == 2 else f'node1{number}',
                 one.attach_status, True, ((f'p/node1{number}', ''),)),
                found[one.id][1:6] + (found[one.id].connection.parts,))
        self.assertEqual([self.held[1].volume_id], list(reader.unusual()))
        self.assertEqual([self.held[3].id], [
            one.uuid for one in reader.of((), [self.held[3].volume_id])])
        pages = [query for path, query in self.asked if path == '/attachments/detail']
        self.assertEqual(8, len(pages))

    def test_the_last_of_a_page_goes_while_it_is_read(self):
        reader = cinder_api.CinderApi(self.get(self.admin))
        rows = reader.attachments()
        found = [next(rows), next(rows)]
        objects.VolumeAttachment.get_by_id(self.admin, found[1].uuid).destroy()
        found += rows
        self.assertEqual(sorted(one.id for one in self.held), sorted(
            one.uuid for one in found))
        gone = [query for path, query in self.asked if query.get('marker') == found[1].uuid]
        self.assertEqual(1, len(gone))

    def test_who_is_shown_a_part_of_the_cloud(self):
        for roles in (['member'], ['reader', 'service']):
            error = self.assertRaises(database.Unreadable, cinder_api.CinderApi, self.get(
                context.RequestContext('u', 'p0', is_admin=False, roles=roles)))
            self.assertIn('403', str(error))
