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
"""Incidents 000 and 001 from end to end, over each transport, on a real kernel."""

from __future__ import annotations

from typing import Any

from migsafe.tests.storage import base


class TestIncident000(base.StorageTestCase):
    """A guest is started with the connection_info of another host: LUN 3 is somebody else's.

    All that is to keep such a connection_info out of the database has failed. Over iSCSI node11
    and node13 are two initiators of one array, each with its own LUN map; elsewhere the array has
    mapped another volume to the number. The control is what happened: "a Windows VM came up as
    CentOS".
    """

    def test_iscsi(self) -> None:
        self.assert_no_centos()

    def test_iscsi_multipath(self) -> None:
        self.assert_no_centos(multipath=True)

    def test_fibre_channel(self) -> None:
        self.assert_no_centos(protocol='FIBRE_CHANNEL')

    def test_fibre_channel_multipath(self) -> None:
        self.assert_no_centos(protocol='FIBRE_CHANNEL', multipath=True)

    def test_nvme(self) -> None:
        self.assert_no_centos(protocol='NVMEOF')

    def assert_no_centos(self, **arguments: Any) -> None:
        """Bare, the guest gets CentOS; guarded a refusal, and the disk is given back."""
        found = self.both('incident_000', **arguments)
        self.assertIsNone(found.bare['connect']['error'], found.bare['connect'])
        self.assertEqual('CentOS', found.bare['label'])
        refused = found.guarded['connect']
        self.assertEqual('WrongDisk', refused['error'], refused)
        self.assertIn('migsafe residue list', refused['message'])
        self.assertEqual(({}, 0, None), (found.guarded['after'], found.guarded['sessions'],
                                         found.guarded['label']))
        for seen in found.sides():
            self.assertEqual({}, seen['before'])
            self.assertTrue(seen['untouched'], 'the other guest has lost something')


class TestIncident001(base.StorageTestCase):
    """A guest's volume group, activated by the LVM of the host as soon as the disk was there.

    Then comes the detach that ends a migration or a resize.
    """

    #: How much sooner a refusal comes than os-brick gives up, in the same run.
    FASTER = 100

    def test_iscsi(self) -> None:
        found = self.assert_refuses()
        # os-brick takes it for a multipath map, fails to flush that three times, and gives up
        self.assert_gives_up(found, 'multipath -f guest-root')

    def test_iscsi_multipath(self) -> None:
        found = self.assert_refuses(multipath=True)
        self.assert_gives_up(found, 'map in use')
        bare, guarded = (seen['detach']['seconds'] for seen in found.sides())
        self.assertGreaterEqual(bare / guarded, self.FASTER, f'{guarded} s instead of {bare}')

    def test_fibre_channel(self) -> None:
        # it does not look for what stands on a single path
        self.assert_torn(self.assert_refuses(protocol='FIBRE_CHANNEL').bare)

    def test_fibre_channel_multipath(self) -> None:
        found = self.assert_refuses(protocol='FIBRE_CHANNEL', multipath=True)
        self.assert_gives_up(found, 'map in use')
        bare, guarded = (seen['detach']['seconds'] for seen in found.sides())
        self.assertGreaterEqual(bare / guarded, self.FASTER, f'{guarded} s instead of {bare}')

    def test_nvme(self) -> None:
        self.assert_torn(self.assert_refuses(protocol='NVMEOF').bare)

    def test_nvme_multipath(self) -> None:
        self.assert_torn(self.assert_refuses(protocol='NVMEOF', multipath=True).bare)

    def assert_refuses(self, **arguments: Any) -> base.Pair:
        """At once, with the name of the LV; once that is away the detach goes through."""
        found = self.both('detach_prepared', **arguments)
        self.assert_refused(found.guarded, 'guest/root')
        return found

    def assert_gives_up(self, found: base.Pair, words: str) -> None:
        """os-brick, after a minute, with everything where it was."""
        self.assertEqual('ProcessExecutionError', found.bare['detach']['error'])
        self.assertIn(words, found.bare['detach']['message'])
        self.assertGreater(found.bare['detach']['seconds'], 55)
        self.assertEqual(found.bare['before'], found.bare['after'])
