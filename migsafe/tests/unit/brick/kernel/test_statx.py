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
import os

import testtools

from migsafe.brick.kernel import statx


class StatxTest(testtools.TestCase):

    def test_as_stat_says(self):
        for path in ('/dev/null', __file__, '/proc/self/exe', '/'):
            found, seen = os.stat(path), statx.kind(path)
            self.assertEqual(f'{os.major(found.st_dev)}:{os.minor(found.st_dev)}', seen.on)
        self.assertEqual('c1:3', statx.kind('/dev/null').device)
        self.assertEqual('', statx.kind(__file__).device)

    def test_from_a_directory(self):
        directory = os.open('/dev', os.O_RDONLY)
        self.addCleanup(os.close, directory)
        self.assertEqual('c1:3', statx.kind('null', directory).device)

    def test_what_is_not_there(self):
        error = self.assertRaises(FileNotFoundError, statx.kind, '/nowhere')
        self.assertIn('/nowhere', str(error))
