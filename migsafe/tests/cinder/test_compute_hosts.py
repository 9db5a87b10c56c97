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
"""Whether a host is fenced is held in Nova alone; Cinder's real client asks a made-up one."""

from cinder.compute import nova
from keystoneauth1 import loading
from requests_mock.contrib import fixture

from migsafe.cinder.bus import endpoint
from migsafe.cinder.facts import compute_hosts
from migsafe.tests.cinder import test_driver, world

NOVA = 'http://nova.example.org/v2.1'


class TestAsked(test_driver.Backends):

    def setUp(self):
        super().setUp()
        self.api = self.useFixture(fixture.Fixture())
        nova.CONF.register_opts(loading.get_auth_plugin_conf_options('admin_token'), group='nova')
        for name, value in {'auth_type': 'admin_token', 'endpoint': NOVA, 'token': 'x'}.items():
            self.override_config(name, value, group='nova')

    def nova_says(self, *services, status=200):
        self.asked = self.api.get(f'{NOVA}/os-services', status_code=status, json={
            'services': [{'id': 1, 'host': host, 'binary': 'nova-compute', 'forced_down': down}
                         for host, down in services]})

    def test_words(self):
        for services, expected in (((('node13', True),), True), ((('node13', False),), False),
                                   ((), None), ((('node130', True),), None),
                                   ((('node13', True), ('node13', False)), False)):
            self.nova_says(*services)
            self.assertIs(expected, compute_hosts.declared('node13'), services)
            asked = self.asked.last_request
            self.assertEqual('2.69', asked.headers['X-OpenStack-Nova-API-Version'])
            self.assertEqual(['node13'], asked.qs['host'])

    def test_a_cell_that_does_not_answer(self):
        """Then Nova has no more of its hosts than their names."""
        self.api.get(f'{NOVA}/os-services', json={'services': [
            {'host': 'node13', 'binary': 'nova-compute', 'status': 'UNKNOWN'}]})
        self.assertFalse(compute_hosts.still('node13'))
        error = self.assertRaises(compute_hosts.NovaSilent, compute_hosts.check, 'node13')
        self.assertIn('the cell of host node13 does not answer', str(error))

    def test_what_is_not_known_fences_nobody(self):
        self.nova_says(status=503)
        error = self.assertRaises(compute_hosts.NovaSilent, compute_hosts.check, 'node13')
        self.assertIn('[nova] of cinder.conf', str(error))
        self.override_config('auth_type', None, group='nova')
        error = self.assertRaises(compute_hosts.NovaSilent, compute_hosts.check, 'node13')
        self.assertIn('it is not set', str(error))


class TestMarks(world.World):
    """A mark on an export follows that word."""

    def fence(self):
        return endpoint.Endpoint(self.guard).export_fence(None, host='node13', user='alice')

    def test_only_where_nova_says_so(self):
        self.attach(self.reserve())
        self.declared = False
        error = self.assertRaises(compute_hosts.NotSaid, self.fence)
        self.assertIn('service set --down node13 nova-compute', str(error))
        self.assertEqual([''], [row.fenced for row in self.guard.ledger.exports() if row.peer])
        for self.declared in (True, None):
            self.assertEqual({'marked': 1}, self.fence())
