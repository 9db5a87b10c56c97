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
"""The ledger of a cluster: two services, one database."""

import contextlib
import datetime
import threading
import time

import fixtures
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime import migration
from oslo_utils import timeutils
from oslotest import base
from testtools import matchers

from migsafe import exceptions, ledger
from migsafe.ledger import api, fences, models, opening, records
from migsafe.tests import servers
from migsafe.tests.unit.journal import base as journal_base

ONE = records.Peer.of({'host': 'node13', 'initiator': 'iqn.13'})
TWO = records.Peer.of({'host': 'node11', 'initiator': 'iqn.11'})
ROUNDS = 15
FULL = 10_000


class Second(Exception):
    """Another one is there."""


def alone(others):
    if others:
        raise Second


def patiently(service, thing, peers, state, **kwargs):
    """Wait for the other service, as the driver's guard does."""
    for _ in range(2000):
        try:
            return service.intend(thing, peers, state, **kwargs)
        except api.Busy:
            time.sleep(0.01)
    raise AssertionError(f'{thing} is busy all the time')


class Cases:
    """What only a server can show."""

    server_class = None

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = cls.server_class()
        cls.server.setUp()
        cls.addClassCleanup(cls.server.cleanUp)

    def setUp(self):
        super().setUp()
        self.server.wipe()
        self.conf = journal_base.make_conf('/nonexistent', ledger_connection=self.server.url)
        refused = self.assertRaises(exceptions.JournalSchemaTooOld, self.open, 'node1@array')
        self.assertIn(f'Run: {opening.SYNC}', str(refused))
        self.assertEqual('l003', opening.sync(self.conf, 'node1@array'))

    def open(self, host):
        opened = ledger.open_ledger(self.conf, host, 'cluster@array')
        self.addCleanup(opened.close)
        return opened

    def test_from_l001_with_rows(self):
        self.server.wipe()
        real = command.upgrade
        with fixtures.MonkeyPatch('alembic.command.upgrade',
                                  lambda made, _head: real(made, 'l001')):
            self.assertEqual('l001', opening.sync(self.conf, 'node1@array'))
        engine = sa.create_engine(self.server.url)
        self.addCleanup(engine.dispose)
        old = sa.Table('migsafe_exports', sa.MetaData(), autoload_with=engine)
        self.assertNotIn('fenced', old.c)
        now = timeutils.utcnow()
        with engine.begin() as connection:
            connection.execute(sa.insert(old), [{
                'backend': 'cluster@array', 'kind': 'volume', 'resource': f'v{number}',
                'peer': ONE.key, 'host': 'node13', 'initiators': '["iqn.13"]',
                'connector': ONE.connector, 'attachment': 'a', 'state': 'mapped',
                'before': 'mapping', 'target': 't', 'lun': '4', 'identity': '[]',
                'service': 'node1@array', 'incarnation': 'i', 'error': '', 'attempts': 0,
                'created_at': now, 'updated_at': now} for number in range(3)])
        self.assertRaises(exceptions.JournalSchemaTooOld, self.open, 'node1@array')
        self.assertEqual('l003', opening.sync(self.conf, 'node1@array'))
        rows = list(self.open('node1@array').exports())
        self.assertEqual([('v0', 'mapped', ''), ('v1', 'mapped', ''), ('v2', 'mapped', '')],
                         [(row.resource, row.state, row.fenced) for row in rows])
        self.test_migrations_make_what_the_models_say()

    def test_migrations_make_what_the_models_say(self):
        with self.open('node1@array')._store.engine.connect() as connection:
            context = migration.MigrationContext.configure(connection, opts={
                'version_table': opening.CHAIN.version_table, 'compare_type': True})
            self.assertEqual([], compare_metadata(context, models.Base.metadata))

    def test_one_of_two_writers_is_refused(self):
        """Also for a volume that has no row yet, where there is nothing to lock."""
        services = self.open('node1@array'), self.open('node2@array')
        for number in range(ROUNDS):
            thing = records.Thing('volume', f'v{number}')
            results, ready = [], threading.Barrier(2)

            def run(service, peer, thing=thing, results=results, ready=ready):
                ready.wait(30)
                try:
                    patiently(service, thing, [records.Peer(), peer], 'mapping', judge=alone)
                    service.settle(thing, ['', peer.key], 'mapped')
                    results.append('in')
                except Second:
                    results.append('refused')

            threads = [threading.Thread(target=run, args=pair)
                       for pair in zip(services, (ONE, TWO), strict=True)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            self.assertEqual(['in', 'refused'], sorted(results), thing)
            rows = [row for row in services[0].of(thing) if row.peer]
            self.assertEqual(1, len(rows))

    def test_one_of_two_claims_wins(self):
        services = self.open('node1@array'), self.open('node2@array')
        thing = records.Thing('volume', 'v')
        services[0].intend(thing, [ONE], 'mapping')
        services[0].settle(thing, [ONE.key], 'mapped')
        row = next(row for row in services[1].of(thing) if row.peer)
        self.assertEqual([False, True], sorted(service.claim(row) for service in services))

    def row(self, service, thing, key=ONE.key):
        return next(row for row in service.of(thing) if row.peer == key)

    def expire(self, service, thing):
        """Let PATIENCE go by."""
        service._change('time', [models.EXPORTS.c.resource == thing.id,
                                 models.EXPORTS.c.due_at.isnot(None)],
                        {'due_at': timeutils.utcnow()})

    @contextlib.contextmanager
    def off(self, hours):
        """A service whose clock is wrong."""
        now = timeutils.utcnow() + datetime.timedelta(hours=hours)
        with fixtures.MonkeyPatch('oslo_utils.timeutils.utcnow', lambda *_args, **_kwargs: now):
            yield

    def test_a_service_that_is_behind_is_not_overtaken(self):
        one, two = self.open('node1@array'), self.open('node2@array')
        thing = records.Thing('volume', 'v')
        with self.off(-2):
            one.intend(thing, [ONE], 'mapping')
        self.assertRaises(api.Busy, two.intend, thing, [ONE], 'unmapping')
        with self.off(-2):
            self.assertTrue(one.renew(thing, [ONE.key]))
        self.assertTrue(two.busy(thing))
        self.assertFalse(two.claim(self.row(two, thing)))

    def test_a_service_that_was_ahead_keeps_nothing_after_its_death(self):
        one, two = self.open('node1@array'), self.open('node2@array')
        thing = records.Thing('volume', 'v')
        with self.off(2), fixtures.MonkeyPatch(
                'migsafe.ledger.api.PATIENCE', datetime.timedelta(seconds=0.1)):
            one.intend(thing, [ONE], 'mapping')
        patiently(two, thing, [ONE], 'unmapping')

    def test_what_is_due_in_a_far_future_is_due(self):
        service = self.open('node1@array')
        thing = records.Thing('volume', 'v')
        service.intend(thing, [ONE], 'mapping')
        now = timeutils.utcnow() - datetime.timedelta(hours=9)
        self.assertEqual([], service.due(now))
        self.assertEqual(1, len(service.due(now, longest=600)))
        now = timeutils.utcnow() - datetime.timedelta(minutes=10)
        self.assertEqual([], service.due(now, longest=600))

    def claimed(self, thing, key=ONE.key):
        """Node1's recovery takes an export away."""
        one, two = self.open('node1@array'), self.open('node2@array')
        one.intend(thing, [records.Peer(key)], 'unmapping')
        one.fail(thing, [key], 'the array is away')
        self.assertTrue(one.claim(self.row(one, thing, key)))
        return one, two

    def test_one_maps_what_the_other_takes_away(self):
        thing = records.Thing('volume', 'v')
        one, two = self.claimed(thing)
        busy = self.assertRaises(api.Busy, two.intend, thing, [records.Peer(), ONE], 'mapping')
        for word in ('volume v', 'node1@array', 'unmapping'):
            self.assertIn(word, str(busy))
        self.assertTrue(two.busy(thing))
        self.assertRaises(api.Busy, two.intend, thing, [TWO], 'mapping')
        self.assertRaises(api.Busy, two.intend, thing, [records.Peer()], 'unmapping')
        self.assertTrue(one.settle(thing, [ONE.key], 'gone'))
        two.intend(thing, [records.Peer(), ONE], 'mapping')
        self.assertFalse(two.busy(thing))   # it is its own
        self.assertTrue(two.settle(thing, ['', ONE.key], 'mapped'))

    def test_an_outcome_after_the_other_has_taken_over(self):
        """Of an export, and of a target."""
        for name, key in (('v', ONE.key), ('w', '')):
            thing = records.Thing('volume', name)
            one, two = self.claimed(thing, key)
            self.expire(one, thing)
            two.intend(thing, [records.Peer(), ONE], 'mapping')
            self.assertFalse(one.settle(thing, [key], 'gone', look_at_target=True))
            self.assertFalse(one.fail(thing, [key], 'too late'))
            self.assertFalse(one.renew(thing, [key]))
            row = self.row(two, thing, key)
            self.assertEqual(('mapping', ''), (row.state, row.error))
            self.assertTrue(two.settle(thing, ['', ONE.key], 'mapped'))
            self.assertFalse(one.settle(thing, [key], 'gone'))
            self.assertEqual('mapped', self.row(two, thing, key).state)

    def test_who_is_at_work_says_so(self):
        thing = records.Thing('volume', 'v')
        one, two = self.claimed(thing)
        self.expire(one, thing)
        self.assertFalse(two.busy(thing))
        self.assertTrue(one.renew(thing, [ONE.key]))
        self.assertRaises(api.Busy, two.intend, thing, [ONE], 'mapping')

    def test_who_blocks_nobody(self):
        """What has failed, what is mapped, and what a former process of the service has left."""
        thing = records.Thing('volume', 'v')
        one, two = self.claimed(thing)
        again = self.open('node1@array')
        again.intend(thing, [ONE], 'mapping')
        again.fail(thing, [ONE.key], 'no', 300)
        two.intend(thing, [ONE], 'mapping')
        two.settle(thing, [ONE.key], 'mapped')
        one.intend(thing, [TWO], 'mapping')

    def test_a_claim_waits_for_the_other(self):
        """It is due then, so that it is not forgotten; and no target goes from under an export.
        """
        thing = records.Thing('volume', 'v')
        one, two = self.open('node1@array'), self.open('node2@array')
        two.intend(thing, [records.Peer(), ONE], 'mapping')
        two.settle(thing, ['', ONE.key], 'mapped')
        one.intend(thing, [TWO], 'mapping')
        self.assertFalse(two.claim(self.row(two, thing)))
        self.assertEqual([ONE.key], [row.peer for row in two.due() if row.state == 'mapped'])
        one.fail(thing, [TWO.key], 'the array is away')
        self.assertFalse(two.claim(self.row(two, thing, '')))
        self.assertTrue(two.claim(self.row(two, thing)))

    def test_two_services_at_one_volume(self):
        """Never both of them between an intent and its outcome, and no deadlock."""
        thing, inside, met = records.Thing('volume', 'v'), [], []

        def run(service, peer):
            for state, end in (('mapping', 'mapped'), ('unmapping', 'gone')) * ROUNDS:
                patiently(service, thing, [records.Peer(), peer], state)
                inside.append(service.service)
                time.sleep(0.002)
                met.extend(set(inside) - {service.service})
                inside.remove(service.service)
                ended.append(service.settle(thing, ['', peer.key], end))

        ended = []
        threads = [threading.Thread(target=run, args=(self.open(f'{name}@array'), peer))
                   for name, peer in (('node1', ONE), ('node2', TWO))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        self.assertEqual(([], [True] * 4 * ROUNDS), (met, ended))

    def test_volumes_are_exchanged_while_one_is_attached(self):
        """Whoever waits for a volume finds it afterwards, and no row is lost."""
        services = self.open('node1@array'), self.open('node2@array')
        for number in range(ROUNDS):
            one, other = (records.Thing('volume', f'{name}{number}') for name in 'vw')
            services[0].intend(one, [records.Peer(), ONE], 'mapping')
            services[0].settle(one, ['', ONE.key], 'mapped')
            failed, ready = [], threading.Barrier(3)

            def run(call, *args, failed=failed, ready=ready):
                ready.wait(30)
                try:
                    call(*args)
                except Exception as error:
                    failed.append(error)

            threads = [threading.Thread(target=run, args=args) for args in (
                (services[0].swap, one, other),
                (services[1].intend, other, [records.Peer(), TWO], 'mapping'),
                (services[1].fence, 'node13', 'by alice'))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            self.assertEqual([], failed)
            hosts = {row.host: row.resource for thing in (one, other)
                     for row in services[0].of(thing) if row.peer}
            self.assertEqual(other.id, hosts['node13'])
            self.assertIn(hosts['node11'], (one.id, other.id))
            services[1].revived('node13')
            services[1].adopt(other, one)
            self.assertEqual([], [row for row in services[0].of(other) if row.state != 'gone'])
            self.assertEqual(['', 'node11', 'node13'],
                             sorted(row.host for row in services[0].of(one)))

    def test_a_host_that_is_fenced_and_comes_back(self):
        service, other = self.open('node1@array'), self.open('node2@array')
        things = [records.Thing('volume', f'v{number}') for number in range(5)]
        for thing in things:
            service.intend(thing, [ONE, TWO], 'mapping')
            service.settle(thing, [ONE.key, TWO.key], 'mapped')
        self.assertEqual(2, other.fence('node13', 'by alice at noon', ['v1', 'v3', 'v9']))
        self.assertEqual({'v1', 'v3'}, {row.resource for row in service.due(timeutils.utcnow())})
        self.assertEqual(5, other.fence('node13', 'by alice at one'))
        for number in (0, 4):
            self.assertRaises(fences.HostFenced, service.intend, things[number], [ONE], 'mapping')
        service.intend(things[0], [ONE], 'unmapping')
        service.settle(things[0], [ONE.key], 'gone')
        marked = {(row.resource, row.host): row.fenced for row in service.exports() if row.peer}
        self.assertEqual(('by alice at one', ''), (
            marked['v1', 'node13'], marked['v1', 'node11']))
        self.assertEqual((4, 0), (other.revived('node13'), service.revived('node13')))
        self.assertEqual({''}, {row.fenced for row in service.exports()})

    def test_times_and_pages(self):
        service = self.open('node1@array')
        for number in range(5):
            thing = records.Thing('volume', f'v{number}')
            service.intend(thing, [ONE], 'mapping')
            service.fail(thing, [ONE.key], 'away')
        self.assertEqual(5, len(service.due(timeutils.utcnow())))
        service.intend(thing, [ONE], 'unmapping')
        service.settle(thing, [ONE.key], 'gone')
        self.assertEqual(4, len(list(service.exports())))


class TestMariaDB(Cases, base.BaseTestCase):
    """InnoDB."""

    server_class = servers.MariaDB


class TestPostgreSQL(Cases, base.BaseTestCase):
    """PostgreSQL."""

    server_class = servers.PostgreSQL

    def rows_read(self):
        """How many rows the server has read of the table, by whatever way."""
        with self.engine.connect() as connection:
            return connection.exec_driver_sql(
                'SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables '
                "WHERE relname = 'migsafe_exports'").scalar_one()

    def attach_and_detach(self, service, thing):
        """Do as the driver does; return how many rows the server read for it."""
        with self.engine.connect() as connection:
            before = self.rows_read()
            service.intend(thing, [records.Peer(), ONE], 'mapping', judge=alone)
            service.settle(thing, [ONE.key], 'mapped', target='t', lun='1')
            service.intend(thing, [ONE], 'unmapping')
            service.settle(thing, [ONE.key], 'gone', look_at_target=True)
            # NOTE: connections report what they read when they end, or idle for a second.
            service._store.engine.dispose()
            for _ in range(100):
                connection.exec_driver_sql('SELECT pg_stat_clear_snapshot()')
                if self.rows_read() > before:
                    break
                time.sleep(0.1)
        return self.rows_read() - before

    def test_reads_only_the_volume_though_there_are_no_statistics(self):
        """A planner that guesses that few rows are not due must not read all that are not."""
        service = self.open('node1@array')
        self.engine = sa.create_engine(self.server.url, isolation_level='AUTOCOMMIT')
        self.addCleanup(self.engine.dispose)
        few = self.attach_and_detach(service, records.Thing('volume', 'first'))
        self.assertThat(few, matchers.GreaterThan(0))
        with self.engine.begin() as connection:
            connection.exec_driver_sql(
                'ALTER TABLE migsafe_exports SET (autovacuum_enabled = false)')
            now = timeutils.utcnow()
            row = {column.name: '' for column in models.EXPORTS.c if column.name != 'id'} | {
                'backend': 'cluster@array', 'kind': 'volume', 'host': 'node13',
                'state': 'mapped', 'before': 'gone', 'initiators': '[]', 'identity': '[]',
                'attempts': 0, 'due_at': None, 'created_at': now, 'updated_at': now}
            connection.execute(sa.insert(models.EXPORTS), [
                {**row, 'resource': f'v{number}', 'peer': peer}
                for number in range(FULL) for peer in ('', ONE.key)])
        many = self.attach_and_detach(service, records.Thing('volume', 'last'))
        self.assertThat(many, matchers.GreaterThan(0))
        self.assertThat(many, matchers.LessThan(FULL // 10))
