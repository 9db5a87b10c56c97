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
"""What a command does not do: import what it does not need, and ask once for each transaction."""

import importlib.metadata
import json
import subprocess
import sys
import unittest
from unittest import mock

from migsafe.cli import installed
from migsafe.journal import residue
from migsafe.tests.unit.cli import base as cli_base
from migsafe.tests.unit.journal import base

SCRIPT = """
import importlib.metadata, json, sys
def refused():
    raise AssertionError('it reads what all distributions have installed')
importlib.metadata.packages_distributions = refused
from migsafe.cli import main
main.main(['--config-file', sys.argv[1], *sys.argv[2:]])
print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))
"""
FOREIGN = {'nova', 'cinder', 'os_brick', 'os_vif', 'oslo_messaging', 'oslo_privsep', 'eventlet',
           'alembic', 'openstack', 'keystoneauth1', 'libvirt', 'requests'}


class TestImports(cli_base.CommandTestCase):

    def test_what_looks_at_the_journal_imports_no_service(self):
        self.open().close()
        for words in (['status'], ['residue', 'list'], ['journal', 'list']):
            done = subprocess.run(
                [sys.executable, '-W', 'ignore', '-c', SCRIPT, self.nova_conf, *words],
                capture_output=True, text=True, check=True)
            self.assertNotIn('all distributions', done.stdout + done.stderr)
            there = set(json.loads(done.stdout.splitlines()[-1]))
            self.assertIn('migsafe', there)
            self.assertEqual(set(), there & FOREIGN, words)


class TestProviders(unittest.TestCase):
    def test_the_same_as_the_library_finds(self):
        """In the environment that runs the tests."""
        mine = {each.metadata['Name'] for each in importlib.metadata.distributions()
                if installed._provides(each)}
        self.assertEqual(set(importlib.metadata.packages_distributions()['migsafe']), mine)


class TestResidue(base.JournalTestCase):

    def test_a_page_is_read_at_once(self):
        opened = self.open()
        count = residue.PAGE + 3
        for number in range(count):
            tx = opened.begin(f'm-{number}', 'source', f'i-{number}', 'node13', 'node11')
            opened.hold(tx, 'host_device', 'R4 v-1', f'held {number}')
        with mock.patch.object(opened._store, 'read', wraps=opened._store.read) as read:
            found = list(residue.listed(opened))
        self.assertEqual({(f'm-{number}', f'held {number}') for number in range(count)},
                         {(one.transaction, one.reason) for one in found if one.kind == 'R4'})
        # two pages of transactions and of logs, the page after them, the findings
        self.assertEqual(6, read.call_count)


if __name__ == '__main__':
    unittest.main()
