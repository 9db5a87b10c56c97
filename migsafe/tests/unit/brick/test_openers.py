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
import pathlib
from unittest import mock

import fixtures
import testtools

from migsafe.brick import openers

NUMBERS = {'/dev/sda': '8:1', '/dev/sd b': '8:2'}


class LoopsTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.asked = []
        self.useFixture(fixtures.MonkeyPatch('migsafe.brick.openers._number', self.number))

    def number(self, path):
        self.asked.append(path)
        return NUMBERS.get(path)

    def loop(self, name, backing):
        directory = self.root / 'class' / 'block' / name
        directory.mkdir(parents=True)
        if backing is not None:
            (directory / 'loop').mkdir()
            (directory / 'loop' / 'backing_file').write_text(f'{backing}\n')

    def loops(self, *numbers):
        return [str(use) for use in openers.loops(numbers, str(self.root))]

    def test_over_one(self):
        self.loop('loop7', '/dev/sda')
        self.assertEqual(['loop device loop7'], self.loops('8:1'))

    def test_over_another(self):
        self.loop('loop7', '/dev/sda')
        self.assertEqual([], self.loops('8:2'))

    def test_a_space_in_a_name(self):
        self.loop('loop7', '/dev/sd b')
        self.assertEqual(['loop device loop7'], self.loops('8:1', '8:2'))

    def test_free_or_over_a_file(self):
        self.loop('loop0', None)
        self.loop('loop1', '/srv/dead-nfs/image')
        self.assertEqual([], self.loops('8:1'))
        self.assertEqual([], self.asked)

    def test_one_that_goes_away(self):
        self.loop('loop7', '/dev/sda')
        with mock.patch.object(pathlib.Path, 'read_text', side_effect=OSError):
            self.assertEqual([], self.loops('8:1'))
