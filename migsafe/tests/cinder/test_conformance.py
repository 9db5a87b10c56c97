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
"""Every inspector keeps to the interface; one that does not is refused at start."""

import types
from unittest import mock

from oslotest import base

from migsafe import exceptions
from migsafe.cinder import inspector_tests, inspectors
from migsafe.cinder.inspectors import ledger, lio
from migsafe.ledger import records
from migsafe.tests.cinder import test_inspectors, world

ONE, OTHER = records.Peer.of(world.NODE13), records.Peer.of(world.NODE11)


class TestLio(inspector_tests.InspectorTests, base.BaseTestCase):
    """LIO, on rtslib's object model."""

    one, other, volume = ONE, OTHER, {'name': 'volume-1'}

    def setUp(self):
        super().setUp()
        self.mapped, self.away = [], False
        driver = types.SimpleNamespace(host='node@array', configuration=types.SimpleNamespace(
            safe_get={'target_prefix': test_inspectors.PREFIX}.get))
        self.inspector = lio.LioInspector(driver, self.root)

    def root(self):
        if self.away:
            raise OSError('no configfs')
        return types.SimpleNamespace(targets=iter([
            test_inspectors.target('volume-1', *self.mapped)]))

    def map(self, peer):
        self.mapped += [name.upper() for name in peer.initiators]

    def unmap(self, peer):
        for name in peer.initiators:
            self.mapped.remove(name.upper())

    def cut(self):
        self.away = True


class Groups(inspectors.Inspector):
    """An array of another hand: groups with names of its own, and no initiators."""

    def __init__(self, driver):
        super().__init__(driver)
        self.groups, self.away = [], False

    def list_exports(self, volume):
        if self.away:
            raise OSError('no answer')
        return [inspectors.Mapping('v', host=name) for name in self.groups
                if volume['name'] == 'volume-1']

    def list_all(self):
        yield from self.list_exports({'name': 'volume-1'})

    def writers(self, volume):
        return None


class TestGroups(inspector_tests.InspectorTests, base.BaseTestCase):
    """It cannot tell whose a group is, which is enough."""

    one, other, volume, kind = ONE, OTHER, {'name': 'volume-1'}, Groups

    def setUp(self):
        super().setUp()
        self.inspector = self.kind(types.SimpleNamespace(host='node@array'))

    def map(self, peer):
        self.inspector.groups.append(f'grp-{peer.host}')

    def unmap(self, peer):
        self.inspector.groups.remove(f'grp-{peer.host}')

    def cut(self):
        self.inspector.away = True


class TestLedger(TestGroups):
    """There is no array at all."""

    kind = ledger.LedgerInspector

    def map(self, peer):
        """Nothing."""

    unmap = map

    def cut(self):
        """Nothing."""


class Misnaming(Groups):
    """It says that its names are those of connectors, which they are not."""

    tells_hosts = True


class Believing(Groups):
    """It takes "not known" for "nothing"."""

    def list_exports(self, volume):
        try:
            return super().list_exports(volume)
        except OSError:
            return []


class TestWhatTheTestsFind(base.BaseTestCase):
    """The control: inspectors that are wrong fail them."""

    def failing(self, kind):
        names = [name for name in dir(TestGroups) if name.startswith('test_conformance')]
        made = type('Made', (TestGroups,), {'kind': kind})
        return {name[len('test_conformance_'):] for name in names
                if not made(name).run().wasSuccessful()}

    def test_each(self):
        self.assertEqual(set(), self.failing(Groups))
        self.assertEqual({'mapped', 'unmapped'}, self.failing(Misnaming))
        self.assertEqual({'no_answer'}, self.failing(Believing))


class TestRefused(base.BaseTestCase):
    """At start."""

    def load(self, **changed):
        kind = type('Made', (Groups,), changed)
        driver = mock.Mock()
        driver.host = 'node@array'
        driver.configuration.safe_get.return_value = 'acme'
        with mock.patch('stevedore.DriverManager',
                        return_value=mock.Mock(driver=kind(driver))):
            return inspectors.load(driver)

    def test_what_is_wrong(self):
        somebody = inspectors.Mapping('v', host='grp-node13')
        for changed, words in (
                ({'tells_hosts': 'yes'}, 'tells_hosts'), ({'lag': -1}, 'lag'),
                ({'lag': True}, 'lag'), ({'lag': 1e6}, 'lag'),
                ({'list_exports': lambda self, volume: iter(())}, 'neither a list'),
                ({'list_exports': lambda self, volume: [somebody]}, 'not there'),
                ({'writers': lambda self, volume: ['iqn.x']}, 'Writer'),
                ({'list_all': lambda self: iter(['iqn.x'])}, 'Mapping'),
                ({'list_all': lambda self: iter([somebody]), 'tells_hosts': True,
                  'tells_initiators': True}, 'without any')):
            error = self.assertRaises(exceptions.ConfigError, self.load, **changed)
            self.assertIn(words, str(error))
            self.assertIn('acme', str(error))

    def test_the_control(self):
        """Nor is one refused whose array does not answer."""
        self.assertIsInstance(self.load(), Groups)

        def away(self, volume):
            raise OSError('no answer')
        self.assertIsInstance(self.load(list_exports=away), Groups)

    def test_an_answer_that_nothing_can_be_compared_with(self):
        """Whenever it comes: it is an error then, and not believed."""
        for made in (lambda: inspectors.Mapping('v', frozenset(('IQN.A',))),
                     lambda: inspectors.Mapping('v', {'iqn.a'}),
                     lambda: inspectors.Mapping('v', 'iqn.a'),
                     lambda: inspectors.Mapping('v', frozenset(('',))),
                     lambda: inspectors.Mapping('v', host=None),
                     lambda: inspectors.Writer('x', ['iqn.a']),
                     lambda: inspectors.Writer('x', commands=-1),
                     lambda: inspectors.Writer('x', commands='7'),
                     lambda: inspectors.Writer(None)):
            self.assertRaises(inspectors.base.BadAnswer, made)
