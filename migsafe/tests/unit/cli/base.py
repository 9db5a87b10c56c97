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
"""Runs the commands on a journal in a temporary directory."""

import io
import json
import os

from migsafe import process
from migsafe.cli import installed, main
from migsafe.tests.unit.journal import base

NOVA_PASSWORD = 'nova-db-hush'


def report(journal, **changes):
    """What an armed nova-compute, this very process, says of itself."""
    journal.set_status(**{
        'armed': True, 'pid': os.getpid(), 'boot_id': process.boot_id(),
        'plugin_version': '0.1.0', 'nova_version': '34.0.0', 'concurrency': 'threading',
        'seams': ['nova.compute.manager.ComputeManager.init_host'], **changes})


class CommandTestCase(base.JournalTestCase):
    """Has a nova.conf; ``run_command`` returns what a command said."""

    def setUp(self):
        super().setUp()
        # the environment of the tests may have been installed under any name
        self.installed = self.useFixture(
            base.fixtures.MockPatchObject(installed, 'problems', return_value=[])).mock
        self.nova_conf = os.path.join(os.path.dirname(self.state), 'nova.conf')
        self.write_conf()

    def write_conf(self, text='', enabled='true', host='node13'):
        with open(self.nova_conf, 'w') as handle:
            handle.write(
                f'[DEFAULT]\nhost = {host}\ntransport_url = rabbit://n:{NOVA_PASSWORD}@mq/\n'
                f'[database]\nconnection = mysql+pymysql://n:{NOVA_PASSWORD}@db/nova\n'
                f'[migsafe]\nenabled = {enabled}\nstate_path = {self.state}\n{text}\n')

    def run_command(self, *args, typed='', config=True):
        """Return (exit code, standard output, standard error)."""
        out, err = io.StringIO(), io.StringIO()
        app = main.Migsafe(default_config_files=(), stdin=io.StringIO(typed), stdout=out,
                           stderr=err)
        chosen = ('--config-file', self.nova_conf) if config else ()
        try:
            code = app.run([*chosen, *args])
        except SystemExit as exc:
            code = exc.code
        shown = out.getvalue() + err.getvalue()
        for secret in (base.SECRET, NOVA_PASSWORD, '\x1b'):
            self.assertNotIn(secret, shown)
        self.assertNotIn('Traceback', shown)
        return code, out.getvalue(), err.getvalue()

    def rows(self, *args, code=0, **kwargs):
        """Run a command with JSON output; return its rows."""
        found, out, err = self.run_command(*args, '-f', 'json', **kwargs)
        self.assertEqual(code, found, err)
        return json.loads(out)
