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
"""What the watch of a nova-compute sees of real migrations, and what it does about stuck ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from nova.conf import CONF

from migsafe.nova.bus import endpoint
from migsafe.nova.clients import jobs
from migsafe.nova.host import watch
from migsafe.replay.lab import job as lab_job
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE

#: More looks than there will be: it goes on until somebody ends it.
FOR_EVER = 1 << 30


class WatchTest(scenarios.ScenarioTest):

    def setUp(self) -> None:
        super().setUp()
        self.now = 0.0
        for host in (SOURCE, DESTINATION):
            self.watching(host)

    def watching(self, host: str) -> None:
        """Give a host a watch whose clock is this test's."""
        manager = self.lab.stack.computes[host].manager
        self.participant(host).watch = watch.Watch(
            self.participant(host), jobs.Jobs(manager), lambda: self.now)

    def policy(self, name: str) -> None:
        CONF.set_override('stuck_policy', name, 'migsafe')
        self.addCleanup(CONF.clear_override, 'stuck_policy', 'migsafe')

    def look(self, host: str, later: float = 0.0) -> list[dict[str, Any]]:
        """One look of a host; what its endpoint then says over the bus."""
        self.now += later
        found, = [one for one in self.lab.stack.computes[host].manager.additional_endpoints
                  if isinstance(one, endpoint.Endpoint)]
        with self.lab.world.entered(self.lab.parts.processes[host]):
            self.participant(host).watch.once()
            self.participant(host).watch.wait()
            answer: list[dict[str, Any]] = json.loads(
                json.dumps(found.migrations({})))['migrations']
        return answer

    def states(self, host: str, later: float = 0.0) -> list[tuple[str, str, int | None]]:
        return [(one['state'], one['phase'], one['progress']) for one in self.look(host, later)]

    def transfer(self, then: Callable[[lab_job.Job], None]) -> Any:
        """A guest whose transfer goes on until the end of what is done meanwhile."""
        server = self.guest()
        failed: list[Exception] = []

        def happens() -> None:
            self.lab.world.rule = None
            job, = self.lab.parts.connections[SOURCE].jobs
            job.polls = FOR_EVER
            try:
                with self.lab.world.entered(None):
                    then(job)
            except Exception as error:
                # Nova's driver would take it for its own
                failed.append(error)
            job.polls = 0
        meanwhile = self.lab.world.rule = scenarios.Meanwhile(
            SOURCE, 'libvirt', 'jobStats', happens)
        self.lab.migrate(server)
        self.assertTrue(meanwhile.done)
        for error in failed:
            raise error
        self.recover()
        return server


