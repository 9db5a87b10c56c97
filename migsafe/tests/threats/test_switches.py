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
"""What must not switch the protection off."""

import ast
import pathlib
import tempfile

import fixtures
from oslotest import base

import migsafe
from migsafe.cli import config
from migsafe.conf import cinder, environment, privileged
from migsafe.conf import migsafe as migsafe_conf

ROOT = pathlib.Path(migsafe.__file__).parent
#: Where the environment is read, and what for.
READ = {'lvm/client.py': 'PATH for the programs of LVM',
        'fencing/ipmi.py': 'PATH for ipmitool',
        'fencing/probes/libvirt.py': 'what the client of libvirt finds its keys by',
        'cli/base.py': 'SUDO_USER, for whom to name as the operator',
        'conf/environment.py': 'options of migsafe, to refuse them'}


class TestSwitches(base.BaseTestCase):
    """There is one way to switch it off: the configuration."""

    def modules(self):
        for path in sorted(ROOT.rglob('*.py')):
            name = str(path.relative_to(ROOT))
            # the last is a kit for the tests of others' inspectors, which no service imports
            if not name.startswith(('tests/', 'replay/', 'cinder/inspector_tests')):
                yield name, ast.parse(path.read_text())

    def test_no_variable_of_the_environment(self):
        found = {name for name, tree in self.modules() for node in ast.walk(tree)
                 if isinstance(node, ast.Attribute) and node.attr in ('environ', 'getenv')}
        self.assertEqual(set(READ), found)

    def test_no_option_is_taken_from_the_environment(self):
        """oslo.config would take each one from there, before any file."""
        names = [f'OS_{group}__{name}'.upper() for group, options in (
            ('migsafe', migsafe_conf.OPTS), ('array', cinder.OPTS),
            ('migsafe_privileged', privileged.list_opts()[0][1]))
            for name in (option.dest for option in options)]
        self.assertGreater(len(names), 20)
        for name in names:
            with self.subTest(name), fixtures.EnvironmentVariable(name, '7'):
                self.assertEqual([name], environment.variables())
                error = self.assertRaises(environment.EnvironmentSet, environment.refuse)
                self.assertIn(name, str(error))
        with fixtures.EnvironmentVariable('OS_MIGSAFE__ENABLED', 'true'), \
                tempfile.NamedTemporaryFile('w', suffix='.conf') as file:
            self.assertFalse(config.load([file.name]).migsafe.enabled)

    def test_no_assertion_that_something_is_true_of_others(self):
        """They are gone with PYTHONOPTIMIZE; those that are there narrow a type."""
        found = [f'{name}:{node.lineno}: {ast.unparse(node)}' for name, tree in self.modules()
                 for node in ast.walk(tree) if isinstance(node, ast.Assert)
                 and not ast.unparse(node.test).endswith('is not None')]
        self.assertEqual([], found)
