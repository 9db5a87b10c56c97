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
"""``migsafe export`` over a message bus to a real VolumeManager."""

import io
import json
import os
import re
import threading
from unittest import mock

import fixtures
import oslo_messaging as messaging
import sqlalchemy as sa
from cinder import exception, objects, rpc
from cinder.objects import base as objects_base
from cinder.tests.unit import fake_constants

from migsafe.cinder import inspectors
from migsafe.cinder.bus import endpoint, search, unrecorded
from migsafe.cli import base, codes, main
from migsafe.tests.cinder import world
from migsafe.tests.unit.audit import cloud

STRANGER = 'iqn.1994-05.com.redhat:77'


class Commands(world.World):
    """The service listens as Cinder's Service makes it."""

    def setUp(self):
        super().setUp()
        self.other = self.make_volume()
        self.service.init_host(service_id=1)
        self.conf_file = os.path.join(os.path.dirname(
            world.test_driver.configuration.CONF.migsafe.ledger_path), 'cinder.conf')
        with open(self.conf_file, 'w') as handle:
            handle.write('[DEFAULT]\ntransport_url = fake:/\n[migsafe]\nrpc_timeout = 10\n')
        self.listening = [self.service, *self.service.additional_endpoints]
        server = rpc.get_server(
            messaging.Target(topic='cinder-volume.node@array', server='node'), self.listening,
            objects_base.CinderObjectSerializer())
        server.start()
        self.addCleanup(server.wait)
        self.addCleanup(server.stop)

    def run_command(self, *args, backend='node@array', shown=('-f', 'json'), typed=''):
        out, err = io.StringIO(), io.StringIO()
        app = main.Migsafe(default_config_files=(), stdin=io.StringIO(typed), stdout=out,
                           stderr=err)
        code = app.run(['--config-file', self.conf_file, 'export', args[0],
                        '--backend', backend, *args[1:], *shown])
        self.assertNotIn('chap-secret', out.getvalue() + err.getvalue())
        return code, json.loads(out.getvalue() or 'null'), err.getvalue()

    def stale(self):
        attachment = self.reserve()
        self.attach(attachment)
        self.forget(attachment)


