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
"""A journal in a temporary directory."""

import datetime
import os
import sqlite3
from unittest import mock

import fixtures
from oslo_config import cfg
from oslo_utils import timeutils
from oslotest import base

import migsafe.conf
from migsafe import journal

SECRET = 'chap-secret-4711'
CONNECTION = {'driver_volume_type': 'iscsi', 'data': {
    'target_lun': 4, 'target_iqn': 'iqn.1992-08.com.netapp:sn.5a7', 'auth_method': 'CHAP',
    'auth_username': 'node11', 'auth_password': SECRET}}


NOW = datetime.datetime(2026, 7, 1, 12, 0, 0, 123456)


class Clock(fixtures.Fixture):
    """A clock that stands still until it is told to go on."""

    def _setUp(self):
        self.now = NOW
        self.useFixture(fixtures.MockPatchObject(
            timeutils, 'utcnow', mock.Mock(side_effect=lambda: self.now)))

    def advance(self, seconds):
        """Let time pass."""
        self.now += datetime.timedelta(seconds=seconds)


def make_conf(state_path, **overrides):
    """Return the configuration of a host."""
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[])
    migsafe.conf.register_opts(conf)
    conf.set_override('state_path', str(state_path), 'migsafe')
    for name, value in overrides.items():
        conf.set_override(name, value, 'migsafe')
    return conf


class JournalTestCase(base.BaseTestCase):
    """Has a directory, a configuration and a way to open journals that are closed at the end."""

    host = 'node13'

    def setUp(self):
        super().setUp()
        self.state = os.path.join(self.useFixture(fixtures.TempDir()).path, 'state')
        self.path = os.path.join(self.state, f'{self.host}.sqlite')
        self.conf = self.make_conf()

    def make_conf(self):
        """Return the configuration; the functional tests put a server into it."""
        return make_conf(self.state)

    def open(self, host=None, **kwargs):
        """Open a journal."""
        opened = journal.open_journal(self.conf, host or self.host, **kwargs)
        self.addCleanup(opened.close)
        return opened

    def begin(self, opened, uuid='m-1', role='source', instance='i-1', **kwargs):
        """Begin a transaction from node13 to node11."""
        return opened.begin(uuid, role, instance, 'node13', 'node11', **kwargs)

    def sql(self, *statements):
        """Change a SQLite journal behind its back."""
        with sqlite3.connect(self.path) as connection:
            found = [connection.execute(statement).fetchall() for statement in statements]
        connection.close()
        return found[-1]
