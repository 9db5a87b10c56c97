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
"""The ledger on SQLite: what it keeps, what it refuses, who may write at once."""

import datetime
import os
import sqlite3
import threading

import fixtures
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime import migration
from oslo_utils import timeutils
from oslotest import base

from migsafe import exceptions, ledger
from migsafe.journal import opening as journal_opening
from migsafe.journal import schema
from migsafe.journal.models import Base
from migsafe.ledger import api, fences, models, opening, records, rows
from migsafe.tests import filling
from migsafe.tests.unit.journal import base as journal_base

VOLUME = records.Thing('volume', '9f3c6a0e-3d4f-4b8e-9a51-2f0d6f1d7c11')
ONE = {'host': 'node13', 'initiator': 'iqn.1994-05.com.redhat:13', 'ip': '172.24.9.13'}
TWO = {'host': 'node11', 'initiator': 'iqn.1994-05.com.redhat:11', 'ip': '172.24.9.11'}


class LedgerTestCase(base.BaseTestCase):
    """Has a directory and a ledger in it."""

    def setUp(self):
        super().setUp()
        self.directory = os.path.join(self.useFixture(fixtures.TempDir()).path, 'ledgers')
        self.conf = journal_base.make_conf('/nonexistent', ledger_path=self.directory)
        self.ledger = self.open()

    def open(self, **kwargs):
        opened = ledger.open_ledger(self.conf, 'node@lvm', **kwargs)
        self.addCleanup(opened.close)
        return opened

    def states(self):
        return {row.host: row.state for row in self.ledger.of(VOLUME) if row.peer}

    def intend(self, connector, state='mapping', **kwargs):
        peer = records.Peer.of(connector)
        self.ledger.intend(VOLUME, [peer], state, **kwargs)
        return peer


class TestLedger(LedgerTestCase):
    """One row per volume and peer, through its life."""

    def test_the_life_of_an_export(self):
        peer = self.intend(ONE, attachment='a1')
        self.assertEqual({'node13': 'mapping'}, self.states())
        self.ledger.settle(VOLUME, [peer.key], 'mapped', target='iqn.2010-10:v', lun='4',
                           identity=['naa.6001405abc'])
        row = self.ledger.of(VOLUME)[1]
        self.assertEqual(('mapped', 'iqn.2010-10:v', '4', ['naa.6001405abc'], 'a1', ONE, None),
                         (row.state, row.target, row.lun, row.identity, row.attachment,
                          row.connector, row.due_at))
        self.intend(ONE, 'unmapping')
        self.ledger.settle(VOLUME, [peer.key], 'gone')
        self.assertEqual({'node13': 'gone'}, self.states())
        self.intend(ONE)
        self.assertEqual(2, len(self.ledger.of(VOLUME)))

    def test_the_state_before_an_intent_outlives_its_repetition(self):
        peer = self.intend(ONE)
        self.ledger.settle(VOLUME, [peer.key], 'mapped')
        for _ in range(2):
            self.intend(ONE)
            self.assertEqual('mapped', self.ledger.of(VOLUME)[1].before)

    def test_it_survives_the_process(self):
        self.intend(ONE)
        self.ledger.close()
        again = self.open()
        self.assertEqual('mapping', again.of(VOLUME)[1].state)
        self.assertNotEqual(again.incarnation, again.of(VOLUME)[1].incarnation)

    def test_what_is_due(self):
        peer = self.intend(ONE)
        now = timeutils.utcnow()
        self.assertEqual([], self.ledger.due(now))
        self.assertEqual(1, len(self.ledger.due()))
        self.assertEqual(1, len(self.ledger.due(now + 2 * rows.PATIENCE)))
        self.ledger.fail(VOLUME, [peer.key], 'the array is away', 5)
        row, = self.ledger.due(now + datetime.timedelta(seconds=6))
        self.assertEqual((1, 'the array is away'), (row.attempts, row.error))

    def test_whose_it_is_now(self):
        """An export that was made for an attachment once, and now for none."""
        self.intend(ONE, attachment='a1')
        self.intend(ONE, 'unmapping')
        self.assertEqual('a1', self.ledger.of(VOLUME)[1].attachment)
        self.intend(ONE)
        self.assertEqual('', self.ledger.of(VOLUME)[1].attachment)

    def test_what_is_gone_is_not_due_again(self):
        peer = self.intend(ONE, 'unmapping')
        self.ledger.settle(VOLUME, [peer.key], 'gone')
        self.ledger.fail(VOLUME, [peer.key], 'too late')
        self.assertEqual([], self.ledger.due())

    def test_a_claim_loses_against_any_change(self):
        peer = self.intend(ONE)
        row = self.ledger.of(VOLUME)[1]
        self.ledger.settle(VOLUME, [peer.key], 'mapped')
        self.assertFalse(self.ledger.claim(row))
        self.assertEqual({'node13': 'mapped'}, self.states())
        row = self.ledger.of(VOLUME)[1]
        self.assertTrue(self.ledger.claim(row))
        self.assertFalse(self.ledger.claim(row))

    def test_purge_keeps_what_is_there(self):
        peer = self.intend(ONE)
        self.ledger.settle(VOLUME, [peer.key], 'mapped')
        later = timeutils.utcnow() + datetime.timedelta(days=1)
        self.assertEqual(1, self.ledger.purge(later))  # the target that never was
        self.assertEqual({'node13': 'mapped'}, self.states())

    def test_a_purge_reads_each_row_once(self):
        """Also what is gone and not old enough, which has the lower ids here."""
        self.useFixture(fixtures.MockPatchObject(api, 'PAGE', 10))
        now, took = timeutils.utcnow(), []
        old = now - datetime.timedelta(days=40)
        for number in (200, 800):
            store, backend = self.ledger._store, f'backend{number}'
            filling.exports(store, backend, ((state, when) for state, when in (
                ('gone', now), ('gone', old), ('mapped', old)) for _ in range(number)))
            opened = api.Ledger(store, backend, 'service', 'incarnation')
            with filling.steps(store) as steps:
                self.assertEqual(number, opened.purge(now - datetime.timedelta(days=30)))
            took += steps
        self.assertGreater(took[0], 50)
        self.assertLess(took[1], 6 * took[0])

    def test_pages_lose_nothing(self):
        self.useFixture(fixtures.MockPatchObject(rows, 'PAGE', 3))
        for number in range(8):
            self.ledger.intend(records.Thing('volume', f'v{number}'), [records.Peer.of(ONE)],
                               'mapping')
        self.assertEqual([f'v{number}' for number in range(8)],
                         [row.resource for row in self.ledger.exports()])

    def test_backends_are_apart(self):
        other = ledger.Ledger(self.ledger._store, 'node@other', 'node@other', 'x')
        self.intend(ONE)
        self.assertEqual([], other.of(VOLUME))
        self.assertEqual([], list(other.exports()))


