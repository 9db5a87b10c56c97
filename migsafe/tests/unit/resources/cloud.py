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
"""A cloud in memory: two hosts, some volumes, and a record of every call.

It starts where a failed live migration of plain Nova ends: the rows name the
destination's LUNs, both hosts have an attachment and a device per volume.
"""

import dataclasses

from migsafe.fencing import verdict as host_verdict
from migsafe.fencing.facts import Limits
from migsafe.fencing.signs import Checker, Observation, Sign
from migsafe.journal.records import Transaction
from migsafe.transaction.clients import (
    LIVE_MIGRATION,
    Attachment,
    Clients,
    InstanceRow,
    OtherMove,
    VolumeRow,
)
from migsafe.transaction.evidence import Evidence, GuestState, HostEvidence
from migsafe.transaction.history import History
from migsafe.transaction.move import Move
from migsafe.transaction.verdict import Decision, Verdict

SRC, DST, THIRD = 'node13', 'node11', 'node12'
INSTANCE = '3a5c1c5e-4d4c-4a55-9d8d-0d7f0f6c1a01'
MIGRATION = '6f6e2b1e-93a1-4f39-8a75-6f6b0e3d1419'
SECRET = 'chap-secret-4711'
IQN = 'iqn.1992-08.com.netapp:sn.5a7'
#: As in incident 000: every host has LUN numbers of its own.
FIRST_LUN = {SRC: 101, DST: 3}
G = GuestState


def volume(number):
    """The id of the n-th volume."""
    return f'5e0c0000-0000-4000-8000-{number:012d}'


def attachment(host, number):
    """The id of the n-th volume's attachment to a host."""
    return f'a77a0000-0000-4000-8000-{FIRST_LUN.get(host, 900) + number:012d}'


def info(host, number, **more):
    """The connection_info of the n-th volume on a host."""
    return {'driver_volume_type': 'iscsi', 'serial': volume(number), **more,
            'data': {'target_iqn': IQN, 'target_lun': FIRST_LUN[host] + number,
                     'volume_id': volume(number), 'auth_password': SECRET}}


class Calls:
    """What was called, in order; and what shall fail."""

    def __init__(self):
        self.made = []
        self.errors = {}

    def __call__(self, name, *args):
        self.made.append((name, *args))
        if name in self.errors:
            raise self.errors[name]

    def of(self, *names):
        """The calls of some names, in order."""
        return [call for call in self.made if call[0] in names]


CHANGES = ('delete_attachment', 'terminate', 'to_host', 'release_task',
           'finish_migration', 'replace_connection', 'disconnect',
           'remove_directory', 'bind', 'unbind', 'move_allocations',
           'delete_allocations', 'withdraw_allocations', 'peer.release', 'peer.let_go', 'resume')


class Volumes:
    """Cinder."""

    def __init__(self, calls):
        self.calls, self.rows, self.infos = calls, {}, {}

    def add(self, attachment_id, volume_id, host, connection_info):
        self.rows[attachment_id] = Attachment(attachment_id, volume_id,
                                                 host)
        self.infos[attachment_id] = connection_info

    def attachments(self, instance_uuid):
        self.calls('attachments', instance_uuid)
        return list(self.rows.values())

    def connection_info(self, attachment_id):
        self.calls('connection_info', attachment_id)
        return self.infos.get(attachment_id)

    def delete_attachment(self, attachment_id):
        self.calls('delete_attachment', attachment_id)
        self.rows.pop(attachment_id, None)

    def terminate(self, instance_uuid, volume_id):
        self.calls('terminate', volume_id)


