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
"""The engine with a real journal and a cloud in memory."""

import pathlib
import sqlite3
import tempfile
import unittest

from oslo_config import cfg

import migsafe.conf
from migsafe import journal
from migsafe.resources import (
    allocation,
    base,
    host_device,
    instance_directory,
    instance_record,
    port_binding,
    volume_connection,
)
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction import engine
from migsafe.transaction.history import CONNECT, CREATE

BUILT_IN = (allocation.Allocation, host_device.HostDevice,
            instance_directory.InstanceDirectory,
            instance_record.InstanceRecord, port_binding.PortBinding,
            volume_connection.VolumeConnection)
SRC, DST = fake.SRC, fake.DST


def configuration(path, **options):
    """A configuration of its own, with the [migsafe] group."""
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[])
    migsafe.conf.register_opts(conf)
    for name, value in ({'state_path': str(path)} | options).items():
        conf.set_override(name, value, 'migsafe')
    return conf


class EngineCase(unittest.TestCase):
    """Has ``cloud``, ``journal``, ``engine`` and the transaction ``tx``."""

    local = SRC

    def setUp(self):
        super().setUp()
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.state = pathlib.Path(directory.name) / 'state'
        self.conf = configuration(self.state)
        self.journals = {}
        self.prepare()

    def prepare(self, local=None, volumes=2, resources=(), begin=True):
        """Start over."""
        self.local = local or self.local
        self.cloud = fake.Cloud(volumes, self.local)
        self.journal = self.open(self.local)
        self.resources = [kind() for kind in (*BUILT_IN, *resources)]
        self.engine = engine.Engine(self.local, self.journal,
                                    self.cloud.clients(), self.resources, 600, 30)
        if begin:
            self.tx = self.begin()

    def open(self, host):
        """The journal of a host, opened once."""
        if host not in self.journals:
            self.journals[host] = journal.open_journal(self.conf, host)
            self.addCleanup(self.journals[host].close)
        return self.journals[host]

    def begin(self, uuid=fake.MIGRATION):
        """Journal what each host journals of a migration."""
        held = self.cloud.allocations.by_consumer
        if fake.MIGRATION in held:
            held[uuid] = held.pop(fake.MIGRATION)
        if self.local == SRC:
            return self.journal.begin(
                uuid, 'source', fake.INSTANCE, SRC, DST,
                captures=self.cloud.captures())
        tx = self.journal.begin(
            uuid, 'destination', fake.INSTANCE, SRC, DST, captures=[
                ('instance_directory', '', {'exists': False,
                                            'shared': False})])
        for number in range(self.cloud.count):
            self.effect(tx, 'volume_connection', CREATE, number,
                        {'attachment_id': fake.attachment(DST, number)})
            self.effect(tx, 'host_device', CONNECT, number,
                        fake.info(DST, number))
        return tx

    def effect(self, tx, resource, effect, number, payload):
        intent = self.journal.intent(tx, resource, effect,
                                     fake.volume(number), payload)
        self.journal.outcome(tx, intent, 'ok', payload)

    def now(self):
        """The transaction as journalled."""
        return self.journal.get(self.tx.uuid, self.tx.role)

    def settle(self, **kwargs):
        return self.engine.settle(self.now(), **kwargs)

    def sql(self, statement, *values):
        """Change the journal behind its back."""
        path = self.state / f'{self.local}.sqlite'
        with sqlite3.connect(path) as connection:
            connection.execute(statement, values)
        connection.close()

    def names(self):
        """What was changed, in order, by name."""
        return [name for name, *_ in self.cloud.changes()]


class Plugin(base.Resource):
    """An out-of-tree resource plugin that does nothing."""

    name = 'acme_firewall'

    def commit(self, move, point):
        move.clients.volumes.calls('acme.commit', point.name)

    def revert(self, move, point):
        move.clients.volumes.calls('acme.revert', point.name)

    def inspect(self, move):
        return []
