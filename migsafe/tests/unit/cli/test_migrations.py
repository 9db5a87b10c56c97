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
"""The list of live migrations: what hosts say, and what Nova's records alone have."""

import datetime
import os
import random

import fixtures
import sqlalchemy as sa
from nova.db.main import models
from oslo_utils import timeutils

from migsafe.cli import bus, compute_services, config, migrations
from migsafe.tests.unit.cli import base

GOOD = {'state': 'running', 'migration': 'm-1', 'instance': 'i-1', 'host': 'cn1',
        'role': 'source', 'source': 'cn1', 'destination': 'cn2', 'age': 50.0,
        'phase': 'transfer', 'progress': 30, 'reason': ''}


def answer(host, *found, ago=10.0):
    return {'host': host, 'ago': ago, 'migrations': list(found)}


class MigrationsCase(base.CommandTestCase):
    """With a bus on which each host answers as it is told, and a database of Nova's."""

    def setUp(self):
        super().setUp()
        self.url = 'sqlite:///' + os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'nova.db')
        self.made = sa.create_engine(self.url)
        for table in (models.Service, models.Migration, models.Instance):
            table.__table__.create(self.made)
        self.addCleanup(self.made.dispose)
        for host in ('cn1', 'cn2'):
            self.insert(models.Service, host=host, binary='nova-compute', topic='x', deleted=0)
        with open(self.nova_conf) as handle:
            text = handle.read()
        with open(self.nova_conf, 'w') as handle:
            handle.write(text.replace(text.split('[database]\n')[1].split('\n')[0],
                                      f'connection = {self.url}'))
        self.answers = {'cn1': answer('cn1'), 'cn2': answer('cn2')}

        def call(_self, service, method, since=bus.FIRST, **arguments):
            found = self.answers[service.server]
            if method == 'describe':
                raise bus.Unknown(service=service.name, armed=service.armed)
            self.assertEqual(('migrations', '1.3', {}), (method, since, arguments))
            if not isinstance(found, type):
                return found
            raise found(service=service.name, armed=service.armed, method=method, version=since,
                        reason='x', kind='y', seconds=3, check=service.check, bus='mq:5672')
        self.useFixture(fixtures.MonkeyPatch('migsafe.cli.bus.Bus.__init__',
                                             lambda *args: None))
        self.useFixture(fixtures.MonkeyPatch('migsafe.cli.bus.Bus.call', call))

    def insert(self, model, **row):
        with self.made.begin() as connection:
            connection.execute(sa.insert(model.__table__).values(**row))

    def record(self, uuid, host='cn1', seconds=500, status='running', deleted=0, kind=None):
        """A migration in Nova's database, of an instance on that host."""
        self.insert(models.Instance, uuid=f'i-{uuid}', host=host, deleted=deleted,
                    hidden=False)
        self.insert(models.Migration, uuid=uuid, instance_uuid=f'i-{uuid}', source_compute='cn1',
                    dest_compute='cn2', status=status, migration_type=kind or 'live-migration',
                    deleted=0, created_at=timeutils.utcnow() - datetime.timedelta(
                        seconds=seconds))


