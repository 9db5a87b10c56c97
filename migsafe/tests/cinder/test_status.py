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
"""``migsafe-status upgrade check`` beside a real Cinder and its configuration."""

import json
import os

from oslo_config import cfg
from oslotest import base as oslo_base

import migsafe.conf
from migsafe import ledger
from migsafe.tests.unit.cli import process

GUARD = 'volume_driver = migsafe.cinder.driver.GuardedDriver\nmigsafe_wrapped_driver = '
LVM = f'{GUARD}cinder.volume.drivers.lvm.LVMVolumeDriver\nvolume_group = own-vg'
SECRET = 'cinder-db-hush'


class TestCinder(oslo_base.BaseTestCase):
    """A process of its own for each, as Cinder's configuration is global."""

    def setUp(self):
        super().setUp()
        self.base = self.create_tempfiles([('cinder', '')])[0].rpartition('/')[0]
        self.conf_file = os.path.join(self.base, 'cinder.conf')
        self.ledgers = os.path.join(self.base, 'ledgers')

    def check(self, backends, more=''):
        """Return the exit code, and check -> (result, details)."""
        with open(self.conf_file, 'w') as handle:
            handle.write(
                f'[DEFAULT]\nhost = node1\nenabled_backends = {",".join(backends)}\n{more}\n'
                f'[database]\nconnection = mysql+pymysql://c:{SECRET}@db/cinder\n'
                f'[migsafe]\nledger_path = {self.ledgers}\n'
                + ''.join(f'[{name}]\n{text}\n' for name, text in backends.items()))
        code, out, err = process.run('status', '--config-file', self.conf_file, 'upgrade',
                                     'check', '--json')
        self.assertNotIn('Traceback', out + err)
        self.assertNotIn(SECRET, out + err)
        return code, {one['check']: (one['result'], one['details'])
                      for one in json.loads(out)['checks']}

    def make_ledger(self, host):
        conf = cfg.ConfigOpts()
        migsafe.conf.register_opts(conf)
        conf([], default_config_files=[], default_config_dirs=[])
        conf.set_override('ledger_path', self.ledgers, 'migsafe')
        ledger.open_ledger(conf, host).close()

    def test_all_well(self):
        self.make_ledger('node1@lvm')
        self.make_ledger('other@named')
        code, found = self.check({
            'lvm': f'{LVM}\nmigsafe_inspector = lio',
            'named': f'{GUARD}cinder.volume.drivers.rbd.RBDDriver\nbackend_host = other\n'
                     'migsafe_inspector = rbd'})
        self.assertEqual(0, code, found)
        self.assertIn('Cinder', found['Host'][1])
        self.assertIn(self.conf_file, found['Host'][1])
        self.assertIn('lvm, named', found['Guarded backends'][1])
        self.assertIn('own-vg', found['Volume groups'][1])
        self.assertNotIn('Supported Nova', found)

    def test_what_is_wrong(self):
        code, found = self.check({
            'bare': 'volume_driver = cinder.volume.drivers.rbd.RBDDriver',
            'gone': f'{GUARD}cinder.volume.drivers.lvm.NoSuch\nmigsafe_inspector = lioo',
            'none': 'volume_driver = migsafe.cinder.driver.GuardedDriver',
            'other': f'{GUARD}cinder.context.RequestContext'})
        self.assertEqual(2, code)
        result, text = found['Guarded backends']
        self.assertEqual(2, result)
        for word in ('[gone]', 'NoSuch', 'cannot be imported', '[none]', 'it is not set',
                     '[other]', 'is no driver of Cinder'):
            self.assertIn(word, text)
        result, text = found['Inspectors']
        self.assertEqual(2, result)
        for word in ('[gone] migsafe_inspector', 'lioo', 'one of ledger, lio, netapp, rbd'):
            self.assertIn(word, text)
        result, text = found['Ledger schema']
        self.assertEqual(1, result)
        self.assertIn('node1@gone', text)
        self.assertFalse(os.path.exists(self.ledgers))

    def test_what_is_not_guarded_and_a_cluster(self):
        code, found = self.check({
            'bare': 'volume_driver = cinder.volume.drivers.rbd.RBDDriver',
            'lvm': LVM}, 'cluster = together')
        self.assertEqual(2, code)
        result, text = found['Guarded backends']
        self.assertEqual(1, result)
        for word in ('Not guarded: bare', 'GuardedDriver'):
            self.assertIn(word, text)
        result, text = found['Ledger schema']
        self.assertEqual(2, result)
        for word in ('together@lvm', 'ledger_connection'):
            self.assertIn(word, text)
