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
import types
from unittest import mock

import fixtures
from oslotest import base

from migsafe import exceptions
from migsafe.cli import bus, config, export_backend, storage, storage_plugins
from migsafe.fencing.probes.base import Site
from migsafe.fencing.signs import Sign


class Service:
    """A guarded cinder-volume that takes away what it is told to.

    :param open_: volume -> what the array accepts of it
    """

    def __init__(self, name, open_, **more):
        self.open, self.cuts, self.stuck, self.addresses = dict(open_), [], False, []
        self.more = {'backend': name, 'maps': True, 'volumes': list(open_), 'active': [],
                     'elsewhere': [], **more}

    def call(self, method, *, since, host, **arguments):
        assert (since, host, arguments.pop('addresses')) == ('1.5', 'cn3', self.addresses)
        if method == 'export_open':
            return {**self.more, 'open': [text for text in self.open.values() if text]}
        assert method == 'export_cut' and arguments['user']
        self.cuts.append(arguments['volumes'])
        if not self.stuck:
            self.open |= dict.fromkeys(arguments['volumes'], '')
        return {'open': []}


class TestStorage(base.BaseTestCase):

    def setUp(self):
        super().setUp()
        self.conf = types.SimpleNamespace(
            state_path=self.useFixture(fixtures.TempDir()).path, fence_limit=2,
            cinder_conf='/etc/cinder/cinder.conf', storage_backends=['n@a', 'n@b', 'n@a'])
        self.services = {'n@a': Service('n@a', {'v1': 'v1 is mapped', 'v2': 'v2 is mapped'}),
                         'n@b': Service('n@b', {})}
        self.patch(config, 'load', lambda files: files)
        self.patch(export_backend, 'Backend', lambda files, name: self.services[name])

    def patch(self, where, name, value):
        patch = mock.patch.object(where, name, value)
        patch.start()
        self.addCleanup(patch.stop)

    def fence(self):
        return storage_plugins.StorageFence(self.conf, 'storage').fence('cn3')

    def look(self):
        found, = self.probe().look('cn3', '')
        return found

    def probe(self):
        return storage_plugins.StorageProbe(Site(self.conf, None, None), 'storage')

    def test_each_volume_by_itself(self):
        self.assertEqual('n@a accepts nothing of its 2 volume(s)', self.fence())
        self.assertEqual([['v1'], ['v2']], self.services['n@a'].cuts)
        self.assertEqual([], self.services['n@b'].cuts)
        # again, nothing is told
        self.fence()
        self.assertEqual(2, len(self.services['n@a'].cuts))

    def test_all_at_once_where_nothing_is_mapped(self):
        self.services['n@b'] = Service('n@b', {'v3': 'x', 'v4': ''}, maps=False)
        self.assertEqual('n@a accepts nothing of its 2 volume(s); n@b accepts nothing of its 2 '
                         'volume(s)', self.fence())
        self.assertEqual([['v3', 'v4']], self.services['n@b'].cuts)

    def test_disks_that_are_no_volumes(self):
        made = storage_plugins.StorageFence(self.conf, 'storage')
        made.with_other_disks = {'cn3': ['uuid1', 'uuid2']}.get
        error = self.assertRaises(storage_plugins.OtherDisks, made.fence, 'cn3')
        self.assertIn('2 of its servers have disks that are no volumes of Cinder (uuid1, uuid2)',
                      str(error))
        self.assertEqual([], self.services['n@a'].cuts)
        self.fence()
        probe = storage_plugins.StorageProbe(
            Site(self.conf, None, None, made.with_other_disks), 'storage')
        for asked, sign in (('', Sign.NOTHING), ('uuid1', Sign.NOTHING), ('uuid3', Sign.CUT)):
            self.assertEqual([sign], [one.sign for one in probe.look('cn3', asked)])

    def test_a_storage_that_has_never_said_that_it_accepts_anything(self):
        self.services['n@a'].open = {'v1': '', 'v2': ''}
        error = self.assertRaises(storage_plugins.NeverSeenOpen, self.fence)
        self.assertIn('service set --down cn3 nova-compute', str(error))
        self.assertEqual([], self.services['n@a'].cuts)

    def test_not_done(self):
        self.services['n@a'].stuck = True
        error = self.assertRaises(storage.StillOpen, self.fence)
        self.assertIn('still accepts v1 is mapped; v2 is mapped', str(error))

    def test_somebody_else_may_have_them_open(self):
        """Nothing is taken away anywhere."""
        self.services['n@b'] = Service('n@b', {'v3': 'x'}, others=['the client at 10.0.0.9'])
        error = self.assertRaises(storage.NotItsOwn, self.fence)
        for word in ('the client at 10.0.0.9 in n@b', '--client-address ADDRESS'):
            self.assertIn(word, str(error))
        self.assertEqual([[], []], [one.cuts for one in self.services.values()])

    def test_addresses_that_an_operator_gives(self):
        made = storage_plugins.StorageFence(self.conf, 'storage')
        made.addresses = ('10.0.0.9',)
        for one in self.services.values():
            one.addresses = ['10.0.0.9']
        made.fence('cn3')
        self.assertEqual([['v1'], ['v2']], self.services['n@a'].cuts)

    def test_one_more_backend(self):
        self.services['n@b'].more['elsewhere'] = ['n@a', 'n@c', 'cluster']
        for call in (self.fence, self.look):
            error = self.assertRaises(storage.NotNamed, call)
            self.assertIn('cluster, n@c', str(error))
        self.assertEqual([], self.services['n@a'].cuts)
        self.services['n@b'].more.update(elsewhere=['n@a', 'cluster'], backend='cluster')
        self.fence()

    def test_no_volume_anywhere(self):
        self.services['n@a'] = Service('n@a', {})
        self.assertRaises(storage.NothingSeen, self.fence)
        self.assertEqual(Sign.NOTHING, self.look().sign)

    def test_signs(self):
        self.assertEqual(Sign.NOTHING, self.look().sign)
        self.services['n@a'].more['active'] = ['client.7 watches']
        self.assertEqual((Sign.OPENED, 'client.7 watches'), (self.look().sign, self.look().detail))
        self.fence()
        self.assertEqual((Sign.CUT, '2 volume(s) in n@a'), (self.look().sign, self.look().detail))

    def test_commands_between_two_looks(self):
        made, service = self.probe(), self.services['n@a']

        def sign(**commands):
            service.more['commands'] = commands
            found, = made.look('cn3', '')
            return found.sign
        self.assertEqual(Sign.NOTHING, sign(one=7, two=9))
        self.assertEqual(Sign.NOTHING, sign(one=7, two=9))
        # made again, gone, and one more of which nothing was known
        self.assertEqual(Sign.NOTHING, sign(one=3, three=2 ** 64))
        self.assertEqual(Sign.WORKING, sign(one=3, two=10))
        # whatever is open by then
        service.open = dict.fromkeys(service.open, '')
        self.assertEqual(Sign.WORKING, sign(two=2 ** 64))
        self.assertEqual(Sign.CUT, sign(two=9))
        self.assertRaises(TypeError, sign, two='10')

    def test_commands_of_one_host_only(self):
        made, service = self.probe(), self.services['n@a']
        service.more['commands'] = {'one': 7}
        made.look('cn3', '')
        made._first['cn4'], service.more['commands'] = made._first.pop('cn3'), {'one': 8}
        self.assertEqual(Sign.NOTHING, made.look('cn3', '')[0].sign)

    def test_a_service_that_does_not_answer_is_no_answer(self):
        error = bus.Silent(service='n@b', seconds=1, bus='b', check='')
        with mock.patch.object(self.services['n@b'], 'call', side_effect=error):
            self.assertRaises(bus.Silent, self.look)
            self.assertRaises(bus.Silent, self.fence)
        self.assertEqual([], self.services['n@a'].cuts)

    def test_options(self):
        for name in ('cinder_conf', 'storage_backends'):
            with mock.patch.object(self.conf, name, None):
                error = self.assertRaises(exceptions.ConfigError, self.fence)
                self.assertIn(f'[migsafe] {name}', str(error))
