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
"""The inspector of NetApp ONTAP, with Cinder's driver and the guard, on an ONTAP on loopback."""

import base64
import contextlib
import datetime
import ipaddress
import json
import logging
import os
import threading
import time
import tracemalloc
import types
from unittest import mock

import fixtures
from cinder import exception as cinder_exception
from cinder.tests.unit import fake_constants
from cinder.volume import configuration, manager
from cinder.volume.drivers.netapp import options as na_opts
from cinder.volume.drivers.netapp.dataontap import fc_cmode, iscsi_cmode
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from migsafe import exceptions
from migsafe.brick.identity import designators
from migsafe.cinder.bus import endpoint
from migsafe.cinder.inspectors import netapp, ontap
from migsafe.tests.cinder import ontap_server, test_driver, world

#: Incident 000.
DATA_DISK, ROOT_DISK = ('3de94ee8-30b8-4faf-82eb-24e1df144337',
                        'e0c8da7e-baff-4530-a512-a67f71018e3f')
NODE11 = {'host': 'node11', 'initiator': 'iqn.1994-05.com.redhat:e08ae3b9ff2',
          'ip': '172.24.9.21', 'platform': 'x86_64', 'os_type': 'linux2', 'multipath': False}
NODE13 = {**NODE11, **world.NODE13}
DRIVER = 'cinder.volume.drivers.netapp.common.NetAppDriver'
POOL = 'node@array#vol_cinder_1'
RACK = 'volume-6a7f0a0e-5b0c-4f3e-9a53-1c7f1f6d0005'
MANY = 100_000


class Backend(world.World):
    """A real VolumeManager with Cinder's NetApp driver, in its own cinder.conf."""

    #: Of the backend's section, beside those that lead to the array.
    array_options: dict[str, str] = {}

    def boot(self):
        if getattr(self, 'array_ontap', None) is None:
            self.array_ontap = self.useFixture(ontap_server.Ontap())
            self.mirror = self.useFixture(ontap_server.Ontap())
            self.log = self.useFixture(fixtures.FakeLogger(level=logging.DEBUG))
            self.addCleanup(self.no_password)
            self.write_conf()
        self.service = manager.VolumeManager(host='node@array', service_name='array')
        self.service.driver.do_setup(self.admin)
        self.service.driver.set_initialized()
        self.service.stats = {'pools': {}, 'allocated_capacity_gb': 0}
        self.addCleanup(self.shut)
        if self.guarded:
            self.inspector = self.guard.inspector
        self.array_ontap.seen.clear()

    def write_conf(self):
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'cinder.conf')
        # NOTE: what is overridden counts before what is in the file.
        self.configure(DRIVER, volume_driver=test_driver.GUARD if self.guarded else DRIVER)
        for name in ('proxy', 'connection', 'transport', 'basicauth', 'cluster'):
            self.config.append_config_values(getattr(na_opts, f'netapp_{name}_opts'))
        common = {'volume_driver': test_driver.GUARD, 'migsafe_inspector': 'netapp'} \
            if self.guarded else {'volume_driver': DRIVER}
        # NOTE: until Cinder 28 the driver has no such option.
        if self.config.safe_get('netapp_allow_zapi_fallback') is not None:
            common['netapp_allow_zapi_fallback'] = False
        with open(path, 'w') as handle:
            for section, array in (('array', self.array_ontap), ('mirror', self.mirror)):
                handle.write(f'[{section}]\n' + ''.join(
                    f'{name} = {value}\n' for name, value in {
                        **common, **array.options(**self.array_options)}.items()))
        configuration.CONF([], project='cinder', default_config_files=[path])

    def make_volume(self, **values):
        return super().make_volume(**{'host': POOL, 'id': DATA_DISK, **values})

    def no_password(self):
        told = base64.b64encode(f'{ontap_server.LOGIN}:{ontap_server.PASSWORD}'.encode()).decode()
        self.assertNotIn(ontap_server.PASSWORD, self.log.output)
        self.assertNotIn(told, self.log.output)

    def asked(self):
        """What was asked since the last time; each request knew the password and the SVM."""
        seen = list(self.array_ontap.seen)
        self.array_ontap.seen.clear()
        for request in seen:
            self.assertTrue(request.headers['Authorization'].startswith('Basic '), request)
            self.assertEqual(ontap_server.SVM, request.headers['X-Dot-SVM-Name'], request)
        return seen