class TestExportCommands(Commands):
    """As an operator gives them."""

    def test_there_is_one_endpoint(self):
        self.service.init_host(service_id=1)
        self.assertEqual([endpoint.Endpoint],
                         [type(one) for one in self.service.additional_endpoints])

    def test_list_and_show(self):
        self.assertEqual((codes.CLEAN, []), self.run_command('list')[:2])
        attachment = self.reserve()
        self.attach(attachment)
        code, rows, _err = self.run_command('list')
        self.assertEqual(codes.CLEAN, code)
        self.assertEqual([(self.volume.id, '', 'mapped'), (self.volume.id, 'node13', 'mapped')],
                         [(row['Volume'], row['Host'], row['State']) for row in rows])
        self.assertEqual(attachment, rows[1]['Attachment'])
        self.detach(attachment)
        self.assertEqual([], self.run_command('list')[1])
        self.assertEqual({'gone'}, {
            row['State'] for row in self.run_command('show', self.volume.id)[1]})

    def test_show_of_nothing(self):
        code, rows, err = self.run_command('show', self.other.id)
        self.assertEqual((codes.ERROR, None), (code, rows))
        for word in (self.other.id, 'node@array', 'export list'):
            self.assertIn(word, err)

    def test_an_audit_of_what_is_exported(self):
        """What no attachment has, in the ledger, and in the array alone."""
        self.stale()
        self.inspect()
        self.array.targets[self.other.id] = {'iqn.someone-else'}
        records = self.useFixture(cloud.Cloud())
        records.volume(self.volume.id)
        out, err = io.StringIO(), io.StringIO()
        app = main.Migsafe(default_config_files=(), stdin=io.StringIO(), stdout=out, stderr=err)
        code = app.run([
            'audit', '--nova-database', records.path, '--cinder-database', records.path,
            '--exports', 'node@array', '--cinder-config', self.conf_file, '-f', 'json'])
        found = {row['Volume']: row for row in json.loads(out.getvalue())}
        self.assertEqual((codes.FOUND, {self.volume.id, self.other.id}), (code, set(found)))
        self.assertEqual(['node13'], found[self.volume.id]['Hosts'])
        self.assertIn('export revert --backend node@array --from-host node13',
                      found[self.volume.id]['Repair'])
        self.assertIn('iqn.someone-else', found[self.other.id]['What'])

    def test_many(self):
        self.mock_object(endpoint, 'PAGE', 3)
        volumes = [self.make_volume() for _ in range(4)]
        for number, volume in enumerate(volumes):
            self.attach(self.reserve(fake_constants.UUID1[:-1] + str(number), volume),
                        volume=volume)
        rows = self.run_command('list')[1]
        self.assertEqual([volume.id for volume in volumes for _ in range(2)],
                         [row['Volume'] for row in rows])

    def test_verify(self):
        self.attach(self.reserve())
        for volumes in ((), (self.volume.id,)):
            code, rows, err = self.run_command('verify', *volumes)
            self.assertEqual((codes.ERROR, []), (code, rows))
            self.assertIn('The array was NOT asked', err)
        self.guard.__dict__['inspector'] = world.Inspector(self.service.driver)
        self.assertEqual((codes.CLEAN, [], ''), self.run_command('verify', self.volume.id))
        self.array.targets[self.volume.id] = {'iqn.someone-else'}
        code, rows, _err = self.run_command('verify')
        self.assertEqual(codes.FOUND, code)
        text = ' '.join(row['Difference'] for row in rows)
        self.assertIn('not in the array', text)
        self.assertIn('iqn.someone-else', text)

    def inspect(self, *opened):
        made = self.guard.__dict__['inspector'] = world.Inspector(
            self.service.driver)
        made.opened = opened
        return made

    def test_verify_finds_what_nobody_has_recorded(self):
        self.inspect()
        self.assertEqual((codes.CLEAN, [], ''), self.run_command('verify'))
        self.array.targets[self.volume.id] = {STRANGER}
        code, rows, err = self.run_command('verify')
        self.assertEqual((codes.FOUND, [self.volume.id], ''),
                         (code, [row['Volume'] for row in rows], err))
        self.assertIn(STRANGER, rows[0]['Difference'])

    def test_verify_goes_through_the_array_page_by_page(self):
        self.mock_object(search, 'PAGE', 2)
        self.inspect()
        volumes = [self.make_volume() for _ in range(5)]
        for number, volume in enumerate(volumes):
            self.attach(self.reserve(fake_constants.UUID1[:-1] + str(number), volume),
                        volume=volume)
        self.assertEqual((codes.CLEAN, [], ''), self.run_command('verify'))
        self.array.targets[volumes[4].id].add(STRANGER)
        code, rows, _err = self.run_command('verify')
        self.assertEqual((codes.FOUND, [volumes[4].id]), (code, [row['Volume'] for row in rows]))

    def test_verify_of_what_is_not_of_this_backend(self):
        """A volume that Cinder has deleted, one of another backend, and a LUN of somebody else."""
        self.inspect()
        away = self.make_volume(host='node@elsewhere')
        moved = self.make_volume(_name_id=fake_constants.UUID3)
        gone = fake_constants.UUID4
        mapped = [inspectors.Mapping(name, frozenset((STRANGER,)), lun='7') for name in (
            f'/vol/pool/volume-{gone}', f'volume-{away.id}', f'snapshot-{gone}', 'esx',
            f'volume_{fake_constants.UUID3.replace("-", "_")}')]
        self.guard.inspector.list_all = lambda: iter(mapped)
        self.guard.inspector.list_exports = lambda volume: [
            one for one in mapped[-1:] if volume['name'] == f'volume-{fake_constants.UUID3}']
        code, rows, err = self.run_command('verify')
        self.assertEqual(codes.FOUND, code)
        told = [(row['Volume'], row['Difference']) for row in rows]
        for (volume, text), (expected, words) in zip(told, (
                (gone, 'Cinder has no such volume'), (away.id, 'in backend node@elsewhere'),
                (gone, 'Cinder has no such snapshot'), (moved.id, 'neither the ledger')),
                strict=True):
            self.assertEqual(expected, volume)
            self.assertIn(words, text)
            self.assertIn(f'{STRANGER} (', text)
            self.assertIn('LUN 7', text)
        self.assertIn('1 mapping(s)', err)
        self.attach(self.reserve(volume=away), {**world.NODE13, 'initiator': STRANGER}, away)
        self.assertNotIn(away.id, str(self.run_command('verify')[1][1]))

    def test_verify_when_the_array_cannot_tell_after_all(self):
        """As NetApp's with a second SVM."""
        made = self.inspect()
        self.attach(self.reserve())
        self.assertEqual(codes.CLEAN, self.run_command('verify')[0])
        made.list_all = made.list_exports = made.writers = lambda *_args: None
        code, _rows, err = self.run_command('verify')
        self.assertEqual(codes.ERROR, code)
        self.assertIn('The array was NOT asked', err)

    def test_verify_of_very_many_that_nobody_has_recorded(self):
        """They are counted; three queries for a page of them, however many there are."""
        made = self.inspect()
        volumes = [self.make_volume() for _ in range(12)]
        for volume in volumes:
            self.array.targets[volume.id] = {STRANGER}
        with mock.patch.object(made, 'list_exports', side_effect=made.list_exports) as asked:
            code, rows, err = self.run_command('verify', '--limit', '3')
        # the list of all is made of them in this inspector, and nothing else but three volumes
        self.assertEqual(12 + 3, asked.call_count)
        self.assertEqual((codes.FOUND, 3), (code, len(rows)))
        self.assertIn('9 more volume(s)', err)
        queries = []

        def note(_connection, _cursor, statement, *_more):
            queries.append(statement)
        sa.event.listen(sa.Engine, 'before_cursor_execute', note)
        self.addCleanup(sa.event.remove, sa.Engine, 'before_cursor_execute', note)
        walks = search.Walks(self.guard)
        self.assertEqual(12, len(walks.page('')['volumes']))
        self.assertLess(len(queries), 12)

    def test_a_walk_that_is_lost(self):
        self.inspect()
        walks = search.Walks(self.guard)
        self.assertRaises(search.WalkLost, walks.page, 'x')
        self.mock_object(search, 'PAGE', 1)
        for _ in range(2):
            self.array.targets[self.make_volume().id] = {STRANGER}
        first, *later = [walks.page('')['walk'] for _ in range(search.OPEN + 1)]
        self.assertRaises(search.WalkLost, walks.page, first)
        self.assertEqual(1, len(walks.page(later[0])['volumes']))
        self.assertRaises(search.WalkLost, walks.page, later[0])
        self.mock_object(search, 'SECONDS', -1.0)
        walks.page('')
        self.assertRaises(search.WalkLost, walks.page, later[1])

    def unrecorded(self, *opened):
        """A mapping from before the guard, which is in the way of an attach."""
        self.inspect(*opened)
        self.array.targets[self.volume.id] = {STRANGER}
        return self.assertRaises(exception.VolumeBackendAPIException, self.attach,
                                 self.reserve())

    def take(self, *more, initiator=STRANGER, **kwargs):
        return self.run_command('revert', *more, '--from-host', 'node77', '--initiator',
                                initiator, **kwargs)

    def test_the_command_that_the_refusal_names(self):
        command = re.search('migsafe --config-file [^ ]+ (export revert .+?);',
                            str(self.unrecorded()))[1]
        words = command.replace('HOST', 'node77').split()
        self.assertEqual(['export', 'revert', '--backend', 'node@array'], words[:4])
        for _ in range(2):
            code, rows, _err = self.run_command('revert', *words[4:])
            self.assertEqual((codes.REPAIRED, ['gone']), (code, [row['State'] for row in rows]))
        self.assertEqual(set(), self.array.exports())
        self.attach(self.reserve())

    def test_an_unrecorded_mapping_in_use_stays(self):
        self.unrecorded(STRANGER)
        code, rows, _err = self.take(self.volume.id)
        self.assertEqual((codes.FOUND, ['mapped']), (code, [row['State'] for row in rows]))
        self.assertIn('has it open', rows[0]['Error'])
        self.assertEqual({(self.volume.id, STRANGER)}, self.array.exports())
        code, _rows, err = self.take(self.volume.id, '--host-is-fenced', typed='node13\n')
        self.assertEqual(codes.ERROR, code)
        self.assertIn('take away 1 export(s)', err)
        self.assertEqual(1, len(self.array.exports()))
        self.assertEqual(codes.REPAIRED, self.take(
            self.volume.id, '--host-is-fenced', typed='node77\n')[0])
        self.assertEqual(set(), self.array.exports())

    def test_a_fenced_host_is_asked_about_before_anything_is_written_down(self):
        self.unrecorded()
        self.take(self.volume.id, '--host-is-fenced', typed='no\n')
        self.assertEqual([], self.run_command('list')[1])

    def test_an_unrecorded_mapping_that_no_command_reverts(self):
        """Nothing is written down, and nothing is asked of the driver."""
        made = self.inspect()
        self.array.targets[self.volume.id] = {STRANGER}

        def refused(*words, **kwargs):
            code, _rows, err = self.take(self.volume.id, **kwargs)
            self.assertEqual(codes.ERROR, code, words)
            for word in words:
                self.assertIn(word, err)
            self.assertEqual([], [row for row in self.run_command('list')[1]
                                  if row['Host'] == 'node77'])
        refused('does not have it', STRANGER, initiator='iqn.nobody')
        made.list_exports = lambda volume: None
        refused('migsafe_inspector', 'by hand')
        group = inspectors.Mapping('volume-1', frozenset((STRANGER, 'iqn.two')), 'group', lun='3')
        made.list_exports = lambda volume: [group]
        refused('no single host', 'by hand', 'iqn.two', 'group or host group', 'LUN 3')
        del made.list_exports
        self.array.targets[self.volume.id] = set()
        self.attach(self.reserve())
        self.array.targets[self.volume.id].add(STRANGER)
        refused('attached to host node13', 'by hand')
        self.forget(objects.VolumeAttachmentList.get_all(self.admin)[0].id)
        refused('the ledger has the export', 'export revert --from-host node13')
        self.assertEqual(2, len(self.array.exports()))
        self.assertIn('Name one volume', self.take()[2])

    def test_connectors_of_unrecorded_initiators(self):
        for names, expected in (
                ((STRANGER,), {'initiator': STRANGER}),
                (('nqn.a',), {'nqn': 'nqn.a'}),
                (('5' * 16, '4' * 16), {'wwpns': ['4' * 16, '5' * 16]}),
                (('nqn.a', 'nqn.b'), None), (('host.a',), None)):
            made = unrecorded._connector('node77', frozenset(names))
            self.assertEqual(expected and {'host': 'node77', 'multipath': False, **expected},
                             made)

    def test_revert(self):
        self.stale()
        self.assertEqual(codes.FOUND, self.run_command('verify')[0])
        self.assertEqual(codes.REPAIRED, self.run_command(
            'revert', self.volume.id, '--from-host', 'node13')[0])
        self.assertEqual({}, self.array.targets)

    def test_revert_leaves_what_is_attached_or_in_use(self):
        self.attach(self.reserve())
        self.assertEqual(codes.FOUND, self.run_command(
            'revert', self.volume.id, '--from-host', 'node13')[0])
        self.assertEqual(1, len(self.array.exports()))
        self.forget(objects.VolumeAttachmentList.get_all(self.admin)[0].id)
        made = self.guard.__dict__['inspector'] = world.Inspector(
            self.service.driver)
        made.opened = (world.NODE13['initiator'],)
        self.assertEqual(codes.FOUND, self.run_command(
            'revert', self.volume.id, '--from-host', 'node13')[0])
        self.assertEqual(1, len(self.array.exports()))

    def test_revert_again(self):
        self.stale()
        for _ in range(2):
            code, rows, _err = self.run_command('revert', self.volume.id, '--from-host', 'node13')
            self.assertEqual((codes.REPAIRED, 'gone'), (code, rows[0]['State']))

    def test_a_host_has_to_be_fenced_for_all_that_it_has(self):
        self.stale()
        code, _rows, err = self.run_command('revert', '--from-host', 'node13')
        self.assertEqual(codes.ERROR, code)
        self.assertIn('--host-is-fenced', err)
        self.assertEqual(1, len(self.array.exports()))

    def test_a_fenced_host_needs_its_name_typed(self):
        self.stale()
        self.attach(self.reserve(fake_constants.UUID2, self.other), volume=self.other)
        for typed in ('', '\n', 'yes\n', 'node11\n'):
            code, _rows, err = self.run_command('revert', '--from-host', 'node13',
                                                '--host-is-fenced', typed=typed)
            self.assertEqual(codes.ERROR, code)
            for word in ('Nothing was done', 'fence it FIRST', 'take away 2 export(s)'):
                self.assertIn(word, err)
        self.assertEqual(2, len(self.array.exports()))
        self.assertEqual({''}, {row['Fenced'] for row in self.run_command('list')[1]})
        code, rows, err = self.run_command('revert', '--from-host', 'node13', '--host-is-fenced',
                                           typed='node13\n')
        # What is attached stays, and waits for its evacuation.
        self.assertEqual(codes.FOUND, code, err)
        self.assertIn('evacuate its instance', err)
        self.assertEqual({(self.volume.id, 'gone'), (self.other.id, 'mapped')},
                         {(row['Volume'], row['State']) for row in rows})
        self.assertEqual({self.other.id}, {volume for volume, _ in self.array.exports()})
        marked = [row['Fenced'] for row in self.run_command('show', self.other.id)[1]
                  if row['Host']]
        self.assertIn(f'by {base.operator()} at 20', marked[0])

    def test_yes_does_not_ask(self):
        self.stale()
        code, _rows, err = self.run_command('revert', '--from-host', 'node13', '--yes',
                                            '--host-is-fenced')
        self.assertEqual(codes.REPAIRED, code)
        self.assertNotIn('Type the name', err)
        self.assertEqual({}, self.array.targets)

    def test_some_volumes_of_a_fenced_host(self):
        self.stale()
        self.attach(self.reserve(fake_constants.UUID2, self.other), volume=self.other)
        code, rows, err = self.run_command(
            'revert', self.volume.id, 'no-such-volume', '--from-host', 'node13', '--yes',
            '--host-is-fenced')
        self.assertEqual((codes.REPAIRED, [self.volume.id]),
                         (code, [row['Volume'] for row in rows]))
        self.assertIn('node13 has no export of volume no-such-volume', err)
        self.assertEqual({''}, {row['Fenced'] for row in self.run_command(
            'show', self.other.id)[1]})

    def test_a_fenced_host_and_an_array_that_is_away(self):
        self.stale()
        with mock.patch.object(world.ArrayDriver, 'terminate_connection',
                               side_effect=exception.VolumeDriverException('array is away')):
            code, rows, err = self.run_command('revert', '--from-host', 'node13', '--yes',
                                               '--host-is-fenced')
        self.assertEqual((codes.FOUND, 'unmapping'), (code, rows[0]['State']))
        self.assertIn('array is away', rows[0]['Error'])
        self.assertIn('leave the host powered off', err)

    def test_a_fenced_host_and_an_array_that_hangs(self):
        """The marks are there before anything is asked of the array."""
        self.stale()
        self.attach(self.reserve(fake_constants.UUID2, self.other), volume=self.other)
        with open(self.conf_file, 'a') as handle:
            handle.write('rpc_timeout = 4\n')
        asked, ended = [], threading.Event()
        self.addCleanup(ended.set)

        def hangs(*args, **kwargs):
            asked.append(kwargs['volume'])
            ended.wait(60)
            return {}
        with mock.patch.object(endpoint.Endpoint, 'export_revert', hangs):
            code, rows, err = self.run_command('revert', '--from-host', 'node13', '--yes',
                                               '--host-is-fenced')
        self.assertEqual((codes.FOUND, 1), (code, len(asked)))
        self.assertIn('did not answer within 4 seconds', err)
        self.assertEqual({(self.volume.id, True), (self.other.id, True)},
                         {(row['Volume'], bool(row['Fenced'])) for row in rows})

    def test_what_is_not_there(self):
        for args in ((self.volume.id,), ('--host-is-fenced',),
                     (self.volume.id, '--host-is-fenced', '--yes')):
            code, _rows, err = self.run_command('revert', *args, '--from-host', 'node99')
            self.assertEqual(codes.ERROR, code)
            self.assertIn('node99', err)
        self.assertEqual(codes.ERROR, self.run_command('show', 'x' * 1000)[0])

    def test_nobody_answers(self):
        with open(self.conf_file, 'a') as handle:
            handle.write('rpc_timeout = 1\n')
        code, _rows, err = self.run_command('list', backend='node@other')
        self.assertEqual(codes.ERROR, code)
        self.assertIn('node@other', err)
        self.assertIn('openstack volume service list', err)


class TestAServiceOfBefore(Commands):
    """It has no such call, and would not know what the word means."""

    def setUp(self):
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.cinder.bus.endpoint.Endpoint.target',
            messaging.Target(namespace=endpoint.NAMESPACE, version='1.0')))
        super().setUp()

    def test_fenced(self):
        self.stale()
        code, _rows, err = self.run_command('revert', '--from-host', 'node13', '--yes',
                                            '--host-is-fenced')
        self.assertEqual(codes.ERROR, code)
        self.assertIn('version', err)
        self.assertEqual(1, len(self.array.exports()))

    def test_what_only_the_array_knows(self):
        for args in (('verify',), ('revert', self.volume.id, '--from-host', 'node77',
                                   '--initiator', STRANGER)):
            code, _rows, err = self.run_command(*args)
            self.assertEqual(codes.ERROR, code)
            for word in ('older migsafe', 'node@array', '1.2', 'Upgrade migsafe'):
                self.assertIn(word, err)

    def test_the_rest(self):
        self.stale()
        self.assertEqual(2, len(self.run_command('list')[1]))
        self.assertEqual(codes.REPAIRED, self.run_command(
            'revert', self.volume.id, '--from-host', 'node13')[0])
