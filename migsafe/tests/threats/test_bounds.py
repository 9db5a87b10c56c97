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
"""What a guest, an array or another host can make long stays short where it is read or kept."""

import importlib
import pathlib
import pkgutil
import re

from oslotest import base

import migsafe
from migsafe import exceptions, text
from migsafe.brick import refusals
from migsafe.brick.guard import release
from migsafe.tests.unit.brick.guard import test_questions

MANY = 600
VALUE, NUMBER = re.compile(r'%\(([a-z:_]+)\)s'), re.compile(r'%\(([a-z:_]+)\)d')
#: What one value of a message may take: itself, and how much is not shown.
LONGEST = text.LISTED + 100


def kinds(cls):
    """A class of errors and all below it."""
    yield cls
    for below in cls.__subclasses__():
        yield from kinds(below)


class TestMessages(base.BaseTestCase):
    """Each kind of error, with values as long as their bearers like."""

    def setUp(self):
        super().setUp()
        top = pathlib.Path(migsafe.__file__).parent
        # NOTE: those of Nova and Cinder have the same base, and take long to import.
        for room in ('brick', 'journal', 'ledger', 'lvm', 'resources', 'transaction'):
            for found in pkgutil.walk_packages([str(top / room)], f'migsafe.{room}.'):
                if not found.name.endswith('.env'):
                    importlib.import_module(found.name)

    def test_each_kind(self):
        found = 0
        for kind in (*kinds(exceptions.MigsafeError), *kinds(refusals.Refused)):
            if not kind.__module__.startswith('migsafe.') or kind.__init__ not in (
                    exceptions.MigsafeError.__init__, refusals.Refused.__init__):
                continue
            template = kind.message
            names = {name.removeprefix('shell:') for name in VALUE.findall(template)}
            with self.subTest(kind.__name__):
                values = dict.fromkeys(names, f'x\n\x1b[2J{"y; " * 200_000}')
                said = str(kind(**values, **dict.fromkeys(NUMBER.findall(template), 7)))
                self.assertLessEqual(
                    len(said), len(template) + LONGEST * len(VALUE.findall(template)))
                self.assertTrue(said.isprintable(), said[:80])
            found += 1
        self.assertGreater(found, 25)


class TestStacks(test_questions.GuardCase):
    """A guest with hundreds of logical volumes, each with a long name."""

    def setUp(self):
        super().setUp()
        self.tree.disk('sda')
        for number in range(MANY):
            self.tree.lv(f'dm-{number}', 'sda', dm_name=f'guest-{"v" * 100}{number}')

    def test_a_refusal_to_detach(self):
        said = self.refused(refusals.VolumeHeld, 'sda')
        self.assertLess(len(said), 2 * LONGEST)
        self.assertIn('characters more', said)

    def test_a_refusal_to_release(self):
        for number in range(MANY):
            self.tree.dm(f'dm-{MANY + number}', f'CRYPT-x{number}', f'dm-{number}',
                         dm_name=f'c{"v" * 100}{number}')
        error = self.assertRaises(release.NotReleased, release.plan, self.tree.sysfs, ['sda'])
        self.assertLess(len(str(error)), 2 * LONGEST)
        self.assertIn('characters more', str(error))
