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
"""The inspector of LIO on rtslib's object model, and the choice of an inspector."""

import pathlib
import types

import fixtures
from cinder import objects
from oslotest import base

from migsafe.cinder.inspectors import lio
from migsafe.cinder.inspectors.base import Mapping
from migsafe.tests.cinder import test_driver

PREFIX = 'iqn.2010-10.org.openstack:'
SERIAL = 'b2b0a1c4-0d57-4f0e-8a9e-8d5c3f1f2a77'


def thing(**values):
    return types.SimpleNamespace(**values)


def target(name, *initiators, sessions=(), serial=SERIAL):
    """One target as cinder-rtstool makes it."""
    acls = [thing(node_wwn=initiator, mapped_luns=[thing(mapped_lun=0, path='/nonexistent')],
                  session={'id': 1, 'state': 'LOGGED_IN'} if initiator in sessions else None)
            for initiator in initiators]
    luns = [thing(storage_object=thing(wwn=serial, path='/nonexistent'))]
    return thing(wwn=PREFIX + name, tpgs=[thing(node_acls=acls, luns=luns)])


class TestLio(base.BaseTestCase):
    """Nothing but reading."""

    def make(self, *targets):
        driver = thing(configuration=thing(safe_get={'target_prefix': PREFIX}.get))
        return lio.LioInspector(driver, lambda: thing(targets=iter(targets)))

    VOLUME = {'name': 'volume-1'}

    def test_exports(self):
        found, = self.make(target('volume-10', 'iqn.b'), target('volume-1', 'IQN.A')).list_exports(
            self.VOLUME)
        self.assertEqual(Mapping(
            'volume-1', frozenset(('iqn.a',)), target=PREFIX + 'volume-1', lun='0'), found)

    def test_a_bare_target_is_an_export_to_nobody(self):
        found, = self.make(target('volume-1')).list_exports(self.VOLUME)
        self.assertEqual(frozenset(), found.initiators)
        self.assertEqual([], self.make(target('volume-2')).list_exports(self.VOLUME))

    def test_an_acl_without_a_lun_is_an_export(self):
        """cinder-rtstool was killed between the ACL and its LUN, and never adds the LUN later."""
        killed = target('volume-1', 'IQN.A')
        killed.tpgs[0].node_acls[0].mapped_luns = []
        self.assertEqual([Mapping(
            'volume-1', frozenset(('iqn.a',)), target=PREFIX + 'volume-1')],
            self.make(killed).list_exports(self.VOLUME))

    def test_a_target_with_a_prefix_of_before(self):
        """Cinder's driver maps to what provider_location names, whatever the option is now."""
        name = f'volume-{SERIAL}'
        old = target(name, 'iqn.a', sessions=('iqn.a',))
        old.wwn = f'iqn.2005-01.old:{name}'
        told = {'provider_location': f'10.0.0.1:3260,1 {old.wwn} 0'}
        for volume in ({'name': name, **told}, objects.Volume(id=SERIAL, _name_id=None, **told)):
            made = self.make(old)
            found, = made.list_exports(volume)
            self.assertEqual((old.wwn, frozenset(('iqn.a',))), (found.target, found.initiators))
            self.assertEqual(['initiator iqn.a'], [one.who for one in made.writers(volume)])
            self.assertEqual(1, len(made.identity(volume)))
            both = self.make(old, target(name, 'iqn.b'))
            self.assertEqual(2, len(both.list_exports(volume)))

    def test_a_location_that_names_no_target(self):
        for location in (None, '', 'x', '10.0.0.1:3260,1 ', 7):
            made = self.make(target('volume-1', 'iqn.a'), target('', 'iqn.b'))
            found, = made.list_exports({**self.VOLUME, 'provider_location': location})
            self.assertEqual(PREFIX + 'volume-1', found.target)

    def test_writers(self):
        made = self.make(target('volume-1', 'iqn.a', 'iqn.b', sessions=('iqn.b',)))
        writer, = made.writers(self.VOLUME)
        self.assertEqual(frozenset(('iqn.b',)), writer.initiators)

    def test_commands(self):
        base_, names = self.useFixture(fixtures.TempDir()).path, ('lun_0', 'lun_1')
        made = target('volume-1', 'iqn.a', sessions=('iqn.a',))
        acl = made.tpgs[0].node_acls[0]
        acl.mapped_luns = [thing(mapped_lun=0, path=f'{base_}/{name}') for name in names]
        self.assertIsNone(self.make(made).writers(self.VOLUME)[0].commands)
        files = [pathlib.Path(base_, name, 'statistics/scsi_auth_intr/num_cmds')
                 for name in names]
        for path in files:
            path.parent.mkdir(parents=True)
            path.write_text('3\n')
        for text, count in (('4\n', 7), (f'{2 ** 64 - 1}\n', 2 ** 64 + 2), ('', None),
                            ('-1\n', None), ('x\n', None), ('9' * 5000, None), ('1 2\n', None)):
            files[0].write_text(text)
            self.assertEqual(count, self.make(made).writers(self.VOLUME)[0].commands, text)

    def test_all(self):
        made = self.make(target('volume-1', 'iqn.a', 'iqn.b'), target('other'))
        self.assertEqual(['volume-1', 'volume-1', 'other'], [m.volume for m in made.list_all()])

    def test_a_target_that_is_removed_during_the_walk(self):
        class Going(types.SimpleNamespace):
            @property
            def tpgs(self):
                raise FileNotFoundError(self.wwn)
        going = Going(wwn='iqn.a', exists=False)
        found, = self.make(going, target('volume-1', 'iqn.b')).list_all()
        self.assertEqual('volume-1', found.volume)
        going.exists = True
        self.assertRaises(FileNotFoundError, list, self.make(going).list_all())

    def test_the_identity_is_what_the_kernel_shows(self):
        """As wwid of a LIO disk: company 0x001405, then 25 digits of the serial number."""
        self.assertEqual(frozenset(('naa.6001405b2b0a1c40d574f0e8a9e8d5c3',)),
                         self.make(target('volume-1')).identity(self.VOLUME))
        self.assertEqual('6001405abc' + '0' * 22, lio.naa('abc'))
        self.assertEqual(32, len(lio.naa(SERIAL * 2)))
        self.assertEqual(frozenset(), self.make().identity(self.VOLUME))


class TestChoice(test_driver.Backends):
    """[backend] migsafe_inspector."""

    def test_each(self):
        for name, kind in (('ledger', 'LedgerInspector'), ('lio', 'LioInspector')):
            made = self.manager(test_driver.FAKE, migsafe_inspector=name).driver
            self.assertEqual(kind, type(made.migsafe_guard.inspector).__name__)

    def test_an_unknown_one_keeps_the_backend_down(self):
        service = self.manager(test_driver.FAKE, migsafe_inspector='nosuch')
        service._init_host(service_id=1)
        self.assertFalse(service.driver.initialized)
