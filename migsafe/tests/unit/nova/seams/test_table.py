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
import pathlib
import re
import unittest

import migsafe
from migsafe.tests.unit.nova import child

FIND = """
from migsafe import exceptions
from migsafe.nova.seams import table
result = {}
for seam in table.SEAMS:
    try:
        result[str(seam)] = callable(table.find(seam))
    except exceptions.SeamMismatch as error:
        result[str(seam)] = str(error)
"""

#: Each change of Nova, the seam table's whole answer, and what is wrapped.
BROKEN = """
import dataclasses
import wrapt
from migsafe import exceptions
from migsafe.nova.seams import table

def wrapped():
    found = []
    for seam in table.SEAMS:
        try:
            if isinstance(table.find(seam), (wrapt.FunctionWrapper,
                                             wrapt.BoundFunctionWrapper)):
                found.append(str(seam))
        except exceptions.SeamMismatch:
            pass
    return found

def depth(seam):
    found, levels = table.find(seam), 0
    while hasattr(found, '__wrapped__') and isinstance(
            found, (wrapt.FunctionWrapper, wrapt.BoundFunctionWrapper)):
        found, levels = found.__wrapped__, levels + 1
    return levels

last = table.SEAMS[-1]
result = {'before': wrapped()}
for name, wrong in {
        'method': dataclasses.replace(last, attribute='Nobody.nothing'),
        'more': dataclasses.replace(last, attribute=last.attribute + '.x'),
        'order': dataclasses.replace(
            last, parameters=tuple(reversed(last.parameters))),
        'missing parameter': dataclasses.replace(
            last, parameters=(*last.parameters, 'new_one')),
        'module': dataclasses.replace(last, module='nova.no_such_module'),
        }.items():
    try:
        table.apply((*table.SEAMS[:-1], wrong))
        answer = 'applied'
    except (exceptions.SeamMismatch, ImportError) as error:
        answer = [type(error).__name__, str(error), str(wrong)]
    result[name] = [answer, wrapped()]
table.apply()
result['applied'] = wrapped()
table.apply()
result['depths'] = sorted({depth(seam) for seam in table.SEAMS})
"""

ARM = """
import logging
from nova.conf import CONF
import migsafe.conf
import migsafe.nova.arming
from migsafe import exceptions
lines = []
class Keep(logging.Handler):
    def emit(self, record):
        lines.append(record.levelname + ' ' + record.getMessage())
logging.getLogger('migsafe').addHandler(Keep())
migsafe.conf.register_opts(CONF)
CONF([], project='nova', default_config_files=[], default_config_dirs=[])
CONF.set_override('enabled', enabled, 'migsafe')
CONF.set_override('enforce', enforce, 'migsafe')
if not early:
    from nova.compute import manager
    if broken:
        del manager.ComputeManager._power_on
raised = ''
try:
    migsafe.nova.arming.arm(CONF)
    migsafe.nova.arming.arm(CONF)
    armed_early = 'nova.compute.manager' in sys.modules
    if early and broken:
        from migsafe.nova.seams import table
        import dataclasses
        bad = dataclasses.replace(table.SEAMS[0],
                                  attribute='ComputeManager.gone')
        table.apply.__defaults__ = ((*table.SEAMS, bad),)
    from nova.compute import manager
except exceptions.SeamMismatch as error:
    raised = str(error)
import wrapt
manager = sys.modules.get('nova.compute.manager')
result = {'raised': raised, 'lines': lines, 'wrapped': sorted(
    name for name, value in vars(manager.ComputeManager).items()
    if isinstance(value, wrapt.FunctionWrapper)) if manager else []}
"""


