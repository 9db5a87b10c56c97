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
"""Calls of Nova's whose failure it swallows, and what counts as their success."""

import unittest
from types import SimpleNamespace
from unittest import mock

import wrapt
from keystoneauth1 import exceptions as ks_exc
from neutronclient.common import exceptions as neutron_exc
from nova.network import neutron
from nova.scheduler.client import report

from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.seams import effects

SRC, DST, PORT = 'node13', 'node11', 'port'


def unavailable(code):
    return neutron_exc.NeutronClientException(status_code=code)


class ObservedTest(unittest.TestCase):

    def failures(self, name, call, *args, **kwargs):
        """What is remembered of a call, whether it raises or not."""
        if isinstance(call, wrapt.BoundFunctionWrapper):
            call = call.__wrapped__  # another test has armed this process
        attempt = host_attempt.Attempt('m', 'i', mock.Mock())
        with host_attempt.working(attempt):
            try:
                wrapt.FunctionWrapper(call, effects.observed(name))(*args, **kwargs)
            except Exception as error:
                self.raised = error
        return attempt.failures


class TestResults(ObservedTest):

    def test_nothing_but_the_success(self):
        for name, success in effects.SUCCESS.items():
            for result in (None, True, False, {}, 0, 1, ''):
                self.assertEqual([] if result is success else [name],
                                 self.failures(name, lambda found=result: found), (name, result))

    def test_an_error(self):
        for name in effects.SUCCESS:
            self.assertEqual([name], self.failures(name, mock.Mock(side_effect=OSError)))


class TestPlacement(ObservedTest):
    """Nova's client, which returns None for what it cannot reach."""

    def delete(self, get, put=None):
        client = report.SchedulerReportClient.__new__(report.SchedulerReportClient)
        with mock.patch.object(client, 'get', side_effect=[get], create=True), \
                mock.patch.object(client, 'put', side_effect=[put], create=True), \
                mock.patch.object(client, '_create_client', create=True):
            return self.failures(
                'delete_allocation_for_instance', client.delete_allocation_for_instance,
                SimpleNamespace(global_id='g'), 'm', consumer_type='migration', force=False)

    def answer(self, code, allocations=()):
        made = mock.MagicMock(status_code=code)
        made.__bool__.return_value = code < 400
        made.json.return_value = {'allocations': dict(allocations)}
        return made

    def test_kinds(self):
        held, name = {'provider': {}}, ['delete_allocation_for_instance']
        for get, put, expected in (
                (self.answer(200, held), self.answer(204), []),
                (self.answer(200), None, name),
                (self.answer(503), None, name),
                (self.answer(200, held), self.answer(409), name),
                (ks_exc.ConnectFailure(), None, name),
                (ks_exc.Unauthorized(), None, name),
                (ks_exc.EndpointNotFound(), None, name),
                (ks_exc.DiscoveryFailure(), None, name),
                (ks_exc.MissingAuthPlugin(), None, name)):
            self.assertEqual(expected, self.delete(get, put), (get, put))


class TestBindings(ObservedTest):
    """Nova's API, with answers of Neutron that say that there is nothing, or say nothing."""

    def setUp(self):
        self.api, self.client = neutron.API(), mock.Mock()
        self.client.list_extensions.return_value = {'extensions': []}
        for patch in (mock.patch.object(neutron, 'get_client', return_value=self.client),
                      mock.patch.object(self.api, 'has_port_binding_extension',
                                        return_value=True)):
            patch.start()
            self.addCleanup(patch.stop)
        self.instance = SimpleNamespace(
            uuid='i', project_id='p', availability_zone='z',
            get_network_info=lambda: [{'id': PORT}])
        self.migration = SimpleNamespace(source_compute=SRC, dest_compute=DST,
                                         is_live_migration=True)

    def start(self, answer):
        self.client.show_port_binding.side_effect = [answer]
        return self.failures('migrate_instance_start', self.api.migrate_instance_start, None,
                             self.instance, self.migration)

    def test_activated(self):
        self.assertEqual([], self.start({'binding': {'status': 'INACTIVE'}}))
        self.client.activate_port_binding.assert_called_once_with(PORT, DST)

    def test_an_answer_that_says_nothing_is_a_failure(self):
        for answer in (None, {}, {'binding': None}, {'binding': {}}, ks_exc.ConnectFailure()):
            self.assertEqual(['migrate_instance_start'], self.start(answer), answer)
        self.client.activate_port_binding.assert_not_called()

    def test_what_is_passed_over_is_bound_at_the_end_or_raises(self):
        """Nova takes neither answer for a failure, and leaves the port to the destination."""
        for code in (404, 500, 503):
            self.assertEqual([], self.start(unavailable(code)), code)
            self.client.activate_port_binding.assert_not_called()
            self.client.list_ports.return_value = {
                'ports': [{'id': PORT, 'binding:host_id': SRC, 'binding:vif_type': 'ovs'}]}
            self.client.update_port.side_effect = [None]
            self.finish()
            (port, body), _given = self.client.update_port.call_args
            self.assertEqual((PORT, DST), (port, body['port']['binding:host_id']))
            self.client.update_port.side_effect = unavailable(code)
            self.assertRaises(neutron_exc.NeutronClientException, self.finish)

    def finish(self):
        self.api.migrate_instance_finish(None, self.instance, self.migration,
                                         provider_mappings=None)


if __name__ == '__main__':
    unittest.main()
