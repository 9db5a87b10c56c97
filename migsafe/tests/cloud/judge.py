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
"""Residue by kind, as doc/source/contributor/design.rst defines them: facts in, findings out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

from migsafe.tests.cloud.facts import Facts

#: Statuses in which a migration is over.
ENDED = frozenset(('completed', 'confirmed', 'reverted', 'failed', 'error', 'cancelled', 'done'))
INITIATOR = 'iqn.1993-08.org.debian:01:'


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """One piece of residue.

    :param kind: R1 to R12, "guest" where it does not run once, or "foreign" where something of an
        operator's was taken away
    :param text: what was found
    """

    kind: str
    text: str


@dataclasses.dataclass(frozen=True)
class Case:
    """What is judged.

    :param uuid: of the guest
    :param volumes: that it has
    :param where: the one host on which it runs
    :param foreign: initiators of an operator, who has mapped a volume by hand
    """

    facts: Facts
    uuid: str
    volumes: tuple[str, ...]
    where: str
    foreign: frozenset[str] = frozenset()

    def mine(self, table: str, column: str = 'instance_uuid') -> list[Any]:
        """The guest's rows of a table."""
        return [row for row in self.facts.tables[table] if row[column] == self.uuid]

    def initiators(self, volume: str) -> set[str]:
        """Who may write to a volume, without the operator's."""
        return mapped(self.facts, volume) - self.foreign

    def wwid(self, volume: str) -> str:
        """By which the volume answers."""
        return wwid(self.facts, volume)


def named(facts: Facts, volume: str) -> str:
    """The id that the array has of a volume: another one after Cinder has moved it."""
    return next((row['name_id'] for row in facts.tables['volumes']
                 if row['id'] == volume and row['name_id']), volume)


def mapped(facts: Facts, volume: str) -> set[str]:
    """To whom a volume is mapped."""
    name = named(facts, volume)
    return {one['initiator'] for one in facts.array.get('exports', ()) if name in one['path']}


def wwid(facts: Facts, volume: str) -> str:
    """By which a volume answers: LIO takes the first 25 digits of its serial number."""
    name = named(facts, volume)
    serials = [wwn for path, wwn in facts.array.get('serials', {}).items() if name in path]
    return '36001405' + serials[0].replace('-', '')[:25] if serials else ''


def running(facts: Facts, uuid: str) -> list[str]:
    """The hosts on which libvirt has the guest alive."""
    return [host for host, seen in facts.hosts.items() if seen for domain in seen['domains']
            if domain['uuid'] == uuid and domain['state'] != 'off']


def judge(facts: Facts, uuid: str, volumes: tuple[str, ...],
          foreign: frozenset[str] = frozenset()) -> list[Finding]:
    """All residue of a guest that should be at rest."""
    where = running(facts, uuid)
    if len(where) != 1:
        return [Finding('guest', f'it runs on {where or "no host"}')]
    case = Case(facts, uuid, volumes, where[0], foreign)
    return sorted({Finding(kind, text) for kind, rule in RULES.items() for text in rule(case)})


def gone(facts: Facts, uuid: str, volumes: tuple[str, ...],
         foreign: frozenset[str] = frozenset()) -> list[Finding]:
    """All residue of a guest that was deleted: nothing of it is on any host."""
    case = Case(facts, uuid, volumes, '', foreign)
    left = [Finding('guest', f'it runs on {host}') for host in running(facts, uuid)]
    return sorted({*left, *(Finding(kind, text) for kind in GONE for text in RULES[kind](case))})


def _records(case: Case) -> Iterator[str]:
    for bdm in case.mine('bdms'):
        info = json.loads(bdm['connection_info'] or '{}')
        data = info.get('data', {})
        told = data.get('target_iqn') or str(data.get('target_iqns'))
        if named(case.facts, bdm['volume_id']) not in told:
            yield f'connection_info of {bdm["volume_id"]} leads to {told}'


