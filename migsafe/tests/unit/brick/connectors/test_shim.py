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
import json
import os
import subprocess
import sys
import threading
import time
from concurrent import futures
from unittest import mock

import fixtures
import os_brick
import testtools
from os_brick import exception as brick_exception
from os_brick.initiator import connector
from os_brick.initiator.connectors import iscsi, nvmeof, rbd
from oslo_concurrency import processutils
from oslo_config import cfg
from oslo_config import fixture as config_fixture
from oslo_privsep import daemon
from oslo_utils import importutils

from migsafe.brick import refusals
from migsafe.brick.connectors import guarded, scsi, shim
from migsafe.brick.guard import judge, kept_devices, policy, strays
from migsafe.tests.unit.brick.guard import test_questions

PROPS = {'target_portal': '127.0.0.1:3260', 'target_iqn': 'iqn.x', 'target_lun': 3,
         'volume_id': 'vol-1'}


#: Print, as JSON, what is said of the helper that each argument would start.
NO_ROOT = """
import json, sys
from oslo_config import cfg
from migsafe.brick.connectors import shim
from migsafe.brick.root import privileged
class Root:
    opened_by = staticmethod(privileged.opened_by)
class Guard:
    root = Root
class Policy:
    guard = Guard
cfg.CONF([], default_config_files=[])
said = []
for command in sys.argv[1:]:
    cfg.CONF.set_override('helper_command', command, 'migsafe_privileged')
    try:
        shim.check_root(Policy)
    except shim.ShimError as error:
        said.append(str(error))
print(json.dumps(said))
"""


class ShimCase(test_questions.GuardCase):

    holder_policy = 'refuse'

    def setUp(self):
        super().setUp()
        for table in shim.TABLES:
            self.useFixture(fixtures.MonkeyPatch(
                f'os_brick.initiator.connector.{table}', dict(getattr(connector, table))))
        self.useFixture(
            fixtures.MonkeyPatch('migsafe.brick.kernel.openers.everybody', lambda: True)
        )
        self.release = mock.Mock()
        self.policy = policy.Policy(self.guard, self.holder_policy, self.release)
        self.root.remove_scsi = mock.Mock(return_value={'done': True})
        self.shimmed = shim.install(self.policy)
        kept_devices.clear()
        self.addCleanup(kept_devices.clear)


