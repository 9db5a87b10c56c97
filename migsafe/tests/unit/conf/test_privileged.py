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
import subprocess
import sys

from oslotest import base

from migsafe.brick.root import privileged as root
from migsafe.conf import privileged

CAPABILITIES = """
from oslo_config import cfg
from migsafe.brick.root import privileged
print(cfg.CONF[privileged.default.cfg_section].capabilities)
"""


class TestPrivileged(base.BaseTestCase):
    def test_the_sample_shows_what_the_helper_has(self):
        (group, opts), = privileged.list_opts()
        shown = {opt.name: opt.sample_default for opt in opts}
        self.assertEqual('CAP_SYS_ADMIN,CAP_SYS_PTRACE,CAP_DAC_READ_SEARCH',
                         shown['capabilities'])
        self.assertEqual(root.default.cfg_section, group.name)
        # in a process of its own: a fixture of Nova's or Cinder's unsets each default of CONF
        done = subprocess.run([sys.executable, '-W', 'ignore', '-c', CAPABILITIES],
                              capture_output=True, text=True, check=False)
        self.assertEqual((0, str(list(privileged.CAPABILITIES))),
                         (done.returncode, done.stdout.strip()), done.stderr)
