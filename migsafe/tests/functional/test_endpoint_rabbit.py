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
"""The RPC endpoint between two processes over a real RabbitMQ."""

import json
import os
import pathlib
import shutil
import tempfile
import time
import unittest
import uuid

from nova import utils

from migsafe.tests import servers
from migsafe.tests.functional import endpoint_process
from migsafe.tests.unit.cli import process
from migsafe.tests.unit.resources import cloud

SRC, DST, INSTANCE = cloud.SRC, cloud.DST, cloud.INSTANCE
VOLUMES = {cloud.volume(0), cloud.volume(1)}
#: rpc_timeout of the tests, and what a loaded machine may add to it.
TIMEOUT, SLACK = 6, 20
QUICK = 5
MEGABYTE = 1 << 20


class Case(unittest.TestCase):
    """One broker, one client and one server per flavour for all tests."""

    #: Before 2025.2 Nova's RPC server is for green threads only.
    threading = str(hasattr(utils, 'concurrency_mode_threading')).lower()

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.base = pathlib.Path(tempfile.mkdtemp(prefix='migsafe-rpc-'))
        cls.addClassCleanup(shutil.rmtree, cls.base, ignore_errors=True)
        cls.broker = servers.RabbitMQ()
        cls.broker.setUp()
        cls.addClassCleanup(cls.broker.cleanUp)
        cls.servers = {}
        cls.client = cls.child(SRC)

    @classmethod
    def child(cls, host, **spec):
        """Start a process."""
        env = os.environ | {'OS_NOVA_DISABLE_EVENTLET_PATCHING': cls.threading}
        made = endpoint_process.Child(
            cls.base / f'{host}-{len(cls.servers)}.log', env, host=host,
            url=cls.broker.url, timeout=TIMEOUT, **spec)
        cls.addClassCleanup(made.close)
        return made

    def server(self, flavour='plugin'):
        """A server with a Participant, started once per flavour."""
        if flavour not in self.servers:
            host = DST if flavour == 'plugin' else f'{DST}-{flavour}'
            self.servers[flavour] = self.child(
                DST, flavour=flavour, state=str(self.base / host))
        return self.servers[flavour]

    def only(self, flavour):
        """A server of this flavour, and no other one on that host."""
        for other in [f for f in self.servers if f != flavour]:
            self.servers.pop(other).close()
        return self.server(flavour)

    def answer(self, what, **kwargs):
        """What the client gets, within the time-out."""
        found = self.client.ask(what, host=DST, **kwargs)
        self.assertLess(found['seconds'], TIMEOUT + SLACK)
        return found['answer']

    def quick(self, what, **kwargs):
        """The same, without waiting for the time-out."""
        found = self.client.ask(what, host=DST, **kwargs)
        self.assertLess(found['seconds'], QUICK)
        return found['answer']

    def release(self, migration, verdict='ABORT'):
        """A release that is answered quickly."""
        return self.quick('release', uuid=migration, instance=INSTANCE,
                          verdict=verdict)

    def new(self, server):
        """A server at its beginning, with a new migration in its journal."""
        migration = str(uuid.uuid4())
        server.ask('begin', uuid=migration)
        return migration


