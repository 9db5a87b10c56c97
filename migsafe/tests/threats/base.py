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
"""The operator's commands, run by root on files that another user has made for them."""

import contextlib
import io
import os
import pathlib
import tempfile

import fixtures
from oslotest import base as oslo_base

from migsafe import journal
from migsafe.cli import lvm, main, manage, status
from migsafe.journal import schema
from migsafe.tests.unit.journal import base

NOBODY = 65534
HOST = 'node13'
UUID = '6f1c3f0e-2d43-4a8e-9d5b-0c3f1b9a7e21'


class HostileState(oslo_base.BaseTestCase):
    """Has the state of a service's user, a file of root's beside it, and every command.

    Run by another user than root, the service and the operator are one user, whose files are no
    more to be touched.
    """

    loaded = False

    def setUp(self):
        super().setUp()
        # NOTE: it is looked at in unit.cli.test_manage, and takes its time.
        self.useFixture(fixtures.MockPatchObject(status, 'LOAD', 'pass'))
        self.owner = NOBODY if os.geteuid() == 0 else os.geteuid()
        holder = tempfile.TemporaryDirectory(dir='/tmp')
        self.addCleanup(holder.cleanup)
        self.top = pathlib.Path(holder.name)
        self.top.chmod(0o755)
        self.home = self.top / 'nova'
        self.home.mkdir()
        self.state = self.home / 'state'
        self.path = str(self.state / f'{HOST}.sqlite')
        self.private = self.top / 'private'
        self.private.mkdir(0o700)
        self.victim = self.private / 'victim'
        self.victim.write_text('not the service\'s')
        self.victim.chmod(0o600)
        self.conf = self.top / 'nova.conf'
        self.conf.write_text(f'[DEFAULT]\nhost = {HOST}\n[migsafe]\nenabled = true\n'
                             f'state_path = {self.state}\n')
        # NOTE: a process with the rights of the owner may not be able to read the sources, so
        # that all of them are loaded first.
        schema.known()
        made = journal.open_journal(base.make_conf(self.state), HOST)
        made.begin(UUID, 'source', 'i-1', HOST, 'node11')
        made.close()
        if not HostileState.loaded:
            for name, run in self.commands().items():
                self.assertIn(run()[0], (0, 1, 3), name)
            HostileState.loaded = True
        self.give()

    def give(self):
        """Make the service's user the owner of all that is its own."""
        for path in (self.home, *self.home.rglob('*')):
            os.chown(path, self.owner, -1, follow_symlinks=False)

    def commands(self):
        """Each command that opens a journal: name -> what runs it."""
        return {
            'status': lambda: self.act('status'),
            'journal list': lambda: self.act('journal', 'list'),
            'journal show': lambda: self.act('journal', 'show', UUID),
            'residue list': lambda: self.act('residue', 'list'),
            'settle': lambda: self.act('settle', '--all', '--wait', '0'),
            'db version': lambda: self.manage('version'),
            'db sync': lambda: self.manage('sync'),
            'db purge': lambda: self.manage('purge', '--days', '1'),
            'upgrade check': self.check,
            'lvm release': self.noted,
        }

    def act(self, *words):
        """Run ``migsafe``; return its exit code and all that it printed."""
        printed = io.StringIO()
        app = main.Migsafe(default_config_files=(), stdin=io.StringIO(), stdout=printed,
                           stderr=printed)
        return app.run(['--config-file', str(self.conf), *words]), printed.getvalue()

    def manage(self, *words):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = manage.main(['--config-file', str(self.conf), 'db', *words])
        return code, printed.getvalue()

    def check(self):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = status.main(['--config-file', str(self.conf), 'upgrade', 'check'])
        return code, printed.getvalue()

    def noted(self):
        """What ``migsafe lvm release`` reads; the rest of it has to stay root."""
        printed = io.StringIO()
        app = main.Migsafe(default_config_files=(), stdout=printed, stderr=printed)
        app.options = app.parser.parse_known_args(['--config-file', str(self.conf)])[0]
        command = lvm.LvmRelease(app, app.options)
        before = os.geteuid()
        found = command._noted()
        assert os.geteuid() == before, 'the command needs root afterwards'
        return 0, printed.getvalue() + repr(found)

    def apart(self, run, uid=None):
        """Run a command in a process of its own; return its code and its text."""
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            code = 255
            try:
                os.close(reader)
                if uid is not None:
                    os.setgroups([])
                    os.setgid(uid)
                    os.setuid(uid)
                code, text = run()
                os.write(writer, text.encode()[:60000])
            except BaseException as error:
                os.write(writer, f'Traceback: {error!r}'.encode()[:60000])
            finally:
                os._exit(code)
        os.close(writer)
        with os.fdopen(reader, 'rb') as handle:
            text = handle.read().decode()
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), text