class TestTransfer(WatchTest):

    def test_nothing_is_sent(self):
        def then(job):
            self.assertEqual([('running', 'transfer', 50)], self.states(SOURCE))
            self.assertEqual([('stuck', 'transfer', 50)], self.states(SOURCE, 600))
            self.assertIn('is stuck (transfer): nothing of the guest has been sent for 600',
                          self.lab.log())
            # its destination only waits
            self.assertEqual(['unsettled'], [one[0] for one in self.states(DESTINATION)])
            self.assertEqual('complete', job.verdict)
        # and nothing was done to it
        self.assertClean(self.transfer(then), DESTINATION)
        self.assertEqual([], self.look(SOURCE))

    def test_it_is_ended(self):
        self.policy('abort')

        def then(job):
            self.states(SOURCE)
            self.assertEqual([('stuck', 'transfer', 50)], self.states(SOURCE, 600))
            self.assertEqual('cancel', job.verdict)
        server = self.transfer(then)
        self.assertClean(server, SOURCE)
        self.assertEqual('ACTIVE', self.lab.show(server)['status'])
        self.assertIn('is stuck and is ended', self.lab.log())
        self.migrate(server)
        self.assertClean(server, DESTINATION)

    def test_longer_than_nova_allows(self):
        self.policy('settle')

        def then(job):
            # 2 GB and a minute
            allowed = 2 * CONF.libvirt.live_migration_completion_timeout + jobs.GRACE
            job.elapsed = (allowed - 1) * 1000
            self.assertEqual([('running', 'transfer', 50)], self.states(SOURCE))
            job.elapsed = (allowed + 1) * 1000
            self.assertEqual([('stuck', 'transfer', 50)], self.states(SOURCE))
            self.assertEqual('cancel', job.verdict)
        self.assertClean(self.transfer(then), SOURCE)

    def test_post_copy_is_not_ended(self):
        """The guest is on both sides: Nova refuses, and so does the watch before."""
        self.policy('settle')

        def then(job):
            record, = jobs.Jobs(self.lab.stack.computes[SOURCE].manager).records(SOURCE)
            from nova import context as nova_context
            from nova import objects
            context = nova_context.get_admin_context()
            with self.lab.world.looking(), nova_context.target_cell(
                    context, self.lab.stack.cell_mappings['cell1']) as cell:
                migration = objects.Migration.get_by_uuid(cell, record.uuid)
                migration.status = 'running (post-copy)'
                migration.save()
            self.states(SOURCE)
            self.assertEqual([('stuck', 'transfer', 50)], self.states(SOURCE, 600))
            self.assertEqual('complete', job.verdict)
            self.assertIn('could not be ended: InvalidMigrationState', self.lab.log())
        self.assertClean(self.transfer(then), DESTINATION)

    def test_the_destination_is_down(self):
        def then(_job):
            self.force_down(DESTINATION)
            found, = self.look(SOURCE)
            self.assertEqual('stuck', found['state'])
            self.assertIn(f'nova-compute on {DESTINATION} is down', found['reason'])
            self.force_up(DESTINATION)
        self.assertClean(self.transfer(then), DESTINATION)

    def test_nova_compute_was_started_anew(self):
        """Its transfer is watched again, and is stuck and ended as any other."""
        self.policy('abort')

        def then(job):
            self.assertTrue(self.lab.restart(SOURCE, meanwhile=True))
            self.watching(SOURCE)
            self.assertEqual([('unsettled', 'intent connect_volume', 50)],
                             [(one['state'], 'intent connect_volume', one['progress'])
                              for one in self.look(SOURCE)])
            self.lab.recover_one(SOURCE)
            self.states(SOURCE)
            self.assertEqual([('stuck', 'transfer', 50)], self.states(SOURCE, 600))
            self.assertEqual('cancel', job.verdict)
            self.participant(SOURCE).recovery.transfers.wait()
        self.assertClean(self.transfer(then), SOURCE)


class TestLeft(WatchTest):

    def test_held(self):
        server = self.guest()
        self.migrate(server, scenarios.DESTINATION_DIES)
        self.recover()
        found, = self.look(SOURCE)
        self.assertEqual(('unsettled', server.uuid, DESTINATION),
                         (found['state'], found['instance'], found['destination']))
        self.assertIn(f'migsafe journal show {found["migration"]}', found['reason'])
        self.lab.restart(DESTINATION)
        self.watching(DESTINATION)
        self.recover()
        self.assertClean(server, SOURCE)
        self.assertEqual([], [*self.look(SOURCE), *self.look(DESTINATION)])

    def test_a_record_that_nothing_is_at(self):
        server = self.guest()
        self.migrate(server, scenarios.kill(SOURCE, 'journal', 'begin', when='before'))
        self.assertTrue(self.lab.restart(SOURCE))
        self.watching(SOURCE)
        self.assertEqual([('running', 'preparing', None)], self.states(SOURCE))
        self.assertEqual([('stuck', 'preparing', None)], self.states(SOURCE, 600))
        self.assertIn('nothing on node13 is at it', self.lab.log())
        self.lab.pass_time(3600)
        self.recover()
        self.assertClean(server, SOURCE)
        self.assertEqual([], self.look(SOURCE))
