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
"""R7: what Placement charges for an instance that runs elsewhere, or for a migration that ended.

All consumers of a plan are written by one POST, each only if its generation is as it was read, as
Nova does it itself: move_allocations() and remove_provider_tree_from_instance_allocation() of
nova/scheduler/client/report.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from migsafe.audit.facts import Allocation, Case
from migsafe.audit.findings import Finding
from migsafe.repair import requests, rows
from migsafe.repair.acts import State
from migsafe.repair.ground import Ground
from migsafe.repair.hosts import LIVE, Undecided, Words
from migsafe.repair.requests import OK, Call, Request
from migsafe.text import shell

KIND, SERVICE = 'allocations', 'placement'
#: Provider -> resource class -> how much.
Held = dict[str, dict[str, int]]


def made(ground: Ground, words: Words, findings: Collection[Finding],
         call: Call | None) -> Request:
    """What Placement is asked for: the instance is charged for its host alone, and an ended
    migration for nothing.

    :param findings: those of R7
    :raises Undecided: what the instance needs on its host does not come out
    """
    case, host = ground.case, rows.host_of(ground, words)
    charged = {(one.key.partition('/')[0], one.key.partition('/')[2]) for one in findings}
    wrong = [one for one in case.allocations if (one.consumer, one.provider) in charged]
    moves = {one.consumer for one in wrong} - {case.instance.uuid}
    for one in case.migrations:
        if one.uuid in moves and one.kind != LIVE:
            raise Undecided(
                f'Migration {one.number} is of type {one.kind or "unknown"}, which leaves more '
                'behind than its record. Find out on both hosts what it has made there.')
    ask = requests.asked(call, 'Placement')
    before = {consumer: _read(ask, consumer)
              for consumer in sorted({case.instance.uuid, *moves})}
    for consumer, held in before.items():
        if held['allocations'].keys() != {one.uuid for one in case.allocations
                                          if one.consumer == consumer}:
            raise Undecided(f'Placement has other allocations of {consumer} by now than its '
                            'database that was read. Plan again.')
    after: dict[str, Held] = dict.fromkeys(moves, {})
    mine = _mine(case, host, wrong, before)
    if mine != before[case.instance.uuid]['allocations']:
        after[case.instance.uuid] = mine
    return Request(KIND, case.instance.uuid, {name: before[name] for name in after}, after,
                   _says(case, host, after))


def _mine(case: Case, host: str, wrong: list[Allocation], before: Mapping[str, Any]) -> Held:
    """What the instance is to be charged for."""
    mine, uuid = [one for one in case.allocations if one.consumer == case.instance.uuid], \
        case.instance.uuid
    if any(one.host == host for one in mine):
        out = {one.uuid for one in wrong if one.consumer == uuid}
        return {name: held for name, held in before[uuid]['allocations'].items()
                if name not in out}
    givers = {one.consumer for one in wrong if one.consumer != uuid and one.host == host}
    if len(givers) == 1 and all(one.host in (host, None) for one in case.allocations
                                if one.consumer in givers):
        found: Held = before[givers.pop()]['allocations']
        return found
    raise Undecided(
        f'Placement charges nothing of {host} for the instance, and no record has how much that '
        'is. nova-manage placement heal_allocations --force --instance '
        f'{shell(uuid)} works it out of the flavor.')


def _says(case: Case, host: str, after: Mapping[str, Held]) -> str:
    ended = sorted(set(after) - {case.instance.uuid})
    return ' '.join(filter(None, (
        f'Placement charges the instance for {host} alone.' if case.instance.uuid in after else '',
        f'Placement charges nothing for migration {" and ".join(ended)}, which has ended.'
        if ended else '')))


def _read(call: Call, consumer: str) -> dict[str, Any]:
    """What a consumer has, and its generation, which is that of nothing if it has nothing."""
    body = requests.answer(call, SERVICE, f'/allocations/{consumer}') or {}
    found = body.get('allocations')
    if not isinstance(found, Mapping) or not all(isinstance(one, Mapping)
                                                 and isinstance(one.get('resources'), Mapping)
                                                 for one in found.values()):
        raise Undecided(f'Placement gave an answer that is not to be understood of {consumer}.')
    return {'allocations': {name: dict(one['resources']) for name, one in found.items()},
            **{name: body.get(name) for name in (
                'consumer_generation', 'project_id', 'user_id')}}


def state(request: Request, call: Call) -> State:
    """How all of its consumers are."""
    now = {consumer: _read(call, consumer) for consumer in request.before}
    if all(now[name]['allocations'] == held for name, held in request.after.items()):
        return State.AFTER
    return State.BEFORE if now == request.before else State.OTHER


def send(request: Request, call: Call) -> tuple[int, str]:
    """Ask for all of it at once; Placement does it whole, or not at all."""
    status, body = call(SERVICE, 'POST', '/allocations', {
        consumer: {**request.before[consumer], 'allocations': {
            name: {'resources': resources} for name, resources in held.items()}}
        for consumer, held in request.after.items()})
    return status, '' if status in OK else requests.reason(body)


def imagined(allocations: Collection[Allocation], request: Request) -> tuple[Allocation, ...]:
    """Allocations as they are when it is done."""
    host_of = {one.uuid: one for one in allocations}
    return (*(one for one in allocations if one.consumer not in request.after),
            *(host_of[name]._replace(consumer=consumer)
              for consumer, held in request.after.items() for name in held))
