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
"""What all commands share: configuration, errors, help."""

import importlib.metadata
import os
import socket
import subprocess
import sys
from unittest import mock

from migsafe.cli import base as cli_base
from migsafe.cli import config, main
from migsafe.tests.unit.cli import base


class TestMain(base.CommandTestCase):
    """The frame of ``migsafe``."""

    def test_help_documents_the_exit_codes(self):
        for args in (('--help',), ('status', '--help'), ('settle', '--help'),
                     ('journal', 'show', '--help'), ('residue', 'list', '--help')):
            code, out, err = self.run_command(*args)
            self.assertIn(code, (0, None))
            for word in ('0  clean', '1  error', '2  usage', '3  found', '4  repaired'):
                self.assertIn(word, out + err, args)

    def test_no_command_is_a_mistake_not_a_shell(self):
        code, _out, err = self.run_command()
        self.assertEqual(2, code)
        self.assertIn('usage: migsafe', err)

    def test_unknown_command(self):
        self.assertEqual(2, self.run_command('exorcise')[0])

    def test_a_missing_configuration(self):
        self.nova_conf = '/nonexistent/nova.conf'
        code, _out, err = self.run_command('status')
        self.assertEqual(1, code)
        self.assertIn('/nonexistent/nova.conf', err)

    def test_a_configuration_that_is_none(self):
        with open(self.nova_conf, 'w') as handle:
            handle.write(f'connection = mysql://n:{base.NOVA_PASSWORD}@db/nova\n')
        code, _out, err = self.run_command('status')
        self.assertEqual(1, code)
        self.assertIn(self.nova_conf, err)

    def test_a_value_that_is_none(self):
        self.write_conf('rpc_timeout = soon')
        code, _out, err = self.run_command('journal', 'list')
        self.assertEqual(1, code)
        self.assertIn('rpc_timeout', err)

    def test_what_a_value_may_be(self):
        for line, allowed in (
                ('rpc_timeout = soon', 'a whole number of at least 1'),
                ('rpc_timeout = 0', 'a whole number of at least 1'),
                ('device_guards = perhaps', 'true or false'),
                ('holder_policy = free', 'one of refuse, release, warn')):
            self.write_conf(line)
            code, _out, err = self.run_command('status')
            self.assertEqual(1, code)
            for word in (line.partition(' ')[0], f'must be {allowed}. ', self.nova_conf):
                self.assertIn(word, err)

    def test_only_what_a_command_needs_is_imported(self):
        base.report(self.open())
        done = subprocess.run(
            [sys.executable, '-c', 'import sys; from migsafe.cli import main; '
             f'main.main(["--config-file", {self.nova_conf!r}, "status", "-f", "value"]); '
             'print(*sorted(sys.modules))'], capture_output=True, text=True, check=True)
        self.assertIn('migsafe.cli.hosts', done.stdout)
        for name in ('migsafe.cli.lvm', 'migsafe.cli.export', 'migsafe.brick', 'migsafe.lvm',
                     'oslo_messaging', 'oslo_service', 'pkg_resources', 'oslo_privsep', 'alembic'):
            self.assertNotIn(name, done.stdout.split())

    def test_every_command_is_found(self):
        found = importlib.metadata.entry_points(group='migsafe.cli')
        self.assertEqual({one.name.replace('_', ' '): one.value for one in found}, main.COMMANDS)
        for name, place in main.COMMANDS.items():
            one = importlib.metadata.EntryPoint(name, place, 'migsafe.cli').load()
            self.assertTrue(issubclass(one, cli_base.Common))

    def test_no_permission(self):
        with mock.patch('os.access', return_value=False):
            code, _out, err = self.run_command('status')
        self.assertEqual(1, code)
        self.assertIn('sudo -u nova', err)

    def test_the_journal_is_named_in_every_error(self):
        for command in (('journal', 'list'), ('journal', 'show', 'x'), ('residue', 'list'),
                        ('settle', '--all')):
            code, _out, err = self.run_command(*command)
            self.assertEqual(1, code)
            self.assertIn(self.path, err)
        self.assertFalse(os.path.exists(self.state))

    def test_a_wrong_url_does_not_show_its_password(self):
        self.write_conf(f'connection = oracle+x://u:{base.NOVA_PASSWORD}@h/d')
        code, _out, err = self.run_command('journal', 'list')
        self.assertEqual(1, code)
        self.assertIn('[migsafe] connection', err)

    def test_another_host(self):
        self.begin(self.open('node17'), uuid='m-17')
        rows = self.rows('--host', 'node17', 'journal', 'list')
        self.assertEqual(['m-17'], [row['UUID'] for row in rows])

    def test_the_host_is_found_as_nova_does(self):
        self.assertEqual(socket.gethostname(), config.load(None, ()).host)
        self.assertEqual('node13', config.load([self.nova_conf]).host)

    def test_defaults_that_do_not_exist_are_skipped(self):
        found = config.load(None, ('/nonexistent', self.nova_conf))
        self.assertEqual('node13', found.host)

    def test_directories_are_read_after_the_files(self):
        directory = self.nova_conf + '.d'
        os.mkdir(directory)
        for name, days in (('2.conf', 2), ('1.conf', 1), ('3.off', 3)):
            with open(os.path.join(directory, name), 'w') as handle:
                handle.write(f'[migsafe]\nretention_days = {days}\n')
        for found in (config.load(None, (self.nova_conf,)),
                      config.load([self.nova_conf], (), [directory])):
            self.assertEqual(('node13', 2), (found.host, found.migsafe.retention_days))
        # What is beside nova.conf does not belong to the cinder.conf that is named.
        found = config.load([self.nova_conf], (self.nova_conf,))
        self.assertEqual(30, found.migsafe.retention_days)
        code, _out, err = self.run_command('--config-dir', '/nonexistent.d', 'status')
        self.assertEqual(1, code)
        self.assertIn('/nonexistent.d cannot be read: no such directory', err)

    def test_only_what_nova_compute_reads(self):
        self.assertEqual(['/etc/nova'], sorted({os.path.dirname(n) for n in config.DEFAULTS}))

    def test_later_files_win(self):
        extra = self.nova_conf + '.d'
        with open(extra, 'w') as handle:
            handle.write('[migsafe]\nretention_days = 3\n')
        found = config.load([self.nova_conf, extra])
        self.assertEqual((3, self.state), (found.migsafe.retention_days,
                                           found.migsafe.state_path))

    def test_console_script(self):
        with mock.patch.object(main.Migsafe, 'run', return_value=3) as run:
            self.assertEqual(3, main.main(['status']))
        run.assert_called_once_with(['status'])
