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
"""Calls of Nova that fail and do not say so: Nova goes on as if they had done their work."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from unittest import mock

from migsafe.replay.lab import faults
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.matrix import client
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE

#: How Nova takes the migration's allocation away once the guest has arrived.
DELETION = ('placement', 'PUT /allocations/*')


@contextlib.contextmanager
def stuck(name, path):
    """Neither a directory nor what it was renamed to can be moved, or removed."""
    module, tried = {'rename': os, 'rmtree': shutil}[name], []
    real = getattr(module, name)

    def fails(where, *given, **how):
        if os.fspath(where).startswith(path):
            tried.append(where)
            raise PermissionError(errno.EACCES, 'Permission denied', where)
        return real(where, *given, **how)

    with mock.patch.object(module, name, fails):
        yield tried


class TestPlacementCannotBeReached(scenarios.ScenarioTest):
    """``safe_connect`` makes None of it, and Nova's post step looks at no result."""

    def test_control_plain_nova_leaves_the_allocation(self):
        plain = client.Laboratory(armed=False)
        self.addCleanup(plain.stop)
        control = plain.run(
            f'healthy,connect-failure:before:{SOURCE}:placement:PUT /allocations/*:1', step=False)
        self.assertEqual([], control.unfired)
        self.assertIn('R7', ' '.join(control.left))

    def test_the_transaction_stays_open_until_it_is_deleted(self):
        server = self.guest()
        self.migrate(server, faults.Fault(
            *DELETION, 'connect-failure', SOURCE, times=faults.FOR_EVER))
        self.assertUnharmed(server, DESTINATION)
        self.assertIn('R7', self.kinds(server))
        transaction, = self.transactions(SOURCE)
        self.assertEqual('COMMIT', transaction.verdict)
        self.recover()
        self.assertClean(server, DESTINATION)

    def test_one_lost_call_is_made_good(self):
        server = self.guest()
        self.migrate(server, faults.Fault(*DELETION, 'connect-failure', SOURCE))
        self.recover()
        self.assertClean(server, DESTINATION)

    def test_directory_that_nova_could_not_remove(self):
        """Nova passes over both: what cannot be moved away, and what cannot be removed then."""
        for broken, left in (('rename', ''), ('rmtree', '_del')):
            with self.subTest(broken):
                server = self.guest()
                path = os.path.join(
                    self.lab.stack.host_options[SOURCE]['instances_path'], server.uuid)
                with stuck(broken, path) as tried:
                    self.migrate(server)
                self.assertTrue(tried)
                self.assertTrue(os.path.exists(path + left))
                transaction, = [tx for tx in self.transactions(SOURCE)
                                if tx.instance_uuid == server.uuid]
                self.assertEqual('COMMIT', transaction.verdict)
                self.assertNotEqual('settled', transaction.state)
                self.recover()
                self.assertClean(server, DESTINATION)
                self.assertFalse(os.path.exists(path + left))

    def test_control_plain_nova_leaves_the_directory(self):
        server = self.guest()
        path = os.path.join(
            self.lab.stack.host_options[SOURCE]['instances_path'], server.uuid)
        managers = [self.lab.stack.computes[h].manager for h in (SOURCE, DESTINATION)]
        with stuck('rename', path) as tried, \
                mock.patch.multiple(managers[0], _migsafe=None), \
                mock.patch.multiple(managers[1], _migsafe=None):
            self.migrate(server)
        self.assertTrue(tried)
        self.assertTrue(os.path.exists(path))

    def test_control_where_all_succeed_nothing_is_read_back(self):
        server, source = self.guest(), self.participant(SOURCE)
        with mock.patch.object(source, 'settle', wraps=source.settle) as settle:
            self.migrate(server)
        settle.assert_not_called()
        self.assertClean(server, DESTINATION)
