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
"""Two hosts with a Participant each, over one cloud in memory."""

import contextlib

import oslo_messaging

from migsafe import journal
from migsafe.nova.bus import endpoint, peer
from migsafe.nova.host import participant
from migsafe.tests.unit.resources import cloud as fake
from migsafe.tests.unit.transaction import base
from migsafe.transaction import engine
from migsafe.transaction.evidence import GuestState
from migsafe.transaction.history import CONNECT, CREATE

SRC, DST = fake.SRC, fake.DST
#: of the request to the API for the live migration
REQUEST = 'req-live-migration'


class Bus(peer.Peer):
    """The real Peer, with a function call where the message bus would be."""

    def __init__(self, hosts):
        super().__init__(1)
        self.hosts, self.lost, self.unarmed_hosts = hosts, set(), set()
        self.asked = []

    def _call(self, host, method, **kwargs):
        self.asked.append((host, method))
        if host in self.unarmed_hosts:
            raise oslo_messaging.UnsupportedVersion('1.0')
        if method in self.lost or host not in self.hosts:
            raise TimeoutError(f'no reply from {host}')
        return getattr(endpoint.Endpoint(self.hosts[host].participant),
                       method)(None, **kwargs)


    def let_go(self, host, instance_uuid, volume_id):
        """What Nova does there: it goes by the row."""
        self.asked.append((host, 'remove_volume_connection'))
        if 'remove_volume_connection' in self.lost:
            raise TimeoutError(f'no reply from {host}')
        there = self.hosts[host]
        there.devices.disconnect(
            instance_uuid, there.cloud.records.rows[volume_id].connection_info)


class Host:
    """One compute host.

    :param shared: a Cloud whose Cinder, Nova and Neutron this host uses
    """

    def __init__(self, name, conf, shared, hosts):
        self.cloud = fake.Cloud(shared.count, name)
        self.calls = self.cloud.calls
        for part in ('volumes', 'records', 'network', 'allocations', 'hosts'):
            setattr(self.cloud, part, getattr(shared, part))
        self.bus = self.cloud.peer = Bus(hosts)
        self.guests, self.devices = self.cloud.guests, self.cloud.devices
        self.journal = journal.open_journal(conf, name)
        clients = self.cloud.clients()
        self.participant = participant.Participant(
            name, conf.migsafe, self.journal, engine.Engine(
                name, self.journal, clients,
                [kind() for kind in base.BUILT_IN], 600, 30), clients)

    def tx(self, uuid=fake.MIGRATION):
        """The transaction as this host has journalled it."""
        return self.journal.get(uuid)

    def settle(self, uuid=fake.MIGRATION):
        """One attempt."""
        return self.participant.settle(self.tx(uuid))

    def verdict(self):
        """State and verdict."""
        return self.verdict_of(fake.MIGRATION)

    def verdict_of(self, uuid):
        """State and verdict of one of several."""
        return self.tx(uuid).state, self.tx(uuid).verdict


class TwoHosts(base.EngineCase):
    """A live migration from SRC to DST that broke off."""

    def prepare(self, **kwargs):
        self.hosts = {}
        self.world = fake.Cloud(2)
        self.src, self.dst = self.host(SRC), self.host(DST)

    def host(self, name):
        """Start a host; its journal is the one that it had."""
        made = self.hosts[name] = Host(name, self.conf, self.world,
                                       self.hosts)
        self.addCleanup(made.journal.close)
        return made

    def break_off(self, src=GuestState.HERE, dst=GuestState.ABSENT):
        """Journal it on both hosts, and say where the guest is."""
        self.src.guests.state, self.dst.guests.state = src, dst
        self.src.journal.begin(fake.MIGRATION, 'source', fake.INSTANCE, SRC,
                               DST, captures=self.world.captures())
        self.begin_destination()

    def begin_destination(self, uuid=fake.MIGRATION):
        """What pre_live_migration journals."""
        tx = self.dst.journal.begin(
            uuid, 'destination', fake.INSTANCE, SRC, DST,
            captures=[('instance_directory', '', {'exists': False,
                                                  'shared': False}),
                      ('instance_record', '', {'request_id': REQUEST})])
        for number in range(self.world.count):
            for resource, effect, payload in (
                    ('volume_connection', CREATE,
                     {'attachment_id': fake.attachment(DST, number)}),
                    ('host_device', CONNECT, fake.info(DST, number))):
                self.dst.journal.outcome(tx, self.dst.journal.intent(
                    tx, resource, effect, fake.volume(number), payload),
                    'ok', payload)

    def without(self, host):
        """A host has no migsafe."""
        for one in (self.src, self.dst):
            one.bus.unarmed_hosts.add(host)

    @contextlib.contextmanager
    def away(self, name):
        """A host that does not answer."""
        gone = self.hosts.pop(name)
        yield
        self.hosts[name] = gone

    def attachments(self):
        """host -> how many attachments."""
        found = [a.host for a in self.world.volumes.rows.values()]
        return {host: found.count(host) for host in (SRC, DST)}