class TestInspector(Backend):
    """Its questions, and its answers to the guard."""

    def exports(self, **values):
        found = self.inspector.list_exports({'name': f'volume-{DATA_DISK}', 'host': POOL,
                                             **values})
        return {(mapping.host[:9], mapping.lun, *sorted(mapping.initiators)) for mapping in found}

    def test_it_is_the_real_driver(self):
        self.assertIsInstance(self.service.driver, iscsi_cmode.NetAppCmodeISCSIDriver)
        self.assertIsInstance(self.inspector, netapp.NetAppInspector)

    def test_incident_000_is_mapped_twice(self):
        """As LUN 4 and 3 to node11, where the guest does not run."""
        found = self.inspector.list_exports(self.volume)
        self.assertEqual({(NODE13['initiator'], '1'), (NODE11['initiator'], '4')},
                         {(*mapping.initiators, mapping.lun) for mapping in found})
        self.assertEqual({f'/vol/vol_cinder_1/volume-{DATA_DISK}'},
                         {mapping.volume for mapping in found})
        root = self.inspector.list_exports({'name': f'volume-{ROOT_DISK}', 'host': POOL})
        self.assertEqual({(NODE13['initiator'], '0'), (NODE11['initiator'], '3')},
                         {(*mapping.initiators, mapping.lun) for mapping in root})

    def test_what_it_asks(self):
        self.inspector.list_exports(self.volume)
        luns, maps = self.asked()
        self.assertEqual(('GET', 'storage/luns', f'/vol/vol_cinder_1/volume-{DATA_DISK}'),
                         (luns.method, luns.path, luns.query['name']))
        self.assertEqual(('GET', 'protocols/san/lun-maps'), (maps.method, maps.path))
        self.assertEqual('a60d9862-9bee-49a6-8162-20d2421bb1a6', maps.query['lun.uuid'])
        for request in (luns, maps):
            self.assertEqual(ontap_server.SVM, request.query['svm.name'])
        self.assertEqual('1000', maps.query['max_records'])

    def test_the_same_name_in_another_flexvol(self):
        """There is a leftover of the root disk; it is not the volume."""
        self.assertEqual({('openstack', '0', NODE13['initiator']),
                          ('openstack', '3', NODE11['initiator'])},
                         self.exports(name=f'volume-{ROOT_DISK}'))
        self.assertEqual({('decommiss', '7')}, self.exports(
            name=f'volume-{ROOT_DISK}', host='node@array#vol_cinder_2'))
        # Moved to the other pool, as far as Cinder knows; both LUNs are there.
        unclear = self.assertRaises(netapp.LunUnclear, self.exports, name=f'volume-{ROOT_DISK}',
                                    provider_location=f'{ontap_server.SVM}:/vol/vol_cinder_2/'
                                                      f'volume-{ROOT_DISK}')
        self.assertIn('vol_cinder_1', str(unclear))
        self.assertIn('vol_cinder_2', str(unclear))

    def test_a_volume_that_moved_to_another_pool(self):
        """Its provider_location is of before; there is one LUN."""
        location = f'{ontap_server.SVM}:/vol/vol_cinder_9/volume-{DATA_DISK}'
        self.assertEqual(2, len(self.exports(provider_location=location)))

    def test_where_the_driver_has_it(self):
        """A LUN that Cinder was given to manage can be in a qtree."""
        record = self.array_ontap.records['storage/luns'][0]
        record['name'] = f'/vol/vol_cinder_1/tree/volume-{DATA_DISK}'
        self.assertRaises(netapp.LunUnclear, self.exports)
        library = self.service.driver.library
        library._extract_and_populate_luns(library.zapi_client.get_lun_list())
        self.assertEqual(2, len(self.exports()))

    def test_a_lun_that_does_not_exist(self):
        """Nowhere in the SVM: then nothing is mapped."""
        self.asked()
        self.assertEqual(set(), self.exports(name='volume-gone'))
        paths = [request.query['name'] for request in self.asked()]
        self.assertEqual(['/vol/vol_cinder_1/volume-gone', '*volume-gone'], paths)
        self.assertEqual([], self.inspector.writers({'name': 'volume-gone', 'host': POOL}))
        self.assertEqual(frozenset(), self.inspector.identity(
            {'name': 'volume-gone', 'host': POOL}))

    def test_a_flexvol_that_was_renamed(self):
        """There is a LUN of that name, but it is not where it should be: nobody knows."""
        unclear = self.assertRaises(netapp.LunUnclear, self.exports,
                                    host='node@array#vol_old_name')
        self.assertIn('vol_old_name', str(unclear))
        self.assertIn(f'/vol/vol_cinder_1/volume-{DATA_DISK}', str(unclear))

    def test_names_that_are_no_names(self):
        self.asked()
        for values in ({'name': 'volume-*'}, {'name': 'a|b'}, {'name': 'x y'},
                       {'host': 'node@array#a|*'}, {'host': None}):
            self.assertRaises(netapp.LunUnclear, self.exports, **values)
        self.assertEqual([], self.asked())

    def test_nested_and_empty_groups(self):
        """And WWPNs as a connector has them."""
        self.assertEqual({
            ('rack1', '9', 'iqn.1994-05.com.redhat:18'), ('decommiss', '9'),
            ('node20-fc', '9', '50014380242b9751', '50014380242b9752')}, self.exports(name=RACK))

    def test_an_igroup_that_ontap_does_not_know(self):
        groups = self.array_ontap.records['protocols/san/igroups']
        groups[:] = [group for group in groups if group['name'] != 'rack1']
        self.assertRaises(ontap.NoAnswer, self.exports, name=RACK)

    def test_writers_are_mapped_and_logged_in(self):
        """node11 is logged in for its other LUNs: ONTAP cannot tell the difference."""
        self.assertEqual([frozenset((NODE13['initiator'],)), frozenset((NODE11['initiator'],))],
                         [writer.initiators for writer in self.inspector.writers(self.volume)])
        # Logged in, but not mapped: node99. Mapped, but not logged in: node11 from now on.
        sessions = self.array_ontap.records['protocols/san/iscsi/sessions']
        sessions[:] = [session for session in sessions
                       if session['initiator']['name'] != NODE11['initiator']]
        self.asked()
        writer, = self.inspector.writers(self.volume)
        self.assertEqual(frozenset((NODE13['initiator'],)), writer.initiators)
        self.assertNotIn('network/fc/logins', [request.path for request in self.asked()])

    def test_writers_over_fc(self):
        names = [writer.initiators for writer in self.inspector.writers(
            {'name': RACK, 'host': POOL})]
        self.assertEqual([frozenset(('50014380242b9751',))], names)
        self.assertEqual({'protocols/san/iscsi/sessions', 'network/fc/logins'},
                         {request.path for request in self.asked()} - {
                             'storage/luns', 'protocols/san/lun-maps', 'protocols/san/igroups'})

    def test_the_identity(self):
        """A serial number and the NAA that hosts see, as reported on community.netapp.com."""
        found = self.inspector.identity(self.volume)
        self.assertEqual(frozenset(('naa.600a0980524c4974612b44687143566b',)), found)
        self.assertEqual(found, designators.read(sorted(found)))
        for serial in (None, 7, '', 'short', 'x' * 13, 'caf\u00e9-serial', ['a']):
            self.array_ontap.records['storage/luns'][0]['serial_number'] = serial
            self.assertEqual(frozenset(), self.inspector.identity(self.volume), serial)

    def test_a_second_svm_is_not_asked(self):
        """SnapMirror active sync maps there as well: what this SVM says is half the truth."""
        with mock.patch.object(self.service.driver.library, 'dest_zapi_client', object()):
            self.assertIsNone(self.inspector.list_exports(self.volume))
            self.assertIsNone(self.inspector.writers(self.volume))
            self.assertIsNone(self.inspector.list_all())

    def test_after_a_failover(self):
        """The driver works with the array of another section then."""
        self.asked()
        self.mirror.records['protocols/san/lun-maps'].clear()
        with mock.patch.object(self.service.driver.library, 'failed_over_backend_name', 'mirror'):
            self.assertEqual([], self.inspector.list_exports(self.volume))
        self.assertEqual([], self.asked())
        self.assertEqual(2, len(self.mirror.seen))

    def test_asa_r2_has_no_flexvols(self):
        """As far as Cinder's driver tells: the name of the volume with underscores is the path."""
        if self.config.safe_get('netapp_disaggregated_platform') is None:
            self.skipTest('this Cinder knows no ASA r2')
        record = self.array_ontap.records['storage/luns'][0]
        record['name'] = f'volume_{DATA_DISK}'.replace('-', '_')
        self.override_config('netapp_disaggregated_platform', True, group='array')
        self.assertEqual(2, len(self.exports(host='node@array#cluster1')))
        self.assertEqual(set(), self.exports(name='volume-gone', host='node@array#cluster1'))