class InstallTest(ShimCase):

    def test_every_block_protocol_of_every_architecture(self):
        self.assertEqual({'ISCSI', 'ISER', 'FIBRE_CHANNEL', 'NVME', 'NVMEOF'}, set(self.shimmed))
        for arch, protocols in (('s390x', {'ISCSI', 'FIBRE_CHANNEL'}),
                                ('ppc64le', {'ISCSI', 'ISER', 'FIBRE_CHANNEL'})):
            mapping = connector.get_connector_mapping(arch)
            found = {p for p, path in mapping.items()
                     if issubclass(importutils.import_class(path), guarded.Guarded)}
            self.assertEqual(protocols, found)

    def test_others_stay(self):
        self.assertIs(rbd.RBDConnector, importutils.import_class(
            connector.get_connector_mapping()['RBD']))

    def test_again_changes_nothing(self):
        self.assertEqual(self.shimmed, shim.install(self.policy))

    def test_a_class_that_somebody_else_put_there_is_kept(self):
        connector._connector_mapping_linux['ISCSI'] = f'{__name__}.Theirs'
        shim.install(self.policy)
        found = importutils.import_class(connector.get_connector_mapping()['ISCSI'])
        self.assertTrue(issubclass(found, Theirs) and issubclass(found, guarded.Guarded))

    def test_an_os_brick_without_tables(self):
        with fixtures.MonkeyPatch('os_brick.initiator.connector._connector_mapping_linux', None):
            error = self.assertRaises(shim.ShimError, shim.install, self.policy)
        self.assertIn('_connector_mapping_linux', str(error))

    def no_root(self, commands):
        """What is said of a real privsep whose helper is started by each of some commands.

        In a process of its own: privsep reads what a helper says in a thread, which blocks
        everything in one where eventlet has replaced threads and not pipes.
        """
        done = subprocess.run([sys.executable, '-W', 'ignore', '-c', NO_ROOT, *commands],
                              capture_output=True, text=True, check=False)
        self.assertEqual(0, done.returncode, done.stderr)
        return json.loads(done.stdout)

    def test_no_root_is_said_at_the_start(self):
        expected = (
                ('/nonexistent/sudo', ('cannot be run', 'Install /nonexistent/sudo')),
                ("sh -c 'exit 1'", ('does not start', 'sudo refuses')),
                ("sh -c 'exit 96'", ('does not start', 'exec_dirs')),
                ("sh -c 'exit 97'", ('does not start', 'Correct it')),
                ("sh -c 'exit 99'", ('does not start', 'filters_path')),
                ("sh -c 'exit 5'", ('exited non-zero (5)', 'log lines before')))
        errors = self.no_root([command for command, _words in expected])
        self.assertEqual(len(expected), len(errors))
        for (command, words), error in zip(expected, errors, strict=True):
            for word in (*words, 'helper_command', 'device_guards'):
                self.assertIn(word, error, command)

    def test_a_daemon_that_cannot_do_its_work(self):
        """It runs, so that nothing is wrong with sudo or rootwrap."""
        for error in (PermissionError(13, 'Permission denied'), NameError('opened_by'),
                      daemon.ProtocolError('Unexpected response')):
            self.root.opened_by = mock.Mock(side_effect=error)
            text = str(self.assertRaises(shim.ShimError, shim.check_root, self.policy))
            for word in ('runs, but cannot find out', str(error), 'capabilities', '/proc'):
                self.assertIn(word, text)
            for word in ('does not start', 'exec_dirs'):
                self.assertNotIn(word, text)

    def test_a_pid_namespace_of_its_own_is_said_at_the_start(self):
        self.useFixture(
            fixtures.MonkeyPatch('migsafe.brick.kernel.openers.everybody', lambda: False)
        )
        error = self.assertRaises(shim.ShimError, shim.check_root, self.policy)
        self.assertIn('--pid=host', str(error))
        self.assertIn('device_guards', str(error))

    def test_factory(self):
        made = connector.InitiatorConnector.factory('ISCSI', 'sudo', use_multipath=True)
        self.assertIsInstance(made, iscsi.ISCSIConnector)
        self.assertIsInstance(made._linuxscsi, scsi.GuardedLinuxSCSI)


class Theirs(iscsi.ISCSIConnector):
    """A deployer's own."""


