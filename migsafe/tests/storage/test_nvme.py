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
"""NVMe over TCP, on a real kernel."""

from __future__ import annotations

from migsafe.tests.storage import base


class TestDetach(base.StorageTestCase):
    """Something stands on the namespace that is detached, or nothing."""

    def test_free(self) -> None:
        for seen in self.both('detach', thing='nothing', protocol='NVMEOF').sides():
            self.assert_detached(seen)

    def test_free_multipath(self) -> None:
        found = self.both('detach', thing='nothing', protocol='NVMEOF', multipath=True)
        for seen in found.sides():
            # the kernel's own multipath: two hidden paths below one namespace
            self.assertEqual(3, len(seen['before']), seen['before'])
            self.assert_detached(seen)

    def test_lv_mounted(self) -> None:
        self.assert_guards('lv_mounted', 'guest/root')

    def test_process(self) -> None:
        self.assert_guards('opened', '(sleep)')

    def test_stale_detach(self) -> None:
        """The subsystem has another namespace by now, of another guest."""
        found = self.both('stale', held=True, protocol='NVMEOF')
        self.assertIsNone(found.bare['detach']['error'], found.bare['detach'])
        self.assertEqual('error', found.bare['usable_after'])
        self.assert_kept(found.guarded, 'WrongDisk')
        self.assertEqual('ok', found.guarded['usable_after'])

    def test_late_holder(self) -> None:
        """Mounted while os-brick flushes it, after all questions were asked once."""
        found = self.both('late_holder', protocol='NVMEOF')
        self.assertIsNone(found.bare['detach']['error'], found.bare['detach'])
        self.assertNotEqual('ok', found.bare['usable_after'])
        self.assert_kept(found.guarded)
        self.assertEqual('ok', found.guarded['usable_after'])

    def test_link_to_nothing(self) -> None:
        """What os-brick made for an encrypted volume leads nowhere; the disk is in use."""
        found = self.both('link_to_nothing')
        self.assertIsNone(found.bare['detach']['error'], found.bare['detach'])
        self.assertEqual('error', found.bare['usable_after'])
        self.assert_kept(found.guarded)
        self.assertIn('(sleep)', found.guarded['detach']['message'])
        self.assertEqual('ok', found.guarded['usable_after'])

    def test_failed_connect(self) -> None:
        """It takes nothing from a guest that has the volume already."""
        found = self.both('failed_connect', protocol='NVMEOF')
        for seen in found.sides():
            self.assertEqual('VolumeDeviceNotFound', seen['connect']['error'], seen['connect'])
        self.assertEqual({}, found.bare['after'])
        self.assertEqual('error', found.bare['usable_after'])
        self.assertEqual(found.guarded['before'], found.guarded['after'])
        self.assertEqual('ok', found.guarded['usable_after'])

    def assert_guards(self, thing: str, holder: str) -> None:
        """os-brick disconnects it under whatever stands on it; its guard does not."""
        found = self.both('detach', thing=thing, protocol='NVMEOF')
        self.assert_torn(found.bare)
        self.assert_refused(found.guarded, holder)