def _attachment(case: Case) -> Iterator[str]:
    of = {one['id']: one for one in case.facts.tables['attachments']}
    for bdm in case.mine('bdms'):
        found = of.get(bdm['attachment_id'])
        host = json.loads(found['connector'] or '{}').get('host') if found else None
        if host != case.where:
            yield f'attachment {bdm["attachment_id"]} of {bdm["volume_id"]} is for {host}'


def _exports(case: Case) -> Iterator[str]:
    for volume in case.volumes:
        for initiator in sorted(case.initiators(volume) - {INITIATOR + case.where}):
            yield f'{volume} is mapped to {initiator}'
        for one in case.facts.tables['attachments']:
            host = json.loads(one['connector'] or '{}').get('host')
            if one['volume_id'] == volume and host != case.where and one['instance_uuid']:
                yield f'attachment {one["id"]} of {volume} is for {host}'


def _devices(case: Case) -> Iterator[str]:
    for host, seen in case.facts.hosts.items():
        for volume in case.volumes if seen and host != case.where else ():
            wwid = case.wwid(volume)
            # a disk that does not answer has no identity, and a volume without a target no number
            disks = [disk for disk, identity in seen['disks'].items() if wwid and identity == wwid]
            maps = [name for name, uuid in seen['maps'].items() if wwid and wwid in uuid]
            if disks or maps:
                yield f'{host} has {volume} as {", ".join(disks + maps)}'


def _host(case: Case) -> Iterator[str]:
    for row in case.mine('instances', 'uuid'):
        if row['host'] != case.where:
            yield f'instance.host is {row["host"]}, it runs on {case.where}'


def _state(case: Case) -> Iterator[str]:
    for row in case.mine('instances', 'uuid'):
        if row['task_state'] or row['vm_state'] != 'active':
            yield f'vm_state is {row["vm_state"]}, task_state {row["task_state"]}'


def _allocations(case: Case) -> Iterator[str]:
    moves = {row['uuid'] for row in case.mine('migrations')}
    for row in case.facts.tables['allocations']:
        if row['consumer'] in moves:
            yield f'migration {row["consumer"]} has an allocation on {row["host"]}'
        elif row['consumer'] == case.uuid and row['host'] != case.where:
            yield f'the allocation is on {row["host"]}'


def _bindings(case: Case) -> Iterator[str]:
    for row in case.facts.tables['bindings']:
        if row['instance'] == case.uuid and row['host'] != case.where:
            yield f'a port is bound to {row["host"]} ({row["status"]})'


def _identity(case: Case) -> Iterator[str]:
    seen = case.facts.hosts[case.where]
    for domain in seen['domains'] if seen else ():
        for volume, disks in domain['disks'].items() if domain['uuid'] == case.uuid else ():
            for disk in disks:
                if seen and seen['disks'].get(disk) not in (case.wwid(volume), ''):
                    yield f'{disk} is not {volume} but {seen["disks"].get(disk)}'


def _writers(case: Case) -> Iterator[str]:
    for volume in case.volumes:
        if len(found := case.initiators(volume)) > 1:
            yield f'{volume} can be written by {", ".join(sorted(found))}'


def _directories(case: Case) -> Iterator[str]:
    for host, seen in case.facts.hosts.items():
        if seen and host != case.where and case.uuid in seen['directories']:
            yield f'{host} has its directory'


def _migrations(case: Case) -> Iterator[str]:
    for row in case.mine('migrations'):
        if row['status'] not in ENDED:
            yield f'migration {row["uuid"]} is {row["status"]}'


def _foreign(case: Case) -> Iterator[str]:
    for initiator in sorted(case.foreign - mapped(case.facts, case.volumes[0])):
        yield f'{case.volumes[0]} is not mapped to {initiator} any more'


RULES: dict[str, Callable[[Case], Iterator[str]]] = {
    'R1': _records, 'R2': _attachment, 'R3': _exports, 'R4': _devices, 'R5': _host, 'R6': _state,
    'R7': _allocations, 'R8': _bindings, 'R9': _identity, 'R10': _writers, 'R11': _directories,
    'R12': _migrations, 'foreign': _foreign}
#: What a guest that is gone could have left.
GONE = ('R3', 'R4', 'R7', 'R8', 'R11', 'R12')
