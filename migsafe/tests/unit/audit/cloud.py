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
"""Small clouds in files of SQLite, with the columns of a release, and shorthand for their rows."""

import datetime
import json
import os
import pathlib
import sqlite3

import fixtures
import sqlalchemy as sa
from oslotest import base

from migsafe.audit import activity, opening, report, scan

INCIDENT = pathlib.Path(__file__).parent / 'data' / 'incident-000.sql'
SECRET = 'chap-secret-0815'
#: The newest heartbeat of the clouds here.
NOW = datetime.datetime(2026, 7, 1, 12, 0, 0)
OLD = NOW - datetime.timedelta(days=11)
JUST_NOW = NOW - datetime.timedelta(minutes=1)
TIMES = ' created_at DATETIME, updated_at DATETIME, deleted_at DATETIME, '

#: Table -> what is in it in 2026.2, as far as an audit reads it, with the real types.
NEWEST = {
    'instances': 'id INTEGER PRIMARY KEY,' + TIMES + 'uuid VARCHAR(36), host VARCHAR(255), '
    'node VARCHAR(255), vm_state VARCHAR(255), task_state VARCHAR(255), power_state INTEGER, '
    'hidden BOOLEAN, deleted INTEGER',
    'block_device_mapping': 'id INTEGER PRIMARY KEY,' + TIMES + 'instance_uuid VARCHAR(36), '
    'volume_id VARCHAR(36), attachment_id VARCHAR(36), connection_info TEXT, deleted INTEGER',
    'migrations': 'id INTEGER PRIMARY KEY,' + TIMES + 'uuid VARCHAR(36), '
    'instance_uuid VARCHAR(36), migration_type VARCHAR(14), status VARCHAR(255), '
    'source_compute VARCHAR(255), dest_compute VARCHAR(255), deleted INTEGER',
    'services': 'id INTEGER PRIMARY KEY,' + TIMES + 'host VARCHAR(255), deleted INTEGER',
    'compute_nodes': 'id INTEGER PRIMARY KEY, uuid VARCHAR(36), host VARCHAR(255), '
    'hypervisor_hostname VARCHAR(255), hypervisor_type TEXT, deleted INTEGER',
    'instance_actions': 'id INTEGER PRIMARY KEY,' + TIMES + 'action VARCHAR(255), '
    'instance_uuid VARCHAR(36), start_time DATETIME, deleted INTEGER',
    'volumes': 'id VARCHAR(36) PRIMARY KEY,' + TIMES + 'status VARCHAR(255), '
    'migration_status VARCHAR(255), multiattach BOOLEAN, deleted BOOLEAN',
    'volume_attachment': 'id VARCHAR(36) PRIMARY KEY,' + TIMES + 'volume_id VARCHAR(36), '
    'instance_uuid VARCHAR(36), attached_host VARCHAR(255), attach_status VARCHAR(255), '
    'attach_mode VARCHAR(36), connector TEXT, connection_info TEXT, deleted BOOLEAN',
    'resource_providers': 'id INTEGER PRIMARY KEY, uuid VARCHAR(36), name VARCHAR(200), '
    'root_provider_id INTEGER, parent_provider_id INTEGER',
    'allocations': 'id INTEGER PRIMARY KEY, resource_provider_id INTEGER, '
    'consumer_id VARCHAR(36), resource_class_id INTEGER, used INTEGER',
    'ports': 'id VARCHAR(36) PRIMARY KEY, device_id VARCHAR(255), device_owner VARCHAR(255)',
    'ml2_port_bindings': 'port_id VARCHAR(36), host VARCHAR(255), status VARCHAR(16)',
}


def iscsi(lun, target='iqn.1992-08.com.netapp:sn.5a7:vs.11', **more):
    """What data of an iSCSI connection_info has, with a secret."""
    return {'target_iqn': target, 'target_lun': lun, 'target_portal': '172.24.3.101:3260',
            'auth_method': 'CHAP', 'auth_username': 'u', 'auth_password': SECRET, **more}


def nova_info(data, kind='iscsi', host=None):
    """A connection_info as Nova keeps it."""
    found = {'driver_volume_type': kind, 'data': data, 'serial': 'x'}
    return json.dumps(found | ({'connector': {'host': host}} if host else {}))


def cinder_info(data, kind='iscsi'):
    """A connection_info as Cinder keeps it."""
    return json.dumps({**data, 'driver_volume_type': kind, 'attachment_id': 'x'})