class TestOvertaken(LedgerTestCase):
    """An outcome is recorded for the intent that it belongs to, and for no other."""

    def row(self):
        return self.ledger.of(VOLUME)[1]

    def refused(self, call, *args, **kwargs):
        before = self.row()
        self.assertFalse(call(VOLUME, *args, **kwargs))
        self.assertEqual(before, self.row())

    def test_of_another_kind(self):
        peer = self.intend(ONE)
        self.refused(self.ledger.settle, [peer.key], 'gone')
        self.assertTrue(self.ledger.settle(VOLUME, [peer.key], 'mapped'))
        self.refused(self.ledger.settle, [peer.key], 'mapped')
        self.intend(ONE, 'unmapping')
        self.refused(self.ledger.settle, [peer.key], 'mapped')
        self.assertTrue(self.ledger.settle(VOLUME, [peer.key], 'mapped', intent='unmapping'))

    def test_of_another_attachment(self):
        peer = self.intend(ONE, attachment='a2')
        self.refused(self.ledger.settle, [peer.key], 'mapped', attachment='a1')
        self.refused(self.ledger.fail, [peer.key], 'no', attachment='a1')
        self.intend(ONE, 'unmapping')
        self.refused(self.ledger.fail, [peer.key], 'no', attachment='a2')

    def test_of_another_process(self):
        peer = self.intend(ONE)
        other = self.open()
        self.refused(other.settle, [peer.key], 'mapped')
        self.refused(other.fail, [peer.key], 'no')
        self.assertTrue(other.settle(VOLUME, [peer.key], 'mapped', read=self.row()))

    def test_that_has_failed(self):
        peer = self.intend(ONE)
        self.assertTrue(self.ledger.fail(VOLUME, [peer.key], ''))
        self.refused(self.ledger.settle, [peer.key], 'mapped')
        self.assertTrue(self.ledger.claim(self.row()))
        self.assertTrue(self.ledger.settle(VOLUME, [peer.key], 'gone'))

    def test_a_row_that_changed_since_it_was_read(self):
        peer, row = self.intend(ONE), self.row()
        self.intend(ONE)
        self.refused(self.ledger.settle, [peer.key], 'mapped', read=row)
        self.refused(self.ledger.fail, [peer.key], 'no', read=row)

    def test_the_target_goes_with_its_peer(self):
        """And not without it."""
        peer = records.Peer.of(ONE)
        self.ledger.intend(VOLUME, [records.Peer(), peer], 'mapping', attachment='a1')
        self.intend(ONE, 'unmapping')
        self.assertFalse(self.ledger.settle(VOLUME, ['', peer.key], 'mapped', attachment='a1'))
        self.assertEqual('mapping', self.ledger.of(VOLUME)[0].state)
        self.intend(ONE, attachment='a1')
        self.assertTrue(self.ledger.settle(VOLUME, ['', peer.key], 'mapped', attachment='a1'))
        self.assertEqual('mapped', self.ledger.of(VOLUME)[0].state)


