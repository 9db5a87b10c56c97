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
"""Guests that libvirt starts with the host, on Debian's libvirt with its driver "test"."""

import importlib.util
import logging
import pathlib
import sys
import tempfile
import types
import unittest

from migsafe.nova.host import autostart
from migsafe.tests.cinder import ceph
from migsafe.transaction.clients import InstanceRow

HERE, ELSEWHERE, STRANGER = (f'6695eb01-f6a4-8304-79aa-97f2502e190{number}' for number in range(3))
XML = '''<domain type='test'><name>{uuid}</name><uuid>{uuid}</uuid><memory>8192</memory>
<os><type>hvm</type></os></domain>'''


def load(name, path):
    """Import Debian's, under a name that nobody else has."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class TestAutostart(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        sys.modules['libvirtmod'] = load('libvirtmod', ceph.Bindings.find('libvirtmod'))
        cls.addClassCleanup(sys.modules.pop, 'libvirtmod')
        cls.libvirt = load('debian_libvirt', ceph.PACKAGES / 'libvirt.py')

    def setUp(self):
        path = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()), 'node.xml')
        path.write_text('<node/>')
        # NOTE: one with a file of its own has nothing in common with others.
        self.connection = self.libvirt.open(f'test://{path}')
        self.addCleanup(self.connection.close)
        self.domains = {uuid: self.connection.defineXML(XML.format(uuid=uuid))
                        for uuid in (HERE, ELSEWHERE, STRANGER)}
        for domain in self.domains.values():
            domain.setAutostart(1)
        self.listed = lambda only_running: self.connection.listAllDomains(0)
        self.rows = {uuid: InstanceRow(uuid, host, host, None, 'active')
                     for uuid, host in ((HERE, 'node13'), (ELSEWHERE, 'node11'))}

    def settle(self):
        with self.assertLogs(autostart.LOG.logger, logging.WARNING) as logged:
            autostart.settle(types.SimpleNamespace(driver=types.SimpleNamespace(
                _host=types.SimpleNamespace(list_instance_domains=self.listed))), 'node13',
                self.rows.get)
        return '\n'.join(logged.output)

    def flags(self):
        return {uuid for uuid, domain in self.domains.items() if domain.autostart()}

    def test_only_what_lives_elsewhere(self):
        said = self.settle()
        self.assertEqual({HERE, STRANGER}, self.flags())
        self.assertIn(f'instance {ELSEWHERE} with the host any more: Nova has it on node11. It '
                      'does not run here', said)
        self.assertIn(f'virsh autostart --disable {HERE}', said)
        self.assertNotIn(STRANGER, said)
        # again, only what is here is named
        self.assertNotIn(ELSEWHERE, self.settle())

    def test_one_that_was_started(self):
        self.domains[ELSEWHERE].create()
        said = self.settle()
        self.assertIn('IT RUNS HERE', said)
        self.assertNotIn(ELSEWHERE, self.flags())
        self.assertTrue(self.domains[ELSEWHERE].isActive())

    def test_what_cannot_be_known(self):
        def away(*_asked, **_more):
            raise OSError('the database is away')
        self.rows = types.SimpleNamespace(get=away)
        self.assertIn('the database is away', self.settle())
        self.assertEqual({HERE, ELSEWHERE, STRANGER}, self.flags())
        self.listed = away
        self.assertIn('is not known', self.settle())


if __name__ == '__main__':
    unittest.main()
