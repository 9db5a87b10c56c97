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
"""The preflight of real hosts with real guests: what it is told, and that it changes nothing."""

from __future__ import annotations

import dataclasses
import json
import socket
import time
from unittest import mock

import sqlalchemy as sa
from nova import context as nova_context
from nova.conf import CONF
from nova.db.main import api as nova_database

from migsafe import exceptions
from migsafe.brick.root import qemu_conf
from migsafe.nova.bus import endpoint
from migsafe.preflight import answers, checks, facts, path, report, surroundings
from migsafe.preflight.checks import Result
from migsafe.preflight.decision import Asked, Request
from migsafe.preflight.fate import Fate
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE

#: What each nova-compute writes by itself from time to time.
HEARTBEATS = ('services', 'compute_nodes')


class TestPreflight(scenarios.ScenarioTest):

    def ask(self, host, server):
        """What a host's own endpoint says, as it comes over the bus."""
        process = self.lab.parts.processes[host]
        found = self.endpoint(host)
        with self.lab.world.entered(process):
            reply = json.loads(json.dumps(found.preflight({}, instance_uuid=server.uuid)))
        return report.read(report.Report, reply)

    def facts(self, server, block=Asked.AUTO):
        """All that the command would know."""
        shown = self.lab.show(server)
        return facts.Facts(
            facts.Server(server.uuid, shown['name'], shown['status'],
                         shown['OS-EXT-STS:task_state'] or '', shown['OS-EXT-SRV-ATTR:host']),
            Request(block), *(facts.Side(
                host, facts.ComputeService(host, True, True), plugin=facts.Plugin.ARMED,
                report=self.ask(host, server)) for host in (SOURCE, DESTINATION)))

    def everything(self):
        """All rows of Nova's cell, both journals, and what the array and the hosts have."""
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        with self.lab.world.looking(), nova_database.get_context_manager(
                context).reader.using(context) as session:
            tables = sa.MetaData()
            tables.reflect(session.connection())
            rows = {name: sorted(map(repr, session.execute(sa.select(table)).all()))
                    for name, table in tables.tables.items() if name not in HEARTBEATS}
        journals = {host: [repr(tx) for tx in self.participant(host).journal.list()]
                    for host in (SOURCE, DESTINATION)}
        parts = self.lab.parts
        return {'rows': rows, 'journals': journals,
                'exports': {volume: sorted(map(repr, parts.san.exports(volume)))
                            for volume in self.lab.world.volumes},
                'devices': {host: sorted(map(repr, kernel.devices))
                            for host, kernel in parts.kernels.items()}}

    def test_a_guest_with_volumes(self):
        server = self.guest()
        found = self.facts(server)
        guest = found.source.report.guest
        self.assertEqual(sorted(server.volumes), sorted(one.id for one in guest.volumes))
        self.assertTrue(guest.volume_backed)
        self.assertEqual({one.serial for one in guest.disks}, set(server.volumes))
        self.assertIsNone(found.destination.report.guest)
        situation, = found.situations()
        given = answers.answer(situation, found.request)
        self.assertEqual((False, {Fate.CONNECTED}),
                         (given.decision.block, {one.row.fate for one in given.disks}))
        by_code = {one.code: one.result for one in checks.look(found)}
        self.assertEqual({Result.OK}, {by_code[code] for code in (
            'server-state', 'plugin', 'plugin-version', 'guest', 'residue', 'disks', 'clocks',
            'destination-directory')})
        self.migrate(server)
        self.assertClean(server, DESTINATION)

    def test_the_way_there(self):
        """By the address that the destination gives, over the bus, to real ports of loopback."""
        server = self.guest()
        with socket.create_server(('127.0.0.1', 0)) as libvirt, \
                mock.patch.dict(path.PORTS, tcp=libvirt.getsockname()[1]), \
                mock.patch.object(qemu_conf, 'settings', lambda: {'migration_port_min': '49160'}):
            self.expect_at('localhost')
            asked = self.endpoint(SOURCE)
            with self.lab.world.entered(self.lab.parts.processes[SOURCE]):
                found = report.read(path.Path, json.loads(json.dumps(
                    asked.path({}, instance_uuid=server.uuid, destination=DESTINATION))))
                for other in ('nobody', 'x' * 256):
                    self.assertRaises(exceptions.MigsafeError, asked.path, {},
                                      instance_uuid=server.uuid, destination=other)
        self.assertEqual(('qemu+tcp://localhost/system', 'open', 'lo'),
                         (found.uri, found.ports[0].reached, found.interface))
        self.assertEqual([49160, 49215], [one.port for one in found.ports[1:]])
        self.assertLess(0, found.memory)

    def expect_at(self, address):
        """Where guests are expected; the laboratory has one value for all hosts."""
        CONF.set_override('live_migration_inbound_addr', address, 'libvirt')
        self.addCleanup(CONF.set_override, 'live_migration_inbound_addr', None, 'libvirt')

    def endpoint(self, host):
        found, = [one for one in self.lab.stack.computes[host].manager.additional_endpoints
                  if isinstance(one, endpoint.Endpoint)]
        return found

    def test_nothing_is_changed(self):
        server = self.guest(volumes=26)
        before = self.everything()
        self.assertLess(10, len(before['rows']))
        began = time.monotonic()
        found = self.facts(server)
        self.assertEqual(26, len(found.source.report.guest.disks))
        for host in (SOURCE, DESTINATION):
            with self.lab.world.entered(self.lab.parts.processes[host]):
                around = report.read(surroundings.Surroundings, json.loads(json.dumps(
                    self.endpoint(host).surroundings({}, instance_uuid=server.uuid))))
            self.assertEqual(set(server.volumes), {one.volume for one in around.ways})
        self.addDetail('seconds', scenarios.testtools.content.text_content(
            str(time.monotonic() - began)))
        self.assertEqual(before, self.everything())
        # the control: a migration does change what is compared
        self.migrate(server)
        after = self.everything()
        self.assertEqual({'rows', 'journals', 'exports', 'devices'},
                         {name for name in before if before[name] != after[name]})

    def test_residue_is_refused(self):
        server = self.guest()
        journal = self.participant(DESTINATION).journal
        tx = journal.begin('8b1e4b0e-7c38-4bb1-9f0e-0a1f4a0d7c11', 'destination', server.uuid,
                           SOURCE, DESTINATION)
        journal.hold(tx, 'host_device', f'R4 {server.volumes[0]}', 'held by vg0/lv0')
        found, = [one for one in checks.look(self.facts(server)) if one.code == 'residue']
        self.assertIs(Result.REFUSED, found.result)
        self.assertIn(f'{DESTINATION} has not settled: R4', found.detail)
        self.assertIn(f'migsafe settle --instance {server.uuid}', found.remedy)

    def test_a_guest_that_nobody_has(self):
        server = self.guest()
        other = dataclasses.replace(server, uuid='8b1e4b0e-7c38-4bb1-9f0e-0a1f4a0d7c11')
        told = self.ask(SOURCE, other)
        self.assertEqual((None, 'libvirt has no such guest'), (told.guest, told.guest_problem))
        self.assertFalse(told.directory.there)