class TestFenced(LedgerTestCase):
    """An operator's word that a host is powered off."""

    BY = 'by alice (as root) at 2026-11-24 10:00:00 UTC'

    def setUp(self):
        super().setUp()
        self.one, self.two = self.intend(ONE), self.intend(TWO)
        self.other = records.Thing('volume', 'other')
        self.ledger.intend(self.other, [self.one], 'mapping')
        for thing in (VOLUME, self.other):
            self.ledger.settle(thing, [self.one.key], 'mapped')

    def marks(self, thing=VOLUME):
        return {row.host: row.fenced for row in self.ledger.of(thing) if row.peer}

    def test_it_is_on_what_the_host_has(self):
        self.assertEqual(2, self.ledger.fence('node13', self.BY))
        self.assertEqual({'node13': self.BY, 'node11': ''}, self.marks())
        self.assertEqual({'node13': self.BY}, self.marks(self.other))
        self.assertEqual(['', ''], [self.ledger.of(thing)[0].fenced
                                    for thing in (VOLUME, self.other)])

    def test_it_is_due(self):
        self.assertEqual([], self.ledger.due(timeutils.utcnow()))
        self.ledger.fence('node13', self.BY)
        due = self.ledger.due(timeutils.utcnow())
        self.assertEqual({VOLUME.id, 'other'}, {row.resource for row in due})

    def test_what_is_being_made_is_not_due_earlier(self):
        before = self.ledger.of(VOLUME)[1:]
        self.ledger.fence('node11', self.BY)
        due = {row.host: row.due_at for row in self.ledger.of(VOLUME)[1:]}
        self.assertEqual(next(row.due_at for row in before if row.host == 'node11'),
                         due['node11'])
        self.assertEqual(self.BY, self.marks()['node11'])

    def test_some_volumes_only(self):
        self.assertEqual(1, self.ledger.fence('node13', self.BY, ['other', 'no-such-volume']))
        self.assertEqual({'node13': '', 'node11': ''}, self.marks())

    def test_what_is_gone_stays_as_it_is(self):
        self.intend(ONE, 'unmapping')
        self.ledger.settle(VOLUME, [self.one.key], 'gone')
        self.assertEqual(1, self.ledger.fence('node13', self.BY))
        self.assertEqual('', self.marks()['node13'])

    def test_unmapping_keeps_it(self):
        """An evacuation detaches with the connector of the dead host."""
        self.ledger.fence('node13', self.BY)
        self.intend(ONE, 'unmapping')
        self.ledger.fail(VOLUME, [self.one.key], 'array is away')
        row = next(row for row in self.ledger.of(VOLUME) if row.host == 'node13')
        self.assertTrue(self.ledger.claim(row))
        self.assertEqual(self.BY, self.marks()['node13'])

    def test_nothing_is_mapped_to_it(self):
        self.ledger.fence('node13', self.BY)
        before = self.ledger.of(VOLUME)
        found = self.assertRaises(fences.HostFenced, self.intend, ONE)
        self.assertIn(f'is fenced ({self.BY})', str(found))
        self.assertEqual(before, self.ledger.of(VOLUME))
        self.assertEqual(self.BY, self.marks()['node13'])

    def test_a_new_mapping_clears_the_mark_of_one_that_is_gone(self):
        self.ledger.fence('node13', self.BY)
        for thing in (VOLUME, self.other):
            self.ledger.intend(thing, [self.one], 'unmapping')
            self.ledger.settle(thing, [self.one.key], 'gone')
        self.intend(ONE)
        self.assertEqual('', self.marks()['node13'])

    def test_the_host_is_back(self):
        self.assertEqual(0, self.ledger.revived('node13'))
        self.ledger.fence('node13', self.BY)
        self.ledger.fence('node11', self.BY)
        self.assertEqual(2, self.ledger.revived('node13'))
        self.assertEqual({'node13': '', 'node11': self.BY}, self.marks())
        self.assertEqual(0, self.ledger.revived('node13'))

    def test_a_claim_loses_against_it(self):
        row = self.ledger.of(VOLUME)[1]
        self.ledger.fence(row.host, self.BY)
        self.assertFalse(self.ledger.claim(row))

    def test_backends_are_apart(self):
        other = ledger.Ledger(self.ledger._store, 'node@other', 'node@other', 'x')
        self.assertEqual(0, other.fence('node13', self.BY))
        self.ledger.fence('node13', self.BY)
        self.assertEqual(0, other.revived('node13'))

    def test_names_that_are_none(self):
        for host in ('', None, 7, 'x' * 256, 'a\nb', '\udcff'):
            self.assertRaises(exceptions.JournalBadValue, self.ledger.fence, host, self.BY)
        for by in ('', None, 'x' * 256):
            self.assertRaises(exceptions.JournalBadValue, self.ledger.fence, 'node13', by)
        self.assertEqual({'node13': '', 'node11': ''}, self.marks())

    def test_of_one_host(self):
        self.assertEqual([VOLUME.id, 'other'],
                         sorted(row.resource for row in self.ledger.present(host='node13')))
        self.assertEqual(1, len(self.ledger.present(host='node11')))


