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
"""What kind of host ``migsafe-status`` finds itself on."""

import json
import os

import fixtures

from migsafe.cli import services, status
from migsafe.tests.unit.cli import test_manage


class TestKinds(test_manage.ToolTestCase):
    """By what is installed, and by what is configured."""

    def setUp(self):
        super().setUp()
        base = os.path.dirname(self.nova_conf)
        self.cinder_conf = os.path.join(base, 'cinder.conf')
        self.nova = (self.nova_conf, os.path.join(base, 'nova-compute.conf'))
        self.cinder = (self.cinder_conf,)
        self.packages = {}
        self.useFixture(fixtures.MonkeyPatch('migsafe.cli.services.installed',
                                             self.packages.get))

    def write_cinder(self, mode=0o600):
        with open(self.cinder_conf, 'w') as handle:
            handle.write('[DEFAULT]\nenabled_backends = lvm\n')
        os.chmod(self.cinder_conf, mode)

    def usual(self):
        return services.usual(self.nova, self.cinder)

    def test_nova(self):
        self.packages['nova'] = '34.0.0'
        found = self.usual()
        self.assertEqual((('Nova',), (self.nova_conf,)), (found.kinds, found.nova_files))
        os.unlink(self.nova_conf)
        self.assertEqual(('Nova',), self.usual().kinds)

    def test_both(self):
        self.packages.update(nova='34.0.0', cinder='29.0.0')
        found = self.usual()
        self.assertEqual(('Nova',), found.kinds)
        self.assertIn('Cinder 29.0.0 was not checked', found.text)
        self.write_cinder()
        found = self.usual()
        self.assertEqual(('Nova', 'Cinder'), found.kinds)
        self.assertEqual((self.cinder_conf,), found.cinder_files)

    def test_cinder_alone(self):
        os.unlink(self.nova_conf)
        self.packages['cinder'] = '29.0.0'
        self.assertEqual((), self.usual().kinds)
        self.assertIn('--config-file', self.usual().text)
        self.write_cinder()
        self.assertEqual(('Cinder',), self.usual().kinds)

    def test_a_service_of_another_environment(self):
        self.write_cinder()
        self.packages['nova'] = '34.0.0'
        found = self.usual()
        self.assertEqual(('Nova',), found.kinds)
        self.assertIn('Cinder was not checked', found.text)
        self.assertIn('environment', found.text)

    def test_a_configuration_of_another_user(self):
        self.write_cinder()
        self.packages.update(nova='34.0.0', cinder='29.0.0')
        self.useFixture(fixtures.MonkeyPatch('os.access', lambda name, mode: (
            name != self.cinder_conf)))
        found = self.usual()
        self.assertEqual(('Nova',), found.kinds)
        self.assertIn(f'{self.cinder_conf} cannot be read', found.text)

    def test_named(self):
        self.packages.update(nova='34.0.0', cinder='29.0.0')
        self.write_cinder()
        for name, kind in ((self.nova_conf, 'Nova'), (self.cinder_conf, 'Cinder')):
            found = services.named([name], None)
            self.assertEqual((kind,), found.kinds)
            self.assertIn(name, found.text)

    def check(self, *args, **kwargs):
        code, out, _err = self.run_tool(
            lambda words, default_config_files: status.main(
                words, default_config_files, default_cinder_files=()),
            *args, 'upgrade', 'check', '--json')
        return code, json.loads(out)['checks']

    def test_neither(self):
        """That nothing was checked is no success, whichever way it was asked."""
        os.unlink(self.nova_conf)
        self.assertEqual((), self.usual().kinds)
        code, checks = self.check()
        self.assertEqual((2, ['Host']), (code, [one['check'] for one in checks]))
        self.assertIn('Neither Nova nor Cinder', checks[0]['details'])
        self.write_conf()
        code, checks = self.check('--config-file', self.nova_conf)
        self.assertEqual((2, 1), (code, len(checks)))
