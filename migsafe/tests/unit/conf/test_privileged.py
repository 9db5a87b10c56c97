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
from oslo_config import cfg
from oslotest import base

from migsafe.brick.root import privileged as root
from migsafe.conf import privileged


class TestPrivileged(base.BaseTestCase):
    def test_the_sample_shows_what_the_helper_has(self):
        (group, opts), = privileged.list_opts()
        shown = {opt.name: opt.sample_default for opt in opts}
        self.assertEqual('CAP_SYS_ADMIN,CAP_SYS_PTRACE,CAP_DAC_READ_SEARCH',
                         shown['capabilities'])
        self.assertEqual(root.default.cfg_section, group.name)
        self.assertEqual(list(privileged.CAPABILITIES),
                         cfg.CONF[root.default.cfg_section].capabilities)
