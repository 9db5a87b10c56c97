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
"""Whether an evacuation waits for the destination of an open live migration."""

import types
import unittest
from unittest import mock

from nova import objects

from migsafe.nova.seams import evacuation

HERE, FROM, DEST = 'node17', 'node13', 'node11'


class TestRefusal(unittest.TestCase):
    def refusal(self, said, status='preparing', dest=DEST, down=False):
        """What is answered while one live migration has this status."""
        participant = mock.Mock(host=HERE)
        participant.clients.peer.describe.return_value = said
        migration = types.SimpleNamespace(uuid='m', status=status, source_compute=FROM,
                                          dest_compute=dest)
        instance = types.SimpleNamespace(uuid='i', host=FROM)
        with mock.patch.object(objects, 'MigrationList', create=True) as found, \
                mock.patch.object(objects, 'Service', create=True) as service:
            found.get_by_filters.return_value = [migration]
            service.get_by_compute_host.return_value = mock.Mock(forced_down=down)
            return evacuation.refusal(participant, instance)

    def test_only_what_is_open_elsewhere_stops_it(self):
        unsettled = {'known': True, 'state': 'open'}
        for said, more, stops in (
                (unsettled, {}, True), (unsettled, {'status': 'completed'}, False),
                (unsettled, {'dest': HERE}, False), (unsettled, {'dest': ''}, False),
                ({'known': True, 'state': 'settled'}, {}, False),
                ({'known': False, 'state': ''}, {}, False),
                (None, {}, True), (None, {'down': True}, False),
                (unsettled, {'down': True}, True)):
            self.assertIs(stops, bool(self.refusal(said, **more)), (said, more))

    def test_the_message_names_what_resolves_it(self):
        for said in (None, {'known': True, 'state': 'open'}):
            why = self.refusal(said)
            for part in ('m', FROM, DEST, 'migsafe settle', '--peer-is-dead', '--down'):
                self.assertIn(part, why)

    def test_what_cannot_be_asked(self):
        participant = mock.Mock(host=HERE)
        instance = types.SimpleNamespace(uuid='i', host=FROM)
        with mock.patch.object(objects, 'MigrationList', create=True) as found:
            found.get_by_filters.side_effect = OSError('conductor is away')
            self.assertIn('conductor is away', evacuation.refusal(participant, instance))
            participant.conf.enforce = False
            self.assertIsNone(evacuation.refusal(participant, instance))
