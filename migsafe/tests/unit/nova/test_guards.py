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
import types
from unittest import mock

import fixtures
import testtools

from migsafe import exceptions
from migsafe.brick.connectors import shim
from migsafe.lvm import services
from migsafe.nova import arming


class GuardsTest(testtools.TestCase):
    """A configuration that cannot tell which volume groups are the host's own."""

    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.cinder_conf = self.useFixture(fixtures.TempDir()).join('cinder.conf')
        with open(self.cinder_conf, 'w') as stream:
            stream.write('this is no configuration file\n')
        self.nova_dir = self.useFixture(fixtures.TempDir()).path
        self.policy = mock.Mock()
        for patch in (mock.patch.object(services, 'CINDER_CONF', self.cinder_conf),
                      mock.patch.object(shim, 'policy', self.policy),
                      mock.patch.object(shim, 'install')):
            patch.start()
            self.addCleanup(patch.stop)

    def guard(self, enforce):
        arming._guard(types.SimpleNamespace(
            host='cn1', config_file=None, config_dir=[self.nova_dir],
            migsafe=types.SimpleNamespace(
                enforce=enforce, holder_policy='refuse', identity_policy='refuse')), False)

    def test_it_stops_nova_compute(self):
        error = self.assertRaises(exceptions.ConfigError, self.guard, True)
        self.assertIn(self.cinder_conf, str(error))

    def test_directories_of_nova_and_cinder_count_too(self):
        os.unlink(self.cinder_conf)
        os.mkdir(self.cinder_conf + '.d')
        for path, text in (
                (f'{self.nova_dir}/1.conf',
                 '[libvirt]\nimages_type = lvm\nimages_volume_group = nova-vg\n'),
                (f'{self.cinder_conf}.d/1.conf',
                 '[DEFAULT]\nenabled_backends = one\n[one]\nvolume_group = vg-one\n')):
            with open(path, 'w') as stream:
                stream.write(text)
        self.guard(True)
        self.assertEqual({'nova-vg', 'vg-one'}, set(self.policy.call_args.args[3]))

    def test_it_does_not_if_nova_compute_may_run_unprotected(self):
        self.guard(False)
        self.assertIn('NOT guarded', self.log.output)
        self.assertIn(self.cinder_conf, self.log.output)
