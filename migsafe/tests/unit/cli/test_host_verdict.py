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
"""The commands about hosts, with Nova's own table of services and a bus that does as told."""

import datetime
import json
import os

import fixtures
import sqlalchemy as sa
from nova.db.main import models
from oslo_utils import fixture as utils_fixture
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.cli import bus, checker, compute_services, config
from migsafe.fencing import machines
from migsafe.tests.unit.cli import base

MACHINE = '4c4c4544-0051-3310-8054-b4c04f4d3132'
INSTANCE = 'b1f5a6c0-0000-4000-8000-000000000001'
PROBES = 'verdict_interval = 0\nprobe_timeout = 60'


class HostTestCase(base.CommandTestCase):

    def setUp(self):
        super().setUp()
        self.useFixture(utils_fixture.TimeFixture())
        self.database = os.path.join(self.useFixture(fixtures.TempDir()).path, 'nova.db')
        self.engine = sa.create_engine(f'sqlite:///{self.database}')
        self.addCleanup(self.engine.dispose)
        models.Service.__table__.create(self.engine)
        #: host -> what it answers: an error of the bus, or the guest's state
        self.answers, self.asked = {}, []
        self.useFixture(fixtures.MonkeyPatch('migsafe.cli.bus.Bus.__init__', lambda *args: None))
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.cli.bus.Bus.call', lambda _bus, *args, **named: self.call(*args, **named)))
        self.configure()

    def configure(self, more=''):
        with open(self.nova_conf, 'w') as handle:
            handle.write(f'[DEFAULT]\nhost = ctl\n{more}\n[database]\nconnection = sqlite:///'
                         f'{self.database}\n[migsafe]\n{PROBES}\n')

    def host(self, name, answer='absent', ago=5, **values):
        self.answers[name] = answer
        with self.engine.begin() as connection:
            connection.execute(sa.insert(models.Service.__table__).values(**{
                'host': name, 'binary': 'nova-compute', 'topic': 'compute', 'deleted': 0,
                'report_count': 9, 'forced_down': False,
                'last_seen_up': timeutils.utcnow() - datetime.timedelta(seconds=ago), **values}))

    def heard(self, ago):
        with self.engine.begin() as connection:
            connection.execute(sa.update(models.Service.__table__).values(
                last_seen_up=timeutils.utcnow() - datetime.timedelta(seconds=ago)))

    def call(self, service, method, since=bus.FIRST, seconds=None, **arguments):
        self.asked.append((service.topic, service.server, arguments['instance_uuid']))
        answer = self.answers[service.server]
        if isinstance(answer, str):
            return {'host': service.server, 'guest': answer, 'job': False, 'boot_id': 'b',
                    'machine': MACHINE if service.server == 'cn1' else ''}
        raise answer


def silent():
    return bus.Silent(service='x', seconds=1, bus='mq', check='')


class TestExplain(HostTestCase):

    def setUp(self):
        super().setUp()
        self.host('cn1')
        self.host('cn2')

    def explained(self, code, *args):
        found, out, err = self.run_command('host', 'explain', *args, '-f', 'json')
        self.assertEqual(code, found, err)
        return json.loads(out)

    def test_dead(self):
        self.host('cn3', silent(), ago=900, forced_down=True)
        found = self.explained(0, 'cn3')
        self.assertEqual(('cn3', 'DEAD', 'word', None), (
            found['Host'], found['Verdict'], found['Row'], found['Next']))
        self.assertEqual({'sees_others': True, 'others': 2, 'lost': 0, 'asked': 2, 'unheard': 0},
                         found['Checker'])
        self.assertEqual(('none', True), (found['Facts']['life'], found['Facts']['declared']))
        self.assertEqual([0, 1, 2], [one['look'] for one in found['Seen']
                                     if (one['probe'], one['sign']) == ('rpc', 'silent')])
        self.assertEqual({'compute', 'compute-alt'}, {
            topic for topic, host, _uuid in self.asked if host == 'cn3'})

    def test_alive(self):
        for answer in ('here', bus.Unknown(service='x', armed=''),
                       bus.Refused(service='x', reason='', kind='ValueError', remote=True)):
            self.answers['cn1'] = answer
            found = self.explained(3, 'cn1', '--instance', INSTANCE)
            self.assertEqual('ALIVE', found['Verdict'])
            self.assertIn('migrated' if answer != 'here' else 'start nova-compute',
                          found['Next'])

    def test_host_that_lives_says_that_the_guest_is_not_there(self):
        self.host('cn3', forced_down=True)
        found = self.explained(3, 'cn3', '--instance', INSTANCE)
        self.assertEqual('host-lives', found['Row'])
        self.assertIn('set --up cn3 nova-compute', found['Next'])
        self.assertIn(('compute', 'cn3', INSTANCE), self.asked)

    def test_unknown(self):
        self.host('cn3', silent(), ago=900)
        found = self.explained(5, 'cn3')
        self.assertEqual(('UNKNOWN', 'silence'), (found['Verdict'], found['Row']))
        self.assertIn('service set --down cn3 nova-compute', found['Next'])

    def test_what_could_not_be_asked_is_no_silence(self):
        self.host('cn3', ago=900)
        for error in (bus.Unreachable(bus='mq', seconds=1, reason='', service='x'),
                      bus.Refused(service='x', reason='', kind='OSError', remote=False)):
            self.answers['cn3'] = error
            self.assertEqual('nothing', self.explained(5, 'cn3')['Row'])

    def test_table_for_people(self):
        self.host('cn3', silent(), ago=900, forced_down=True)
        code, out, _err = self.run_command('host', 'explain', 'cn3')
        self.assertEqual(0, code)
        for word in ('DEAD', 'rpc: silent', 'nova_service: forced down', 'sees_others: True'):
            self.assertIn(word, out)

    def test_nothing_is_judged(self):
        for args, word in ((('cn9',), 'no nova-compute of host cn9'),
                           (('cn1', '--instance', 'all'), 'is no uuid')):
            code, out, err = self.run_command('host', 'explain', *args)
            self.assertEqual((1, ''), (code, out))
            self.assertIn(word, err)
        self.configure('servicegroup_driver = mc')
        code, _out, err = self.run_command('host', 'explain', 'cn1')
        self.assertEqual(1, code)
        self.assertIn('[DEFAULT] servicegroup_driver', err)
        self.assertEqual([], self.asked)

    def test_help_has_its_own_exit_codes(self):
        out = self.run_command('host', 'explain', '--help')[1]
        for word in ('0  DEAD', '3  ALIVE', '5  UNKNOWN'):
            self.assertIn(word, out)