class TestRoundTrips(Case):
    """A peer with the same plugin."""

    def setUp(self):
        super().setUp()
        for made in list(self.servers.values()):
            made.close()
        self.servers.clear()
        shutil.rmtree(self.base / DST, ignore_errors=True)
        self.peer = self.server()
        self.migration = self.new(self.peer)

    def test_describe(self):
        found = self.quick('describe', uuid=self.migration)
        self.assertEqual((True, False, 'open', ''), tuple(
            found[k] for k in ('known', 'live', 'state', 'verdict')))
        other = self.quick('describe', uuid=str(uuid.uuid4()))
        self.assertIs(False, other['known'])

    def test_guest_evidence_in_every_state(self):
        for state in ('here', 'in_transfer', 'postcopy', 'handed_over', 'shut_off',
                      'absent', 'unknown'):
            self.peer.ask('guest', state=state)
            found = self.quick('evidence', uuid=self.migration,
                               instance=INSTANCE)
            self.assertEqual((state, DST, False), (
                found['guest'], found['host'], found['job']))

    def test_dead_is_not_believed(self):
        self.peer.ask('guest', state='dead')
        found = self.quick('evidence', uuid=self.migration, instance=INSTANCE)
        self.assertEqual('unknown', found['guest'])

    def test_release_once_and_again(self):
        self.peer.ask('decide', uuid=self.migration, verdict='ABORT')
        for _ in range(2):
            found = self.release(self.migration)
            self.assertEqual(('done', {}), (found['state'], found['kept']))
        self.assertEqual(
            [['disconnect', v] for v in sorted(VOLUMES)]
            + [['remove_directory', INSTANCE]], self.peer.ask('calls'))
        self.assertEqual(['settled', 'ABORT'],
                         self.peer.ask('state', uuid=self.migration))

    def test_release_keeps_what_has_a_holder(self):
        self.peer.ask('decide', uuid=self.migration, verdict='ABORT')
        self.peer.ask('hold', volume=cloud.volume(0), holder='LV guest/data')
        found = self.release(self.migration)
        self.assertEqual('done', found['state'])
        self.assertEqual([cloud.volume(0)], list(found['kept']))
        self.assertIn('LV guest/data', found['kept'][cloud.volume(0)])

    def test_release_is_refused_while_the_guest_is_there(self):
        for state in ('here', 'postcopy', 'in_transfer', 'unknown'):
            self.peer.ask('guest', state=state)
            found = self.release(self.migration)
            if found['state'] == 'done':
                self.assertEqual(VOLUMES, set(found['kept']), state)
        self.assertEqual([], self.peer.ask('calls'))

    def test_release_against_the_journal_is_refused(self):
        found = self.release(self.migration, 'COMMIT')
        self.assertEqual('refused', found['state'])
        found = self.quick('release', uuid=self.migration,
                           instance=str(uuid.uuid4()), verdict='ABORT')
        self.assertEqual('refused', found['state'])
        self.assertEqual([], self.peer.ask('calls'))

    def test_release_of_a_migration_that_never_arrived(self):
        migration = str(uuid.uuid4())
        self.assertEqual('done', self.release(migration)['state'])
        self.assertEqual(['settled', 'ABORT'],
                         self.peer.ask('state', uuid=migration))

    def test_inspect_shows_records_but_no_payload(self):
        found = self.quick('raw', method='inspect',
                           kwargs={'uuid': self.migration})
        self.assertTrue(found['known'])
        self.assertEqual({'kind', 'resource', 'key', 'effect', 'status'},
                         set(found['records'][0]))
        self.assertNotIn(cloud.SECRET, str(found))

    def test_bad_arguments_change_nothing(self):
        good = {'uuid': self.migration, 'instance_uuid': INSTANCE,
                'verdict': 'ABORT'}
        for wrong in ({'uuid': None}, {'uuid': 5}, {'uuid': ['x']},
                      {'uuid': "x' OR '1'='1"}, {'instance_uuid': {}},
                      {'verdict': 'HOLD'}, {'verdict': 'commit'},
                      {'verdict': ['ABORT']}):
            found = self.quick('raw', method='release', kwargs=good | wrong)
            self.assertIn('raised', found, wrong)
        found = self.quick('raw', method='release',
                           kwargs={'uuid': self.migration})
        self.assertIn('raised', found)
        self.assertEqual([], self.peer.ask('calls'))
        self.assertEqual(['open', None],
                         self.peer.ask('state', uuid=self.migration))

    def test_arguments_of_a_later_version_are_ignored(self):
        found = self.quick('raw', method='describe', kwargs={
            'uuid': self.migration, 'later': [1, {'x': 2}]})
        self.assertTrue(found['known'])

    def test_ten_megabytes_as_an_argument(self):
        for method, name in (('describe', 'uuid'), ('release', 'verdict'),
                             ('guest_evidence', 'instance_uuid')):
            found = self.answer('raw', method=method, grow=name, kwargs={
                'uuid': self.migration, 'instance_uuid': INSTANCE,
                'verdict': 'ABORT'})
            self.assertIn('raised', found)
        self.assertEqual([], self.peer.ask('calls'))
        self.assertLess(self.peer.log.stat().st_size, MEGABYTE)
        self.assertTrue(self.quick('describe', uuid=self.migration)['known'])


