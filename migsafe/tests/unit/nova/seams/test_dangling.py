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
"""Which attachments that no row names a reboot may delete, case by case."""

import types
from unittest import mock

from nova import exception

from migsafe.nova.host import registry
from migsafe.nova.seams import dangling
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.nova.seams.test_evacuation import Case
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.clients import LIVE_MIGRATION, Attachment, OtherMove

SRC, DST, THIRD = fake.SRC, fake.DST, fake.THIRD
ONE = 'a77a0000-0000-4000-8000-000000000001'
CONNECTED = {'driver_volume_type': 'iscsi', 'data': {}}


class TestKept(Case):
    def setUp(self):
        super().setUp()
        self.enforce = True
        self.volumes = types.SimpleNamespace(
            attachments=lambda _uuid: [Attachment(ONE, 'volume-1', self.host)],
            connection_info=lambda _id: self.info)

    def kept(self, host, info, *moves):
        self.host, self.info = host, info
        records = types.SimpleNamespace(moves=lambda _uuid: [
            OtherMove(LIVE_MIGRATION, 'uuid', 'error', source, dest or '')
            for source, dest in moves])
        clients = self.clients(volumes=self.volumes)
        clients.records = records
        participant = types.SimpleNamespace(
            host=SRC, conf=types.SimpleNamespace(enforce=self.enforce), clients=clients)
        return dangling.kept(participant, types.SimpleNamespace(uuid=fake.INSTANCE), [ONE])

    def test_each_case(self):
        """(host that Cinder tells, connection, live migrations, fenced hosts) -> who has it."""
        table = (
            (SRC, CONNECTED, [(SRC, DST)], set(), None),
            (DST, CONNECTED, [], set(), DST),
            (DST, CONNECTED, [], {DST}, None),
            ('node99', CONNECTED, [], {DST}, 'node99'),
            (None, {}, [(SRC, DST)], set(), None),
            (None, None, [(SRC, DST)], set(), None),
            (None, CONNECTED, [], set(), None),
            (None, CONNECTED, [(SRC, None), (SRC, '')], set(), None),
            (None, CONNECTED, [(SRC, DST)], set(), DST),
            (None, CONNECTED, [(SRC, DST)], {DST}, None),
            (None, CONNECTED, [(SRC, DST), (DST, SRC), (THIRD, SRC)], {DST}, THIRD),
            (None, CONNECTED, [(SRC, 'node99')], set(), 'node99'),
        )
        for host, info, moves, self.fenced, whose in table:
            with self.subTest((host, info, moves)):
                kept = self.kept(host, info, *moves)
                self.assertEqual([ONE] if whose else [], list(kept))
                self.assertIn(whose or '', ''.join(kept.values()))

    def test_what_cannot_be_asked(self):
        """Nothing goes on a guess, but where it is not enforced Nova has its way."""
        self.volumes.attachments = mock.Mock(side_effect=exception.CinderConnectionFailed(
            reason='refused'))
        self.assertIn('whose it is cannot be told', self.kept(None, CONNECTED)[ONE])
        self.enforce = False
        self.assertEqual({}, self.kept(None, CONNECTED))


class TestRowsOfAReboot(hosts.TwoHosts):
    """What Nova has read right before it reboots a guest whose migration is not settled."""

    def read(self, *attachments):
        manager = types.SimpleNamespace(volume_api=None)
        registry.put(manager, self.src.participant)
        bdms = [types.SimpleNamespace(id=1, attachment_id=one, is_volume=True,
                                      volume_id=fake.volume(0), connection_info=None)
                for one in attachments]
        called = []

        def _delete_dangling_bdms(_manager, context, instance, bdms):
            called.append(len(bdms))
        wrapped = types.MethodType(_delete_dangling_bdms, manager)
        dangling.delete_dangling_bdms(wrapped, manager, (
            None, types.SimpleNamespace(uuid=fake.INSTANCE, host=SRC), bdms), {})
        return called

    def refused(self, attachment):
        with self.assertLogs('migsafe.nova.seams', 'ERROR') as logged, \
                self.assertRaises(exception.NovaException):
            self.read(fake.attachment(SRC, 0), attachment)
        return ''.join(logged.output)

    def test_settled(self):
        self.assertEqual([1], self.read('whatever'))

    def test_this_host_has_captured_it(self):
        self.break_off()
        self.src.journal.verdict(self.src.tx(), 'ABORT', 'decided')
        self.world.volumes.rows.clear()
        self.assertEqual([2], self.read(fake.attachment(SRC, 0), fake.attachment(SRC, 1)))

    def test_cinder_says_that_it_is_of_this_host(self):
        self.break_off()
        self.assertEqual([2], self.read(fake.attachment(SRC, 0), fake.attachment(SRC, 1)))

    def test_of_another_host_or_of_nobody(self):
        self.break_off()
        made = Attachment(ONE, fake.volume(0), None)
        self.world.volumes.rows[ONE] = made
        for attachment in (fake.attachment(DST, 1), ONE, 'gone'):
            with self.subTest(attachment):
                self.assertIn(f'names attachment {attachment}', self.refused(attachment))
        self.assertIn('names no attachment', self.refused(None))

    def test_cinder_does_not_answer(self):
        self.break_off()
        with mock.patch.object(self.world.volumes, 'attachments',
                               side_effect=TimeoutError('cinder')):
            self.assertIn('cinder', self.refused(fake.attachment(DST, 1)))
            self.conf.set_override('enforce', False, 'migsafe')
            self.assertEqual([1], self.read(fake.attachment(DST, 1)))
