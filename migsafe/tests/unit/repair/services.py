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
"""The services that a repair asks: Placement's own application, and what stands in for Cinder.

Both are on the database of the cloud, and in the process that asks, so that a kill of it is one in
the middle of theirs. What Cinder really does is in migsafe/tests/cinder/test_repair.py.
"""

import json

import os_resource_classes
import sqlalchemy as sa
import webob
from oslo_config import cfg
from placement import conf as placement_conf
from placement import db_api, deploy
from placement.objects import resource_class, trait

from tools.clouds import rows

HEADERS = {'x-auth-token': 'admin', 'openstack-api-version': 'placement 1.28',
           'accept': 'application/json', 'content-type': 'application/json'}
#: The name of all owners.
OWNER = 'c0ffee00-0000-4000-8000-000000000000'


class Services:
    """Answers as ``migsafe.repair.requests.Call``; what was sent is kept.

    :param engine: of the database with the tables of both
    """

    def __init__(self, engine):
        self.engine, self.sent = engine, []
        conf = cfg.ConfigOpts()
        placement_conf.register_opts(conf)
        conf.set_default('connection', 'sqlite://', 'placement_database')
        conf([], default_config_files=[], default_config_dirs=[])
        conf.set_override('auth_strategy', 'noauth2', 'api')
        db_api.configure(conf)
        self._conf = conf
        self._application = None

    def __call__(self, service, method, path, body):
        if method != 'GET':
            self.sent.append((service, method, path, body))
        reset = db_api.placement_context_manager.patch_engine(self.engine)
        try:
            return (self._placement if service == 'placement' else self._cinder)(
                method, path, body)
        finally:
            reset()

    def _placement(self, method, path, body):
        if self._application is None:
            # NOTE: what is known of another database is not to be known of this one.
            trait._TRAITS_SYNCED = resource_class._RESOURCE_CLASSES_SYNCED = True
            self._application = deploy.loadapp(self._conf)
        response = webob.Request.blank(
            path, method=method, headers=HEADERS,
            body=b'' if body is None else json.dumps(body).encode()).get_response(
                self._application)
        return response.status_int, response.json if response.body else None

    def _cinder(self, method, path, _body):
        with self.engine.begin() as connection:
            table = sa.Table('volume_attachment', sa.MetaData(), autoload_with=connection)
            mine = sa.and_(table.c.id == path.rpartition('/')[2], table.c.deleted == sa.false())
            row = connection.execute(sa.select(table).where(mine)).mappings().first()
            if row is None:
                return 404, None
            if method == 'DELETE':
                connection.execute(sa.update(table).where(mine).values(
                    deleted=True, attach_status='detached'))
            return 200, {'attachment': {
                'id': row['id'], 'volume_id': row['volume_id'], 'instance': row['instance_uuid']}}


def complete(engine):
    """Add to the rows of Placement those without which it does not take them for its own."""
    known = sa.MetaData()
    known.reflect(engine, only=['allocations', 'consumers', 'projects', 'users', 'inventories',
                                'resource_providers', 'resource_classes'])
    tables = known.tables
    with engine.begin() as connection:
        classes = {name: number for number, name in enumerate(os_resource_classes.STANDARDS)}
        if engine.dialect.name == 'mysql':
            # NOTE: the first has the number 0, as Placement itself writes it.
            connection.exec_driver_sql("SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO'")
        connection.execute(sa.insert(tables['resource_classes']), [
            {'id': number, 'name': name} for name, number in classes.items()])
        for name in ('projects', 'users'):
            connection.execute(sa.insert(tables[name]), [{'id': 1, 'external_id': OWNER}])
        connection.execute(sa.update(tables['allocations']).values(created_at=rows.NOW))
        held = tables['allocations'].c.consumer_id
        connection.execute(sa.insert(tables['consumers']), [
            {'uuid': one, 'project_id': 1, 'user_id': 1, 'generation': 3}
            for (one,) in connection.execute(sa.select(held).distinct()).all()])
        connection.execute(sa.insert(tables['inventories']), [
            {'resource_provider_id': one, 'resource_class_id': number, 'total': 1000,
             'reserved': 0, 'min_unit': 1, 'max_unit': 1000, 'step_size': 1,
             'allocation_ratio': 1.0}
            for (one,) in connection.execute(sa.select(tables['resource_providers'].c.id)).all()
            for number in range(3)])
        if engine.dialect.name == 'postgresql':
            # NOTE: rows were written with their numbers, of which the server has not heard.
            connection.execute(sa.text("SELECT setval(pg_get_serial_sequence('allocations', 'id'),"
                                       ' (SELECT max(id) FROM allocations))'))
