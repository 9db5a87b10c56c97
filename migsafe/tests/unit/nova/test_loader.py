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
import io
import json
import os
import shutil
import tempfile
import unittest

from oslo_config import cfg

import migsafe.conf
from migsafe import journal as migsafe_journal
from migsafe import process
from migsafe.cli import main
from migsafe.tests.unit.nova import child

#: nova-compute's own main(), until the line after os_vif.initialize().
COMPUTE = """
import wrapt
from oslo_reports import guru_meditation_report as gmr
import oslo_privsep.priv_context

class Enough(Exception):
    pass

def look(*args, **kwargs):
    result['imported'] = 'nova.compute.manager' in sys.modules
    from nova.compute import manager
    result['wrapped'] = isinstance(
        vars(manager.ComputeManager)['pre_live_migration'],
        wrapt.FunctionWrapper)
    raise Enough

result = {'eventlet': 'eventlet.patcher' in sys.modules and bool(
    sys.modules['eventlet.patcher'].is_monkey_patched('socket'))}
gmr.TextGuruMeditation.setup_autorun = look
import nova.cmd.compute
sys.argv = ['nova-compute', '--config-file', path]
try:
    nova.cmd.compute.main()
except Enough:
    pass
except BaseException as error:
    result['raised'] = [type(error).__name__, str(error)]
"""

#: Any other process that loads os_vif's plugins: neutron, os-vif's own tests.
ELSEWHERE = """
import sys
from oslo_config import cfg
import os_vif
sys.argv = ['other', '--config-file', path]
cfg.CONF(['--config-file', path], project='nova')
os_vif.initialize()
import migsafe.nova.loader
nova = [name for name in sys.modules
        if name == 'nova' or name.startswith('nova.')]
from nova import monkey_patch
from nova.compute import manager
import wrapt
from os_vif import objects
loaded = os_vif._EXT_MANAGER['migsafe'].obj
result = {'nova': nova, 'plugin': type(loaded).__name__,
          'vifs': len(loaded.describe().vif_info), 'wrapped': sorted(
    name for name, value in vars(manager.ComputeManager).items()
    if isinstance(value, wrapt.FunctionWrapper))}
try:
    loaded.plug(None, None)
except ValueError as error:
    result['plug'] = str(error)
try:
    loaded.unplug(None, None)
except ValueError as error:
    result['unplug'] = str(error)
"""

BREAK = """
from migsafe.nova.seams import table
import dataclasses
table.apply.__defaults__ = ((dataclasses.replace(
    table.SEAMS[0], attribute='ComputeManager.gone'),),)
"""


#: All of migsafe that is imported before load() is called.
ALONE = """
import sys
import os_vif
import migsafe.nova.loader
result = sorted(name for name in sys.modules if name.split('.')[0] == 'migsafe')
"""

#: A file of migsafe is damaged, or what it needs is missing: {0} cannot be imported. What was
#: imported before the service began does not count.
MISSING = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == {0!r}:
            raise ImportError('half an upgrade')
sys.meta_path.insert(0, Missing())
for name in [name for name in sys.modules if name.split('.')[0] == 'migsafe'
             or name == {0!r}]:
    del sys.modules[name]
"""


SWITCHED_OFF = 'devices of guests are not guarded: [migsafe] device_guards = false'
#: What an armed manager does, of which there is none without a hypervisor.
REPORT = """
    from migsafe.journal import open_journal
    from migsafe.nova.host import status
    from nova.conf import CONF
    status.armed(open_journal(CONF, CONF.host))
    raise Enough