class Records:
    """Nova's database."""

    def __init__(self, calls):
        self.calls, self.rows = calls, {}
        self.row = InstanceRow(INSTANCE, SRC, SRC, 'migrating', 'active')
        self.status = 'error'
        self.changed_meanwhile = set()
        self.others, self.earlier = [], []
        #: hosts that the instance was ever to be evacuated from
        self.evacuated_from = set()
        #: requests for live migrations, the oldest first
        self.requests = []
        #: what happens while the task is ended
        self.meanwhile = lambda: None
        #: migrations that are not over -> where to
        self.moving = {}

    def instance(self, uuid):
        self.calls('instance', uuid)
        return self.row

    def later(self, tx):
        self.calls('later', tx.uuid)
        return self.others

    def to_host(self, tx, host):
        self.calls('to_host', host)
        if self.row.host not in (tx.source_host, tx.dest_host):
            raise ValueError(f'instance is on {self.row.host}')
        self.row = dataclasses.replace(self.row, host=host, node=host)

    def asked_for(self, instance_uuid, after):
        self.calls('asked_for', after)
        return self.requests[-1] if after in self.requests[:-1] else None

    def give_task_back(self, uuid):
        self.calls('give_task_back', uuid)
        self.row = dataclasses.replace(self.row, task_state='migrating')

    def release_task(self, tx, vm_state):
        self.calls('release_task', vm_state)
        before = self.row.task_state
        self.meanwhile()
        state = vm_state if vm_state and self.row.vm_state == 'error' \
            else self.row.vm_state
        self.row = dataclasses.replace(self.row, task_state=None,
                                       vm_state=state)
        return bool(before)

    def moves(self, instance_uuid):
        self.calls('moves', instance_uuid)
        if instance_uuid != INSTANCE:
            return []
        return [*self.earlier, OtherMove(LIVE_MIGRATION, MIGRATION, self.status, SRC, DST)]

    def evacuated(self, host):
        self.calls('evacuated', host)
        return {INSTANCE} if host in self.evacuated_from else set()

    def migration_status(self, uuid):
        self.calls('migration_status', uuid)
        return self.status

    def moving_to(self, instance_uuid, host, besides):
        self.calls('moving_to', host)
        return next((uuid for uuid, to in self.moving.items()
                     if to == host and uuid != besides), None)

    def finish_migration(self, uuid, status):
        self.calls('finish_migration', status)
        self.status = status

    def volumes(self, instance_uuid):
        self.calls('volumes', instance_uuid)
        return list(self.rows.values())

    def replace_connection(self, instance_uuid, row, attachment_id,
                           connection_info):
        self.calls('replace_connection', row.volume_id, attachment_id)
        if row.volume_id in self.changed_meanwhile:
            return False
        self.rows[row.volume_id] = dataclasses.replace(
            row, attachment_id=attachment_id, connection_info=connection_info)
        return True


class Devices:
    """os-brick on one host; ``present`` is what /dev/disk/by-path shows."""

    def __init__(self, calls):
        self.calls, self.present = calls, set()
        self.holders, self.stubborn = {}, set()
        #: no look can find a device of this kind
        self.blind = False
        #: path -> whether it says that it is the volume
        self.says = {}

    @staticmethod
    def _device(connection_info):
        data = connection_info['data']
        return (data.get('target_iqn'), data.get('target_lun'))

    def add(self, connection_info):
        self.present.add(self._device(connection_info))

    def paths(self, instance_uuid, connection_info):
        self.calls('paths', connection_info.get('serial'))
        iqn, lun = self._device(connection_info)
        return [f'/dev/disk/by-path/{iqn}-lun-{lun}'] if not self.blind and (
            iqn, lun) in self.present else []

    def is_volume(self, path, connection_info):
        return self.says.get(path)

    def observable(self, connection_info):
        return not self.blind

    def disconnect(self, instance_uuid, connection_info):
        volume_id = connection_info.get('serial')
        self.calls('disconnect', volume_id)
        if volume_id in self.holders:
            raise OSError(f'map in use by {self.holders[volume_id]}')
        if volume_id not in self.stubborn:
            self.present.discard(self._device(connection_info))


class Directories:
    """The instance directory of one host."""

    def __init__(self, calls):
        self.calls, self.there, self.half_deleted = calls, True, False

    def find(self, instance_uuid, half_deleted=True):
        self.calls('find_directory', instance_uuid)
        path = f'/var/lib/nova/instances/{instance_uuid}'
        if self.there:
            return path
        return f'{path}_del' if self.half_deleted and half_deleted else None

    def remove(self, instance_uuid, half_deleted=True):
        self.calls('remove_directory', instance_uuid)
        self.there = False
        self.half_deleted = self.half_deleted and not half_deleted