class Cloud(fixtures.Fixture):
    """A cloud in one file, which serves as all of its databases.

    Each of its methods makes a row; keyword arguments are columns, over what is usual.

    :param without: tables and ``table.column`` that an older release does not have
    """

    def __init__(self, *without):
        self.without = set(without)

    def _setUp(self):
        self.path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'cloud.sqlite')
        self.connection = sqlite3.connect(self.path)
        self.addCleanup(self.connection.close)
        for table, columns in NEWEST.items():
            if table not in self.without:
                kept = [one for one in columns.split(', ')
                        if f'{table}.{one.split()[0]}' not in self.without]
                self.connection.execute(f'CREATE TABLE {table} ({", ".join(kept)})')
        if 'services' not in self.without:
            self.insert('services', host='node13', updated_at=NOW, deleted=0)

    def insert(self, table, **values):
        """Make a row, of the columns that are there."""
        values = {name: str(value) if isinstance(value, datetime.datetime) else value
                  for name, value in values.items() if f'{table}.{name}' not in self.without}
        self.connection.execute(
            f'INSERT INTO {table} ({", ".join(values)}) '
            f'VALUES ({", ".join("?" * len(values))})', tuple(values.values()))
        self.connection.commit()

    def node(self, host, kind='QEMU', **values):
        """A compute node, with a resource provider of the same number."""
        self.insert('compute_nodes', **{
            'uuid': f'node-{host}', 'host': host, 'hypervisor_hostname': host,
            'hypervisor_type': kind, 'deleted': 0, **values})
        self.insert('resource_providers', uuid=f'node-{host}', name=host)

    def instance(self, uuid='vm', host='node13', **values):
        """An instance that runs, and has not been touched for days."""
        self.insert('instances', **{
            'uuid': uuid, 'host': host, 'node': host, 'vm_state': 'active', 'power_state': 1,
            'updated_at': OLD, 'hidden': 0, 'deleted': 0, **values})

    def row(self, info, volume='vol', attachment=None, **values):
        """A volume of an instance."""
        self.insert('block_device_mapping', **{
            'instance_uuid': 'vm', 'volume_id': volume, 'attachment_id': attachment,
            'connection_info': info, 'updated_at': OLD, 'deleted': 0, **values})

    def attachment(self, uuid, host, info=None, volume='vol', **values):
        """An attachment of Cinder."""
        self.insert('volume_attachment', **{
            'id': uuid, 'volume_id': volume, 'instance_uuid': 'vm', 'attached_host': host,
            'attach_status': 'attached' if host else 'reserved', 'attach_mode': 'rw',
            'connector': json.dumps({'host': host}) if host else None, 'connection_info': info,
            'updated_at': OLD, 'deleted': 0, **values})

    def volume(self, uuid='vol', **values):
        """A volume of Cinder."""
        self.insert('volumes', **{'id': uuid, 'status': 'in-use', 'multiattach': 0,
                                  'updated_at': OLD, 'deleted': 0, **values})

    def migration(self, status, source='node13', dest='node11', **values):
        """A migration."""
        self.insert('migrations', **{
            'instance_uuid': 'vm', 'source_compute': source, 'dest_compute': dest,
            'status': status, 'migration_type': 'live-migration', 'updated_at': OLD,
            'deleted': 0, **values})

    def allocation(self, host, consumer='vm'):
        """What a consumer has of a node, of two kinds of resource."""
        for kind in (0, 1):
            self.connection.execute(
                'INSERT INTO allocations (resource_provider_id, consumer_id, resource_class_id, '
                'used) SELECT id, ?, ?, 1 FROM resource_providers WHERE name = ?',
                (consumer, kind, host))
        self.connection.commit()

    def port(self, *bindings, uuid='port', instance='vm', owner='compute:nova'):
        """A port, and its bindings: pairs of a host and a status."""
        self.insert('ports', id=uuid, device_id=instance, device_owner=owner)
        for host, status in bindings:
            self.insert('ml2_port_bindings', port_id=uuid, host=host, status=status)

    def attached(self, lun=7, host='node13', volume='vol', attachment='att', **values):
        """A volume whose row and attachment agree."""
        self.volume(volume)
        self.row(nova_info(iscsi(lun)), volume, attachment, **values)
        self.attachment(attachment, host, cinder_info(iscsi(lun)), volume,
                        instance_uuid=values.get('instance_uuid', 'vm'))

    def url(self):
        """For SQLAlchemy."""
        return sa.URL.create('sqlite', database=self.path)


class CloudTestCase(base.BaseTestCase):
    """Has clouds, and looks at them."""

    def cloud(self, *without):
        """An empty one."""
        return self.useFixture(Cloud(*without))

    def audit(self, *clouds, placement=True, cinder=True, neutron=None, api=False, local=NOW,
              ask=None, **asked):
        """The report on a cloud, or on several cells, of which the first has the other databases.

        :param cinder: whether its database is given, or another one that has it
        :param neutron: another one that has its database
        :param api: whether the first has Nova's API database
        :param ask: what asks services
        """
        url = clouds[0].url()
        other = cinder.url() if isinstance(cinder, Cloud) else url
        sources = opening.Sources([one.url() for one in clouds], other if cinder else None,
                                  url if placement else None,
                                  neutron.url() if neutron else url, ask,
                                  nova_api=url if api else None)
        return scan.audit(sources, report.Asked(**asked), activity.Spans(), local,
                          lambda _done, _total: None)

    def found(self, *clouds, **asked):
        """(rule, instance or volume) of each finding."""
        return [(one.rule, one.volume or one.instance)
                for one in self.audit(*clouds, **asked).findings]


def incident():
    """A connection to the database of incident 000."""
    connection = sqlite3.connect(':memory:')
    connection.executescript(INCIDENT.read_text(encoding='utf-8'))
    return connection