class TestPages(Backend):
    """More mappings than a page holds."""

    def many(self, number):
        """As if the array had so many, made when they are asked for."""
        class Maps:
            def __len__(self):
                return number

            def __getitem__(self, part):
                return [_map(place) for place in range(*part.indices(number))]
        self.array_ontap.records['protocols/san/lun-maps'] = Maps()

    def test_all_of_them(self):
        expected = len(self.array_ontap.records['protocols/san/lun-maps'])
        with mock.patch.object(ontap, 'PAGE', 3):
            found = list(self.inspector.list_all())
            self.assertEqual(2, len(self.inspector.list_exports(self.volume)))
        self.assertEqual(expected, len(found))
        self.assertEqual(4, sum(request.path == 'protocols/san/lun-maps' and
                                'lun.uuid' not in request.query for request in self.asked()))

    def test_a_page_that_fails_is_no_end(self):
        maps = self.array_ontap.records['protocols/san/lun-maps']
        maps[:] = maps[:2]
        collection = self.array_ontap._collection

        def second_fails(request):
            return ontap_server.Reply(503, 'text/html', ontap_server.read('error_503.html')) \
                if 'start' in request.query else collection(request)
        self.array_ontap.replies['protocols/san/lun-maps'] = second_fails
        with mock.patch.object(ontap, 'PAGE', 1):
            self.assertRaises(ontap.NoAnswer, self.inspector.list_exports, self.volume)
            self.assertRaises(ontap.NoAnswer, list, self.inspector.list_all())
        # The control: the first page alone is a good one.
        self.assertEqual(2, len(self.inspector.list_exports(self.volume)))

    def test_pages_without_an_end(self):
        def more(request):
            number = int(request.query.get('start', '0'))
            return ontap_server.page(_links={'next': {
                'href': f'/api/protocols/san/lun-maps?start={number + 1}'}})
        self.array_ontap.replies['protocols/san/lun-maps'] = more
        with mock.patch.object(ontap, 'PAGES', 7):
            refused = self.assertRaises(ontap.NoAnswer, self.inspector.list_exports, self.volume)
        self.assertIn('more than 7 pages', str(refused))

    def test_links_that_lead_elsewhere(self):
        for following in ('x', {}, {'href': 7}, {'href': 'https://203.0.113.9/api/storage/luns?'},
                          {'href': '/api/storage/luns?a=b'}, ['x']):
            self.array_ontap.replies['protocols/san/lun-maps'] = ontap_server.page(
                _links={'next': following})
            self.assertRaises(ontap.NoAnswer, self.inspector.list_exports, self.volume)
        self.array_ontap.replies['protocols/san/lun-maps'] = lambda request: ontap_server.page(
            _links={'next': {'href': '/api/protocols/san/lun-maps?start.x=1'}})
        refused = self.assertRaises(ontap.NoAnswer, self.inspector.list_exports, self.volume)
        self.assertIn('next page', str(refused))

    def test_100_000_mappings_in_bounded_memory(self):
        """The server is in this process too, and makes a page at a time."""
        self.many(MANY)
        self.inspector.list_all()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        count = sum(1 for _mapping in self.inspector.list_all())
        _, peak = tracemalloc.get_traced_memory()
        self.assertEqual(MANY, count)
        self.assertEqual(MANY // ontap.PAGE, len(self.asked()))
        self.assertLess(peak - before, 16 * 2 ** 20)
        # The control: a fifth of them in memory at once is more than that.
        tracemalloc.reset_peak()
        self.many(MANY // 5)
        with mock.patch.object(ontap, 'PAGE', MANY):
            self.assertEqual(MANY // 5, len(list(self.inspector.list_all())))
        _, peak = tracemalloc.get_traced_memory()
        self.assertGreater(peak - before, 16 * 2 ** 20)


def _map(number):
    lun = f'{number:032x}'
    return {'svm': {'name': ontap_server.SVM}, 'logical_unit_number': number % 4096,
            'lun': {'name': f'/vol/vol_cinder_1/volume-{lun}', 'uuid': lun},
            'igroup': {'name': 'openstack-x', 'uuid': 'u', 'initiators': [f'iqn.x:{number}']}}


class TestBadAnswers(Backend):
    """What is no answer is an error, and never "nothing is mapped"."""

    REPLIES = {
        '401': ontap_server.Reply(401, ontap_server.JSON, ontap_server.read('error_401.json')),
        '403': ontap_server.Reply(403, ontap_server.JSON, ontap_server.read('error_403.json')),
        '503 with a page': ontap_server.Reply(
            503, 'text/html', ontap_server.read('error_503.html')
        ),
        '503 without records': ontap_server.Reply(503, ontap_server.JSON, '{}'),
        '500 with records': ontap_server.Reply(
            500, ontap_server.JSON, '{"records": [], "num_records": 0}'
        ),
        '202': ontap_server.Reply(202, ontap_server.JSON, '{"records": [], "num_records": 0}'),
        'a redirect': ontap_server.Reply(
            302, ontap_server.JSON, '{"records": [], "num_records": 0}'
        ),
        'a page': ontap_server.Reply(200, 'text/html', ontap_server.read('error_503.html')),
        'an empty body': ontap_server.Reply(),
        'truncated': ontap_server.Reply(body='{"records": [{"svm": {"na'),
        'not UTF-8': ontap_server.Reply(
            body=b'{"records": [], "num_records": 0, "x": "\xff\xfe"}'
        ),
        'cut off': lambda request: None,
        **{
            f'body {body}': ontap_server.Reply(body=body)
            for body in (
                '[]',
                '7',
                'null',
                '"x"',
                '{}',
                '{"records": []}',
                '{"num_records": 0}',
                '{"records": null, "num_records": 0}',
                '{"records": {}, "num_records": 0}',
                '{"records": [], "num_records": 1}',
                '{"records": [], "num_records": "0"}',
                '{"records": [], "num_records": false}',
                '{"records": [7], "num_records": 1}',
                '{"records": [], "num_records": 0,'
                ' "error": {"message": "node down", "code": "4"}}',
                '{"records": [], "num_records": 0, "error": "x"}',
                '{"records": [], "num_records": 0, "_links": []}',
                '{"records": [{"name": "x", "svm": {"name": "svm_of_others"}}], "num_records": 1}',
                '{"records": [{"name": "x", "svm": []}], "num_records": 1}',
            )
        },
    }
    #: collection -> fields of its records, and values that they cannot have
    FIELDS = {
        'storage/luns': (('name', (None, 7, [], {})), ('uuid', (None, 7, ['a']))),
        'protocols/san/lun-maps': (
            ('lun.name', (None, 7)), ('lun.uuid', (None, 7, 'another')), ('lun', (None, 'x', [])),
            ('igroup', (None, 'x', [])), ('igroup.name', (None, {})), ('igroup.uuid', (None, 7)),
            ('igroup.initiators', ('iqn.x', {'a': 1}, [7], [None], ['a b'], ['x' * 300])),
            ('logical_unit_number', (None, -1, 1.5, True, 'x', 10 ** 9, [], '\u0663'))),
        'protocols/san/igroups': (
            ('uuid', (None, 'another')), ('initiators', ('x', {'name': 'x'}, ['x'], [{}], [7]))),
        'protocols/san/iscsi/sessions': (('initiator', (None, 'x')), (
            'initiator.name', (None, 7, [], 'a b'))),
        'network/fc/logins': (('initiator.wwpn', (None, 7, '\u00e9')),),
    }

    def ask(self):
        """Everything, about a volume for which everything has to be asked."""
        subject = {'name': RACK, 'host': POOL}
        return self.inspector.list_exports(subject), self.inspector.writers(subject)

    def test_replies(self):
        for path in ('storage/luns', 'protocols/san/lun-maps', 'protocols/san/igroups',
                     'protocols/san/iscsi/sessions', 'network/fc/logins'):
            for name, reply in self.REPLIES.items():
                self.array_ontap.replies = {path: reply}
                refused = self.assertRaises(ontap.NoAnswer, self.ask)
                self.assertIn('127.0.0.1', str(refused), name)
                self.assertIn(path, str(refused), name)
                self.assertIn(ontap_server.SVM, str(refused), name)
        self.array_ontap.replies = {}
        self.assertEqual(3, len(self.ask()[0]))

    def test_what_the_error_says(self):
        for name, words in (('401', 'User is not authorized'), ('503 with a page', 'status 503'),
                            ('a redirect', 'status 302'), ('403', 'not authorized for')):
            self.array_ontap.replies = {'storage/luns': self.REPLIES[name]}
            self.assertIn(words, str(self.assertRaises(ontap.NoAnswer, self.ask)))

    def test_a_redirect_is_not_followed(self):
        self.asked()
        self.array_ontap.replies = {
            'storage/luns': self.REPLIES['a redirect'],
            'elsewhere': ontap_server.Reply(body='{"records": [], "num_records": 0}')}
        self.assertRaises(ontap.NoAnswer, self.ask)
        self.assertEqual(['storage/luns'], [request.path for request in self.asked()])

    def test_fields(self):
        for path, fields in self.FIELDS.items():
            for field, values in fields:
                for value in values:
                    records = json.loads(
                        ontap_server.read(f'{ontap_server.COLLECTIONS[path]}.json')
                    )
                    for record in records['records']:
                        _put(record, field.split('.'), value)
                    self.array_ontap.replies = {path: ontap_server.page(*records['records'])}
                    self.assertRaises((ontap.NoAnswer, netapp.LunUnclear), self.ask)

    def test_server_down(self):
        self.array_ontap.stop()
        begun = time.monotonic()
        refused = self.assertRaises(ontap.NoAnswer, self.ask)
        self.assertIn('netapp_', str(refused))
        self.assertLess(time.monotonic() - begun, 10)

    def test_server_that_does_not_answer(self):
        ended = threading.Event()
        self.addCleanup(ended.set)
        self.array_ontap.replies = {'storage/luns': lambda request: ended.wait(60) and None}
        with mock.patch.object(ontap, 'TIMEOUT', 1):
            begun = time.monotonic()
            self.assertRaises(ontap.NoAnswer, self.ask)
            self.assertLess(time.monotonic() - begun, 30)

    def test_a_server_that_sends_a_byte_at_a_time(self):
        """No piece of the answer is late, and the answer never ends."""
        ended, sent = threading.Event(), []
        self.addCleanup(ended.set)

        def drip(handler):
            with contextlib.suppress(ConnectionError):
                while not ended.wait(0.05):
                    handler.wfile.write(b' ')
                    sent.append(1)
        self.array_ontap.replies = {'storage/luns': ontap_server.Reply(
            200, 'application/hal+json', drip)}
        with mock.patch.object(ontap, 'TIMEOUT', 1):
            error = self.assertRaises(ontap.NoAnswer, self.ask)
        self.assertIn('no whole answer came within 3 s', str(error))
        self.assertGreater(len(sent), 1)

    def test_an_answer_that_is_too_long(self):
        with mock.patch.object(ontap, 'BODY', 100):
            error = self.assertRaises(ontap.NoAnswer, self.ask)
        self.assertIn('longer than 100 bytes', str(error))

    def test_more_records_than_were_asked_for(self):
        self.array_ontap.replies = {'protocols/san/lun-maps': ontap_server.page(
            *self.array_ontap.records['protocols/san/lun-maps'])}
        with mock.patch.object(ontap, 'PAGE', 1):
            error = self.assertRaises(ontap.NoAnswer, lambda: list(self.inspector.list_all()))
        self.assertIn('came in a page of 1', str(error))

    def test_not_too_many_requests_are_open(self):
        with mock.patch.object(ontap, '_LANES', threading.BoundedSemaphore(1)) as lanes, \
                mock.patch.object(ontap, 'TIMEOUT', 0.1):
            lanes.acquire()
            self.assertRaises(ontap.NoAnswer, self.ask)
            lanes.release()
            with mock.patch.object(ontap, 'TIMEOUT', 20):
                self.ask()
                self.ask()

    def test_a_wrong_password(self):
        self.override_config('netapp_password', 'wrong-pa55', group='array')
        refused = self.assertRaises(ontap.NoAnswer, self.ask)
        self.assertIn('User is not authorized', str(refused))
        self.assertNotIn('wrong-pa55', str(refused) + self.log.output)

    def test_no_array_no_export(self):
        """The guard maps nothing while it cannot know, and says what it could not find out."""
        before = self.array_ontap.maps()
        self.array_ontap.replies = {'protocols/san/lun-maps': self.REPLIES['503 with a page']}
        refused = self.assertRaises(cinder_exception.VolumeBackendAPIException, self.attach,
                                    self.reserve(), NODE13)
        for word in (DATA_DISK, 'status 503', 'lun-maps'):
            self.assertIn(word, str(refused))
        self.assertEqual(before, self.array_ontap.maps())


def _put(record, keys, value):
    for key in keys[:-1]:
        record = record[key]
    if value is None:
        record.pop(keys[-1], None)
    else:
        record[keys[-1]] = value


class TestTheGuard(Backend):
    """What becomes of incident 000 with it: every call goes through the driver to the array."""

    def setUp(self):
        super().setUp()
        # Begin with nothing mapped for this volume.
        self.maps = self.array_ontap.records['protocols/san/lun-maps']
        self.leaked = [entry for entry in self.maps if DATA_DISK in entry['lun']['name']]
        self.maps[:] = [entry for entry in self.maps if entry not in self.leaked]

    def mapped(self):
        return {name for lun, name, _number in self.array_ontap.maps() if DATA_DISK in lun}

    def test_attach_and_detach(self):
        attachment = self.reserve()
        info = self.attach(attachment, NODE13)
        self.assertEqual({NODE13['initiator']}, self.mapped())
        self.assertEqual('iqn.1992-08.com.netapp:sn.5a7alde1aeb11e79f8600a098ac0ce9:vs.11',
                         info['target_iqn'])
        self.assertEqual(['naa.600a0980524c4974612b44687143566b'], info['migsafe_identity'])
        self.detach(attachment)
        self.assertEqual(set(), self.mapped())

    def test_a_live_migration(self):
        source = self.reserve()
        self.attach(source, NODE13)
        self.attach(self.reserve(), NODE11)
        self.detach(source)
        self.assertEqual({NODE11['initiator']}, self.mapped())

    def test_incident_000_a_second_writer_is_refused(self):
        """The volume is still mapped to node11, which nothing in Cinder knows."""
        self.maps += [entry for entry in self.leaked
                      if NODE11['initiator'] in entry['igroup']['initiators']]
        refused = self.assertRaises(cinder_exception.VolumeBackendAPIException, self.attach,
                                    self.reserve(), NODE13)
        for word in ('node13', NODE11['initiator'], 'the array maps it'):
            self.assertIn(word, str(refused))
        self.assertEqual({NODE11['initiator']}, self.mapped())
        found = endpoint.Endpoint(self.guard).export_verify(None, DATA_DISK)
        self.assertTrue(found['array'])
        self.assertIn(NODE11['initiator'], ' '.join(found['differences']))

    def test_an_unmap_that_did_nothing(self):
        """The driver finds no igroup, takes the LUN for unmapped and reports success."""
        attachment = self.reserve()
        self.attach(attachment, NODE11)
        self.forget(attachment)
        sessions = self.array_ontap.records['protocols/san/iscsi/sessions']
        sessions[:] = [session for session in sessions
                       if session['initiator']['name'] != NODE11['initiator']]
        collection = self.array_ontap._collection
        self.array_ontap.replies['protocols/san/igroups'] = lambda request: (
            ontap_server.page() if 'initiators.name' in request.query else collection(request))
        self.recover()
        row = self.guard.ledger.of(endpoint.Thing('volume', DATA_DISK))[1]
        self.assertEqual('unmapping', row.state)
        self.assertIn('the driver reports no error, but the array still has', row.error)
        self.array_ontap.replies.clear()
        self.recover()
        self.assertEqual(set(), self.mapped())
        self.assertEqual('gone', self.guard.ledger.of(endpoint.Thing(
            'volume', DATA_DISK))[1].state)

    def test_an_export_in_use_stays(self):
        """Its attachment was reset, and its host is logged in."""
        attachment = self.reserve()
        self.attach(attachment, NODE13)
        self.forget(attachment)
        self.recover()
        self.assertEqual({NODE13['initiator']}, self.mapped())
        refused = self.assertRaises(cinder_exception.VolumeBackendAPIException, self.attach,
                                    self.reserve(fake_constants.UUID2), NODE11)
        self.assertIn('logged in', str(refused))


    def test_an_evacuation_of_a_fenced_host(self):
        """Its session lingers, and the array does not unmap."""
        old = self.reserve()
        self.attach(old, NODE13)
        answer = self.array_ontap.answer

        def no_delete(request, body):
            if request.method == 'DELETE':
                self.array_ontap.seen.append(request)
                return ontap_server.Reply(503, 'text/html', ontap_server.read('error_503.html'))
            return answer(request, body)
        self.array_ontap.answer = no_delete
        self.assertRaises(cinder_exception.VolumeBackendAPIException, self.detach, old)
        self.assertEqual({'marked': 1}, endpoint.Endpoint(self.guard).export_fence(
            None, 'node13', 'alice'))
        self.detach(old)
        self.attach(self.reserve(), NODE11)
        self.assertEqual(2, sum(request.method == 'DELETE' for request in self.asked()))
        self.assertEqual({NODE13['initiator'], NODE11['initiator']}, self.mapped())
        self.array_ontap.answer = answer
        self.recover()
        self.assertEqual({NODE11['initiator']}, self.mapped())


class TestOtherDrivers(test_driver.Backends):
    """It is for NetApp's drivers of block devices."""

    def test_another_driver(self):
        made = self.manager(test_driver.FAKE, migsafe_inspector='netapp').driver
        refused = self.assertRaises(exceptions.ConfigError, lambda: made.migsafe_guard.inspector)
        self.assertIn('[array] migsafe_inspector', str(refused))
        self.assertIn('FakeLoggingVolumeDriver', str(refused))

    def test_fc_is_one_of_them(self):
        library = netapp.block_cmode.NetAppBlockStorageCmodeLibrary.__new__(
            netapp.block_cmode.NetAppBlockStorageCmodeLibrary)
        fc = fc_cmode.NetAppCmodeFibreChannelDriver.__new__(
            fc_cmode.NetAppCmodeFibreChannelDriver)
        fc.library = library
        self.assertIs(library, netapp.NetAppInspector(fc)._library)


class TestTls(test_driver.Backends):
    """https is the default of netapp_transport_type."""

    def setUp(self):
        super().setUp()
        # NOTE: with them requests does not look at the session's own setting.
        for name in ('REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE'):
            self.useFixture(fixtures.EnvironmentVariable(name))
        directory = self.useFixture(fixtures.TempDir()).path
        self.certificate = os.path.join(directory, 'array.pem')
        with open(self.certificate, 'wb') as handle:
            handle.write(_certificate())
        self.array_ontap = self.useFixture(ontap_server.Ontap(self.certificate))

    def ask(self, **options):
        given = {**self.array_ontap.options(netapp_transport_type='https'), **options}
        config = types.SimpleNamespace(safe_get=given.get, **given)
        return list(ontap.Ontap(config).records('storage/luns', fields='name'))

    def test_a_certificate_that_is_trusted(self):
        self.assertEqual(6, len(self.ask(netapp_ssl_cert_path=self.certificate)))

    def test_one_that_is_not(self):
        refused = self.assertRaises(ontap.NoAnswer, self.ask)
        self.assertIn('TLS', str(refused).replace('SSL', 'TLS'))
        self.assertEqual([], self.array_ontap.seen)


def _certificate():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, '127.0.0.1')])
    now = datetime.datetime.now(datetime.UTC)
    day, address = datetime.timedelta(days=1), ipaddress.ip_address('127.0.0.1')
    made = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - day, now + day).add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(address)]), critical=False).add_extension(
                x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
                    key, hashes.SHA256())
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption()) + made.public_bytes(serialization.Encoding.PEM)