class DisconnectTest(ShimCase):

    def setUp(self):
        super().setUp()
        self.commands = []
        self.connector = connector.InitiatorConnector.factory(
            'ISCSI', 'sudo', use_multipath=True, execute=self._execute)
        patcher = mock.patch.multiple(
            iscsi.ISCSIConnector,
            _get_connection_devices=mock.Mock(return_value={('ip', 'iqn'): ({'sda'}, {'sdz'})}),
            _disconnect_connection=mock.DEFAULT)
        self.logout = patcher.start()['_disconnect_connection']
        self.addCleanup(patcher.stop)
        self.useFixture(fixtures.MonkeyPatch(
            'os_brick.initiator.linuxscsi.LinuxSCSI.wait_for_volumes_removal', mock.Mock()))
        self.useFixture(fixtures.MonkeyPatch(
            'os_brick.initiator.linuxscsi.LinuxSCSI.is_multipath_running',
            mock.Mock(return_value=False)))

    def _execute(self, *command, **kwargs):
        self.commands.append(command)
        return '', ''

    def disconnect(self, **kwargs):
        inner = iscsi.ISCSIConnector.disconnect_volume.__wrapped__
        del inner
        with fixtures.MonkeyPatch('os_brick.initiator.connectors.base.lockutils.lock',
                                  mock.MagicMock()):
            self.connector.disconnect_volume(PROPS, {'path': '/dev/sda'}, **kwargs)

    def test_free(self):
        self.tree.disk('sda')
        self.disconnect()
        self.root.remove_scsi.assert_called_once_with('sda', [], 1)
        self.assertTrue(self.logout.called)
        self.assertFalse(kept_devices.anything())

    def test_a_refusal_is_remembered_until_it_is_disconnected(self):
        self.tree.disk('sda')
        self.root.remove_scsi.return_value = {'done': False, 'reason': 'another disk',
                                              'identity': ['naa.600a']}
        self.assertRaises(refusals.WrongDisk, self.disconnect)
        host, = kept_devices.hosts('vol-1')
        self.assertEqual(self.guard.host, host)
        self.root.remove_scsi.return_value = {'done': True}
        self.disconnect()
        self.assertFalse(kept_devices.anything())

    def test_held_in_every_mode(self):
        self.tree.disk('sda')
        self.tree.lv('dm-5', self.tree.partition('sda'))
        for force, ignore in ((False, False), (True, False), (True, True)):
            with self.subTest(force=force, ignore=ignore):
                error = self.assertRaises(brick_exception.BrickException, self.disconnect,
                                          force=force, ignore_errors=ignore)
                self.assertIn('vol-1', str(error))
        self.assertEqual([], self.commands)
        self.assertFalse(self.root.remove_scsi.called or self.logout.called)

    def test_what_comes_up_meanwhile(self):
        self.tree.disk('sda')
        self.root.remove_scsi.return_value = {'done': False, 'reason': 'Device or resource busy'}
        error = self.assertRaises(refusals.VolumeHeld, self.disconnect, force=True,
                                  ignore_errors=True)
        self.assertIn('came up meanwhile', str(error))
        self.assertFalse(self.logout.called)

    def test_who_opened_it_after_all_questions_is_named_by_the_helper(self):
        self.tree.disk('sda')
        self.root.remove_scsi.return_value = {
            'done': False, 'reason': 'in use', 'users': [['sda', 'process 77 (qemu-kvm)']]}
        error = self.assertRaises(refusals.VolumeHeld, self.disconnect, force=True,
                                  ignore_errors=True)
        self.assertIn('In use on /dev/sda: process 77 (qemu-kvm), which came up meanwhile',
                      str(error))
        self.assertGreater(self.root.remove_scsi.call_count, 1)
        self.assertFalse(self.logout.called)

    def test_who_opens_it_for_a_moment_after_all_questions_is_waited_for(self):
        self.tree.disk('sda')
        self.patient()
        seen = {'done': False, 'reason': 'in use', 'users': [['sda', 'process 78 (blkid)']]}
        self.root.remove_scsi.side_effect = [seen, seen, {'done': True}]
        self.disconnect()
        self.assertTrue(self.logout.called)

    def test_another_disk_at_the_last_moment(self):
        self.tree.disk('sda')
        self.root.remove_scsi.return_value = {'done': False, 'reason': 'another disk',
                                              'identity': [test_questions.OTHER]}
        self.assertRaises(refusals.WrongDisk, self.disconnect, force=True, ignore_errors=True)

    def test_identity_of_the_volume_is_asked_for(self):
        self.tree.disk('sda')
        with mock.patch.dict(PROPS, {policy.KEY: [test_questions.OTHER]}):
            self.assertRaises(refusals.WrongDisk, self.disconnect)

    def test_identity_that_is_none(self):
        self.tree.disk('sda')
        with mock.patch.dict(PROPS, {policy.KEY: 'x'}):
            error = self.assertRaises(refusals.Unjudged, self.disconnect)
        self.assertIn('Volume vol-1 on cn1:', str(error))
        self.assertFalse(self.root.remove_scsi.called)


