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
import os
from typing import Any

from testtools import content

from migsafe.tests.storage import base

BEGIN = 'import cinder_cases\ncinder_cases.begin({guarded})\n'
ATTACHED = 'attachment = cinder_cases.attach()\n'
#: Pairs of points between which the guard does nothing: a kill at the second leaves what one at
#: the first does. MIGSAFE_KILLS=all runs these too.
SAME = frozenset((
    ('after ledger', 'before create_export'), ('after ledger', 'before terminate_connection'),
    ('after ledger', 'before remove_export'), ('after terminate_connection', 'before ledger'),
    ('after remove_export', 'before ledger')))

#: The host of a migration's destination, and what LIO gives that of its source.
DESTINATION, SOURCE = 'iqn.2026-01.org.migsafe:a', {'iqn.2026-01.org.migsafe:b': [0]}


class CinderTestCase(base.StorageTestCase):
    """The scenarios of guest/cinder_cases.py."""

    #: Where a scenario is that is no kill of a sequence.
    MODULE = 'cinder_cases'

    def case(self, name: str, guarded: bool, attached: bool = False,
             **arguments: Any) -> dict[str, Any]:
        """Run one.

        :param attached: whether it begins with a volume that is attached
        """
        preludes = [BEGIN.format(guarded=guarded), *((ATTACHED,) if attached else ())]
        given = 'attachment, ' if attached else ''
        call = f'cinder_cases.main({name!r}, {given}**{arguments!r})\n'
        if 'kill_at' not in arguments:
            call = f'import {self.MODULE}\n{self.MODULE}.{name}({given}**{arguments!r})\n'
        result = self.vm.run(call, preludes)
        what = f'{"guarded" if guarded else "plain"} {name} {arguments}'
        self.addDetail(f'{what}: output', content.text_content(result.stdout))
        self.assertEqual(0, result.rc, f'{what} did not come to its end')
        found: dict[str, Any] = json.loads(result.files['result.json'])
        self.addDetail(what, content.text_content(json.dumps(found, indent=1)))
        return found


class TestKilled(CinderTestCase):
    """At each point in turn: before and after each ledger write and each call of the driver.

    Which points there are is found in a run in which nothing is killed. After each kill Cinder is
    started again, and LIO must have what Cinder's attachments say; and once more when Nova has
    deleted what had failed. Plain Cinder is the control.
    """

    def every_point(self, name: str, guarded: bool, attached: bool, turn: int = 0,
                    turns: int = 1) -> dict[str, Any]:
        """Point -> what was wrong after a kill there.

        :param turn: of how many tests that take turns at the points, which one this is
        """
        whole = self.case(name, guarded, attached, kill_at=-1)
        self.assertEqual((False, {}, {}), (whole['killed'], whole['after_restart'],
                                           whole['after_delete']))
        wrong, before = {}, ''
        for number, point in enumerate(whole['points']):
            same, before = (before, point) in SAME, point
            if same and os.environ.get('MIGSAFE_KILLS') != 'all' or number % turns != turn:
                continue
            found = self.case(name, guarded, attached, kill_at=number)
            self.assertTrue(found['killed'], point)
            self.assertEqual(whole['points'][:number + 1], found['points'])
            seen = {what: found[what] for what in ('after_restart', 'undeletable', 'after_delete')
                    if found[what]}
            if seen:
                wrong[f'{number} {point}'] = seen
        self.addDetail('wrong', content.text_content(json.dumps(wrong, indent=1)))
        self.points = whole['points']
        return wrong

    def test_attach(self) -> None:
        self.assertEqual({}, self.every_point('attaching', True, False))
        self.assertGreaterEqual(len(self.points), 8)

    def test_detach_0(self) -> None:
        self.detach(0)

    def test_detach_1(self) -> None:
        self.detach(1)

    def detach(self, turn: int) -> None:
        """At every second point, so that two workers share them."""
        self.assertEqual({}, self.every_point('detaching', True, True, turn, 2))
        self.assertGreaterEqual(len(self.points), 12)

    def test_migration_0(self) -> None:
        self.migration(0)

    def test_migration_1(self) -> None:
        self.migration(1)

    def test_migration_2(self) -> None:
        self.migration(2)

    def migration(self, turn: int) -> None:
        """At every third point."""
        self.assertEqual({}, self.every_point('migrating', True, True, turn, 3))
        self.assertGreaterEqual(len(self.points), 14)

    def test_attach_plain(self) -> None:
        """Each kill once the target is there leaves it, with the mapping if that is there."""
        self.assertEqual({'1 after create_export', '2 before initialize_connection',
                          '3 after initialize_connection'},
                         self.every_point('attaching', False, False).keys())

    def test_detach_plain(self) -> None:
        """Once the target is gone, Cinder cannot delete the attachment any more."""
        wrong = self.every_point('detaching', False, True)
        self.assertEqual({'3 after remove_export'}, wrong.keys())

    def test_migration_plain(self) -> None:
        """An attach is the first half of it, and has been shown in full."""
        found = self.case('migrating', False, True, kill_at=3)
        self.assertTrue(found['killed'])
        self.assertIn('iqn.2026-01.org.migsafe:b', found['after_delete']['leaked'])

    def test_half_made(self) -> None:
        found = self.case('half_made', True)
        # what makes it a test: there is an ACL, and it gives no LUN
        self.assertEqual((1, {**SOURCE, DESTINATION: []}), (len(found['died']), found['bare']))
        self.assertEqual({}, found['after_delete'])
        self.assertIsNone(found['again']['error'], found['again']['message'])
        self.assertEqual({**SOURCE, DESTINATION: [0]}, found['luns'])

    def test_half_made_plain(self) -> None:
        """The control: the second attach is said to succeed, and its host gets no disk."""
        found = self.case('half_made', False)
        self.assertEqual({**SOURCE, DESTINATION: []}, found['bare'])
        self.assertIsNone(found['again']['error'], found['again']['message'])
        self.assertEqual({**SOURCE, DESTINATION: []}, found['luns'])


