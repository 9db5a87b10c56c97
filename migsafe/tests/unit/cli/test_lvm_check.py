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
"""The command: what it prints, its exit codes, and what it writes."""

import functools
import pathlib
from unittest import mock

import fixtures

from migsafe.brick.kernel import sysfs
from migsafe.cli import codes
from migsafe.lvm import checking, client, errors
from migsafe.tests.unit.brick import trees
from migsafe.tests.unit.cli import base
from migsafe.tests.unit.lvm import fake


class LvmCheckTest(base.CommandTestCase):

    def setUp(self):
        super().setUp()
        self.etc = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        (self.etc / 'lvmlocal.conf').write_text('local {\n}\n')
        tree = self.useFixture(trees.Tree())
        tree.disk('vda')
        tree.disk('rbd0')
        tree.dm('dm-5', f'LVM-{fake.UUID.format(2).replace("-", "")}{trees.LV}', 'rbd0',
                dm_name='guest\x1b[2J-root')
        (tree.root / '1').mkdir()
        (tree.root / '1' / 'mountinfo').write_text('')
        (tree.root / 'swaps').write_text('')
        self.lvm = fake.FakeLvm(self.etc, {'/dev/vda': (1, 'host'), '/dev/rbd0': (2, 'guest')})
        made = functools.partial(checking.Check, client=self.lvm, etc=str(self.etc),
                                 proc=str(tree.root), dev=str(tree.root))
        root = str(tree.root)
        real = sysfs.Sysfs
        for patch in (mock.patch.object(checking, 'Check', made),
                      mock.patch.object(sysfs, 'Sysfs', lambda: real(root)),
                      mock.patch('migsafe.lvm.services.CINDER_CONF', '/nowhere'),
                      mock.patch('os.geteuid', return_value=0)):
            patch.start()
            self.addCleanup(patch.stop)

    def check(self, *args, code):
        rows = self.rows('lvm', 'check', *args, code=code)
        return {row['What']: row for row in rows}, rows

    def test_configure(self):
        found, rows = self.check(code=codes.FOUND)
        self.assertEqual('CONFIGURE', found['advice']['Name'])
        self.assertEqual(('host', '/dev/vda'), (found["the host's own VG"]['Name'],
                                                found["the host's own VG"]['Stands on']))
        self.assertEqual('/dev/rbd0', found["a guest's VG"]['Stands on'])
        self.assertEqual((r'guest\x1b[2J/root', 'rbd0', 'dm-5'), tuple(
            found['active guest LV'][name] for name in ('Name', 'Stands on', 'Detail')))
        self.assertEqual(3, len([row for row in rows if row['What'] == 'command']))
        self.assertEqual(['lvmlocal.conf'], [path.name for path in self.etc.iterdir()])

    def test_messages(self):
        _code, _out, err = self.run_command('lvm', 'check')
        for words in ('CONFIGURE: LVM takes any new disk', '--apply', 'update-initramfs',
                      'migsafe lvm release'):
            self.assertIn(words, err)

    def test_apply(self):
        found, _rows = self.check('--apply', code=codes.REPAIRED)
        self.assertEqual('UNNEEDED', found['advice']['Name'])
        # what is active stays so, and is shown though LVM does not see it any more
        self.assertEqual('dm-5', found['active guest LV']['Detail'])
        for args in ((), ('--apply',)):
            found, rows = self.check(*args, code=codes.CLEAN)
            self.assertEqual('UNNEEDED', found['advice']['Name'])
            self.assertNotIn('command', found)

    def test_taken_back(self):
        def fault(arguments):
            if (self.etc / 'migsafe-lvm-check.json').exists() and arguments[0] == '_pvs':
                raise errors.CommandFailed(command='lvm pvs', reason='Parse error')
        self.lvm.fault = fault
        code, _out, err = self.run_command('lvm', 'check', '--apply')
        self.assertEqual(codes.ERROR, code)
        self.assertIn('taken back', err)
        self.assertEqual('local {\n}\n', (self.etc / 'lvmlocal.conf').read_text())

    def test_a_person_decides(self):
        for args, words in ((('--volume-group', 'guest'), '--volume-group'),
                            (('--volume-group', 'lost'), 'none of that name')):
            code, out, err = self.run_command('lvm', 'check', '--apply', *args)
            self.assertEqual(codes.FOUND, code, err)
            self.assertIn(words, err)
            self.assertIn('RECOMMEND', out)
            self.assertIn('Nothing was written', err)
        self.assertEqual(['lvmlocal.conf'], [path.name for path in self.etc.iterdir()])

    def test_of_nova_and_cinder(self):
        cinder = self.etc / 'cinder.conf'
        cinder.write_text('[DEFAULT]\nenabled_backends = x\n[x]\nvolume_group = guest\n')
        self.write_conf('[libvirt]\nimages_type = lvm\nimages_volume_group = guest')
        _code, _out, err = self.run_command('lvm', 'check', '--cinder-config-file', str(cinder))
        self.assertIn('[x] volume_group of', err)
        self.assertIn('[libvirt] images_volume_group of', err)

    def test_cut_off(self):
        (self.etc / 'migsafe-lvm-check.json').write_text('[]')
        found, _rows = self.check(code=codes.FOUND)
        self.assertEqual('RECOMMEND', found['advice']['Name'])
        self.check('--apply', code=codes.REPAIRED)

    def test_output_that_is_none(self):
        self.lvm.lvmconfig = lambda *arguments: 'devices { \x1b'
        code, _out, err = self.run_command('lvm', 'check')
        self.assertEqual(codes.ERROR, code)
        self.assertIn('No advice is given', err)

    def test_not_root(self):
        with mock.patch('os.geteuid', return_value=1000):
            code, _out, err = self.run_command('lvm', 'check')
        self.assertEqual(codes.ERROR, code)
        self.assertIn('sudo', err)

    def test_no_lvm(self):
        with mock.patch.object(self.lvm, 'run', client.Client('/nowhere/lvm').run):
            found, _rows = self.check(code=codes.CLEAN)
        self.assertEqual('UNNEEDED', found['advice']['Name'])


class ClientTest(base.CommandTestCase):
    """What becomes of a command."""

    def test_environment_and_failure(self):
        shell = client.Client('sh')
        with mock.patch.dict('os.environ', LVM_SYSTEM_DIR='/elsewhere'):
            self.assertEqual('C-\n', shell.run('-c', 'echo $LC_ALL-$LVM_SYSTEM_DIR'))
        error = self.assertRaises(errors.CommandFailed, shell.run, '-c',
                                  'printf "VG \\033[2J\\nx" >&2; exit 5')
        self.assertIn(r'5: VG \x1b[2J x', str(error))

    def test_no_answer(self):
        shell = client.Client('sh', timeout=0.1)
        error = self.assertRaises(errors.CommandFailed, shell.run, '-c', 'exec sleep 20')
        self.assertIn('no answer', str(error))
