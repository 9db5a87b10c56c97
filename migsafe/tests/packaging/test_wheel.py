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
"""What the wheel has, and what it does in a clean environment beside real Nova and Cinder."""

import base64
import hashlib
import json
import pathlib
import shutil
import tempfile
import zipfile

from oslotest import base

from migsafe.tests.packaging import environment

LOADED = """
import os_vif
os_vif.initialize()
print(os_vif._EXT_MANAGER['migsafe'].plugin, os_vif._EXT_MANAGER['migsafe'].obj)
import migsafe
print(migsafe.__file__)
"""
CINDER = """
from cinder import objects
objects.register_all()
from oslo_utils import importutils
print(importutils.import_class('migsafe.cinder.driver.GuardedDriver').__name__)
"""
GOES_ON = 'nova-compute goes on'
OPTIONS = """
import sys
from oslo_config import generator
sys.exit(generator.main(['--namespace', 'migsafe', '--namespace', 'migsafe.cinder',
                         '--namespace', 'migsafe.privileged']))
"""
#: nova-compute's own start, as far as the service that would wait for a conductor.
START = f"""
import sys
from nova.cmd import compute
compute.service.Service.create = lambda **parameters: sys.exit('{GOES_ON}')
compute.main()
"""


def foreign(top):
    """The least of a wheel of another project with our import package."""
    files = {'migsafe/__init__.py': '"""Safe migrations of databases."""\n',
             'migsafe-0.4.1.dist-info/METADATA':
                 'Metadata-Version: 2.1\nName: migsafe\nVersion: 0.4.1\n',
             'migsafe-0.4.1.dist-info/WHEEL':
                 'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n'
                 'Tag: py3-none-any\n'}
    record = ''.join(
        f'{name},sha256={_digest(text)},{len(text)}\n' for name, text in files.items())
    files['migsafe-0.4.1.dist-info/RECORD'] = f'{record}migsafe-0.4.1.dist-info/RECORD,,\n'
    path = top / 'migsafe-0.4.1-py3-none-any.whl'
    with zipfile.ZipFile(path, 'w') as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def _digest(text):
    found = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(found).rstrip(b'=').decode()