class TestOtherVersions(Case):
    """Old, new and missing plugins are normal during a roll-out."""

    def evidence(self):
        return self.quick('evidence', uuid=str(uuid.uuid4()),
                          instance=INSTANCE)

    def test_peer_without_the_plugin_is_silent_at_once(self):
        self.only('none')
        found = self.evidence()
        self.assertEqual('unknown', found['guest'])
        self.assertIn(DST, found['detail'])
        self.assertIn('UnsupportedVersion', found['detail'])
        self.assertIsNone(self.quick('describe', uuid=str(uuid.uuid4())))
        self.assertEqual('refused', self.release(str(uuid.uuid4()))['state'])

    def test_peer_of_the_next_major_version_is_silent_at_once(self):
        self.only('next')
        self.assertEqual('unknown', self.evidence()['guest'])
        self.assertEqual('refused', self.release(str(uuid.uuid4()))['state'])

    def test_newer_peer_that_adds_fields(self):
        peer = self.only('newer')
        migration = self.new(peer)
        peer.ask('guest', state='absent')
        self.assertEqual('absent', self.evidence()['guest'])
        found = self.quick('describe', uuid=migration)
        self.assertTrue(found['known'])
        self.assertNotIn('later', found)
        peer.ask('decide', uuid=migration, verdict='ABORT')
        self.assertEqual('done', self.release(migration)['state'])

    def test_older_peer_that_lacks_a_method(self):
        peer = self.only('older')
        peer.ask('guest', state='absent')
        self.assertEqual('absent', self.evidence()['guest'])
        self.assertIs(False, self.quick('describe', uuid=str(
            uuid.uuid4()))['known'])
        found = self.release(str(uuid.uuid4()))
        self.assertEqual('refused', found['state'])
        self.assertIn(DST, found['reason'])
        self.assertEqual([], peer.ask('calls'))


