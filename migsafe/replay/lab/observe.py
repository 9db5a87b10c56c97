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
"""Finds what a migration left behind, from the state of the cloud alone.

Nothing here uses migsafe: the judge must not share a mistake with what is judged.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from nova import context as nova_context
from nova import exception as nova_exc
from nova import objects
from oslo_serialization import jsonutils

from migsafe.replay.lab import stack as lab_stack

#: Residue kinds, as the design names them; a test is written against these.
KINDS = {
    'R1': "BDM connection_info names the wrong host's LUN",
    'R2': 'BDM attachment_id is wrong or gone',
    'R3': 'export or Cinder attachment for a host that does not run the guest',
    'R4': 'device on a host that does not run the guest',
    'R5': 'instance.host is not where the guest runs',
    'R6': 'instance stuck in migrating, in ERROR though the guest is well, or its guest stopped',
    'R7': 'Placement allocation of the wrong host',
    'R8': 'port binding of the wrong host',
    'R9': "device whose disk is not its volume's",
    'R10': 'a volume that two hosts have open for one guest',
    'R11': 'instance directory on a host that does not run the guest',
    'R12': 'migration record that never ended',
}
TERMINAL = ('completed', 'failed', 'error', 'cancelled', 'done', 'confirmed', 'reverted')


@dataclasses.dataclass(frozen=True)
class Residue:
    """One piece of state that does not agree with where the guest runs."""

    kind: str
    detail: str
    host: str | None = None
    volume: int | None = None

    def __str__(self) -> str:
        disk = '' if self.volume is None else f' volume {self.volume}'
        return f'{self.kind}{disk} {self.detail}'


@dataclasses.dataclass
class Records:
    """What Nova's database holds about one guest."""

    instance: Any
    bdms: list[Any]
    migrations: list[Any]


def records(stack: lab_stack.Stack, instance_uuid: str) -> Records | None:
    """Read Nova's database, unnoticed; None if the guest was deleted."""
    context = nova_context.get_admin_context()
    nova_context.set_target_cell(context, stack.cell_mappings['cell1'])
    with stack.parts.world.looking():
        try:
            instance = objects.Instance.get_by_uuid(context, instance_uuid)
        except nova_exc.InstanceNotFound:
            return None
        bdms = objects.BlockDeviceMappingList.get_by_instance_uuid(context, instance_uuid)
        migrations = objects.MigrationList.get_by_filters(
            context, {'instance_uuid': instance_uuid})
        return Records(instance, [b for b in bdms if b.is_volume], list(migrations))


