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
"""Writing, taking back, and being killed at every step of both."""

import os
import pathlib
from unittest import mock

import fixtures
import testtools

from migsafe.brick.kernel import place
from migsafe.lvm import backups, change, errors, facts, rules
from migsafe.tests.unit.lvm import fake

LOCAL = b'# of the administrator \xff\nlocal {\n}\n'


class Killed(BaseException):
    """Stands for a kill, which no except clause sees."""


class ChangeTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.etc = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.local = self.etc / 'lvmlocal.conf'
        self.devices = self.etc / 'devices' / 'system.devices'
        self.local.write_bytes(LOCAL)
        self.local.chmod(0o640)
        self.version = (2, 3, 16)
        self.lvm = fake.FakeLvm(self.etc, {'/dev/sda': (1, 'host'), '/dev/sdb': (2, 'guest')})
        self.change = change.Change(self.lvm, str(self.etc))

    def advice(self):
        own = facts.Device(fake.UUID.format(1), '/dev/sda', 'sda', place.Place.LOCAL)
        other = facts.Device(fake.UUID.format(2), '/dev/sdb', 'sdb', place.Place.NETWORK)
        return rules.decide(facts.Facts(
            self.version, {'devices/use_devicesfile': 0}, {}, tuple(
                facts.Vg(device.uuid, name, (device,))
                for name, device in (('host', own), ('guest', other))
                if device.path in self.lvm.disks)))

    def apply(self):
        return self.change.apply(self.advice(), {'devices/devicesfile': 'system.devices'})

    def assert_untouched(self):
        self.assertEqual(LOCAL, self.local.read_bytes())
        self.assertEqual(0o640, self.local.stat().st_mode & 0o7777)
        self.assertFalse(self.devices.exists())

    def test_applied(self):
        found = self.apply()
        self.assertTrue(found.done, found.reason)
        self.assertTrue(self.local.read_bytes().startswith(LOCAL))
        self.assertEqual(0o640, self.local.stat().st_mode & 0o7777)
        self.assertEqual([LOCAL], [pathlib.Path(path).read_bytes() for path in found.backups])
        self.assertIn('/dev/sda', self.devices.read_text())
        self.assertNotIn('/dev/sdb', self.devices.read_text())
        self.assertFalse(self.change.backups.marker.exists())

    def test_nothing_to_keep(self):
        del self.lvm.disks['/dev/sda']
        self.assertTrue(self.apply().done)
        self.assertNotIn('IDTYPE', self.devices.read_text())

    def test_filter(self):
        self.lvm.lvm_version, self.version = '2.03.11', (2, 3, 11)
        del self.lvm.disks['/dev/sda']
        self.assertTrue(self.apply().done)
        self.assertIn(b'\tglobal_filter = [ "r|.*|" ]\n', self.local.read_bytes())
        self.assertFalse(self.devices.parent.exists())

    def test_only_configure(self):
        with mock.patch.object(backups.Backups, 'keep') as keep:
            bad = rules.Advice(rules.Verdict.RECOMMEND, ('x',), plan=self.advice().plan)
            self.assertRaises(errors.LvmError, self.change.apply, bad, {})
            self.change.backups.marker.write_text('[]')
            self.assertRaises(errors.LvmError, self.apply)
        self.assertFalse(keep.called)

    def test_managed_by_something_else(self):
        real = self.etc / 'elsewhere'
        self.local.rename(real)
        self.local.symlink_to(real)
        self.assertRaisesRegex(errors.LvmError, 'is a link', self.apply)
        self.assertTrue(self.local.is_symlink())

    def test_somebody_was_faster(self):
        self.devices.parent.mkdir()
        self.devices.write_text('of somebody')
        self.assertRaisesRegex(errors.LvmError, 'meanwhile', self.apply)
        self.assertEqual((LOCAL, 'of somebody'),
                         (self.local.read_bytes(), self.devices.read_text()))

    def test_trial_fails(self):
        def fault(arguments):
            if arguments[0] == '_lvs' and '--devicesfile' in arguments:
                raise errors.CommandFailed(command='lvs', reason='no')
        self.lvm.fault = fault
        self.assertRaises(errors.CommandFailed, self.apply)
        self.assert_untouched()
        self.assertEqual([], [path.name for path in self.etc.rglob('*migsafe*')])

    def _late(self, do):
        def fault(arguments):
            if self.change.backups.marker.exists():
                do(arguments)
        self.lvm.fault = fault

    def test_hides_the_hosts(self):
        self._late(lambda arguments: self.devices.exists() and self.devices.write_text('empty\n'))
        found = self.apply()
        self.assertFalse(found.done)
        self.assertIn(fake.UUID.format(1), found.reason)
        self.lvm.fault = lambda arguments: None
        self.assert_untouched()

    def test_lvm_fails_after_the_write(self):
        for command in ('_pvs', '_lvs', 'lvmconfig'):
            def do(arguments, command=command):
                if arguments[0] == command:
                    raise errors.CommandFailed(command=command, reason='Parse error at byte 7')
            self._late(do)
            found = self.apply()
            self.assertIn('Parse error', found.reason)
            self.assert_untouched()

    def test_not_taken(self):
        self._late(lambda arguments: self.local.write_bytes(LOCAL))
        self.assertIn('does not take', self.apply().reason)
        self.assert_untouched()

    def test_guest_still_seen(self):
        self._late(lambda arguments: self.devices.exists() and self.devices.write_text(
            'DEVNAME=/dev/sda \nDEVNAME=/dev/sdb \n'))
        self.assertIn('guests', self.apply().reason)
        self.assert_untouched()

    def test_cannot_be_taken_back(self):
        def do(arguments):
            for backup in self.etc.glob('lvmlocal.conf.migsafe-*'):
                backup.write_text('damaged')
            raise errors.CommandFailed(command='pvs', reason='no')
        self._late(do)
        error = self.assertRaises(errors.NotRestored, self.apply)
        self.assertIn('lvmlocal.conf.migsafe-', str(error))
        self.assertTrue(self.change.backups.marker.exists())

    def test_two_at_once(self):
        other = change.Change(self.lvm, str(self.etc))

        def do(arguments):
            self.assertRaisesRegex(errors.LvmError, 'Another', other.restore)
            self.assertRaisesRegex(errors.LvmError, 'Another', other.apply, self.advice(), {})
        self._late(do)
        self.assertTrue(self.apply().done)

    def test_damaged_marker(self):
        for text in ('', '{', '7', '[1]', '[{}]', '[{"path": 7, "backup": null}]', '\x00'):
            self.change.backups.marker.write_text(text)
            self.assertRaises(errors.NotRestored, self.change.restore)
            self.assertTrue(self.change.backups.marker.exists())
        self.assert_untouched()

    def test_killed_at_every_step(self):
        """At each write to the disk in turn, and again while that is put back."""
        real, left, kills = os.fsync, [0], 0

        def fsync(fd):
            left[0] -= 1
            if not left[0]:
                raise Killed
            real(fd)
        for step in range(1, 50):
            left[0] = step
            with mock.patch('os.fsync', fsync):
                try:
                    self.assertTrue(self.apply().done)
                    break
                except Killed:
                    kills += 1
            for again in (1, 2, 3):
                left[0] = again
                with mock.patch('os.fsync', fsync):
                    try:
                        if self.change.backups.marker.exists():
                            self.change.restore()
                    except Killed:
                        kills += 1
            if self.change.backups.marker.exists():
                self.change.restore()
            elif self.devices.exists():
                # killed after the last step: all of it is there
                self.assertIn('use_devicesfile = 1', self.local.read_text(errors='replace'))
                self.local.write_bytes(LOCAL)
                self.devices.unlink()
            self.assert_untouched()
        self.assertGreater(step, 6)
        self.assertGreater(kills, 10)

    def test_what_was_written_since_is_kept(self):
        self._late(lambda arguments: (_ for _ in ()).throw(Killed()))
        self.assertRaises(Killed, self.apply)
        self.lvm.fault = lambda arguments: None
        self.local.write_bytes(b'a day of work')
        self.change.restore()
        self.assert_untouched()
        self.assertIn(b'a day of work', [path.read_bytes() for path in
                                         self.etc.glob('lvmlocal.conf.migsafe-*')])
