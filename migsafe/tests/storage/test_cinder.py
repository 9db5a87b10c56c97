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
"""A real cinder-volume with the LVM driver on LIO, killed wherever it changes something."""

from __future__ import annotations

import json
from typing import Any

from testtools import content

from migsafe.tests.storage import base

BEGIN = 'import cinder_cases\ncinder_cases.begin({guarded})\n'
ATTACHED = 'attachment = cinder_cases.attach()\n'


class CinderTestCase(base.StorageTestCase):
    """The scenarios of guest/cinder_cases.py."""

    def case(self, name: str, guarded: bool, attached: bool = False,
             **arguments: Any) -> dict[str, Any]:
        """Run one.

        :param attached: whether it begins with a volume that is attached
        """
        preludes = [BEGIN.format(guarded=guarded), *((ATTACHED,) if attached else ())]
        given = 'attachment, ' if attached else ''
        result = self.vm.run(f'cinder_cases.main({name!r}, {given}**{arguments!r})\n', preludes)
        what = f'{"guarded" if guarded else "plain"} {name} {arguments}'
        self.addDetail(f'{what}: output', content.text_content(result.stdout))
        self.assertEqual(0, result.rc, f'{what} did not come to its end')
        found: dict[str, Any] = json.loads(result.files['result.json'])
        self.addDetail(what, content.text_content(json.dumps(found, indent=1)))
        return found


class TestKilled(CinderTestCase):
    """At each point in turn: before and after each write of the ledger and each call of the driver.

    Which points there are is found in a run in which nothing is killed. After each kill Cinder is
    started again, and LIO must have what Cinder's attachments say; and again when Nova has deleted
    what had failed. Plain Cinder is the control, in the same machine.
    """

    def every_point(self, name: str, guarded: bool, attached: bool) -> dict[str, Any]:
        """Point -> what LIO had that no attachment explains, or not."""
        whole = self.case(name, guarded, attached, kill_at=-1)
        self.assertEqual((False, [], []), (whole['killed'], whole['after_restart'],
                                           whole['after_delete']))
        differences = {}
        for number, point in enumerate(whole['points']):
            found = self.case(name, guarded, attached, kill_at=number)
            self.assertTrue(found['killed'], point)
            self.assertEqual(whole['points'][:number + 1], found['points'])
            if found['after_restart'] or found['after_delete']:
                differences[f'{number} {point}'] = (found['after_restart'], found['after_delete'])
        self.addDetail('differences', content.text_content(json.dumps(differences, indent=1)))
        self.assertGreaterEqual(len(whole['points']), 4 + 4 * guarded)
        return differences

    def test_attach(self) -> None:
        self.assertEqual({}, self.every_point('attaching', True, False))

    def test_detach(self) -> None:
        self.assertEqual({}, self.every_point('detaching', True, True))

    def test_migration(self) -> None:
        self.assertEqual({}, self.every_point('migrating', True, True))

    def test_attach_plain(self) -> None:
        self.assertNotEqual({}, self.every_point('attaching', False, False))

    def test_detach_plain(self) -> None:
        self.every_point('detaching', False, True)

    def test_migration_plain(self) -> None:
        self.assertNotEqual({}, self.every_point('migrating', False, True))