class TestList(MigrationsCase):

    def test_nothing(self):
        self.assertEqual([], self.rows('migrations'))

    def test_what_runs(self):
        self.answers = {'cn1': answer('cn1', GOOD), 'cn2': answer('cn2', {
            **GOOD, 'role': 'destination', 'state': 'unsettled', 'reason': 'left to cn1'})}
        self.record('m-1')
        row, = self.rows('migrations')
        self.assertEqual(('running', 'm-1', 'cn1', 'cn2', 60, 'transfer', 30, 'cn1'), tuple(
            row[name] for name in ('State', 'Migration', 'Source', 'Destination', 'Age', 'Phase',
                                   'Progress', 'Host')))

    def test_the_worst_first(self):
        stuck = {**GOOD, 'migration': 'm-2', 'state': 'stuck', 'reason': 'nothing is sent'}
        left = {**GOOD, 'migration': 'm-3', 'state': 'unsettled', 'reason': 'held'}
        self.answers['cn1'] = answer('cn1', GOOD, left, stuck)
        self.answers['cn2'] = answer('cn2', {**left, 'role': 'destination', 'host': 'cn2'})
        rows = self.rows('migrations', code=3)
        self.assertEqual(['stuck', 'unsettled', 'unsettled', 'running'],
                         [row['State'] for row in rows])
        self.assertEqual(['cn1', 'cn2'], sorted(row['Host'] for row in rows[1:3]))
        code, out, err = self.run_command('migrations')
        self.assertEqual(3, code)
        self.assertIn('nothing is sent', out)
        self.assertIn('3 of 4 live migrations do not simply run', err)
        self.assertEqual([], self.rows('migrations', '--instance', 'i-9'))

    def test_what_no_host_is_at(self):
        self.record('m-1')
        self.record('m-young', seconds=5)
        # over, moved on, deleted, and of another kind
        self.record('m-2', status='completed')
        self.record('m-3', host='cn2')
        self.record('m-4', deleted=7)
        self.record('m-5', kind='evacuation')
        rows = self.rows('migrations', code=3)
        self.assertEqual([('stuck', 'm-1'), ('running', 'm-young')],
                         [(row['State'], row['Migration']) for row in rows])
        self.assertIn('cn1 says nothing of it', rows[0]['Reason'])

    def test_a_host_that_does_not_answer(self):
        self.record('m-1')
        for wrong, word in ((bus.Silent, 'did not answer'), (bus.TooOld, 'enabled = true'),
                            (bus.Unknown, 'without migsafe'), ({'host': 'cn1'}, 'understood'),
                            (answer('cn2'), 'understood'), (answer('cn1', ago=None), 'virsh list'),
                            (answer('cn1', ago=1e4), 'virsh list')):
            with self.subTest(str(wrong)):
                self.answers['cn1'] = wrong
                code, _out, err = self.run_command('migrations', '-f', 'json')
                self.assertEqual(3, code)
                self.assertIn('cn1: nothing is known', err)
                self.assertIn(word, err)
                row, = self.rows('migrations', code=3)
                self.assertEqual('unknown', row['State'])

    def test_named_hosts_without_a_database(self):
        self.write_conf()
        self.answers['cn1'] = answer('cn1', GOOD)
        row, = self.rows('migrations', 'cn1')
        self.assertEqual('m-1', row['Migration'])
        self.assertIn("What Nova's records alone have is not shown",
                      self.run_command('migrations', 'cn1')[2])
        self.assertEqual(1, self.run_command('migrations')[0])

    def test_counted(self):
        """For metrics: a host that does not answer has no zero, and what runs there is unknown."""
        self.answers['cn2'] = answer('cn2', {**GOOD, 'migration': 'm-2', 'state': 'stuck',
                                             'source': 'cn2', 'destination': 'cn1'})
        self.record('m-1', seconds=500)
        self.answers['cn1'] = bus.Silent
        conf = config.load([self.nova_conf])
        states = ('stuck', 'unsettled', 'unknown', 'running')
        self.assertEqual(
            {('cn1', 'unknown'): 1, **{('cn2', state): int(state == 'stuck') for state in states}},
            migrations.counted(conf, []))
        self.answers['cn1'] = answer('cn1')
        self.assertEqual(1, migrations.counted(conf, [])['cn1', 'stuck'])
        self.write_conf()
        self.assertRaises(compute_services.NoHosts, migrations.counted,
                          config.load([self.nova_conf]), ['cn1'])

    def test_a_bus_that_is_away(self):
        self.answers = dict.fromkeys(self.answers, bus.Unreachable)
        code, out, err = self.run_command('migrations')
        self.assertEqual((1, ''), (code, out))
        self.assertIn('mq:5672', err)

    def test_hostile(self):
        """Whatever stands in any place: no error, and nothing long or obeyed."""
        values = (None, True, 'yes', '\x1b[31m' * 5, -1, 1 << 90, 1.5, [], {}, 'x' * 100_000,
                  float('nan'), [GOOD] * 300)
        chosen = random.Random(1)
        for _turn in range(300):
            reply = answer('cn1', dict(GOOD))
            where = chosen.choice((reply, reply['migrations'][0]))
            where[chosen.choice(list(where))] = chosen.choice(values)
            found = migrations.parse('cn1', reply)
            self.assertLessEqual(len(found.migrations), 256)
            self.assertNotIn('\x1b', ''.join(one.reason + one.phase for one in found.migrations))
            self.assertLess(len(repr(found)), 30_000)
            list(migrations.together({'cn1': found}, []))
