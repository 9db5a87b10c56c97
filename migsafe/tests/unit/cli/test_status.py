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
"""``migsafe status``."""

import datetime
import itertools
import os

from oslo_utils import timeutils
from oslotest import base as oslo_base

from migsafe import process
from migsafe.cli import hosts
from migsafe.tests.unit.cli import base
from migsafe.tests.unit.journal.base import Clock


class TestJudge(oslo_base.BaseTestCase):
    """The table, row by row."""

    def test_every_input(self):
        for armed, alive, quiet in itertools.product(
                (True, False), (True, False, None), (True, False)):
            state, detail = hosts.judge(hosts.Facts(armed, alive, quiet))
            wanted = ('unarmed' if not armed else 'dead' if alive is False
                      else 'silent' if quiet else 'armed')
            self.assertEqual(wanted, state, (armed, alive, quiet))
            self.assertEqual(state == 'armed', detail == '')


class TestStatus(base.CommandTestCase):
    """Whether each host is armed; 3 if one is not."""

    def report(self, host='node13', **changes):
        opened = self.open(host)
        base.report(opened, **changes)
        return opened

    def test_armed(self):
        opened = self.report()
        self.begin(opened)
        opened.verdict(self.begin(opened, uuid='m-2'), 'HOLD', 'peer is down')
        row, = self.rows('status')
        self.assertEqual(
            ('node13', 'armed', os.getpid(), True, '0.1.0', '34.0.0', 'threading', 2, 1),
            tuple(row[name] for name in ('Host', 'State', 'PID', 'Alive', 'migsafe', 'Nova',
                                         'Concurrency', 'Unsettled', 'Held')))
        self.assertEqual(['nova.compute.manager.ComputeManager.init_host'], row['Seams'])

    def test_one_host_is_said_to_be_one(self):
        self.report()
        _code, _out, err = self.run_command('status')
        self.assertIn('This is host node13 alone', err)
        self.assertIn('--fleet', err)
        self.write_conf(f'connection = sqlite:///{self.path}')
        self.assertNotIn('alone', self.run_command('status')[2])

    def test_every_format(self):
        self.report()
        for name in ('table', 'json', 'yaml', 'csv', 'value'):
            code, out, _err = self.run_command('status', '-f', name)
            self.assertEqual(0, code)
            self.assertIn('armed', out)

    def test_unarmed(self):
        self.report(armed=False, detail='seam X is missing')
        row, = self.rows('status', code=3)
        self.assertEqual('unarmed', row['State'])
        self.assertIn('seam X is missing', row['Detail'])

    def test_a_dead_process(self):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        self.report(pid=child)
        row, = self.rows('status', code=3)
        self.assertEqual(('dead', False), (row['State'], row['Alive']))

    def test_a_process_that_has_the_id_of_an_older_one(self):
        begun = process.started(os.getpid())
        self.report(started=begun)
        self.assertEqual('armed', self.rows('status')[0]['State'])
        self.report(started=begun - 1)
        self.assertEqual('dead', self.rows('status', code=3)[0]['State'])
        self.report(started=None)
        self.assertEqual('armed', self.rows('status')[0]['State'])

    def test_a_process_of_the_boot_before(self):
        self.report(boot_id='other-boot')
        row, = self.rows('status', code=3)
        self.assertEqual('dead', row['State'])

    def test_no_report_for_long(self):
        clock = self.useFixture(Clock())
        self.report()
        clock.advance(299)
        self.assertEqual('armed', self.rows('status')[0]['State'])
        clock.advance(2)
        self.assertEqual('silent', self.rows('status', code=3)[0]['State'])
        self.write_conf('recovery_interval = 600')
        self.assertEqual('armed', self.rows('status')[0]['State'])

    def test_never_reported(self):
        self.open()
        row, = self.rows('status', code=3)
        self.assertEqual('unknown', row['State'])
        self.assertIn('never reported', row['Detail'])

    def test_another_project_of_the_same_name_is_installed(self):
        self.report()
        self.installed.return_value = ['The distribution migsafe 0.4.1 is another', 'Remove it']
        code, out, err = self.run_command('status')
        self.assertEqual(3, code)
        self.assertIn('armed', out)
        self.assertIn('migsafe 0.4.1', err)

    def test_this_host_is_enabled_and_never_reported_while_others_did(self):
        self.report()
        self.sql("UPDATE migsafe_services SET host = 'node11', boot_id = 'of node11'")
        found = {row['Host']: row for row in self.rows('status', code=3)}
        self.assertEqual('armed', found['node11']['State'])
        self.assertEqual('unknown', found['node13']['State'])
        self.assertIn('migsafe-status upgrade check', found['node13']['Detail'])
        self.write_conf(enabled='false')
        self.assertEqual(['node11'], [row['Host'] for row in self.rows('status')])

    def test_no_journal(self):
        self.write_conf(enabled='false')
        row, = self.rows('status', code=3)
        self.assertEqual(('node13', 'unarmed'), (row['Host'], row['State']))
        self.assertIn(self.path, row['Detail'])
        self.assertIn('enabled is false', row['Detail'])
        self.write_conf()
        self.assertEqual('unknown', self.rows('status', code=3)[0]['State'])
        self.assertFalse(os.path.exists(self.state))

    def test_an_insecure_journal(self):
        self.report()
        os.chmod(self.path, 0o644)
        row, = self.rows('status', code=3)
        self.assertIn(f'chmod 0600 {self.path}', row['Detail'])

    def test_a_damaged_report(self):
        self.report()
        self.sql("UPDATE migsafe_services SET armed = 'yes', seams = '{', pid = 'x', "
                 "nova_version = char(27) || '[31m' || x'ff'")
        code, out, err = self.run_command('status', '-f', 'csv')
        self.assertEqual(3, code)
        self.assertIn('unknown', out)
        self.assertIn('<unreadable>', out)
        self.assertIn('column armed', err)

    def test_a_host_with_work_but_no_report(self):
        self.report()
        self.begin(self.open('node13'))
        self.sql("UPDATE migsafe_transactions SET host = 'node17'")
        found = {row['Host']: row for row in self.rows('status', code=3)}
        self.assertEqual(('unknown', 1), (found['node17']['State'], found['node17']['Unsettled']))
        self.assertEqual('armed', found['node13']['State'])

    def test_last_seen_is_utc(self):
        self.report()
        seen = datetime.datetime.fromisoformat(self.rows('status')[0]['Last seen'])
        self.assertLess(abs((timeutils.utcnow() - seen).total_seconds()), 60)
