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
"""nova-compute of the source is started anew in mid-transfer, and libvirt's job goes on.

All that is done to it comes while the transfer is under way, from within the last look at it of
the nova-compute that ends there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

from nova.conf import CONF

from migsafe.replay.lab import job as lab_job
from migsafe.replay.lab import observe
from migsafe.resources import stopped_guest
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE

#: More looks than there will be: it goes on until somebody ends it.
FOR_EVER = 1 << 30
HOUR = 3600 * 1000


class TestLostJob(scenarios.ScenarioTest):

    def lost(self, then: Callable[[Any, lab_job.Job], None], takes_up: bool = True,
             paused: bool = False) -> Any:
        """A guest whose transfer is lost, and what happens then.

        :param takes_up: whether recovery looks at it after the start
        :param paused: whether Nova had stopped the guest before, to have it completed by force
        """
        server = self.guest()

        failed: list[Exception] = []

        def happens() -> None:
            self.lab.world.rule = None
            job, = self.lab.parts.connections[SOURCE].jobs
            job.polls = FOR_EVER
            if paused:
                self.domain(server).suspend()
                self.assertTrue(self.paused())
            try:
                with self.lab.world.entered(None):
                    self.assertTrue(self.lab.restart(SOURCE, meanwhile=True))
                    if takes_up:
                        self.lab.recover_one(SOURCE)
                    then(server, job)
            except Exception as error:
                # the nova-compute that ends here would swallow it
                failed.append(error)
            job.polls = 0
        meanwhile = self.lab.world.rule = scenarios.Meanwhile(
            SOURCE, 'libvirt', 'jobStats', happens)
        self.lab.migrate(server)
        self.assertTrue(meanwhile.done)
        for error in failed:
            raise error
        self.participant(SOURCE).recovery.transfers.wait()
        self.recover()
        return server

    def migration(self, server: Any) -> Any:
        held = observe.records(self.lab.stack, server.uuid)
        assert held is not None
        return held.migrations[-1]

    def domain(self, server: Any) -> Any:
        """The guest's on the source."""
        return next(domain for domain in self.lab.parts.connections[SOURCE]._vms.values()
                    if domain.UUIDString() == server.uuid)

    def cancelled(self, server: Any, job: lab_job.Job) -> None:
        """Its migration is over by Nova's record, and libvirt's job goes on until somebody ends
        it."""
        migration = self.migration(server)
        with self.lab.world.looking():
            migration.status = 'cancelled'
            migration.save()
        self.lab.recover_one(SOURCE)
        self.until(lambda: job.over)
        self.assertEqual('cancel', job.verdict)

    def paused(self) -> bool:
        return any(domain.state() == [3, lab_job.PAUSED_MIGRATION]
                   for domain in self.lab.parts.connections[SOURCE]._vms.values())

    def until(self, true: Callable[[], bool]) -> None:
        """What another thread does at its next look."""
        end = time.monotonic() + lab_job.PATIENCE
        while not true() and time.monotonic() < end:
            time.sleep(0.01)
        self.assertTrue(true())

    def test_time_out(self):
        CONF.set_override('live_migration_completion_timeout', 1, 'libvirt')
        self.addCleanup(CONF.clear_override, 'live_migration_completion_timeout', 'libvirt')

        def then(server, job):
            # what had passed before counts, or a start now and then would put it off for ever
            job.elapsed = HOUR
            self.until(lambda: job.over)
            self.assertEqual('cancel', job.verdict)
        server = self.lost(then)
        self.assertClean(server, SOURCE)
        self.assertEqual('ACTIVE', self.lab.show(server)['status'])

    def test_abort(self):
        def then(server, job):
            self.lab.stack.admin_api.api_delete(
                f'/servers/{server.uuid}/migrations/{self.migration(server).id}')
            self.until(lambda: job.over)
            self.assertEqual('cancel', job.verdict)
        server = self.lost(then)
        self.assertClean(server, SOURCE)

    def test_force_complete(self):
        def then(server, job):
            self.lab.stack.admin_api.api_post(
                f'/servers/{server.uuid}/migrations/{self.migration(server).id}/action',
                {'force_complete': None}, check_response_status=[202])
            self.until(self.paused)
            job.release()
            self.until(lambda: job.over)
        server = self.lost(then)
        self.assertClean(server, DESTINATION)

    def test_it_completes_by_itself(self):
        def then(server, job):
            self.assertTrue(self.participant(SOURCE).attempts.live(self.migration(server).uuid))
            job.release()
            self.until(lambda: job.over)
        self.assertClean(self.lost(then), DESTINATION)

    def test_it_fails_by_itself(self):
        def then(server, job):
            job.verdict = 'fail'
            job.release()
            self.until(lambda: job.over)
        self.assertClean(self.lost(then), SOURCE)

    def test_nobody_wants_it(self):
        """Its migration is over by Nova's record: it is ended, as plain Nova does at the start."""
        def then(server, job):
            migration = self.migration(server)
            with self.lab.world.looking():
                migration.status = 'error'
                migration.save()
            self.lab.recover_one(SOURCE)
            self.until(lambda: job.over)
            self.assertEqual('cancel', job.verdict)
        self.assertClean(self.lost(then, takes_up=False), SOURCE)

    def test_paused_and_it_completes(self):
        def then(server, job):
            job.release()
            self.until(lambda: job.over)
        server = self.lost(then, paused=True)
        self.assertClean(server, DESTINATION)

    def test_paused_and_nobody_wants_it(self):
        self.assertClean(self.lost(self.cancelled, takes_up=False, paused=True), SOURCE)

    def cannot_resume(self) -> Any:
        self.lab.parts.connections[SOURCE].cannot_resume = True
        return self.lost(self.cancelled, takes_up=False, paused=True)

    def test_paused_and_libvirt_could_not_let_it_run_again(self):
        server = self.cannot_resume()
        self.assertClean(server, SOURCE)
        self.assertEqual([1, lab_job.RUNNING_BOOTED], self.domain(server).state())

    def test_control_it_would_stay_stopped(self):
        with mock.patch.object(stopped_guest, 'stopped', return_value=False):
            server = self.cannot_resume()
        self.assertEqual({'R6'}, self.kinds(server))
        self.assertEqual([3, lab_job.PAUSED_API_ERROR], self.domain(server).state())
        self.assertEqual([], self.transactions(SOURCE))

    def test_control_without_recovery_it_goes_on(self):
        def then(server, job):
            job.elapsed = HOUR
            self.assertNotIn(server.uuid, self.lab.stack.computes[
                SOURCE].manager.driver.active_migrations)
            self.assertFalse(job.over)
            job.release()
            self.until(lambda: job.over)
        self.assertClean(self.lost(then, takes_up=False), DESTINATION)