class TestUpgrade(base.BaseTestCase):
    """A ledger of before there was the mark."""

    def test_l001_with_rows(self):
        directory = os.path.join(self.useFixture(fixtures.TempDir()).path, 'ledgers')
        conf = journal_base.make_conf('/nonexistent', ledger_path=directory)
        real = command.upgrade
        with fixtures.MonkeyPatch('alembic.command.upgrade',
                                  lambda made, _head: real(made, 'l001')):
            # It makes the tables of then, and finds that they are too old for this code.
            self.assertRaises(exceptions.JournalSchemaTooOld, opening.sync, conf, 'node@lvm')
        self.assertEqual(('l001', 'l003'), opening.versions(conf, 'node@lvm'))
        with sqlite3.connect(os.path.join(directory, 'node@lvm.sqlite')) as raw:
            self.assertNotIn('fenced', {row[1] for row in raw.execute(
                'PRAGMA table_info(migsafe_exports)')})
            for number in range(3):
                raw.execute(
                    'INSERT INTO migsafe_exports (backend, kind, resource, peer, host, initiators,'
                    ' connector, attachment, state, before, target, lun, identity, service,'
                    ' incarnation, error, attempts, created_at, updated_at) VALUES'
                    " ('node@lvm', 'volume', ?, 'p', 'node13', '[\"iqn.13\"]', '{}', 'a',"
                    " 'mapped', 'mapping', 'iqn.t', '4', '[\"naa.60\"]', 'node@lvm', 'i', '', 0,"
                    " '2026-11-24 10:00:00.000000', '2026-11-24 10:00:00.000000')",
                    (f'v{number}',))
        opened = ledger.open_ledger(conf, 'node@lvm')
        self.addCleanup(opened.close)
        rows = list(opened.exports())
        self.assertEqual([('v0', 'mapped', '4', ''), ('v1', 'mapped', '4', ''),
                          ('v2', 'mapped', '4', '')],
                         [(row.resource, row.state, row.lun, row.fenced) for row in rows])
        self.assertEqual([{}] * 3, [row.problems() for row in rows])
        self.assertEqual(3, opened.fence('node13', 'by alice at noon'))
        self.assertEqual(('l003', 'l003'), opening.versions(conf, 'node@lvm'))


