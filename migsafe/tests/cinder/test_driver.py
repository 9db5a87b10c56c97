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
"""What comes out of GuardedDriver, on real drivers and a real VolumeManager."""

import os
from unittest import mock

import fixtures
from cinder import exception as cinder_exception
from cinder.cmd import volume as cmd_volume
from cinder.tests import fake_driver
from cinder.tests.unit import test
from cinder.volume import configuration, driver, manager
from cinder.volume.drivers import lvm
from cinder.volume.drivers.netapp import common as netapp
from cinder.volume.drivers.netapp.dataontap import iscsi_cmode
from osprofiler import profiler

import migsafe.conf
from migsafe import exceptions
from migsafe.brick.connectors import shim
from migsafe.cinder.driver import GuardedDriver
from migsafe.cinder.recovery import passes
from migsafe.cinder.wrapping import classes

GUARD = 'migsafe.cinder.driver.GuardedDriver'
FAKE = 'cinder.tests.fake_driver.FakeLoggingVolumeDriver'
#: Before osprofiler is switched off by the base class of Cinder's tests.
TRACE = profiler.trace_cls
#: Before it is switched off here.
START = passes.Recovery.start


class Backends(test.TestCase):
    """Backends whose section names the guard."""

    def setUp(self):
        super().setUp()
        directory = os.path.join(self.useFixture(fixtures.TempDir()).path, 'ledger')
        migsafe.conf.register_opts(configuration.CONF)
        self.override_config('ledger_path', directory, group='migsafe')
        # NOTE: rounds of recovery are run when a test says so.
        self.patch('migsafe.cinder.recovery.passes.Recovery.start')

    def configure(self, wrapped, group='array', **options):
        self.config = configuration.Configuration(manager.volume_backend_opts, config_group=group)
        self.config.append_config_values(GuardedDriver.get_driver_options())
        self.config.append_config_values(driver.volume_opts)
        for name, value in {'volume_driver': GUARD, 'migsafe_wrapped_driver': wrapped,
                            **options}.items():
            self.override_config(name, value, group=group)
        return self.config

    def manager(self, wrapped, group='array', **options):
        self.configure(wrapped, group, **options)
        return manager.VolumeManager(host=f'node@{group}', service_name=group)


class TestWrapper(Backends):
    """The driver is what it would have been."""

    def test_it_is_the_wrapped_driver(self):
        made = self.manager(FAKE).driver
        self.assertIsInstance(made, fake_driver.FakeLoggingVolumeDriver)
        self.assertIsInstance(made, driver.VolumeDriver)
        self.assertIsInstance(made, classes.Guarded)
        self.assertIs(False, isinstance(made, driver.ISCSIDriver))
        for name in ('VERSION', 'CI_WIKI_NAME', 'SUPPORTS_ACTIVE_ACTIVE', '__name__',
                     '__module__', '__doc__'):
            self.assertEqual(getattr(fake_driver.FakeLoggingVolumeDriver, name),
                             getattr(type(made), name), name)
        self.assertEqual(fake_driver.FakeLoggingVolumeDriver.get_driver_options(),
                         made.get_driver_options())

    def test_the_backends_of_one_service_are_apart(self):
        one = self.manager(FAKE, 'one').driver
        two = self.manager('cinder.volume.drivers.lvm.LVMVolumeDriver', 'two').driver
        self.assertIsInstance(two, lvm.LVMVolumeDriver)
        self.assertNotIsInstance(two, fake_driver.FakeLoggingVolumeDriver)
        self.assertIsNot(one.migsafe_guard, two.migsafe_guard)

    def test_options_of_the_driver_are_read_from_its_section(self):
        lvm.LVMVolumeDriver.get_driver_options()
        made = self.manager(FAKE, volume_backend_name='gold').driver
        self.assertEqual('gold', made.configuration.safe_get('volume_backend_name'))

    def test_a_driver_with_an_old_name(self):
        with mock.patch.dict(manager.MAPPING, {'cinder.old.Driver': FAKE}):
            made = self.manager('cinder.old.Driver').driver
        self.assertIsInstance(made, fake_driver.FakeLoggingVolumeDriver)

    def test_a_driver_that_is_a_factory(self):
        """NetApp's gives an instance of another class."""
        with mock.patch.object(netapp.na_utils.OpenStackInfo, 'info', return_value='test'):
            config = self.configure('cinder.volume.drivers.netapp.common.NetAppDriver')
            config.append_config_values(netapp.options.netapp_proxy_opts)
            self.override_config('netapp_storage_family', 'ontap_cluster', group='array')
            self.override_config('netapp_storage_protocol', 'iscsi', group='array')
            made = manager.VolumeManager(host='node@array', service_name='array').driver
        self.assertIsInstance(made, iscsi_cmode.NetAppCmodeISCSIDriver)
        self.assertIsInstance(made, classes.Guarded)

    def test_active_active_is_the_drivers_own(self):
        """LVM cannot: it is refused as without the guard. A driver that can is not."""
        self.configure(FAKE)
        self.override_config('ledger_connection', 'postgresql+psycopg2://m@db/m', group='migsafe')
        refused = self.assertRaises(
            cinder_exception.VolumeDriverException, manager.VolumeManager, host='node@array',
            cluster='many@array', service_name='array')
        self.assertIn('Active-Active', str(refused))

    def test_the_profiler(self):
        with mock.patch('osprofiler.profiler.trace_cls', TRACE):
            self.override_config('enabled', True, group='profiler')
            made = self.manager(FAKE).driver
        self.assertEqual(
            {'driver_volume_type': 'iscsi', 'data': {'access_mode': 'rw'}},
            made.initialize_connection({'id': 'x', 'volume_admin_metadata': []}, {}))

    def test_the_service_starts(self):
        made = self.manager(FAKE)
        made.init_host(service_id=1)
        self.assertTrue(made.driver.initialized)

    def test_every_step_is_a_method_that_cinder_has(self):
        """A renamed method of Cinder would silently lose its guard."""
        for name in classes.STEPS:
            self.assertTrue(hasattr(driver.VolumeDriver, name), name)
            self.assertIn(name, vars(classes.subclass(lvm.LVMVolumeDriver)))