class TestSeams(unittest.TestCase):
    def test_every_seam_fits_the_installed_nova(self):
        found = child.run(FIND)
        self.assertEqual({}, {k: v for k, v in found.items() if v is not True})
        self.assertGreater(len(found), 25)

    def test_all_or_nothing_and_idempotent(self):
        found = child.run(BROKEN)
        self.assertEqual([], found['before'])
        for name in ('method', 'more', 'order', 'missing parameter'):
            with self.subTest(name):
                (kind, message, seam), wrapped = found[name]
                self.assertEqual('SeamMismatch', kind)
                self.assertIn(seam, message)
                self.assertIn('enforce', message)
                self.assertEqual([], wrapped)
        with self.subTest('module'):
            (kind, message, _seam), wrapped = found['module']
            self.assertEqual('SeamMismatch', kind)
            self.assertIn('nova.no_such_module', message)
            self.assertEqual([], wrapped)
        self.assertGreater(len(found['applied']), 25)
        self.assertEqual([1], found['depths'])


class TestArm(unittest.TestCase):
    def arm(self, **kwargs):
        return child.run(ARM, **{'enabled': True, 'enforce': True,
                                 'early': True, 'broken': False} | kwargs)

    def test_armed_as_soon_as_the_manager_is_imported(self):
        found = self.arm()
        self.assertEqual('', found['raised'])
        self.assertIn('pre_live_migration', found['wrapped'])

    def test_armed_later_wraps_at_once(self):
        self.assertIn('_do_live_migration', self.arm(early=False)['wrapped'])

    def test_disabled_touches_nothing(self):
        found = self.arm(enabled=False)
        self.assertEqual([], found['wrapped'])

    def test_nova_that_does_not_fit_stops_the_service(self):
        for early in (True, False):
            with self.subTest(early=early):
                found = self.arm(broken=True, early=early)
                self.assertIn('nova.compute.manager.ComputeManager',
                              found['raised'])
                self.assertIn('enforce = false', found['raised'])
                self.assertEqual([], found['wrapped'])

    def test_not_enforced_logs_and_leaves_nova_alone(self):
        for early in (True, False):
            with self.subTest(early=early):
                found = self.arm(broken=True, early=early, enforce=False)
                self.assertEqual('', found['raised'])
                self.assertEqual([], found['wrapped'])
                self.assertTrue(any(
                    line.startswith('ERROR') and 'NOT protected' in line
                    and 'ComputeManager' in line for line in found['lines']),
                    found['lines'])


class TestConcurrency(unittest.TestCase):
    def test_no_module_names_eventlet(self):
        root = pathlib.Path(migsafe.__file__).parent
        wrong = [str(path) for path in root.rglob('*.py')
                 if 'tests' not in path.relative_to(root).parts
                 and re.search(r'^\s*(import|from) (eventlet|greenlet)',
                               path.read_text(), re.MULTILINE)]
        self.assertEqual([], wrong)

    def test_nothing_below_nova_loads_eventlet_or_nova(self):
        """Older releases of oslo's libraries load eventlet by themselves."""
        found = child.run("""
import sys, pkgutil, importlib
import oslo_concurrency.processutils, oslo_config.cfg, oslo_log.log
import oslo_db.sqlalchemy.engines, oslo_privsep.priv_context
import os_brick.initiator.connector
libraries = 'eventlet' in sys.modules
for name in ('brick', 'conf', 'journal', 'transaction', 'resources'):
    package = importlib.import_module('migsafe.' + name)
    for found in pkgutil.walk_packages(package.__path__,
                                       package.__name__ + '.'):
        if 'migrations' not in found.name:
            importlib.import_module(found.name)
result = [m for m in ('nova', 'cinder') if m in sys.modules]
if not libraries and 'eventlet' in sys.modules:
    result.append('eventlet')
""", preamble='')
        self.assertEqual([], found)

    def test_migsafe_nova_adds_no_eventlet_to_what_nova_loads(self):
        """Nova 34 refuses to run on threads once eventlet was imported."""
        found = child.run("""
from nova.compute import manager
from nova.virt.libvirt import driver
before = 'eventlet' in sys.modules
import migsafe.nova.seams.table, migsafe.nova.loader, migsafe.nova.seams.service
result = [before, 'eventlet' in sys.modules]
""")
        self.assertEqual(found[0], found[1])
