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
"""``migsafe-status upgrade check``: rootwrap finds the privileged helper."""

import os

import fixtures
import testtools
from oslo_upgradecheck import upgradecheck

from migsafe.cli import rootwrap, status_cinder

GOOD, DOUBT, BAD = (upgradecheck.Code.SUCCESS, upgradecheck.Code.WARNING,
                    upgradecheck.Code.FAILURE)


class TestRootwrap(testtools.TestCase):
    """The directories of a rootwrap.conf, and the programs in them."""

    def setUp(self):
        super().setUp()
        self.home = self.useFixture(fixtures.TempDir()).path
        self.mine = self.programs('mine')
        self.useFixture(fixtures.MockPatch('sysconfig.get_path', return_value=self.mine))
        self.rootwrap = os.path.join(self.home, 'rootwrap.conf')

    def programs(self, name, helper=True):
        """A directory, with a helper or without."""
        path = os.path.join(self.home, name)
        os.mkdir(path)
        if helper:
            os.close(os.open(os.path.join(path, rootwrap.HELPER), os.O_CREAT, 0o755))
        return path

    def check(self, *directories, more='', check=rootwrap.check):
        """The result, and what it says."""
        with open(self.rootwrap, 'w') as file:
            file.write(f'[DEFAULT]\nexec_dirs={",".join(directories)}\n')
        conf = os.path.join(self.home, 'nova.conf')
        with open(conf, 'w') as file:
            file.write(f'[DEFAULT]\nrootwrap_config = {self.rootwrap}\n{more}')
        found = check([conf], 'nova')
        return found.code, found.details or ''

    def test_found(self):
        self.assertEqual((GOOD, ''), self.check(self.programs('none', False), self.mine))

    def test_not_found(self):
        code, text = self.check(self.programs('none', False), self.home)
        self.assertEqual(BAD, code)
        for word in (f'{self.home}/none,', f'Put {self.mine} first into exec_dirs',
                     self.rootwrap):
            self.assertIn(word, text)

    def test_that_of_another_environment(self):
        other = self.programs('other')
        code, text = self.check(other, self.mine)
        self.assertEqual(DOUBT, code)
        self.assertIn(f'{other}/privsep-helper, which is not of the environment', text)
        self.assertEqual(GOOD, self.check(self.mine, other)[0])

    def test_the_same_by_another_name(self):
        os.symlink(self.mine, os.path.join(self.home, 'link'))
        self.assertEqual(GOOD, self.check(os.path.join(self.home, 'link'))[0])

    def test_not_through_rootwrap(self):
        for more in ('[migsafe_privileged]\nhelper_command = sudo helper\n',
                     '[workarounds]\ndisable_rootwrap = true\n'):
            code, text = self.check(self.home, more=more)
            self.assertEqual(GOOD, code)
            self.assertIn('not started through rootwrap', text)

    def test_no_configuration(self):
        code, text = self.check(self.home, more='rootwrap_config = /nowhere/rootwrap.conf\n')
        self.assertEqual(GOOD, code)
        self.assertIn('There is no /nowhere/rootwrap.conf', text)

    def test_what_is_none(self):
        code, text = self.check(self.home, more=f'rootwrap_config = {self.home}\n')
        self.assertEqual(DOUBT, code)
        self.assertIn(f'{self.home} cannot be read', text)

    def test_of_cinder(self):
        code, _text = self.check(self.home, check=lambda files, _project:
                                 status_cinder.Checks(files).helper())
        self.assertEqual(BAD, code)