class TestRefusals(Backends):
    """No driver: the log says which option of which section, and the backend stays down."""

    CASES = (
        (None, 'it is not set'),
        (GUARD, 'the guard itself'),
        ('no.such.module.Driver', 'cannot be imported'),
        ('cinder.volume.drivers.lvm.NoSuchDriver', 'cannot be imported'),
        ('cinder.volume.manager.VolumeManager', 'no driver of Cinder'),
        ('cinder.volume.drivers.lvm.LOG', 'no driver of Cinder'),
        ('not a name', 'cannot be imported'),
    )

    def test_each(self):
        for name, reason in self.CASES:
            refused = self.assertRaises(exceptions.ConfigError, self.manager, name)
            self.assertIn('[array] migsafe_wrapped_driver', str(refused))
            self.assertIn(reason, str(refused), name)

    def test_the_other_backends_start(self):
        """As cinder-volume does it."""
        self.configure(None, 'broken')
        self.configure(FAKE, 'good')
        launcher = mock.Mock()
        with mock.patch.object(cmd_volume, 'LOG') as log, \
                mock.patch.object(cmd_volume.session, 'dispose_engine'):
            for backend in ('broken', 'good'):
                cmd_volume._launch_service(launcher, backend)
        self.assertEqual(1, log.exception.call_count)
        self.assertIn('broken', str(log.exception.call_args))
        (started,), _ = launcher.launch_service.call_args
        self.assertIsInstance(started.manager.driver, classes.Guarded)


class TestDeviceGuards(Backends):
    """os-brick in cinder-volume is guarded as in nova-compute."""

    def test_armed(self):
        from os_brick.initiator import connector

        from migsafe.brick.connectors.guarded import Guarded
        tables = {name: dict(getattr(connector, name)) for name in shim.TABLES}
        for name, table in tables.items():
            self.addCleanup(getattr(connector, name).update, table)
        properties = {'root_helper': 'sudo', 'driver': None, 'execute': None}
        self.manager(FAKE)
        plain = connector.InitiatorConnector.factory('ISCSI', **properties)
        self.assertNotIsInstance(plain, Guarded)
        self.override_config('enabled', True, group='migsafe')
        # whatever the tests run in
        self.patch('migsafe.brick.kernel.openers.everybody', return_value=True)
        self.manager(FAKE)
        armed = connector.InitiatorConnector.factory('ISCSI', **properties)
        self.assertIsInstance(armed, Guarded)

    def test_a_pid_namespace_of_its_own(self):
        self.override_config('enabled', True, group='migsafe')
        with mock.patch('migsafe.brick.kernel.openers.everybody', return_value=False):
            error = self.assertRaises(shim.ShimError, self.manager, FAKE)
        self.assertIn('--pid=host', str(error))
