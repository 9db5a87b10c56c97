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
"""migsafe evacuate on Nova's own API, its conductor and nova-compute."""

from __future__ import annotations

import datetime
import time
import types
import urllib.parse
from unittest import mock

import fixtures
from oslo_serialization import jsonutils

from migsafe.cli import cloud_evacuation, evacuating
from migsafe.fencing import turns
from migsafe.fencing.verdict import HostVerdict
from migsafe.preflight.facts import Server
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE, THIRD
from migsafe.tests.functional.test_scenarios_outlived import EvacuationTest


class Adapter:
    """What keystoneauth does, without Keystone."""

    def __init__(self, lab):
        self._lab, self._api = lab, lab.stack.admin_api

    def get(self, path, params, microversion, raise_exc):
        return self.request(f'{path}?{urllib.parse.urlencode(params)}', 'GET', None,
                            microversion, raise_exc)

    def request(self, path, method, json, microversion, raise_exc):
        with mock.patch.object(self._api, 'microversion', microversion):
            return self._api.api_request(
                path, method=method, headers={'Content-Type': 'application/json'},
                body=jsonutils.dumps(json) if json else None)


class TestEvacuate(EvacuationTest):

    def setUp(self):
        super().setUp()
        self.api = cloud_evacuation.Evacuations()
        self.api._made = Adapter(self.lab)

    def run_it(self, server, explain=None):
        """The verdict is that of the command; the destination looks for itself.

        :param explain: None takes each host for dead
        """
        explain = explain or (lambda *_: types.SimpleNamespace(verdict=HostVerdict.DEAD))
        run = evacuating.Run(self.api, explain, DESTINATION, 9, 600)
        passing = types.SimpleNamespace(sleep=lambda _: self.lab.wait(), monotonic=time.monotonic)
        with mock.patch.object(evacuating, 'time', passing), turns.Turns(
                '', self.useFixture(fixtures.TempDir()).path) as held:
            run.go([Server(server.uuid, 'vm', 'ACTIVE', '', SOURCE)], held)
        return run.results[server.uuid]

    def test_dead_host(self):
        server = self.guest()
        self.power_off(SOURCE)
        self.addCleanup(self.force_up, SOURCE)
        self.api.force_down(SOURCE)
        self.heard(SOURCE, datetime.timedelta(days=8))
        self.assertEqual([server.uuid], [one.uuid for one in self.api.of_host(SOURCE)])
        self.assertEqual(('evacuated', f'to {DESTINATION}: ACTIVE'), self.run_it(server))
        self.assertEqual([DESTINATION], self.lab.observer(server).running_on())
        self.assertEqual([], self.api.of_host(SOURCE))

    def judge(self, host, instance_uuid):
        """As another host sees it: Nova's records, and the answers of the plugins."""
        with self.lab.world.looking():
            return self.participant(THIRD).clients.hosts.judge(host, instance_uuid)

    def test_with_the_verdict_of_the_hosts_themselves(self):
        """A host that lives, one that is silent, and one that somebody has fenced as well."""
        server = self.guest()
        self.assertEqual('refused', self.run_it(server, self.judge)[0])
        self.power_off(SOURCE)
        self.heard(SOURCE, datetime.timedelta(days=8))
        result, detail = self.run_it(server, self.judge)
        self.assertEqual('refused', result)
        for word in ('UNKNOWN', 'rpc: silent'):
            self.assertIn(word, detail)
        self.assertEqual([], self.lab.observer(server).running_on())
        self.addCleanup(self.force_up, SOURCE)
        self.api.force_down(SOURCE)
        self.assertEqual('word', self.judge(SOURCE, server.uuid).row.name)
        self.assertEqual('evacuated', self.run_it(server, self.judge)[0])
        self.assertEqual([DESTINATION], self.lab.observer(server).running_on())

    def test_host_that_lives_is_kept_by_the_destination(self):
        server = self.guest()
        self.force_down(SOURCE)
        result, detail = self.run_it(server)
        self.assertEqual('failed', result)
        self.assertIn('openstack server event list', detail)
        self.assertEqual([SOURCE], self.lab.observer(server).running_on())

    def test_nova_refuses_a_host_that_is_up(self):
        server = self.guest()
        result, detail = self.run_it(server)
        self.assertEqual('refused', result)
        self.assertIn('(400)', detail)