class TestTwoAtOnce(LedgerTestCase):
    """Whoever judges sees what the other has written."""

    def test_one_of_two_writers_is_refused(self):
        class Second(Exception):
            pass

        def alone(others):
            if others:
                raise Second

        results = []

        def run(connector):
            try:
                self.intend(connector, judge=alone)
                results.append('in')
            except Second:
                results.append('refused')

        for _ in range(10):
            with sqlite3.connect(os.path.join(self.directory, 'node@lvm.sqlite')) as raw:
                raw.execute('DELETE FROM migsafe_exports')
            results.clear()
            threads = [threading.Thread(target=run, args=(c,)) for c in (ONE, TWO)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(30)
            self.assertEqual(['in', 'refused'], sorted(results))
            self.assertEqual(1, len(self.states()))


class TestPeers(base.BaseTestCase):
    """Who a connector is, and connectors that are none."""

    def test_the_same_peer(self):
        fc = {'host': 'n', 'wwpns': ['50014380242B9751', '50014380242b9752']}
        self.assertEqual(records.Peer.of(fc).key, records.Peer.of({
            'host': 'n', 'wwpns': ['50014380242B9752', '50014380242b9751'], 'ip': '::1'}).key)
        self.assertNotEqual(records.Peer.of(ONE).key, records.Peer.of(TWO).key)
        self.assertNotEqual(records.Peer.of(ONE).key, records.Peer.of(
            {**ONE, 'host': 'node14'}).key)

    def test_names_that_count(self):
        every = iqn, nqn, port = 'iqn.1994-05.com.redhat:A', 'nqn.2014-08.org:A', '5' * 15 + 'A'
        for names, forms, expected in (
                (every, {'initiator'}, {iqn}), (every, {'nqn'}, {nqn}), (every, {'wwpns'}, {port}),
                (every, {'initiator', 'nqn'}, {iqn, nqn}), (every, records.FORMS, every),
                ((nqn, 'of-no-form'), {'initiator'}, {'of-no-form'}),
                ((nqn,), {'initiator'}, {nqn}), ((), {'initiator'}, ())):
            self.assertEqual({name.lower() for name in expected},
                             records.counting(names, forms), (names, forms))

    def test_what_is_missing_may_be(self):
        for connector in ({}, {'ip': '10.0.0.1'}, {'host': None}, {'wwpns': None}, {'nqn': ''}):
            self.assertEqual(64, len(records.Peer.of(connector).key), connector)

    def test_what_cannot_be_recorded_is_refused(self):
        for connector, reason in (
                (None, 'dictionary'), ('node', 'str'), (['x'], 'dictionary'),
                ({'host': 'a\x00b'}, 'host'), ({'host': 7}, 'host'), ({'host': 'x' * 300}, 'host'),
                ({'host': '\udcff'}, 'host'), ({'initiator': 'i' * 10_000_000}, 'limit')):
            refused = self.assertRaises(exceptions.JournalBadValue, records.Peer.of, connector)
            self.assertIn(reason, str(refused))
            self.assertLess(len(str(refused)), 400)
        for identifier in ('', None, 'x' * 65, 'a\nb'):
            self.assertRaises(exceptions.JournalBadValue, records.Thing.of, 'volume', identifier)


class TestOpening(LedgerTestCase):
    """Where a ledger is, and what it is not opened on."""

    def test_a_cluster_needs_a_server(self):
        refused = self.assertRaises(exceptions.ConfigError, self.open, cluster='many@lvm')
        self.assertIn('[migsafe] ledger_connection', str(refused))
        self.assertIn('many@lvm', str(refused))
        self.conf.set_override('ledger_connection', f'sqlite:///{self.directory}/x', 'migsafe')
        self.assertRaises(exceptions.ConfigError, self.open, cluster='many@lvm')

    def test_it_is_its_owners_alone(self):
        path = os.path.join(self.directory, 'node@lvm.sqlite')
        self.assertEqual(0o100600, os.stat(path).st_mode)
        self.assertEqual(0o40700, os.stat(self.directory).st_mode)
        os.chmod(path, 0o640)
        self.assertRaises(exceptions.JournalInsecure, self.open)

    def test_migrations_make_what_the_models_say(self):
        with self.ledger._store.engine.connect() as connection:
            context = migration.MigrationContext.configure(
                connection, opts={'version_table': opening.CHAIN.version_table})
            self.assertEqual([], compare_metadata(context, models.Base.metadata))

    def test_it_can_share_a_database_with_the_journal(self):
        url = f'sqlite:///{self.directory}/both.sqlite'
        for option in ('connection', 'ledger_connection'):
            self.conf.set_override(option, url, 'migsafe')
        head = schema.head()
        self.assertEqual(head, journal_opening.sync(self.conf, 'node'))
        self.assertEqual('l003', opening.sync(self.conf, 'node'))
        with self.open()._store.engine.connect() as connection:
            tables = set(models.sa.inspect(connection).get_table_names())
        self.assertLessEqual(set(Base.metadata.tables)
                             | set(models.Base.metadata.tables), tables)
        self.assertEqual((head, head), journal_opening.versions(self.conf, 'node'))

    def test_a_damaged_row_does_not_hide_the_others(self):
        for number in range(3):
            self.ledger.intend(records.Thing('volume', f'v{number}'), [records.Peer.of(ONE)],
                               'mapping')
        with sqlite3.connect(os.path.join(self.directory, 'node@lvm.sqlite')) as raw:
            raw.execute("UPDATE migsafe_exports SET connector = '{' WHERE resource = 'v1'")
        rows = list(self.ledger.exports())
        self.assertEqual(3, len(rows))
        self.assertEqual([{}, {'connector'}, {}],
                         [set(row.problems()) or {} for row in rows])