"""


def configuration(path):
    """What the commands read."""
    conf = cfg.ConfigOpts()
    migsafe.conf.register_opts(conf)
    conf.register_opt(cfg.StrOpt('host'))
    conf(['--config-file', path], default_config_files=[])
    return conf


class TestLoader(unittest.TestCase):
    def config(self, **options):
        made = tempfile.NamedTemporaryFile('w', suffix='.conf')
        self.addCleanup(made.close)
        made.write('[DEFAULT]\nhost = node13\ncompute_driver = libvirt.LibvirtDriver\n'
                   '[migsafe]\n')
        # whether root can be had is the machine's business
        for name, value in {'device_guards': 'false', **options}.items():
            made.write(f'{name} = {value}\n')
        made.flush()
        return made.name

    def test_nova_compute_is_armed_before_the_manager_is_imported(self):
        for threading in ('true', 'false'):
            with self.subTest(threading=threading):
                found = child.run(COMPUTE, threading=threading,
                                  path=self.config(enabled='true'))
                self.assertEqual(
                    {'eventlet': threading == 'false', 'imported': False,
                     'wrapped': True}, found)

    def test_off_unless_enabled(self):
        found = child.run(COMPUTE, path=self.config())
        self.assertEqual((False, None),
                         (found['wrapped'], found.get('raised')))

    def test_a_misspelt_option(self):
        """oslo.config passes over what it does not know."""
        state = self.state()
        path = self.config(enable='true', state_path=state)
        found = child.run(COMPUTE, path=path)
        self.assertEqual((False, None), (found['wrapped'], found.get('raised')))
        row = self.status(path)
        self.assertEqual('unarmed', row['State'])

    def test_a_variable_of_the_environment_stops_nova_compute(self):
        """oslo.config takes it before the file, where no command sees it."""
        for name, value in (('OS_MIGSAFE__ENABLED', 'false'), ('OS_MIGSAFE__ENFORCE', 'false'),
                            ('OS_MIGSAFE__STATE_PATH', '/elsewhere')):
            for break_ in ('', MISSING.format('migsafe.conf')):
                if break_ and value != 'false':
                    continue
                with self.subTest(name, broken=bool(break_)):
                    found = child.run(
                        f'import os\nos.environ[{name!r}] = {value!r}\n{break_}{COMPUTE}',
                        path=self.config(enabled='true'))
                    kind, message = found['raised']
                    self.assertEqual('NotProtected' if break_ else 'EnvironmentSet', kind)
                    self.assertIn('half an upgrade' if break_ else name, message)
                    self.assertNotIn('elsewhere', message)

    def test_a_variable_is_nothing_where_the_file_switches_it_off(self):
        for options in ({}, {'enabled': 'true', 'enforce': 'false'}):
            with self.subTest(options):
                found = child.run(
                    f'import os\nos.environ["OS_MIGSAFE__RPC_TIMEOUT"] = "7"\n{COMPUTE}',
                    path=self.config(**options))
                self.assertEqual((bool(options), None),
                                 (found['wrapped'], found.get('raised')))

    def test_mismatch_stops_nova_compute(self):
        found = child.run(BREAK + COMPUTE,
                          path=self.config(enabled='true'))
        kind, message = found['raised']
        self.assertEqual('SeamMismatch', kind)
        self.assertIn('ComputeManager.gone', message)

    def test_code_that_cannot_be_imported_stops_nova_compute(self):
        for name in ('migsafe.conf', 'migsafe.exceptions', 'migsafe.text', 'migsafe.nova.arming',
                     'migsafe.nova.seams.table', 'migsafe.nova.host.status'):
            with self.subTest(name):
                found = child.run(MISSING.format(name) + COMPUTE,
                                  path=self.config(enabled='true', device_guards='true'))
                kind, message = found['raised']
                self.assertEqual('NotProtected', kind)
                self.assertIn('half an upgrade', message)
                self.assertIn('enforce', message)

    def test_code_that_cannot_be_imported_may_be_put_up_with(self):
        for options in ({'enabled': 'true', 'enforce': 'false'}, {}):
            with self.subTest(options):
                found = child.run(MISSING.format('migsafe.conf') + COMPUTE,
                                  path=self.config(**options))
                self.assertEqual((False, None),
                                 (found['wrapped'], found.get('raised')))

    def test_the_loader_imports_os_vif_alone(self):
        found = child.run(ALONE, preamble='')
        self.assertEqual(['migsafe', 'migsafe.nova', 'migsafe.nova.loader'], found)

    def test_guards_that_cannot_become_root_stop_nova_compute(self):
        path = self.config(enabled='true', device_guards='true')
        with open(path, 'a') as conf:
            conf.write('[migsafe_privileged]\nhelper_command = /bin/false\n')
        kind, message = child.run(COMPUTE, path=path)['raised']
        self.assertEqual('ShimError', kind)
        self.assertIn('helper_command', message)

    def state(self):
        made = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, made)
        return os.path.join(made, 'state')

    def status(self, path, code=3):
        """What "migsafe status" says of this host."""
        out = io.StringIO()
        app = main.Migsafe(default_config_files=(), stdout=out,
                           stderr=io.StringIO())
        self.assertEqual(code, app.run(
            ['--config-file', path, 'status', '-f', 'json']))
        row, = json.loads(out.getvalue())
        return row

    def test_a_mismatch_that_is_put_up_with_is_reported(self):
        for kept in (False, True):
            with self.subTest(kept=kept):
                path = self.config(enabled='true', enforce='false',
                                   state_path=self.state())
                if kept:
                    self.armed_before(path)
                found = child.run(BREAK + COMPUTE, path=path)
                self.assertEqual((False, None),
                                 (found['wrapped'], found.get('raised')))
                row = self.status(path)
                self.assertEqual('unarmed', row['State'])
                self.assertIn('ComputeManager.gone', row['Detail'])

    def test_disabled_is_reported_where_it_was_armed_before(self):
        path = self.config(enabled='false', state_path=self.state())
        self.armed_before(path)
        self.assertEqual('armed', self.status(path, 0)['State'])
        child.run(COMPUTE, path=path)
        row = self.status(path)
        self.assertEqual('unarmed', row['State'])
        self.assertIn('enabled', row['Detail'])

    def test_disabled_makes_nothing_where_it_never_was_armed(self):
        state = self.state()
        child.run(COMPUTE, path=self.config(enabled='false',
                                            state_path=state))
        self.assertFalse(os.path.exists(state))

    def test_a_report_that_cannot_be_written_stops_nothing(self):
        state = self.state()
        path = self.config(enabled='true', enforce='false', state_path=state)
        self.armed_before(path)
        os.chmod(state, 0o777)
        found = child.run(BREAK + COMPUTE, path=path)
        self.assertEqual((False, None),
                         (found['wrapped'], found.get('raised')))

    def test_guards_that_are_missing_are_in_every_report(self):
        state = self.state()
        path = self.config(enabled='true', enforce='false', state_path=state,
                           device_guards='true')
        with open(path, 'a') as conf:
            conf.write('[migsafe_privileged]\nhelper_command = /bin/false\n')
        found = child.run(COMPUTE.replace('raise Enough', REPORT), path=path)
        self.assertIsNone(found.get('raised'))
        row = self.status(path)
        # The process is gone by now; what it said is still there.
        self.assertEqual('dead', row['State'])
        self.assertIn('NOT guarded', row['Detail'])
        self.assertNotIn(SWITCHED_OFF, row['Detail'])

    def test_guards_that_are_switched_off_are_in_every_report(self):
        path = self.config(enabled='true', state_path=self.state())
        child.run(COMPUTE.replace('raise Enough', REPORT), path=path)
        self.assertIn(SWITCHED_OFF, self.status(path)['Detail'])

    def armed_before(self, path):
        """The row of an armed nova-compute; this process stands for it."""
        conf = configuration(path)
        journal = migsafe_journal.open_journal(conf, conf.host)
        journal.set_status(
            armed=True, pid=os.getpid(), started=process.started(os.getpid()),
            boot_id=process.boot_id(), plugin_version='1', nova_version='34',
            concurrency='threading')
        journal.close()

    def test_any_other_process_is_left_alone(self):
        for threading in ('true', 'false'):
            with self.subTest(threading=threading):
                found = child.run(ELSEWHERE, preamble='', threading=threading,
                                  path=self.config(enabled='true'))
                self.assertEqual([], found['wrapped'])
                self.assertEqual(('Plugin', 0),
                                 (found['plugin'], found['vifs']))
                self.assertIn('plugs no VIFs', found['plug'])
                self.assertIn('unplugs no VIFs', found['unplug'])
