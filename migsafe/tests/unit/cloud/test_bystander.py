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
"""What is done to a volume that is nobody's business, in facts that were made up."""

from __future__ import annotations

import copy
from typing import Any

import testtools

from migsafe.tests.cloud import bystander, facts, judge, sector, servers
from migsafe.tests.unit.cloud.test_judge import IQN, SERIAL, VOLUME, WWID, clean

BESIDE = bystander.Bystander('bystander', VOLUME, {})
UNTOUCHED = clean()
UNTOUCHED['array']['exports'] = [
    {'initiator': one, 'path': f'/dev/volume-{VOLUME}'}
    for one in (f'{IQN}cmp1', bystander.OPERATOR)]
UNTOUCHED['hosts']['cmp1']['disks'] = {'sdb': WWID}
#: Where something is taken away, and what is there instead.
TOUCHED: tuple[tuple[tuple[Any, ...], Any], ...] = (
    (('array', 'exports', 0, 'initiator'), 'iqn.other'),
    (('array', 'exports', 1, 'initiator'), 'iqn.other'),
    (('tables', 'attachments', 0, 'volume_id'), 'other'),
    (('hosts', 'cmp1', 'disks'), {}),
)


class TestBystander(testtools.TestCase):
    """Nothing is found where nothing was done, and each thing that was."""

    def setUp(self) -> None:
        super().setUp()
        self.written = sector.Written('bystander', 0)
        self.patch(servers, 'written', lambda _volume: self.written)

    def found(self, made: dict[str, Any]) -> list[judge.Finding]:
        return bystander.judged(facts.Facts(**made), BESIDE)

    def test_untouched(self) -> None:
        self.assertEqual('36001405' + SERIAL.replace('-', '')[:25], WWID)
        self.assertEqual([], self.found(copy.deepcopy(UNTOUCHED)))

    def test_touched(self) -> None:
        for path, value in TOUCHED:
            made = copy.deepcopy(UNTOUCHED)
            place: Any = made
            for step in path[:-1]:
                place = place[step]
            place[path[-1]] = value
            self.assertEqual(['foreign'], [one.kind for one in self.found(made)], path)

    def test_written(self) -> None:
        self.written = sector.Written('bystander', 3)
        self.assertEqual(['foreign'], [one.kind for one in self.found(copy.deepcopy(UNTOUCHED))])

    def test_host_that_is_off(self) -> None:
        made = copy.deepcopy(UNTOUCHED)
        made['hosts']['cmp1'] = None
        self.assertEqual([], self.found(made))