class WheelTest(base.BaseTestCase):
    """One class, so that the wheel is built once."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.top = pathlib.Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.top)
        cls.top.chmod(0o755)
        cls.wheel = environment.wheel(cls.top)
        with zipfile.ZipFile(cls.wheel) as archive:
            cls.names = archive.namelist()
            about, = (name for name in cls.names if name.endswith('.dist-info/METADATA'))
            cls.about = archive.read(about).decode()
        cls.conf = cls.top / 'nova.conf'
        cls._shared = None

    def make(self):
        """Return a clean environment, whose commands are run by a user without rights."""
        python = environment.unprivileged_python()
        if python is None:
            self.skipTest('no Python of the version of the tests that another user can run')
        top = pathlib.Path(tempfile.mkdtemp(dir=self.top))
        top.chmod(0o755)
        return environment.Environment(top, python)

    @property
    def installed(self):
        """The environment with the wheel alone, for all that change nothing in it."""
        if self._shared is None:
            made = self.make()
            made.install(self.wheel)
            type(self)._shared = made
        return self._shared

    def configure(self, made):
        self.conf.write_text('\n'.join((
            '[DEFAULT]', 'host = node13', f'state_path = {made.home}',
            'transport_url = fake://', '[migsafe]', 'enabled = true',
            f'state_path = {made.home}/migsafe',
            '[migsafe_privileged]', 'helper_command = /bin/false', '')))

    def checks(self, made, code):
        """Check name -> details of what ``migsafe-status upgrade check`` complains about."""
        self.configure(made)
        found, shown = made.run(
            'migsafe-status', '--config-file', str(self.conf), 'upgrade', 'check', '--json')
        self.assertEqual(code, found, shown)
        report = next(line for line in shown.splitlines() if line.startswith('{'))
        return {each['check']: each['details'] for each in json.loads(report)['checks']
                if each['result']}

    def status(self, made):
        self.configure(made)
        code, shown = made.run('migsafe', '--config-file', str(self.conf), 'status')
        self.assertEqual(3, code, shown)
        return shown

    def test_every_module_but_those_of_tests_and_replay(self):
        package = environment.ROOT / 'migsafe'
        wanted = {f'migsafe/{path.relative_to(package).as_posix()}'
                  for path in package.rglob('*.py')
                  if path.relative_to(package).parts[0] not in ('tests', 'replay')}
        self.assertLess(150, len(wanted))
        self.assertEqual(wanted, {name for name in self.names if name.endswith('.py')})

    def test_nothing_else_of_tests_and_replay(self):
        self.assertEqual([], [name for name in self.names
                              if name.startswith(('migsafe/tests', 'migsafe/replay'))])

    def test_what_alembic_needs_and_the_samples(self):
        for name in ('migsafe/journal/migrations/script.py.mako',
                     'migsafe/ledger/migrations/script.py.mako'):
            self.assertIn(name, self.names)
        for sample in ('migsafe.conf.sample', 'migsafe-cinder.conf.sample'):
            self.assertTrue(any(name.endswith(f'etc/migsafe/{sample}') for name in self.names))

    def test_its_name_is_nobody_elses(self):
        self.assertIn('\nName: openstack-migsafe\n', self.about)
        self.assertTrue(self.wheel.name.startswith('openstack_migsafe-'))

    def test_os_vif_loads_it(self):
        shown = self.installed.python(LOADED)
        self.assertIn("<class 'migsafe.nova.loader.Plugin'>", shown)
        self.assertIn(str(self.installed.site / 'migsafe' / '__init__.py'), shown)

    def test_cinder_finds_the_driver(self):
        self.assertIn('GuardedDriver', self.installed.python(CINDER))

    def test_each_command_starts(self):
        for command in ('migsafe', 'migsafe-manage', 'migsafe-status'):
            code, shown = self.installed.run(command, '--help')
            self.assertEqual(0, code, shown)
            self.assertIn('usage: ', shown.lower())
        _code, shown = self.installed.run('migsafe', '--version')
        self.assertIn(environment.VERSION, shown)

    def test_the_replay_says_where_it_is(self):
        code, shown = self.installed.run('migsafe-replay', '--list')
        self.assertEqual(2, code)
        self.assertIn('./tools/replay.sh', shown)
        self.assertNotIn('Traceback', shown)

    def test_an_upgrade_check(self):
        # there is no journal yet
        self.assertEqual(['Journal schema'], list(self.checks(self.installed, 1)))
        self.assertIn('unknown', self.status(self.installed))

    def test_the_options_are_found(self):
        shown = self.installed.python(OPTIONS)
        for option in ('[migsafe]', '#device_guards', '#migsafe_wrapped_driver',
                       '[migsafe_privileged]'):
            self.assertIn(option, shown)

    def test_nova_compute_loads_it(self):
        """It cannot have its privileged helper, so that nova-compute must not start."""
        made = self.make()
        self.configure(made)
        command = ('python', '-W', 'ignore', '-c', START, '--config-file', str(self.conf))
        _code, shown = made.run(*command)
        self.assertIn(GOES_ON, shown)
        made.install(self.wheel)
        code, shown = made.run(*command)
        self.assertNotIn(GOES_ON, shown)
        self.assertIn('migsafe', shown)
        self.assertNotEqual(0, code)

    def test_another_project_of_the_same_name_is_reported(self):
        """Installed over this one, as pip does without a word."""
        made = self.make()
        made.install(self.wheel)
        made.install(foreign(self.top))
        found = self.checks(made, 2)['Installed migsafe']
        for words in ('migsafe 0.4.1', 'migsafe/__init__.py',
                      'pip uninstall migsafe openstack-migsafe'):
            self.assertIn(words, found)
        self.assertIn('migsafe 0.4.1', self.status(made))
