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
"""The options of migsafe."""

from oslo_config import cfg
from oslotest import base

import migsafe.conf


class TestConf(base.BaseTestCase):
    """Options explain themselves and do not leak into each other."""

    def make(self, *args):
        conf = cfg.ConfigOpts()
        conf([*args], default_config_files=[], default_config_dirs=[])
        migsafe.conf.register_opts(conf)
        return conf

    def test_defaults(self):
        group = self.make().migsafe
        self.assertEqual(
            {'enabled': False, 'enforce': True, 'state_path': '/var/lib/nova/migsafe',
             'connection': None, 'ledger_path': '/var/lib/cinder/migsafe',
             'ledger_connection': None, 'ledger_sweep_interval': 3600, 'recovery_interval': 30,
             'recovery_backoff_max': 600, 'recovery_batch': 20, 'recovery_workers': 4,
             'rpc_timeout': 15, 'call_retries': 3, 'retention_days': 30,
             'quiesce_timeout': 60, 'adopt_after': 300,
             'device_guards': True, 'identity_check_interval': 300,
             'holder_policy': 'refuse', 'identity_policy': 'refuse',
             'cinder_call_retries': None, 'neutron_call_retries': None,
             'glance_call_retries': None, 'placement_call_retries': None,
             'call_timeout': 600, 'preflight': 'warn', 'stuck_after': 600,
             'stuck_policy': 'report',
             'evacuation': 'enforce', 'probes': ['nova_service', 'rpc'], 'probe_timeout': 2.5,
             'verdict_samples': 3, 'verdict_interval': 0.5, 'fleet_loss_percent': 30,
             'reach': [], 'heartbeat_directory': '', 'heartbeat_interval': 1.0,
             'libvirt_uri': 'qemu+tls://{host}/system', 'bmc_file': '', 'storage_backends': [],
             'cinder_conf': '', 'fences': ['redfish'],
             'fence_timeout': 60, 'fence_limit': 3,
             'evacuation_limit': 50, 'evacuation_lock': '',
             'believe_forced_down': True, 'evacuate_without_witness': False},
            dict(group))

    def test_registering_again_is_harmless(self):
        conf = self.make()
        migsafe.conf.register_opts(conf)
        self.assertTrue(conf.migsafe.enforce)

    def test_configurations_are_apart(self):
        one, two = self.make(), self.make()
        one.set_override('state_path', '/one', 'migsafe')
        self.assertEqual('/var/lib/nova/migsafe', two.migsafe.state_path)

    def test_the_connection_is_a_secret(self):
        (group, opts), = migsafe.conf.list_opts()
        self.assertEqual('migsafe', group.name)
        self.assertTrue({o.name: o for o in opts}['connection'].secret)

    def test_every_option_explains_itself(self):
        for _group, opts in migsafe.conf.list_opts():
            for opt in opts:
                self.assertGreater(len(opt.help), 80, opt.name)
                if isinstance(opt, cfg.IntOpt) and opt.name not in (
                        'recovery_batch', 'recovery_workers', 'retention_days',
                        'verdict_samples', 'fleet_loss_percent', 'fence_limit',
                        'evacuation_limit'):
                    self.assertIn('econds', opt.help, opt.name)

    def test_numbers_that_cannot_work_are_refused(self):
        conf = self.make()
        for name, value in (('recovery_interval', 0), ('recovery_workers', 0),
                            ('retention_days', -1), ('rpc_timeout', 'soon')):
            self.assertRaises(ValueError, conf.set_override, name, value, 'migsafe')