class TestHost(CinderTestCase):
    """A guarded os-brick with what the guarded Cinder gives it."""

    def test_evacuated(self) -> None:
        found = self.case('evacuated', True)
        # what the inspector says of the array is what the kernel sees of the disk
        self.assertEqual(1, len(found['named']))
        self.assertEqual(found['named'], found['seen'])
        self.assertEqual('ok', found['readable'])
        self.assertIsNone(found['moved']['error'], found['moved']['message'])
        # and the first host cannot write it any more
        self.assertEqual(['iqn.2026-01.org.migsafe:b', 'target'], found['exports'])
        self.assertNotEqual('ok', found['readable_after'])

    def test_taken_for_free(self) -> None:
        found = self.case('taken_for_free', True)
        self.assertIsNotNone(found['refused']['error'])
        self.assertIn('node13', found['log'])
        self.assertEqual(['iqn.2026-01.org.migsafe:a', 'target'], found['exports'])
        self.assertEqual('ok', found['readable'])

    def test_taken_for_free_plain(self) -> None:
        """The control: two hosts can write it."""
        found = self.case('taken_for_free', False)
        self.assertIsNone(found['refused']['error'], found['refused']['message'])
        self.assertEqual({'iqn.2026-01.org.migsafe:a', 'iqn.2026-01.org.migsafe:b', 'target'},
                         set(found['exports']))
        self.assertEqual('ok', found['readable'])

    def test_wrong_disk(self) -> None:
        found = self.case('wrong_disk', True)
        self.assertEqual('WrongDisk', found['disk']['error'])
        self.assertEqual({}, found['left'])

    def test_unrecorded(self) -> None:
        found = self.case('unrecorded', True)
        self.assertEqual(['iqn.2026-01.org.migsafe:b', 'target'], found['before'])
        code, out, _err = found['verified']
        self.assertEqual(3, code)
        self.assertIn('iqn.2026-01.org.migsafe:b', out)
        # the control: without the command the volume cannot be attached
        self.assertIsNotNone(found['refused']['error'])
        self.assertIn('--initiator iqn.2026-01.org.migsafe:b', found['named'])
        self.assertEqual(4, found['reverted'][0], found['reverted'])
        self.assertEqual(['target'], found['after'])
        self.assertIsNone(found['again']['error'], found['again']['message'])
        self.assertEqual(['iqn.2026-01.org.migsafe:a', 'target'], found['exports'])

    def test_another_prefix(self) -> None:
        found = self.case('another_prefix', True)
        self.assertEqual('ok', found['readable'])
        self.assertEqual([['iqn.2026-01.org.migsafe:a', '0']], found['mapped'])
        self.assertEqual([['iqn.2026-01.org.migsafe:a']], found['writers'])
        # the kernel counts what the host has read in between
        (before,), (busy,) = found['before'], found['busy']
        self.assertGreater(busy, before)
        # the control: the target is found by nothing else
        self.assertEqual(0, found['unnamed'])