class FibreChannelTest(ShimCase):

    def setUp(self):
        super().setUp()
        self.commands = []
        self.connector = connector.InitiatorConnector.factory(
            'FIBRE_CHANNEL', 'sudo', use_multipath=False, execute=self._execute)
        self.useFixture(fixtures.MonkeyPatch(
            'os_brick.initiator.connectors.base.lockutils.lock', mock.MagicMock()))
        self.useFixture(fixtures.MonkeyPatch(
            'os_brick.initiator.connectors.fibre_channel.FibreChannelConnector.get_volume_paths',
            lambda connector, properties: ['/dev/sda', '/dev/sdb']))
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.brick.kernel.sysfs.kernel_name', lambda path: path.removeprefix('/dev/')))
        self.tree.mpath()

    def _execute(self, *command, **kwargs):
        self.commands.append(command)
        return '', ''

    def disconnect(self, **kwargs):
        self.connector.disconnect_volume({'target_wwn': '5001', 'target_lun': 3,
                                          'volume_id': 'vol-1'}, {'path': '/dev/sda'}, **kwargs)

    def test_the_map_that_nobody_wanted_is_flushed_first(self):
        flushed = []
        self.root.remove_scsi.side_effect = lambda name, expected, number: (
            flushed.append(('multipath', '-f', 'mpatha') in self.commands) or {'done': True})
        self.disconnect()
        self.assertEqual([True, True], flushed)

    def test_what_has_gone_already_is_said(self):
        self.root.remove_scsi.side_effect = lambda name, expected, number: (
            {'done': True} if name == 'sda' else
            {'done': False, 'reason': 'Device or resource busy'})
        said = str(self.assertRaises(refusals.VolumeHeld, self.disconnect))
        self.assertIn('Removed before that came up: multipath map mpatha, /dev/sda.', said)
        self.assertNotIn('Its devices and its export are left', said)
        self.assertIn('In use on /dev/sdb', said)

    def test_another_disk_after_something_has_gone(self):
        self.root.remove_scsi.side_effect = lambda name, expected, number: (
            {'done': True} if name == 'sda' else
            {'done': False, 'reason': 'another disk', 'identity': [test_questions.OTHER]})
        said = str(self.assertRaises(refusals.WrongDisk, self.disconnect))
        self.assertIn('/dev/sda', said)
        self.assertNotIn('nothing was removed', said)

    def test_lvm_after_the_map_has_gone(self):
        flush = self.connector._linuxscsi.flush_multipath_device

        def flushed(name):
            flush(name)
            self.tree.lv('dm-5', 'sdb')
        self.connector._linuxscsi.flush_multipath_device = flushed
        said = str(self.assertRaises(refusals.VolumeHeld, self.disconnect))
        for word in ('Removed before that came up: multipath map mpatha, /dev/sda.', 'vg0/root'):
            self.assertIn(word, said)

    def test_a_short_opener_does_not_leave_a_detach_half_done(self):
        busy = {'done': False, 'name': 'sda', 'reason': 'Device or resource busy'}
        self.root.claim = mock.Mock(side_effect=[busy, busy, {'done': True, 'claim': 7}])
        self.disconnect()
        self.assertEqual([mock.call('sda', [], 7), mock.call('sdb', [], 7)],
                         self.root.remove_scsi.mock_calls)

    def test_a_refusal_is_no_success_in_any_mode(self):
        self.root.remove_scsi.return_value = {'done': False, 'reason': 'Device or resource busy'}
        for force, ignore in ((False, False), (True, False), (True, True)):
            with self.subTest(force=force, ignore=ignore):
                self.assertRaises(refusals.VolumeHeld, self.disconnect, force=force,
                                  ignore_errors=ignore)

    def test_who_opened_it_while_os_brick_waited_for_its_lock(self):
        self.root.openers = [[], [['8:2', 'process 77 (qemu-kvm)']]]
        self.assertRaises(refusals.VolumeHeld, self.disconnect, force=True, ignore_errors=True)
        self.assertEqual([], self.commands)
        self.assertFalse(self.root.remove_scsi.called)


