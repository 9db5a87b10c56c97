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
"""The privileged helper needs no filter of its own: oslo.rootwrap lets privsep-helper start."""

import os
import socket
import subprocess
import sys
from unittest import mock

import fixtures
import testtools
from oslo_privsep import priv_context

from migsafe.brick.root import privileged


class RootwrapTest(testtools.TestCase):
    """The oslo.rootwrap that is installed, without any filter; Nova wants 5.15 or later."""

    def setUp(self):
        super().setUp()
        self.home = self.useFixture(fixtures.TempDir()).path
        self.scripts = os.path.dirname(sys.executable)

    def made(self, name, text=''):
        path = os.path.join(self.home, name)
        with open(path, 'w') as handle:
            handle.write(text)
        return path

    def rootwrap(self, *command):
        path = self.made('rootwrap.conf', f'[DEFAULT]\nfilters_path = {self.home}/none\n'
                         f'exec_dirs = {self.scripts}\n')
        return [os.path.join(self.scripts, 'oslo-rootwrap'), path, *command]

    def test_it_starts_whatever_the_service_reads(self):
        files = [self.made(name, '[DEFAULT]\n') for name in ('nova.conf', 'nova-compute.conf')]
        conf = mock.MagicMock(config_file=files, config_dir=[self.home])
        conf.__getitem__.return_value.helper_command = None
        place = os.path.join(self.home, 'privsep.sock')
        with mock.patch.object(priv_context.cfg, 'CONF', conf):
            command = privileged.default.helper_command(place)
        self.assertEqual(3, sum(word.startswith('--config') for word in command))
        with socket.socket(socket.AF_UNIX) as service:
            service.bind(place)
            service.listen(1)
            service.settimeout(60)
            with open(os.path.join(self.home, 'output'), 'w+b') as output, subprocess.Popen(
                    self.rootwrap(*command[command.index('privsep-helper'):]),
                    stdout=output, stderr=output) as helper:
                # It has read its arguments and comes to the service; it ends with the socket.
                service.accept()[0].close()
                self.assertEqual(0, helper.wait(60))

    def test_what_is_not_allowed_is_refused(self):
        done = subprocess.run(self.rootwrap('oslo-rootwrap', 'x'), capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(99, done.returncode)
        self.assertIn('Unauthorized', done.stderr)
