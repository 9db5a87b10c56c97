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

import oslo_messaging as messaging
from cinder import objects, rpc
from cinder.objects import base as objects_base
from cinder.tests.unit import fake_constants

from migsafe.cinder import endpoint
from migsafe.cli import codes, main
from migsafe.tests.cinder import test_second_writer, world


class TestExportCommands(world.World):
    """The service listens as Cinder's Service makes it."""

    def setUp(self):
        super().setUp()
        self.service.init_host(service_id=1)
        self.conf_file = os.path.join(os.path.dirname(
            world.test_driver.configuration.CONF.migsafe.ledger_path), 'cinder.conf')
        with open(self.conf_file, 'w') as handle:
            handle.write('[DEFAULT]\ntransport_url = fake:/\n[migsafe]\nrpc_timeout = 10\n')
        server = rpc.get_server(
            messaging.Target(topic='cinder-volume.node@array', server='node'),
            [self.service, *self.service.additional_endpoints],
            objects_base.CinderObjectSerializer())
        server.start()
        self.addCleanup(server.wait)
        self.addCleanup(server.stop)

    def run_command(self, *args, backend='node@array', shown=('-f', 'json')):
        out, err = io.StringIO(), io.StringIO()
        app = main.Migsafe(default_config_files=(), stdout=out, stderr=err)
        code = app.run(['--config-file', self.conf_file, 'export', args[0],
                        '--backend', backend, *args[1:], *shown])
        self.assertNotIn('chap-secret', out.getvalue() + err.getvalue())
        return code, json.loads(out.getvalue() or 'null'), err.getvalue()

    def stale(self):
        attachment = self.reserve()
        self.attach(attachment)
        objects.VolumeAttachment.get_by_id(self.admin, attachment).destroy()

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
        code, rows, err = self.run_command('verify')
        self.assertEqual((codes.CLEAN, []), (code, rows))
        self.assertIn('cannot ask the array', err)
        self.guard.__dict__['inspector'] = test_second_writer.Inspector(self.service.driver)
        self.assertEqual((codes.CLEAN, [], ''), self.run_command('verify', self.volume.id))
        self.array.targets[self.volume.id] = {'iqn.someone-else'}
        code, rows, _err = self.run_command('verify')
        self.assertEqual(codes.FOUND, code)
        text = ' '.join(row['Difference'] for row in rows)
        self.assertIn('not in the array', text)
        self.assertIn('iqn.someone-else', text)

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
        objects.VolumeAttachmentList.get_all(self.admin)[0].destroy()
        made = self.guard.__dict__['inspector'] = test_second_writer.Inspector(
            self.service.driver)
        made.opened = (world.NODE13['initiator'],)
        self.assertEqual(codes.FOUND, self.run_command(
            'revert', self.volume.id, '--from-host', 'node13')[0])
        self.assertEqual(1, len(self.array.exports()))

    def test_what_is_not_there(self):
        code, _rows, err = self.run_command('revert', self.volume.id, '--from-host', 'node99')
        self.assertEqual(codes.ERROR, code)
        self.assertIn('node99', err)
        self.assertEqual(codes.ERROR, self.run_command('show', 'x' * 1000)[0])

    def test_nobody_answers(self):
        with open(self.conf_file, 'a') as handle:
            handle.write('rpc_timeout = 1\n')
        code, _rows, err = self.run_command('list', backend='node@other')
        self.assertEqual(codes.ERROR, code)
        self.assertIn('node@other', err)
        self.assertIn('guarded driver', err)