class NVMeTest(ShimCase):
    """One subsystem with one controller, which has one namespace."""

    PROPS = {'target_nqn': 'nqn.1', 'vol_uuid': None, 'ns_id': '1', 'volume_id': 'vol-1',
             'portals': [('127.0.0.1', '4420', 'tcp')]}

    def setUp(self):
        super().setUp()
        self.commands = []
        self.connector = connector.InitiatorConnector.factory('NVMEOF', 'sudo',
                                                              execute=self._execute)
        self.useFixture(fixtures.MonkeyPatch(
            'os_brick.initiator.connectors.base.lockutils.lock', mock.MagicMock()))
        self.dev = self.useFixture(fixtures.TempDir()).path
        self.path = f'{self.dev}/nvme0n1'
        open(self.path, 'w').close()
        self.tree.disk('nvme0n1')
        patcher = mock.patch.multiple(
            nvmeof.Portal, controller='nvme0',
            get_all_namespaces_ctrl_paths=mock.Mock(
                return_value=['/sys/class/nvme-fabrics/ctl/nvme0/nvme0c0n1']),
            get_device=mock.Mock(return_value='/dev/nvme0n1'))
        patcher.start()
        self.addCleanup(patcher.stop)
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.brick.kernel.sysfs.kernel_name',
            lambda path: path.rpartition('/')[2] if path == self.path else None))

    def _execute(self, *command, **kwargs):
        self.commands.append(command)
        if command[0] == 'nvme':
            # as long as the command runs, the claim is held
            self.claims = list(self.root.claims)
        return '', ''

    def disconnect(self, **kwargs):
        self.connector.disconnect_volume(dict(self.PROPS), {'path': self.path}, **kwargs)

    def assertDisconnected(self, yes):
        self.assertEqual(yes, ('nvme', 'disconnect', '-d', '/dev/nvme0') in self.commands)

    def test_free(self):
        self.disconnect()
        self.assertDisconnected(True)
        self.assertEqual([['nvme0n1']], self.claims)
        self.assertEqual([['nvme0n1'], 1], self.root.claims)

    def test_who_opened_it_while_os_brick_waited_for_its_lock(self):
        for force, ignore in ((False, False), (True, False), (True, True)):
            with self.subTest(force=force, ignore=ignore):
                self.root.openers = [[], [['8:1', 'process 77 (qemu-kvm)']]]
                self.assertRaises(refusals.VolumeHeld, self.disconnect, force=force,
                                  ignore_errors=ignore)
        self.assertDisconnected(False)

    def test_a_controller_that_has_gone_already_is_said(self):
        two = [('127.0.0.1', '4420', 'tcp'), ('127.0.0.2', '4420', 'tcp')]
        self.root.openers = [[], [], [], [['8:1', 'process 77 (qemu-kvm)']]]
        with mock.patch.dict(self.PROPS, portals=two):
            said = str(self.assertRaises(refusals.VolumeHeld, self.disconnect))
        self.assertIn('Removed before that came up: controller nvme0.', said)

    def test_what_came_up_at_the_last_moment(self):
        self.root.late['nvme0n1'] = 'Device or resource busy'
        self.assertRaises(refusals.VolumeHeld, self.disconnect, force=True, ignore_errors=True)
        self.assertDisconnected(False)

    def test_a_connect_that_fails_leaves_what_another_guest_has_open(self):
        self.root.openers = [[['8:1', 'process 77 (qemu-kvm)']]]
        failed = brick_exception.VolumeDeviceNotFound(device='nqn.1')
        with mock.patch.object(self.connector, '_connect_target', side_effect=failed):
            self.assertRaises(brick_exception.VolumeDeviceNotFound, self.connector.connect_volume,
                              dict(self.PROPS))
        self.assertDisconnected(False)

    def test_a_connect_that_fails_takes_its_own_back(self):
        failed = brick_exception.VolumeDeviceNotFound(device='nqn.1')
        with mock.patch.object(self.connector, '_connect_target', side_effect=failed):
            self.assertRaises(brick_exception.VolumeDeviceNotFound, self.connector.connect_volume,
                              dict(self.PROPS))
        self.assertDisconnected(True)

    def test_a_link_of_os_brick_to_an_encrypted_volume(self):
        link = f'/dev/disk/by-id/os-brick{self.path.replace("/", "+")}'
        self.assertEqual((['nvme0n1'], []),
                         self.connector._devices(dict(self.PROPS), {'path': link}))


