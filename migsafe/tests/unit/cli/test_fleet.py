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
"""``--fleet``: every compute host, asked over the message bus."""

import os
import random

import fixtures
import sqlalchemy as sa
from nova.db.main import models
from oslo_config import cfg
from oslotest import base as oslo_base

import migsafe.conf
from migsafe.cli import bus, compute_services, fleet
from migsafe.journal.residue import Piece
from migsafe.tests.unit.cli import base

GOOD = {'host': 'cn1', 'version': '0.1.0', 'unsettled': 2, 'held': 1, 'more': False,
        'status': {'armed': True, 'pid': 5, 'nova': '34.0.0', 'concurrency': 'threading',
                   'seams': 29, 'detail': '', 'updated': '2026-01-01 00:00:00'},
        'residue': [dict(zip(Piece._fields, ('R4', 'held', 'host_device', 'cn1', 'v-1', 'then',
                                             'm-1', 'i-1', 'held by vg0/lv0'), strict=True))]}


class TestParse(oslo_base.BaseTestCase):
    """What is believed of an answer."""

    def test_good(self):
        found = fleet.parse('cn1', GOOD)
        self.assertEqual(('cn1', 'armed', 2, 1, 29, False), (
            found.host, found.state, found.unsettled, found.held, found.seams, found.more))
        self.assertEqual([('R4', 'cn1', 'held by vg0/lv0')],
                         [(one.kind, one.host, one.reason) for one in found.residue])

    def test_hostile(self):
        """Whatever stands in any place: no error, nothing armed by it, nothing long or obeyed."""
        values = (None, True, 'yes', '\x1b[31m' * 5, -1, 1 << 90, 1.5, [], [[]], {}, {'a': {}},
                  'x' * 100_000, ['x'] * 10_000, [{'reason': 'password=hush ' + 'y' * 10_000}])
        chosen = random.Random(1)
        for _turn in range(300):
            reply = {**GOOD, 'status': dict(GOOD['status'])}
            for where in (reply, reply['status']):
                if chosen.random() < 0.7:
                    where[chosen.choice(list(where))] = chosen.choice(values)
            if not isinstance(reply['status'], dict) and chosen.random() < 0.5:
                reply['status'] = dict(GOOD['status'])
            found = fleet.parse('cn1', reply)
            armed = isinstance(reply['status'], dict) and reply['status'].get('armed') is True
            self.assertEqual(armed and reply['host'] == 'cn1', found.state == 'armed')
            self.assertLessEqual(len(found.residue), fleet.MAX_ITEMS)
            for word in ('\x1b', 'hush'):
                self.assertNotIn(word, repr(found).replace('\\x1b', '\x1b'))
            self.assertLess(len(repr(found)),
                            fleet.MAX_ITEMS * len(Piece._fields) * fleet.MAX_TEXT)

    def test_what_was_cut_or_left_out_is_said(self):
        for residue in ('nonsense', [None], [GOOD['residue'][0]] * 300):
            self.assertTrue(fleet.parse('cn1', {**GOOD, 'residue': residue}).more)
        self.assertTrue(fleet.parse('cn1', {**GOOD, 'more': 'no'}).more)

    def test_another_host(self):
        self.assertEqual('unknown', fleet.parse('cn2', GOOD).state)


class TestHosts(oslo_base.BaseTestCase):
    """Nova's own table of services."""

    def conf(self, connection=None):
        conf = cfg.ConfigOpts()
        migsafe.conf.register_opts(conf)
        conf([], default_config_files=[], default_config_dirs=[])
        conf.register_opts([cfg.StrOpt('connection', secret=True)], 'database')
        conf.set_override('connection', connection, 'database')
        return conf

    def database(self, *rows):
        url = 'sqlite:///' + os.path.join(self.useFixture(fixtures.TempDir()).path, 'nova.db')
        made = sa.create_engine(url)
        models.Service.__table__.create(made)
        with made.begin() as connection:
            for host, binary, deleted in rows:
                connection.execute(sa.insert(models.Service.__table__).values(
                    host=host, binary=binary, topic='x', deleted=deleted))
        made.dispose()
        return self.conf(url)

    def test_of_nova(self):
        conf = self.database(('cn2', 'nova-compute', 0), ('cn1', 'nova-compute', 0),
                             ('ctl', 'nova-conductor', 0), ('cn3', 'nova-compute', 3))
        self.assertEqual(['cn1', 'cn2'], fleet.hosts(conf))

    def test_servers_with_disks_that_are_no_volumes(self):
        conf = self.database()
        made = sa.create_engine(conf.database.connection)
        instances, disks = models.Instance.__table__, models.BlockDeviceMapping.__table__
        for table in (instances, disks):
            table.create(made)
        local, volume = 'local', 'volume'
        with made.begin() as connection:
            for uuid, host, deleted, kinds in (
                    ('volumes', 'cn1', 0, [(volume, 0), (volume, 0), (local, 7)]),
                    ('image', 'cn1', 0, [(local, 0)]),
                    ('swap', 'cn1', 0, [(volume, 0), (local, 0)]),
                    ('none', 'cn1', 0, []), ('deleted-rows', 'cn1', 0, [(volume, 7)]),
                    ('deleted', 'cn1', 7, [(local, 0)]), ('elsewhere', 'cn2', 0, [(local, 0)])):
                connection.execute(sa.insert(instances).values(
                    uuid=uuid, host=host, deleted=deleted))
                for kind, gone in kinds:
                    connection.execute(sa.insert(disks).values(
                        instance_uuid=uuid, destination_type=kind, deleted=gone))
        made.dispose()
        services = compute_services.Services(conf)
        self.assertEqual(['deleted-rows', 'image', 'none', 'swap'],
                         services.with_other_disks('cn1'))
        self.assertEqual([], services.with_other_disks('cn9'))

    def test_none(self):
        for conf, word in (
                (self.conf(), 'no [database] connection'),
                (self.database(('ctl', 'nova-scheduler', 0)), 'cell0'),
                (self.conf('sqlite:////nonexistent/nova.db'), 'cannot be read'),
                (self.conf('nonsense'), 'cannot be read'),
                (self.conf('mysql+mysqldb://n:hush@127.0.0.1:1/n'), 'cannot be read'),
                (self.conf('mysql+pymysql://n:hush@127.0.0.1:1/n'), 'cannot be read')):
            error = str(self.assertRaises(compute_services.NoHosts, fleet.hosts, conf))
            self.assertIn(word, error)
            self.assertIn('--fleet HOST', error)
            self.assertNotIn('hush', error)


