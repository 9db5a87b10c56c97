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
"""What of the installation of a Python environment is not this project."""

import base64
import hashlib
import importlib.util
import pathlib
import sys
import types

import fixtures
from oslotest import base

from migsafe.cli import installed

LOADER = '[os_vif]\nmigsafe = migsafe.nova.loader:Plugin\n'


class TestProblems(base.BaseTestCase):
    """Environments made of metadata alone."""

    def setUp(self):
        super().setUp()
        self.site = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.useFixture(fixtures.MonkeyPatch('sys.path', [str(self.site)]))
        self.origin = self.site / 'migsafe' / '__init__.py'
        real = importlib.util.find_spec
        self.useFixture(fixtures.MockPatchObject(
            importlib.util, 'find_spec', lambda name, package=None: types.SimpleNamespace(
                origin=str(self.origin)) if name == 'migsafe' else real(name, package)))
        self.assertEqual([str(self.site)], sys.path)

    def install(self, name, version, points='', files=('migsafe/__init__.py',), site=None):
        """As a wheel is unpacked: what is there already is overwritten."""
        site = site or self.site
        info = site / f'{name.replace("-", "_")}-{version}.dist-info'
        info.mkdir(parents=True)
        (info / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\n'
                                       f'Version: {version}\n')
        (info / 'entry_points.txt').write_text(points)
        record = []
        for file in files:
            path = site / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f'# {name}\n')
            digest = base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest())
            record.append(f'{file},sha256={digest.rstrip(b"=").decode()},{path.stat().st_size}')
        (info / 'RECORD').write_text('\n'.join([*record, f'{info.name}/RECORD,,', '']))

    def assert_problems(self, *wanted):
        found = installed.problems()
        self.assertEqual(len(wanted), len(found[:-1]), found)
        for words, sentence in zip(wanted, found, strict=False):
            for word in words:
                self.assertIn(word, sentence)
        self.assertIn('pip install ./openstack_migsafe', found[-1])
        return found[-1]

    def test_all_well(self):
        self.install('openstack-migsafe', '0.1.0', LOADER)
        self.install('os-vif', '5.3.0', '[os_vif]\nnoop = vif_plug_noop.noop:NoOpPlugin\n',
                     ['os_vif/__init__.py'])
        self.assertEqual([], installed.problems())

    def test_an_editable_installation(self):
        self.install('openstack_migsafe', '0.1.0', LOADER, ['__editable__.migsafe.pth'])
        info, = self.site.glob('*.dist-info')
        (info / 'top_level.txt').write_text('migsafe\n')
        self.origin = pathlib.Path(installed.__file__).parents[1] / '__init__.py'
        self.assertEqual([], installed.problems())

    def test_nothing_is_installed(self):
        self.assert_problems(['openstack-migsafe is not installed'], ['migsafe in the group '
                                                                      'os_vif is missing'])

    def test_only_the_other_project(self):
        self.install('migsafe', '0.4.1', '[console_scripts]\nmigsafe = migsafe.cli:main\n')
        cure = self.assert_problems(
            ['migsafe 0.4.1', 'is not openstack-migsafe'],
            ['openstack-migsafe is not installed'], ['os_vif is missing'])
        self.assertIn('pip uninstall migsafe;', cure)

    def test_the_other_project_over_this_one(self):
        self.install('openstack-migsafe', '0.1.0', LOADER,
                     ['migsafe/__init__.py', 'migsafe/nova/loader.py'])
        self.install('migsafe', '0.4.1')
        cure = self.assert_problems(
            ['migsafe 0.4.1'],
            ['1 file(s)', 'openstack-migsafe 0.1.0', 'migsafe/__init__.py'])
        self.assertIn('pip uninstall migsafe openstack-migsafe;', cure)

    def test_this_project_over_the_other_one(self):
        self.install('migsafe', '0.4.1', files=['migsafe/__init__.py', 'migsafe/base.py'])
        self.install('openstack-migsafe', '0.1.0', LOADER)
        self.assert_problems(['migsafe 0.4.1'])

    def test_a_file_is_gone(self):
        self.install('openstack-migsafe', '0.1.0', LOADER)
        self.origin.unlink()
        self.assert_problems(['1 file(s)', 'migsafe/__init__.py'])

    def test_an_entry_point_of_somebody_else(self):
        self.install('openstack-migsafe', '0.1.0', LOADER)
        self.install('vendor', '1', '[os_vif]\nmigsafe = vendor.plug:Plugin\n', ['vendor.py'])
        self.assert_problems(['that of vendor', 'vendor.plug:Plugin'])

    def test_no_entry_point(self):
        self.install('openstack-migsafe', '0.1.0')
        self.assert_problems(['os_vif is missing'])

    def test_another_directory_comes_first(self):
        self.install('openstack-migsafe', '0.1.0', LOADER)
        self.origin = pathlib.Path('/srv/app/migsafe/__init__.py')
        self.assert_problems(['/srv/app/migsafe/__init__.py', str(self.site)])
