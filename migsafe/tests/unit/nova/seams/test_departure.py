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
"""A failure on the source after the guest has left it."""

import types
import unittest
from unittest import mock

from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.host import registry
from migsafe.nova.seams import departure

SRC, DST = 'node13', 'node11'


class TestPostLiveMigration(unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.participant = mock.Mock(host=SRC)
        self.records = self.participant.clients.records
        self.records.later.return_value = []
        self.records.instance.return_value = types.SimpleNamespace(host=SRC)
        self.manager = types.SimpleNamespace()
        registry.put(self.manager, self.participant)
        self.attempt = host_attempt.Attempt('m', 'i', mock.Mock(), tx=mock.Mock())

    def call(self, wrapped):
        with host_attempt.working(self.attempt):
            return departure.post_live_migration(wrapped, self.manager, (), {})

    def test_nothing_is_asked_when_it_goes_well(self):
        self.assertEqual('done', self.call(lambda: 'done'))
        self.assertEqual([], self.records.mock_calls)

    def fails(self):
        """Whether Nova gets to see the failure."""
        try:
            self.call(mock.Mock(side_effect=OSError('no answer')))
        except OSError:
            return True
        self.assertEqual(['post_live_migration'], self.attempt.failures)
        return False

    def test_the_record_is_still_the_sources(self):
        self.assertTrue(self.fails())

    def test_it_has_gone_on(self):
        self.records.instance.return_value = types.SimpleNamespace(host=DST)
        self.assertFalse(self.fails())

    def test_it_is_deleted(self):
        self.records.instance.return_value = None
        self.assertFalse(self.fails())

    def test_it_came_back_by_a_later_one(self):
        self.records.later.return_value = ['live-migration next']
        self.assertFalse(self.fails())

    def test_it_cannot_be_told(self):
        self.records.instance.side_effect = OSError('conductor is away')
        self.assertTrue(self.fails())