class FailureTest(DisconnectTest):
    """os-brick fails on its own; what it says is told by one of ours, so that the export stays."""

    fails = ()

    def _execute(self, *command, **kwargs):
        super()._execute(*command, **kwargs)
        self.attempts.append(kwargs.get('attempts'))
        if command[0] in self.fails:
            raise processutils.ProcessExecutionError(stderr='map in use')
        return '', ''

    def setUp(self):
        super().setUp()
        self.slept, self.attempts, exists = [], [], os.path.exists
        self.useFixture(fixtures.MonkeyPatch(
            'os.path.exists', lambda path: path == '/dev/sda' or exists(path)))
        self.useFixture(fixtures.MonkeyPatch('migsafe.brick.connectors.scsi.time',
                                             mock.Mock(
                                                 sleep=self.slept.append, monotonic=lambda: 0)))

    def test_a_late_holder_is_named_after_the_first_try(self):
        self.tree.disk('sda')
        self.root.openers = [[], [['8:1', 'process 77 (qemu-kvm)']]]
        self.fails = ('blockdev',)
        said = str(self.assertRaises(refusals.VolumeHeld, self.disconnect))
        self.assertIn('process 77 (qemu-kvm)', said)
        self.assertEqual([1], self.attempts)
        self.assertEqual([], self.slept)
        self.assertEqual({'cn1': said}, kept_devices.hosts('vol-1'))

    def test_without_a_holder_it_takes_as_long_as_it_does(self):
        self.tree.disk('sda')
        self.fails = ('blockdev',)
        said = str(self.assertRaises(refusals.NotRemoved, self.disconnect))
        self.assertIn('map in use', said)
        self.assertEqual([20, 40], self.slept[1:])
        self.assertEqual([1, 1, 1, 1], self.attempts)
        self.assertEqual({'cn1': said}, kept_devices.hosts('vol-1'))

    def test_what_cannot_log_out(self):
        self.logout.side_effect = RuntimeError('iscsiadm: no')
        self.assertIn('iscsiadm: no', str(self.assertRaises(refusals.NotRemoved,
                                                            self.disconnect)))

    def test_what_is_not_there_is_what_os_brick_says(self):
        self.logout.side_effect = brick_exception.VolumeDeviceNotFound(device='x')
        self.assertRaises(brick_exception.VolumeDeviceNotFound, self.disconnect)


class WarnTest(DisconnectTest):

    holder_policy = 'warn'

    def test_held_in_every_mode(self):
        self.tree.disk('sda')
        self.tree.lv('dm-5', 'sda')
        self.disconnect()
        self.assertTrue(self.logout.called)

    def test_what_comes_up_meanwhile(self):
        self.tree.disk('sda')
        self.root.remove_scsi.return_value = {'done': False, 'reason': 'Device or resource busy'}
        self.disconnect()
        self.assertTrue(self.logout.called)

    def test_who_opened_it_after_all_questions_is_named_by_the_helper(self):
        self.tree.disk('sda')
        self.root.remove_scsi.return_value = {
            'done': False, 'reason': 'in use', 'users': [['sda', 'process 77 (qemu-kvm)']]}
        self.disconnect()
        self.assertTrue(self.logout.called)


class ReleaseTest(DisconnectTest):

    holder_policy = 'release'

    def test_released(self):
        self.tree.disk('sda')
        self.tree.lv('dm-5', 'sda')
        self.release.side_effect = lambda names: (self.tree.top / 'sda/holders/dm-5').unlink()
        self.disconnect()
        self.release.assert_called_once_with(['sda'])
        self.assertTrue(self.root.remove_scsi.called)


class ConnectCase(ShimCase):

    def setUp(self):
        super().setUp()
        os_brick.setup(cfg.CONF)
        self.useFixture(config_fixture.Config()).config(
            group='os_brick', lock_path=self.useFixture(fixtures.TempDir()).path)
        self.connector = connector.InitiatorConnector.factory('ISCSI', 'sudo')
        self.result = {'type': 'block', 'path': '/dev/sda'}
        self.appears = lambda: self.tree.disk('sda')
        for name, value in (('connect_volume', self._connect),
                            ('disconnect_volume', mock.Mock())):
            self.useFixture(fixtures.MonkeyPatch(
                f'os_brick.initiator.connectors.iscsi.ISCSIConnector.{name}', value))
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.brick.kernel.sysfs.kernel_name', lambda path: path.removeprefix('/dev/')))
        self.taken_back = iscsi.ISCSIConnector.disconnect_volume

    def _connect(self, connector, properties):
        if not self.tree.sysfs.exists('sda'):
            self.appears()
        return self.result