class TestList(HostTestCase):

    def test_all(self):
        for number in range(1, 6):
            self.host(f'cn{number}')
        self.assertEqual({'host-lives'}, {row['Row'] for row in self.rows('host', 'list')})
        self.host('cn6', silent(), ago=900)
        self.host('cn7', silent(), ago=900, forced_down=True)
        rows = {row['Host']: row for row in self.rows('host', 'list', code=3)}
        self.assertEqual(('UNKNOWN', 'DEAD', 'ALIVE'), tuple(
            rows[name]['Verdict'] for name in ('cn6', 'cn7', 'cn5')))

    def test_which_machines_they_are(self):
        """It is remembered for a fence, after they have died."""
        self.configure(f'[migsafe]\nstate_path = {self.state}')
        known = machines.Machines(self.state)
        for name in ('cn1', 'cn2'):
            self.host(name)
        for command in (('host', 'list'), ('host', 'explain', 'cn1')):
            self.run_command(*command)
            self.assertEqual(MACHINE, str(known.of('cn1')))
            self.assertIsNone(known.of('cn2'))
            known.learn({'cn1': 'x'})
            self.assertIsNone(known.of('cn1'))
        with open(os.path.join(self.state, machines.NAME), 'w') as handle:
            handle.write('[')
        self.assertIsNone(known.of('cn1'))

    def test_none(self):
        code, _out, err = self.run_command('host', 'list')
        self.assertEqual(1, code)
        self.assertIn('no nova-compute', err)


class TestRecords(HostTestCase):
    """As Nova judges a service, see nova/servicegroup/drivers/db.py."""

    def services(self):
        return compute_services.Services(config.load([self.nova_conf]))

    def test_up(self):
        self.host('cn1', ago=59)
        self.host('cn2', ago=70)
        self.host('cn3', ago=-70)
        self.host('cn4', forced_down=True)
        self.host('cn5', last_seen_up=None, created_at=timeutils.utcnow())
        self.host('cn6', last_seen_up=None, created_at=datetime.datetime(2020, 1, 1))
        self.host('cn7', deleted=7)
        found = self.services().records()
        self.assertEqual({'cn1': True, 'cn2': False, 'cn3': False, 'cn4': False, 'cn5': True,
                          'cn6': False}, {host: one.up for host, one in found.items()})
        self.assertEqual((True, 9, None), (
            found['cn4'].forced_down, found['cn5'].reports, found['cn6'].age))
        self.assertIsNone(self.services().record('cn7'))
        self.assertEqual(59, round(self.services().record('cn1').age))

    def test_forced_down_since(self):
        self.host('cn1', ago=900, forced_down=True, updated_at=timeutils.utcnow(
            ) - datetime.timedelta(seconds=70))
        self.assertEqual(70, round(self.services().record('cn1').changed))

    def test_heard_of_late(self):
        """Whatever was said of it; and nothing is old by a clock that is a little ahead."""
        for number, (ago, forced, heard) in enumerate((
                (5, True, True), (62, True, True), (62, False, True), (70, True, False),
                (-900, True, True), (900, False, False))):
            self.host(f'cn{number}', ago=ago, forced_down=forced)
            self.assertIs(heard, self.services().record(f'cn{number}').heard, (ago, forced))

    def test_another_time_after_which_nova_takes_it_for_down(self):
        self.configure('service_down_time = 100')
        self.host('cn2', ago=70)
        self.assertTrue(self.services().record('cn2').up)

    def test_database_that_is_away(self):
        self.host('cn1')
        found = checker.Checker(config.load([self.nova_conf]))
        os.unlink(self.database)
        self.assertRaises(exceptions.MigsafeError, found.explain, 'cn1')