class Network:
    """Neutron: one port."""

    def __init__(self, calls):
        self.calls = calls
        self.ports = {'port-1': {SRC: 'ACTIVE', DST: 'INACTIVE'}}

    def bindings(self, instance_uuid, hosts):
        self.calls('bindings', tuple(hosts))
        return {port: {h: s for h, s in found.items() if h in tuple(hosts)}
                for port, found in self.ports.items()}

    def bind(self, instance_uuid, winner, loser):
        self.calls('bind', winner, loser)
        self.ports = {port: {winner: 'ACTIVE'} for port in self.ports}

    def unbind(self, instance_uuid, host):
        self.calls('unbind', host)
        for hosts in self.ports.values():
            if hosts.get(host) == 'INACTIVE':
                del hosts[host]


class Allocations:
    """Placement: a provider's uuid is ``rp-<host>``."""

    def __init__(self, calls):
        self.calls = calls
        #: hosts whose compute service was deleted
        self.deleted = set()
        self.by_consumer = {MIGRATION: {'rp-' + SRC: {'VCPU': 1}},
                            INSTANCE: {'rp-' + DST: {'VCPU': 1}}}

    def held(self, consumer):
        self.calls('held', consumer)
        return dict(self.by_consumer.get(consumer, {}))

    def provider(self, host):
        self.calls('provider', host)
        return None if host in self.deleted else 'rp-' + host

    def move(self, migration, instance_uuid):
        self.calls('move_allocations', migration, instance_uuid)
        self.by_consumer[instance_uuid] = self.by_consumer.pop(migration)

    def delete(self, migration):
        self.calls('delete_allocations', migration)
        self.by_consumer.pop(migration, None)

    def withdraw(self, instance_uuid, host):
        self.calls('withdraw_allocations', instance_uuid, host)
        del self.by_consumer[instance_uuid]['rp-' + host]


class Guests:
    """libvirt of one host; ``later`` is what it says from the second look."""

    def __init__(self, calls, host):
        self.calls, self.host = calls, host
        self.state, self.job, self.later = G.HERE, False, None
        self.boot = 'boot-1'
        self.is_stopped = False

    def evidence(self, instance_uuid):
        self.calls('evidence', self.host)
        found = HostEvidence(self.host, self.state, self.job, self.boot)
        if self.later is not None:
            self.state, self.later = self.later, None
        return found

    def stopped(self, instance_uuid):
        return self.is_stopped

    def resume(self, instance_uuid):
        self.calls('resume', self.host)
        self.is_stopped = False


class Peer:
    """The plugin on the other host."""

    def __init__(self, calls, host):
        self.calls, self.host = calls, host
        self.state, self.job = G.ABSENT, False
        self.description = {'known': True, 'live': False, 'state': 'open',
                            'verdict': '', 'version': '1'}
        self.answer = {'state': 'done', 'reason': '', 'kept': {}}
        self.without = False

    def evidence(self, host, uuid, instance_uuid):
        self.calls('peer.evidence', host)
        return HostEvidence(host, self.state, self.job)

    def describe(self, host, uuid, within=1.0):
        self.calls('peer.describe', host)
        return self.description

    def unarmed(self, host, uuid, within=1.0):
        return self.without

    def let_go(self, host, instance_uuid, volume_id):
        self.calls('peer.let_go', host, volume_id)

    def release(self, host, uuid, instance_uuid, verdict):
        self.calls('peer.release', host, verdict)
        return self.answer


class Hosts:
    """Nova's word on hosts, and what the probes come to.

    ``down`` are forced down, ``deleted`` are not in Nova any more, and ``alive`` are seen.
    """

    def __init__(self, calls):
        self.calls = calls
        self.down, self.deleted, self.alive, self.believed = set(), set(), set(), True

    def declared(self, host):
        self.calls('declared', host)
        return None if host in self.deleted else host in self.down

    def judge(self, host, instance_uuid, confirmed=False):
        self.calls('judge', host)
        signs = [Sign.ANSWERS if host in self.alive else Sign.SILENT]
        signs += [Sign.DECLARED] if host in self.down else []
        return host_verdict.judge(
            host, [Observation(f'probe{number}', sign) for number, sign in enumerate(signs)],
            Checker(True, 9, 0), Limits(1, believe_forced_down=self.believed or confirmed))


