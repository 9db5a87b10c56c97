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
import testtools

from migsafe.brick.identity import noted
from migsafe.tests.unit.brick import trees

NAA = bytes.fromhex('600140512345678901234567890abcde')


class NotedTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.tree = self.useFixture(trees.Tree())
        self.tree.disk('sda')
        self.device = self.tree.top / 'sda' / 'device'
        self.device.mkdir()

    def noted(self, name='sda'):
        return sorted(noted.noted(self.tree.sysfs, name))

    def test_pages(self):
        body = bytes((1, 3, 0, len(NAA))) + NAA
        (self.device / 'vpd_pg83').write_bytes(bytes((0, 0x83, 0, len(body))) + body)
        (self.device / 'vpd_pg80').write_bytes(bytes((0, 0x80, 0, 4)) + b'abcd')
        self.assertEqual([f'naa.{NAA.hex()}', 'serial.abcd'], self.noted())

    def test_what_is_no_page(self):
        (self.device / 'vpd_pg83').write_bytes(b'x')
        (self.device / 'wwid').write_text(f'naa.{NAA.hex()}\n')
        self.assertEqual([f'naa.{NAA.hex()}'], self.noted())

    def test_nvme(self):
        (self.tree.top / 'sda' / 'wwid').write_text('uuid.00000001-5afe-4000-8000-00000000abcd\n')
        self.assertEqual(['uuid.000000015afe4000800000000000abcd'], self.noted())

    def test_nothing(self):
        self.assertEqual([], self.noted())
        self.assertEqual([], self.noted('sdz'))