class ConnectTest(ConnectCase):

    def test_identity_is_noted(self):
        properties = dict(PROPS)
        self.connector.connect_volume(properties)
        self.assertEqual([test_questions.NAA], properties[policy.KEY])

    def test_what_the_service_says_of_itself_enforces_multipath(self):
        """Of what comes back with a connection, Nova makes that True for every volume."""
        for said, refused in (({'enforce_multipath': False}, False),
                              ({'enforce_multipath': True}, True), ({}, True)):
            self.connector = connector.InitiatorConnector.factory(
                'ISCSI', 'sudo', use_multipath=True, **said)
            properties = {**PROPS, 'enforce_multipath': True}
            if refused:
                self.assertRaises(refusals.NotMultipath, self.connector.connect_volume, properties)
            else:
                self.connector.connect_volume(properties)

    def test_identity_that_is_known_stays(self):
        properties = {**PROPS, policy.KEY: [test_questions.NAA, 'serial.x']}
        self.connector.connect_volume(properties)
        self.assertEqual([test_questions.NAA, 'serial.x'], properties[policy.KEY])

    def test_wrong_disk_is_given_back(self):
        self.assertRaises(refusals.WrongDisk, self.connector.connect_volume,
                          {**PROPS, policy.KEY: [test_questions.OTHER]})
        self.assertTrue(self.taken_back.called)

    def test_a_disk_that_says_nothing_is_given_back(self):
        self.root.identities['sda'] = []
        self.assertRaises(refusals.Unproven, self.connector.connect_volume,
                          {**PROPS, policy.KEY: [test_questions.OTHER]})
        self.assertTrue(self.taken_back.called)

    def test_a_disk_that_says_nothing_of_a_volume_of_which_nothing_is_known(self):
        self.root.identities['sda'] = []
        properties = dict(PROPS)
        self.connector.connect_volume(properties)
        self.assertNotIn(policy.KEY, properties)

    def test_a_wrong_disk_that_cannot_go_is_said_and_taken_away_later(self):
        self.addCleanup(strays.clear)
        self.appears = lambda: self.note(self.tree.disk('sda'), test_questions.NAA)
        self.taken_back.side_effect = RuntimeError('LVM has activated it')
        error = self.assertRaises(refusals.WrongDisk, self.connector.connect_volume,
                                  {**PROPS, policy.KEY: [test_questions.OTHER]})
        self.assertIn('LVM has activated it', str(error))
        self.assertEqual([('/dev/sda', 'vol-1')], list(strays.left()))
        strays.retry()
        self.assertEqual(1, self.taken_back.call_count)
        with fixtures.MonkeyPatch('migsafe.brick.guard.strays.time',
                                  mock.Mock(monotonic=lambda: time.monotonic() + 100)):
            strays.retry()
            self.assertEqual([('/dev/sda', 'vol-1')], list(strays.left()))
        self.taken_back.side_effect = None
        with fixtures.MonkeyPatch('migsafe.brick.guard.strays.time',
                                  mock.Mock(monotonic=lambda: time.monotonic() + 1000)):
            strays.retry()
        self.assertEqual({}, strays.left())

    def test_wrong_disk_that_was_here_before_stays(self):
        self.tree.disk('sda')
        self.assertRaises(refusals.WrongDisk, self.connector.connect_volume,
                          {**PROPS, policy.KEY: [test_questions.OTHER]})
        self.assertFalse(self.taken_back.called)

    def test_it_is_given_back_whatever_keeps_it_from_being_judged(self):
        self.root.look = mock.Mock(side_effect=OSError('the privsep daemon has died'))
        error = self.assertRaises(OSError, self.connector.connect_volume, dict(PROPS))
        self.assertIn('has died', str(error))
        self.assertTrue(self.taken_back.called)

    def test_another_disk_is_accepted_once(self):
        self.policy.accepts = True
        for identity in ([test_questions.OTHER], ['uuid.12']):
            self.root.identities['sda'] = identity
            properties = {**PROPS, policy.KEY: [test_questions.NAA]}
            self.connector.connect_volume(properties)
            self.assertEqual(identity, properties[policy.KEY])
        self.assertFalse(self.taken_back.called)

    def more_paths(self, *names):
        self.connector.use_multipath = True
        self.result['path'] = '/dev/dm-0'
        self.appears = lambda: self.tree.mpath(paths=('sda', 'sdb')) and self.tree.disk('sdc')
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.brick.kernel.sessions.disks', lambda targets: list(targets) and set(names)))

    def test_a_path_that_the_map_has_not_taken_is_another_disk(self):
        self.more_paths('sda', 'sdb', 'sdc')
        self.root.identities['sdc'] = [test_questions.OTHER]
        self.assertRaises(refusals.WrongDisk, self.connector.connect_volume, dict(PROPS))
        self.assertTrue(self.taken_back.called)

    def test_paths_that_have_joined_the_map_of_another_volume_are_taken_out(self):
        self.more_paths('sdc')
        self.tree.mpath()
        self.appears = lambda: self.tree.hold(self.tree.disk('sdc'), 'dm-0')
        for name, lun in (('sda', 4), ('sdb', 4), ('sdc', 3)):
            place = self.tree.root / 'devices' / f'{name}:2:0:0:{lun}'
            place.mkdir(parents=True)
            if name != 'sdc':
                (self.tree.top / name / 'device').symlink_to(place)
        commands = []
        with fixtures.MonkeyPatch(
                'os_brick.initiator.linuxscsi.LinuxSCSI.multipath_del_path',
                lambda scsi, path: commands.append(path)), \
                fixtures.MonkeyPatch(
                    'os_brick.initiator.connectors.iscsi.ISCSIConnector.connect_volume',
                    lambda connector, properties: self.appears() or self.result):
            self.assertRaises(refusals.MixedMap, self.connector.connect_volume, dict(PROPS))
        self.assertEqual(['/dev/sdc'], commands)
        self.root.remove_scsi.assert_called_once_with('sdc', [], 0)
        self.assertFalse(self.taken_back.called)

    def test_a_path_that_was_here_before_keeps_all_of_them(self):
        self.tree.disk('sdx')
        self.more_paths('sda', 'sdb', 'sdx')
        self.root.identities['sdx'] = [test_questions.OTHER]
        self.assertRaises(refusals.WrongDisk, self.connector.connect_volume, dict(PROPS))
        self.assertFalse(self.taken_back.called)

    def test_nobody_is_not_accepted(self):
        self.policy.accepts = True
        self.root.identities['sda'] = []
        self.assertRaises(refusals.Unproven, self.connector.connect_volume,
                          {**PROPS, policy.KEY: [test_questions.NAA]})
        self.assertTrue(self.taken_back.called)

    def test_two_disks_at_once_are_not_accepted(self):
        self.policy.accepts = True
        self.result['path'] = '/dev/dm-0'
        self.appears = self.tree.mpath
        self.root.identities.update(sda=[test_questions.OTHER], sdb=[test_questions.NAA])
        self.assertRaises(refusals.WrongDisk, self.connector.connect_volume,
                          {**PROPS, policy.KEY: [test_questions.NAA]})
        self.assertTrue(self.taken_back.called)

    def test_refusal_is_what_is_told_whatever_giving_back_says(self):
        self.taken_back.side_effect = brick_exception.BrickException('no')
        self.assertRaises(refusals.WrongDisk, self.connector.connect_volume,
                          {**PROPS, policy.KEY: [test_questions.OTHER]})