class TestNonsense(Case):
    """A peer that answers anything."""

    VALUES = (None, True, 0, -1.5, '', 'here', [], [1], {}, {'guest': 'here'},
              {'host': DST}, {'host': DST, 'guest': ['here']},
              {'host': 'node99', 'guest': 'absent', 'job': False},
              {'host': DST, 'guest': 'dead', 'job': False},
              {'known': 'yes'}, {'state': ['done']}, {'state': 'DONE'},
              {'state': 'done', 'kept': 'nothing'},
              {'state': 'done', 'kept': {'v': 1}},
              {'state': 'done', 'kept': None})

    def check(self):
        migration = str(uuid.uuid4())
        found = self.answer('evidence', uuid=migration, instance=INSTANCE)
        self.assertEqual('unknown', found['guest'])
        self.assertLess(len(str(found)), 4000)
        self.assertIsNone(self.answer('describe', uuid=migration))
        found = self.answer('release', uuid=migration, instance=INSTANCE,
                            verdict='ABORT')
        self.assertFalse(found['state'] == 'done' and 'kept' in found, found)
        self.assertLess(len(str(found)), 4000)

    def test_nonsense_is_no_answer(self):
        peer = self.only('nonsense')
        for value in self.VALUES:
            with self.subTest(value):
                peer.ask('answer', value=value)
                self.check()

    def test_ten_megabytes(self):
        peer = self.only('nonsense')
        began = self.client.log.stat().st_size
        for reply in ({'value': 'x', 'times': 10 * MEGABYTE},
                      {'value': [0], 'times': 5 * MEGABYTE}):
            with self.subTest(reply):
                peer.ask('answer', **reply)
                self.check()
        for field in ('detail', 'reason', 'guest', 'boot_id', 'host'):
            peer.ask('answer', value={
                'host': DST, 'guest': 'unknown', 'state': 'refused',
                field: 'password=' + 'x' * 10 * MEGABYTE})
            self.check()
        peer.ask('answer', value={'state': 'done', 'kept': {
            str(n): 'x' for n in range(300_000)}})
        self.check()
        self.assertLess(self.client.log.stat().st_size - began, MEGABYTE)

    def test_error_text_of_ten_megabytes(self):
        peer = self.only('nonsense')
        began = self.client.log.stat().st_size
        peer.ask('answer', raises="'auth_password': 'x' ",
                 times=MEGABYTE // 2)
        self.check()
        self.assertLess(self.client.log.stat().st_size - began, MEGABYTE)
        peer.ask('answer', value=None)
        self.check()


class TestBroker(Case):
    """The broker dies."""

    def wait_until_it_works(self, migration):
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline:
            found = self.client.ask('describe', host=DST, uuid=migration)
            if found['answer']:
                return found['answer']
        raise AssertionError(f'{self.client.errors()}\n{self.peer.errors()}')

    def test_killed_in_mid_call_and_restarted(self):
        self.peer = self.server()
        migration = self.new(self.peer)
        self.assertTrue(self.quick('describe', uuid=migration)['known'])
        self.peer.ask('decide', uuid=migration, verdict='ABORT')
        self.peer.ask('slow', seconds=1.5)
        self.client.tell('release', host=DST, uuid=migration,
                         instance=INSTANCE, verdict='ABORT')
        deadline = time.monotonic() + 120
        while not self.peer.ask('calls'):
            self.assertLess(time.monotonic(), deadline)
        self.broker.kill()
        found = self.client.hear()
        self.assertLess(found['seconds'], TIMEOUT + SLACK)
        self.assertEqual('refused', found['answer']['state'])

        with self.subTest('while the broker is down'):
            for what, more in (('evidence', {'instance': INSTANCE}),
                               ('describe', {})):
                found = self.client.ask(what, host=DST, uuid=migration,
                                        **more)
                self.assertLess(found['seconds'], TIMEOUT + SLACK)
                self.assertNotEqual(
                    'here', (found['answer'] or {}).get('guest', 'unknown'))

        self.broker.start()
        self.assertTrue(self.wait_until_it_works(migration)['known'])
        found = self.answer('release', uuid=migration, instance=INSTANCE,
                            verdict='ABORT')
        self.assertEqual(('done', {}), (found['state'], found['kept']))
        done = [call for call in self.peer.ask('calls')
                if call[0] == 'disconnect']
        self.assertEqual([['disconnect', v] for v in sorted(VOLUMES)], done)
        self.assertEqual(['settled', 'ABORT'],
                         self.peer.ask('state', uuid=migration))

    def test_peer_that_is_killed_is_silent(self):
        self.peer = self.server()
        migration = self.new(self.peer)
        self.peer.close()
        self.servers.clear()
        found = self.answer('evidence', uuid=migration, instance=INSTANCE)
        self.assertEqual('unknown', found['guest'])


class TestGreenThreads(Case):
    """The same where eventlet has patched everything."""

    threading = 'false'

    def test_round_trip(self):
        peer = self.server()
        self.assertTrue(peer.ask('modules', name='eventlet'))
        migration = self.new(peer)
        self.assertTrue(self.quick('describe', uuid=migration)['known'])
        found = self.quick('evidence', uuid=migration, instance=INSTANCE)
        self.assertEqual('absent', found['guest'])
        peer.ask('decide', uuid=migration, verdict='ABORT')
        self.assertEqual('done', self.release(migration)['state'])
        self.assertEqual(['settled', 'ABORT'],
                         peer.ask('state', uuid=migration))


class TestServerMissing(unittest.TestCase):
    def test_failure_names_the_package(self):
        with self.assertRaises(AssertionError) as caught:
            servers.find('no-such-rabbitmq-server',
                         servers.RabbitMQ.package)
        self.assertIn('apt-get install rabbitmq-server',
                      str(caught.exception))


class TestFleet(Case):
    """``migsafe --fleet`` as a process of its own, over the same broker."""

    def setUp(self):
        super().setUp()
        self.conf_file = self.base / 'fleet.conf'
        self.conf_file.write_text(
            f'[DEFAULT]\ntransport_url = {self.broker.url}\nhost = node99\n'
            f'[migsafe]\nrpc_timeout = {TIMEOUT}\nstate_path = {self.base}/none\n')

    def command(self, *args):
        code, out, err = process.run('main', '--config-file', str(self.conf_file), *args,
                                     '-f', 'json')
        self.assertNotIn('Traceback', err)
        self.assertNotIn('ventlet', err)
        return code, json.loads(out or 'null'), err

    def states(self, *hosts):
        code, rows, err = self.command('status', '--fleet', *hosts)
        return code, [row['State'] for row in rows], ' '.join(row['Detail'] for row in rows)

    def test_a_host_with_the_plugin_and_one_that_is_away(self):
        peer = self.only('plugin')
        migration = self.new(peer)
        peer.ask('report')
        code, rows, _err = self.command('status', '--fleet', DST, 'node98')
        self.assertEqual((3, [(DST, 'armed'), ('node98', 'unknown')]),
                         (code, [(row['Host'], row['State']) for row in rows]))
        self.assertLess(0, rows[0]['Unsettled'])
        self.assertIn('did not answer within', rows[1]['Detail'])
        code, rows, err = self.command('residue', 'list', '--fleet', DST)
        self.assertEqual((3, ''), (code, ''.join(err.splitlines()[1:])))
        self.assertIn(migration, [row['Transaction'] for row in rows])
        self.assertEqual({DST}, {row['Host'] for row in rows})
        self.assertNotIn(cloud.SECRET, str(rows))

    def test_a_host_without_the_plugin_and_an_older_one(self):
        self.only('none')
        code, states, detail = self.states(DST)
        self.assertEqual((3, ['unarmed']), (code, states))
        self.assertIn('enabled = true', detail)
        self.only('older')
        code, states, detail = self.states(DST)
        self.assertEqual((3, ['unknown']), (code, states))

    def test_a_host_that_answers_nonsense_or_raises(self):
        peer = self.only('nonsense')
        for answer in ({'value': None}, {'value': {'host': DST, 'status': [], 'residue': {}}},
                       {'raises': "auth_password='x' ", 'times': 10_000}):
            peer.ask('answer', **answer)
            code, states, detail = self.states(DST)
            self.assertEqual((3, ['unknown']), (code, states), answer)
            self.assertNotIn("'x'", detail)
        self.assertIn('answered that it cannot', detail)