class Observer:
    """Looks at one guest; ``volumes`` are its volume ids, root disk first."""

    def __init__(self, stack: lab_stack.Stack, instance_uuid: str, volumes: tuple[str, ...],
                 port: str) -> None:
        self._stack = stack
        self._parts = stack.parts
        self._uuid = instance_uuid
        self._volumes = volumes
        self._port = port

    def running_on(self) -> list[str]:
        """The hosts whose hypervisor executes the guest."""
        return [h for h, c in self._parts.connections.items()
                for d in c._vms.values() if d.UUIDString() == self._uuid and d.runs]

    def _stopped(self) -> bool:
        """Whether a hypervisor has the guest, and it does not run."""
        return any(d.runs and d.stopped for c in self._parts.connections.values()
                   for d in c._vms.values() if d.UUIDString() == self._uuid)

    def _off_on(self) -> str | None:
        """The host of a guest that is off: where its domain is, if that is one host alone."""
        found = {h for h, c in self._parts.connections.items()
                 for d in c._vms.values() if d.UUIDString() == self._uuid}
        return found.pop() if len(found) == 1 else None

    def look(self) -> list[Residue]:
        """Everything that was left behind, in the order of the kinds."""
        held = records(self._stack, self._uuid)
        if held is None:
            return []
        running = self.running_on()
        home = running[0] if running else self._off_on() or held.instance.host
        found = [*self._bdms(held, home), *self._cinder(home), *self._devices(home),
                 *self._instance(held, home, running), *self._placement(held, home),
                 *self._neutron(home), *self._double(running), *self._directories(home),
                 *self._migrations(held)]
        return sorted(found, key=lambda r: (int(r.kind[1:]), r.volume or 0, r.detail))

    def _ordinal(self, volume_id: str) -> int | None:
        return self._volumes.index(volume_id) if volume_id in self._volumes else None

    def _bdms(self, held: Records, home: str) -> list[Residue]:
        found = []
        for bdm in held.bdms:
            number = self._ordinal(bdm.volume_id)
            named = jsonutils.loads(bdm.connection_info or '{}').get('data', {})
            export = next((e for e in self._parts.san.exports(bdm.volume_id)
                           if e.host == home), None)
            lun = named.get('target_lun')
            if export is None:
                found.append(Residue('R1', f'the volume is not exported to {home} at all',
                                     home, number))
            elif 'target_lun' in named and lun != export.lun:
                found.append(Residue(
                    'R1', f'the BDM says LUN {lun}, on {home} the volume is LUN {export.lun}',
                    home, number))
            attachment = self._parts.cinder.attachments.get(bdm.attachment_id)
            if bdm.attachment_id and attachment is None:
                found.append(Residue('R2', 'the attachment of the BDM is gone', home, number))
            elif attachment is not None and attachment.host != home:
                found.append(Residue(
                    'R2', f'the attachment of the BDM is for {attachment.host}', home, number))
        return found

    def _cinder(self, home: str) -> list[Residue]:
        found = []
        mine = {a.id: a for a in self._parts.cinder.attachments.values()
                if a.instance_uuid == self._uuid}
        for attachment in mine.values():
            if attachment.host != home:
                found.append(Residue('R3', f'attachment for {attachment.host or "no host"}',
                                     attachment.host, self._ordinal(attachment.volume_id)))
        for volume_id in self._volumes:
            for export in self._parts.san.exports(volume_id):
                if export.host != home and export.users & {*mine, 'legacy'}:
                    found.append(Residue(
                        'R3', f'exported to {export.host} as LUN {export.lun}', export.host,
                        self._ordinal(volume_id)))
        return found

    def _shared(self, host: str, volume_id: str) -> bool:
        """Whether another guest has this volume on this host by right."""
        return any(a.host == host and a.instance_uuid != self._uuid
                   for a in self._parts.cinder.of_volume(volume_id))

    def _devices(self, home: str) -> list[Residue]:
        found = []
        for host, kernel in self._parts.kernels.items():
            for device in kernel.devices.values():
                number = self._ordinal(device.volume_id)
                if device.stranger:
                    found.append(Residue(
                        'R9', f"LUN {device.lun} on {host} is another tenant's", host))
                elif number is not None and host != home and not self._shared(
                        host, device.volume_id):
                    state = 'dead ' if device.dead else ''
                    found.append(Residue('R4', f'{state}device LUN {device.lun} on {host}',
                                         host, number))
        return found

    def _instance(self, held: Records, home: str, running: list[str]) -> list[Residue]:
        found = []
        instance = held.instance
        if instance.host not in (running or [home]):
            found.append(Residue('R5', f'instance.host is {instance.host}, the guest '
                                       f'{"runs" if running else "is off"} on {home}',
                                 instance.host))
        if instance.task_state is not None:
            found.append(Residue('R6', f'task_state is {instance.task_state}'))
        if self._stopped() and instance.vm_state == 'active':
            found.append(Residue('R6', 'the guest is stopped'))
        if running and instance.vm_state == 'error':
            found.append(Residue('R6', 'vm_state is error though the guest runs'))
        return found

    def _placement(self, held: Records, home: str) -> list[Residue]:
        names = {v: k for k, v in self._stack.compute_rp_uuids.items()}
        found = []
        consumers = [(self._uuid, 'instance', {home})]
        consumers += [(m.uuid, 'migration', set()) for m in held.migrations]
        for consumer, what, wanted in consumers:
            answer = self._stack.placement.get(f'/allocations/{consumer}').body
            hosts = {names[rp] for rp in answer['allocations']}
            if hosts != wanted:
                found.append(Residue('R7', f'the {what} holds allocations on '
                                           f'{", ".join(sorted(hosts)) or "no host"}'))
        return found

    def _neutron(self, home: str) -> list[Residue]:
        bindings = self._stack.neutron._port_bindings.get(self._port, {})
        states = {h: b.get('status') for h, b in bindings.items()}
        profile = bindings.get(home, {}).get('profile') or {}
        if states == {home: 'ACTIVE'} and 'migrating_to' not in profile:
            return []
        if states == {home: 'ACTIVE'}:
            return [Residue('R8', f"the binding's profile says migrating_to "
                                  f"{profile['migrating_to']}", home)]
        said = ', '.join(f'{h} {s}' for h, s in sorted(states.items())) or 'none'
        return [Residue('R8', f'port bindings: {said}')]

    def _double(self, running: list[str]) -> list[Residue]:
        if len(running) < 2:
            return []
        return [Residue('R10', f'the guest runs on {" and ".join(running)}')]

    def _directories(self, home: str) -> list[Residue]:
        found = []
        for host, options in self._stack.host_options.items():
            path = os.path.join(options['instances_path'], self._uuid)
            left = [name for name in (path, f'{path}_del') if os.path.exists(name)]
            if left and host != home:
                found.append(Residue('R11', f'instance directory on {host}', host))
        return found

    def _migrations(self, held: Records) -> list[Residue]:
        return [Residue('R12', f'migration {m.id} is {m.status}')
                for m in held.migrations if m.status not in TERMINAL]