class AtOnceTest(ConnectCase):
    """Two volumes whose connection_info leads to the same disk, which is one of them."""

    def setUp(self):
        super().setUp()
        self.legitimate, self.stale_is_in = threading.Event(), threading.Event()
        self.handed_out, self.torn = [], []
        self.taken_back.side_effect = lambda *args, **kwargs: self.torn.extend(self.handed_out)

    def _connect(self, connector, properties):
        if properties['volume_id'] == 'stale':
            self.stale_is_in.set()
            # the other one is first at os-brick's own lock, if it is let in at all
            self.legitimate.wait(0.5)
        return super()._connect(connector, properties)

    def test_what_another_connect_hands_out_is_not_given_back(self):
        with futures.ThreadPoolExecutor() as pool:
            stale = pool.submit(self.connector.connect_volume, {
                **PROPS, 'volume_id': 'stale', policy.KEY: [test_questions.OTHER]})
            self.stale_is_in.wait()

            def legitimate():
                self.connector.connect_volume({**PROPS, policy.KEY: [test_questions.NAA]})
                self.handed_out.append('sda')
                self.legitimate.set()
            pool.submit(legitimate).result()
            self.assertIsInstance(stale.exception(), refusals.WrongDisk)
        self.assertEqual((['sda'], []), (self.handed_out, self.torn))


class PoliciesAreNamed(testtools.TestCase):

    def test_unnamed_volume(self):
        self.assertEqual(judge.Wanted('(not named)'), policy.current())
        with policy.working_on(judge.Wanted('v')):
            self.assertEqual('v', policy.current().volume)
        self.assertEqual('(not named)', policy.current().volume)
