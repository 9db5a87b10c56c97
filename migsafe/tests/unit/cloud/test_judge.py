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
"""The judge of the cloud tests: facts that were made up, one thing wrong in each."""

from __future__ import annotations

import copy
import json
from typing import Any

import testtools

from migsafe.tests.cloud import facts, judge

GUEST, MOVE, VOLUME = 'guest-uuid', 'move-uuid', 'volume-uuid'
SERIAL = '12345678-9abc-4def-8012-3456789abcde'
WWID = '36001405123456789abc4def801234567'
IQN = 'iqn.1993-08.org.debian:01:'


def clean() -> dict[str, Any]:
    """A guest that was moved to cmp2 and is well."""
    return {
        'tables': {
            'instances': [{'uuid': GUEST, 'host': 'cmp2', 'node': 'cmp2', 'vm_state': 'active',
                           'task_state': None}],
            'bdms': [{'instance_uuid': GUEST, 'volume_id': VOLUME, 'attachment_id': 'att',
                      'connection_info': json.dumps(
                          {'data': {'target_iqn': f'iqn.x:volume-{VOLUME}'}})}],
            'migrations': [{'uuid': MOVE, 'instance_uuid': GUEST, 'status': 'completed'}],
            'attachments': [{'id': 'att', 'volume_id': VOLUME, 'instance_uuid': GUEST,
                             'connector': json.dumps({'host': 'cmp2'})}],
            'volumes': [{'id': VOLUME, 'status': 'in-use', 'name_id': None}],
            'allocations': [{'consumer': GUEST, 'host': 'cmp2'}],
            'bindings': [{'instance': GUEST, 'host': 'cmp2', 'status': 'ACTIVE'}]},
        'hosts': {
            'cmp1': {'domains': [], 'disks': {}, 'maps': {}, 'directories': []},
            'cmp2': {'domains': [{'uuid': GUEST, 'state': 'running', 'disks': {VOLUME: ['sda']}}],
                     'disks': {'sda': WWID}, 'maps': {WWID: f'mpath-{WWID}'},
                     'directories': [GUEST]}},
        'array': {'serials': {f'/dev/volume-{VOLUME}': SERIAL},
                  'exports': [{'initiator': f'{IQN}cmp2', 'path': f'/dev/volume-{VOLUME}'}]}}


#: Kind of residue -> where a piece of it is put, and what.
WRONG: tuple[tuple[str, tuple[Any, ...], Any], ...] = (
    ('R1', ('tables', 'bdms', 0, 'connection_info'),
     json.dumps({'data': {'target_iqn': 'iqn.x:volume-other'}})),
    ('R2', ('tables', 'bdms', 0, 'attachment_id'), 'gone'),
    ('R3', ('tables', 'attachments', 0),
     {'id': 'old', 'volume_id': VOLUME, 'instance_uuid': GUEST,
      'connector': json.dumps({'host': 'cmp1'})}),
    ('R3', ('array', 'exports', 0, 'initiator'), f'{IQN}cmp1'),
    ('R4', ('hosts', 'cmp1', 'disks'), {'sdb': WWID}),
    ('R4', ('hosts', 'cmp1', 'maps'), {'old': f'mpath-{WWID}'}),
    ('R5', ('tables', 'instances', 0, 'host'), 'cmp1'),
    ('R6', ('tables', 'instances', 0, 'vm_state'), 'error'),
    ('R6', ('tables', 'instances', 0, 'task_state'), 'migrating'),
    ('R7', ('tables', 'allocations', 0, 'host'), 'cmp1'),
    ('R7', ('tables', 'allocations', 0), {'consumer': MOVE, 'host': 'cmp2'}),
    ('R8', ('tables', 'bindings', 0, 'host'), 'cmp1'),
    ('R9', ('hosts', 'cmp2', 'disks', 'sda'), '36001405ffff'),
    ('R11', ('hosts', 'cmp1', 'directories'), [GUEST]),
    ('R12', ('tables', 'migrations', 0, 'status'), 'running'),
    ('guest', ('hosts', 'cmp2', 'domains', 0, 'state'), 'off'),
)


class TestJudge(testtools.TestCase):
    """What is found, and that nothing is found where nothing is."""

    def found(self, made: dict[str, Any], **more: Any) -> set[str]:
        return {one.kind for one in judge.judge(facts.Facts(**made), GUEST, (VOLUME,), **more)}

    def test_clean(self) -> None:
        self.assertEqual(set(), self.found(clean()))

    def test_each_kind(self) -> None:
        for kind, path, value in WRONG:
            made = clean()
            place = made
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = value
            self.assertIn(kind, self.found(made), path)

    def test_two_writers(self) -> None:
        made = clean()
        other = copy.copy(made['array']['exports'][0]) | {'initiator': 'iqn.by-hand'}
        made['array']['exports'].append(other)
        self.assertEqual({'R3', 'R10'}, self.found(made))
        self.assertEqual(set(), self.found(made, foreign=frozenset(('iqn.by-hand',))))

    def test_what_an_operator_has_mapped_is_gone(self) -> None:
        self.assertEqual({'foreign'}, self.found(clean(), foreign=frozenset(('iqn.by-hand',))))

    def test_gone(self) -> None:
        made = clean()
        self.assertEqual({'guest', 'R3', 'R4', 'R7', 'R8', 'R11'}, {
            one.kind for one in judge.gone(facts.Facts(**made), GUEST, (VOLUME,))})
        for name in ('instances', 'bdms', 'attachments', 'allocations', 'bindings'):
            made['tables'][name] = []
        made['array']['exports'] = []
        made['hosts']['cmp2'] = made['hosts']['cmp1']
        self.assertEqual([], judge.gone(facts.Facts(**made), GUEST, (VOLUME,)))

    def test_disks_that_do_not_answer(self) -> None:
        made = clean()
        made['hosts']['cmp1']['disks'] = {'sdx': ''}
        made['array'] = {'serials': {}, 'exports': []}
        self.assertEqual(set(), {one.kind for one in judge.gone(
            facts.Facts(**made), GUEST, (VOLUME,))} & {'R4'})

    def test_twice(self) -> None:
        made = clean()
        made['hosts']['cmp1']['domains'] = made['hosts']['cmp2']['domains']
        self.assertEqual({'guest'}, self.found(made))

    def test_host_that_is_off(self) -> None:
        made = clean()
        made['hosts']['cmp1'] = None
        self.assertEqual(set(), self.found(made))
