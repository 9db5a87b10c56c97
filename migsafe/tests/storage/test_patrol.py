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
"""A volume that becomes another one while a guest uses it, on a real kernel."""

from __future__ import annotations

from migsafe.tests.storage import base

OURS, OTHER = 'naa.600140500000001', 'naa.600140500000002'


class PatrolTest(base.StorageTestCase):
    def _noticed(self, **arguments: bool) -> None:
        found = self.one('patrolled', True, **arguments)
        self.assertEqual((None, ''), (found['healthy']['error'], found['healthy']['value']))
        self.assertEqual(arguments.get('known', True), bool(found['known']))
        # the control: the kernel has not noticed
        self.assertEqual(found['noted'], found['wwid'])
        self.assertIsNone(found['remapped']['error'], found['remapped']['message'])
        for word in ('lun-3', 'guest', '/dev/sd', OURS, OTHER, 'openstack server pause'):
            self.assertIn(word, found['remapped']['value'])
        self.assertEqual((found['before'], 'ok'), (found['after'], found['usable_after']))

    def test_single_path(self) -> None:
        self._noticed()

    def test_multipath(self) -> None:
        self._noticed(multipath=True)

    def test_single_path_that_was_attached_before_this_was_installed(self) -> None:
        self._noticed(known=False)

    def test_multipath_that_was_attached_before_this_was_installed(self) -> None:
        self._noticed(multipath=True, known=False)
