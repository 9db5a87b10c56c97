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
"""Every command where the driver of the database is not installed."""

from migsafe.tests.unit.cli import base, process

COMMANDS = (('main', 1, 'status'), ('manage', 1, 'db', 'version'),
            ('manage', 1, 'db', 'sync', '--ledger'), ('status', 2, 'upgrade', 'check'))


class TestDriverMissing(base.CommandTestCase):
    """A real process that cannot import it."""

    def test_the_extra_is_named(self):
        for url, bring, extra, commands in (
                ('mysql+pymysql', 'PyMySQL', '[mysql]', COMMANDS),
                ('postgresql', 'psycopg2-binary', '[postgresql]', COMMANDS[:1])):
            self.write_conf(f'connection = {url}://m:{base.NOVA_PASSWORD}@127.0.0.1:1/m\n'
                            f'ledger_connection = {url}://m:{base.NOVA_PASSWORD}@127.0.0.1:1/m')
            for module, code, *args in commands:
                found, out, err = process.run(
                    module, '--config-file', self.nova_conf, *args,
                    missing=('pymysql', 'psycopg2'))
                self.assertEqual(code, found, (args, err))
                shown = ' '.join((out + err).replace('|', ' ').split())
                for word in ('connection is refused', 'is not installed here', bring, extra):
                    self.assertIn(word, shown, (args, url))
                for word in ('Traceback', base.NOVA_PASSWORD):
                    self.assertNotIn(word, shown)

    def test_a_driver_that_no_extra_brings(self):
        self.write_conf('connection = mysql+mysqldb://m@127.0.0.1:1/m')
        code, _out, err = process.run('main', '--config-file', self.nova_conf, 'residue', 'list',
                                      missing=('MySQLdb',))
        self.assertEqual(1, code)
        self.assertIn('mysql+pymysql', err)