class TestCommands(base.CommandTestCase):
    """With a bus on which each host answers as it is told."""

    def setUp(self):
        super().setUp()
        self.answers = {'cn1': GOOD}

        def call(_self, service, method, since=bus.FIRST, **arguments):
            self.assertEqual('compute', service.topic)
            answer = self.answers[service.server]
            if method == 'describe':
                raise bus.Unknown(service=service.name, armed=service.armed)
            if isinstance(answer, dict):
                return answer
            raise answer(service=service.name, armed=service.armed, method=method, version=since,
                         reason='x', kind='y', seconds=3, check=service.check, bus='mq:5672')
        self.useFixture(fixtures.MonkeyPatch('migsafe.cli.bus.Bus.__init__',
                                             lambda *args: None))
        self.useFixture(fixtures.MonkeyPatch('migsafe.cli.bus.Bus.call', call))

    def test_all_answer(self):
        row, = self.rows('status', '--fleet', 'cn1')
        self.assertEqual(('cn1', 'armed', 2, 1, 29), tuple(
            row[name] for name in ('Host', 'State', 'Unsettled', 'Held', 'Seams')))
        row, = self.rows('residue', 'list', '--fleet', 'cn1', code=3)
        self.assertEqual(('R4', 'cn1', 'held by vg0/lv0'), tuple(
            row[name] for name in ('Kind', 'Host', 'Reason')))
        self.answers['cn1'] = {**GOOD, 'residue': []}
        self.assertEqual([], self.rows('residue', 'list', '--fleet', 'cn1'))

    def test_who_does_not_answer_is_unknown(self):
        self.answers.update(cn2=bus.Silent, cn3=bus.Refused, cn4=bus.TooOld, cn5={'host': 'cn1'})
        names = sorted(self.answers)
        rows = self.rows('status', '--fleet', *names, code=3)
        self.assertEqual(
            [('cn1', 'armed'), ('cn2', 'unknown'), ('cn3', 'unknown'), ('cn4', 'unarmed'),
             ('cn5', 'unknown')], [(row['Host'], row['State']) for row in rows])
        self.assertIn('openstack compute service list', rows[1]['Detail'])
        self.assertIn('enabled = true', rows[3]['Detail'])
        self.answers['cn1'] = {**GOOD, 'residue': []}
        code, out, err = self.run_command('residue', 'list', '--fleet', *names, '-f', 'json')
        self.assertEqual((3, '[]'), (code, out.strip()))
        for name in names[1:]:
            self.assertIn(f'{name}: nothing is known', err)

    def test_a_mistake_about_one_host_hides_no_other(self):
        self.answers['cn2'] = GOOD
        real = fleet.parse

        def parse(host, reply):
            if host == 'cn2':
                raise RecursionError('password=hush')
            return real(host, reply)
        self.useFixture(fixtures.MonkeyPatch('migsafe.cli.fleet.parse', parse))
        rows = self.rows('status', '--fleet', 'cn1', 'cn2', code=3)
        self.assertEqual(['armed', 'unknown'], [row['State'] for row in rows])
        self.assertIn('RecursionError', rows[1]['Detail'])
        self.assertNotIn('hush', str(rows))

    def test_a_bus_that_is_away(self):
        self.answers = {f'cn{number}': bus.Unreachable for number in range(40)}
        for command in (('status',), ('residue', 'list')):
            code, out, err = self.run_command(*command, '--fleet', *self.answers)
            self.assertEqual((1, ''), (code, out))
            self.assertIn('mq:5672', err)

    def test_more_than_is_shown(self):
        self.answers['cn1'] = {**GOOD, 'more': True}
        self.assertIn('cn1 has more', self.run_command(
            'residue', 'list', '--fleet', 'cn1')[2])

    def test_hosts_that_are_not_known(self):
        code, _out, err = self.run_command('status', '--fleet')
        self.assertEqual(1, code)
        self.assertIn('--fleet HOST', err)
