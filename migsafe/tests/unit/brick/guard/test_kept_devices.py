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
"""What is remembered of refused disconnects."""

from __future__ import annotations

import testtools

from migsafe.brick import refusals
from migsafe.brick.guard import kept_devices


class TestHeld(testtools.TestCase):
    def setUp(self):
        super().setUp()
        kept_devices.clear()
        self.addCleanup(kept_devices.clear)

    def refuse(self, host='cmp1', volume='v1', error=None):
        """A disconnect that a guard refuses."""
        refused = error or refusals.Unjudged(volume=volume, host=host, device='sda', reason='no')
        with kept_devices.watching(host, volume):
            raise refused

    def test_refused(self):
        self.assertRaises(refusals.Unjudged, self.refuse)
        self.assertTrue(kept_devices.anything())
        self.assertEqual(['cmp1'], list(kept_devices.hosts('v1')))
        self.assertIn('because no', kept_devices.hosts('v1')['cmp1'])
        self.assertEqual({}, kept_devices.hosts('v2'))

    def test_done_later(self):
        self.assertRaises(refusals.Unjudged, self.refuse)
        self.assertRaises(refusals.Unjudged, self.refuse, host='cmp2')
        with kept_devices.watching('cmp1', 'v1'):
            pass
        self.assertEqual(['cmp2'], list(kept_devices.hosts('v1')))
        with kept_devices.watching('cmp2', 'v1'):
            pass
        self.assertFalse(kept_devices.anything())

    def test_another_error_changes_nothing(self):
        self.assertRaises(OSError, self.refuse, error=OSError())
        self.assertFalse(kept_devices.anything())
        self.assertRaises(refusals.Unjudged, self.refuse)
        self.assertRaises(OSError, self.refuse, error=OSError())
        self.assertTrue(kept_devices.anything())
