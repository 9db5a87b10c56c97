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
"""How often Nova's database is asked of the instances that are in ERROR."""

import datetime
import types
import unittest
from unittest import mock

from nova import objects
from nova.compute import instance_actions, power_state

from migsafe.nova.clients import failed_moves
from migsafe.nova.clients.orphans import PAGE

HOST, NOW = 'node13', datetime.datetime(2026, 11, 29)


class TestFailedMoves(unittest.TestCase):
    def setUp(self):
        super().setUp()
        objects.register_all()
        self.instances = [types.SimpleNamespace(
            uuid=f'i{number}', task_state=None, updated_at=NOW) for number in range(PAGE + 20)]
        self.last = {'action': instance_actions.LIVE_MIGRATION}
        self.asked = {}
        for kind, method, found in (
                ('InstanceList', 'get_by_filters', lambda filters: list(self.instances)),
                ('MigrationList', 'get_by_filters', self.migrations),
                ('InstanceActionList', 'get_by_instance_uuid', lambda _uuid: [
                    types.SimpleNamespace(**self.last)])):
            patch = mock.patch.object(getattr(objects, kind), method, self.counted(kind, found))
            patch.start()
            self.addCleanup(patch.stop)
        self.states = {}
        driver = mock.Mock()
        driver.get_info.side_effect = lambda one: types.SimpleNamespace(
            state=self.states.get(one.uuid, power_state.SHUTDOWN))
        self.moves = failed_moves.FailedMoves(types.SimpleNamespace(driver=driver))

    def counted(self, kind, found):
        def ask(_context, what, **_how):
            self.asked[kind] = self.asked.get(kind, 0) + 1
            return found(what)
        return ask

    def migrations(self, filters):
        return [types.SimpleNamespace(
            uuid='m-' + filters['instance_uuid'], id=1, status='error', source_compute=HOST,
            dest_compute='node11', migration_type='live-migration', updated_at=NOW)]

    def look(self):
        """One round: which instances, and how often each was asked for."""
        self.asked = {}
        return [one.instance_uuid for one in self.moves.instances(HOST, lambda _uuid: True)], \
            self.asked

    def test_each_is_asked_for_once(self):
        self.assertEqual(([], {'InstanceList': 1, 'MigrationList': PAGE,
                               'InstanceActionList': PAGE}), self.look())
        self.assertEqual(([], {'InstanceList': 1, 'MigrationList': 20,
                               'InstanceActionList': 20}), self.look())
        self.assertEqual(([], {'InstanceList': 1}), self.look())

    def test_one_that_runs_by_now_is_found(self):
        self.look()
        self.states['i3'] = power_state.RUNNING
        self.assertEqual(['i3'], self.look()[0])
        # something else was asked for since, which changes nothing in its record
        self.last['action'] = 'detach_volume'
        self.assertEqual([], self.look()[0])

    def test_one_that_was_written_to_is_asked_for_again(self):
        self.last['action'] = 'reboot'
        self.states['i3'] = power_state.RUNNING
        for _ in range(2):
            self.assertEqual([], self.look()[0])
        self.last['action'] = instance_actions.LIVE_MIGRATION
        self.assertEqual(([], {'InstanceList': 1}), self.look())
        self.instances[3].updated_at += datetime.timedelta(seconds=1)
        found, asked = self.look()
        self.assertEqual((['i3'], 1), (found, asked['MigrationList']))

    def test_one_that_is_gone_is_forgotten(self):
        self.look()
        del self.instances[1:]
        self.look()
        self.assertEqual(1, len(self.moves._known))