class Cloud:
    """All of it.

    :param volumes: how many
    :param local: the host on which the code under test runs
    """

    def __init__(self, volumes=2, local=SRC):
        self.local, self.count = local, volumes
        other = DST if local == SRC else SRC
        self.calls = Calls()
        self.volumes = Volumes(self.calls)
        self.records = Records(self.calls)
        self.devices = Devices(self.calls)
        self.directories = Directories(self.calls)
        self.network = Network(self.calls)
        self.allocations = Allocations(self.calls)
        self.guests = Guests(self.calls, local)
        self.peer = Peer(self.calls, other)
        self.hosts = Hosts(self.calls)
        if local == DST:
            self.guests.state, self.peer.state = G.ABSENT, G.HERE
        for number in range(volumes):
            self._volume(number)

    def _volume(self, number):
        for host in (SRC, DST):
            self.volumes.add(attachment(host, number), volume(number), host,
                             info(host, number))
        self.devices.add(info(self.local, number))
        self.records.rows[volume(number)] = VolumeRow(
            number + 1, volume(number), attachment(DST, number),
            info(DST, number))

    def legacy(self, number):
        """Make a volume one of the flow without attachments."""
        row = self.records.rows[volume(number)]
        self.records.rows[volume(number)] = dataclasses.replace(
            row, attachment_id=None)
        for host in (SRC, DST):
            del self.volumes.rows[attachment(host, number)]

    def clients(self):
        """As handed to the engine."""
        return Clients(
            self.volumes, self.records, self.devices, self.directories,
            self.network, self.allocations, self.guests, self.peer, self.hosts)

    def changes(self):
        """The calls that change something, in order."""
        return self.calls.of(*CHANGES)

    def captures(self):
        """(resource, key, payload) as the source journals them."""
        found = [('instance_record', '', {'host': SRC, 'node': SRC,
                                          'vm_state': 'active'}),
                 ('instance_directory', '', {'exists': True,
                                             'shared': False})]
        for number in range(self.count):
            legacy = attachment(SRC, number) not in self.volumes.rows
            found.append(('volume_connection', volume(number), {
                'attachment_id': None if legacy else attachment(SRC, number),
                'connection_info': info(SRC, number)}))
        return found

    def history(self):
        """What this host's journal holds of the failed migration."""
        history = History()
        if self.local == SRC:
            for resource, key, payload in self.captures():
                history.captures[(resource, key)] = payload
            return history
        history.captures[('instance_directory', '')] = {
            'exists': False, 'shared': False}
        for number in range(self.count):
            if attachment(DST, number) in self.volumes.rows:
                history.attachments[volume(number)] = [
                    attachment(DST, number)]
            history.connections[volume(number)] = info(DST, number)
        return history


class Journal:
    """Remembers effects; the engine's tests use a real one."""

    def __init__(self):
        self.intents, self.outcomes, self.notes = [], [], []

    def note(self, tx, text):
        self.notes.append(text)

    def intent(self, tx, resource, effect, key='', payload=None):
        self.intents.append((resource, effect, key, payload))
        return len(self.intents)

    def outcome(self, tx, intent_id, status, payload=None):
        self.outcomes.append((self.intents[intent_id - 1][1], status))


def transaction(cloud, **changes):
    """The transaction, as the local host has it."""
    fields = {'id': 1, 'uuid': MIGRATION, 'host': cloud.local,
              'role': 'source' if cloud.local == SRC else 'destination',
              'instance_uuid': INSTANCE, 'source_host': SRC, 'dest_host': DST}
    return Transaction(**(fields | changes))


def move(cloud, verdict=Verdict.ABORT, *, teardown=True, history=None,
         loser_guest=G.ABSENT, released=False, kept=None, **tx):
    """One settlement."""
    abort = verdict is Verdict.ABORT
    evidence = Evidence(
        HostEvidence(SRC, G.HERE if abort else loser_guest),
        HostEvidence(DST, loser_guest if abort else G.HERE))
    made = Move(
        transaction(cloud, **tx), history or cloud.history(),
        Decision(verdict, teardown, 'because'), evidence, cloud.local,
        Journal(), cloud.clients(), cloud.records.row, cloud.records.others)
    made.released, made.kept = released, dict(kept or {})
    return made
