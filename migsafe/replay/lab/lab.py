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
"""The laboratory: start it once, break many migrations in it."""

from __future__ import annotations

import contextlib
import datetime
import logging
from typing import Any

from migsafe.replay.lab import armed as lab_armed
from migsafe.replay.lab import case as lab_case
from migsafe.replay.lab import cleaning, faults, guests, observe, parts, stack, steps, world

#: Seconds without any progress after which a case counts as stuck.
STUCK = 300.0

#: Seconds for which a host hangs: more than anybody waits for it.
HANGS = 300.0

#: Seconds between two recovery passes: more than the longest backoff of the defaults.
PATIENCE = 700.0

LOG = logging.getLogger(__name__)


class LabBroken(Exception):
    """The laboratory itself failed, so that a case says nothing about Nova."""


class Lab:
    """A Nova with two hosts, or three, that runs case after case.

    Use it as a context manager, or call start() and stop().

    :param armed: whether migsafe is switched on through the configuration.
    :param log_level: what Nova logs is kept per case from this level on, see CaseResult.log.
    :param third: whether there is a third host, to which a guest goes on from the second.
    :param only: the hosts that have migsafe, of an armed laboratory; all unless told.
    """

    def __init__(self, armed: bool = False, log_level: int = logging.WARNING,
                 third: bool = False, only: tuple[str, ...] = ()) -> None:
        self.armed, self._only = armed, only
        self.parts = parts.Parts(third)
        self.stack = stack.Stack(self.parts)
        self.world = self.parts.world
        self.source, self.destination = self.parts.hosts[:2]
        self._log_level = log_level
        #: hosts whose nova-compute met a fault while it started, and may be half ready
        self._shaken: set[str] = set()

    def __enter__(self) -> Lab:
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def start(self) -> None:
        """Bring everything up; takes some seconds.

        :raises LabBroken: if this process is armed already, so that nothing would be plain.
        """
        if lab_armed.is_armed():
            raise LabBroken('migsafe is armed in this process outside of the laboratory; '
                            'run the laboratory in a process of its own')
        try:
            self.stack.setUp()
            if self.armed:
                self.stack.useFixture(lab_armed.Armed(self.stack, self._only))
            self.stack.boot_hosts()
            logging.getLogger().setLevel(self._log_level)
        except BaseException:
            self.stack.doCleanups()
            raise

    def stop(self) -> None:
        """Take everything down and give the process its patched attributes back."""
        self.stack.doCleanups()

    # -- guests ---------------------------------------------------------------------------

    def new_server(self, volumes: int = 2, backends: tuple[str, ...] = ('iscsi',),
                   multiattach: bool = False, encrypted: bool = False,
                   legacy: bool = False, deleted_with: bool = False,
                   image: str = '') -> guests.Server:
        """Boot a guest with volumes on the source host through the API.

        :param backends: taken in turn, one per volume; keys of San.arrays.
        :param encrypted: with LUKS, as QEMU does it itself.
        :param legacy: turn its volumes back into what Nova before Queens left in databases:
            no attachment, os-initialize_connection.
        :param deleted_with: delete_on_termination of its volumes.
        :param image: the guest boots from it, and not from its first volume.
        :raises LabBroken: if it does not become ACTIVE.
        """
        server = guests.request(self.stack, volumes, backends, multiattach, encrypted,
                                deleted_with, image)
        self.wait()
        status = self.show(server)
        if status['status'] != 'ACTIVE':
            raise LabBroken(f'guest {server.uuid} is {status["status"]}: {status.get("fault")}')
        if legacy:
            steps.make_legacy(self.stack, server.uuid)
        self.world.volumes = list(server.volumes)
        return server

    def show(self, server: guests.Server) -> dict[str, Any]:
        """The server as the API shows it."""
        with self.world.looking():
            answer: dict[str, Any] = self.stack.admin_api.get_server(server.uuid)
        return answer

    def observer(self, server: guests.Server) -> observe.Observer:
        """Who judges what is left of this guest."""
        return observe.Observer(self.stack, server.uuid, server.volumes, server.port)

    # -- what is done with them -----------------------------------------------------------

    def migrate(self, server: guests.Server, host: str | None = None) -> bool:
        """Live-migrate through the API and wait for the end, good or bad.

        :param host: where to; the destination unless told.
        :returns: whether the API accepted the request.
        """
        body = {'os-migrateLive': {'host': host or self.destination, 'block_migration': 'auto'}}
        done = steps.api_action(self.stack, server.uuid, body)
        self.wait()
        return done is None

    def wait(self) -> None:
        """Wait until no work is left, hypervisor jobs that nobody watches included.

        :raises LabBroken: if something is stuck.
        """
        connections = list(self.parts.connections.values())

        def jobs() -> list[Any]:
            return [job for c in connections for job in list(c.jobs)]

        def release() -> None:
            for job in jobs():
                job.release()
                job.join()

        if not self.world.wait_idle(lambda: len(jobs()), release, STUCK):
            raise LabBroken(f'{self.world.busy} pieces of work do not end')

    def late(self) -> list[str]:
        """Deliver the messages that a fault held back; returns what they were.

        Those for a host that is down wait until it is restarted, as they do in a broker.
        """
        delivered = self.parts.bus.deliver_late()
        self.wait()
        return delivered

    def go_on(self, plan: faults.Plan) -> None:
        """Let a host go on that hangs since a while, and wait for what it does."""
        if plan.hang is not None and plan.hang.stuck:
            self.pass_time(HANGS)
            plan.hang.end()
            self.wait()

    def dead(self) -> list[str]:
        """The hosts whose nova-compute was killed."""
        return [h for h in self.parts.hosts if not self.parts.processes[h].alive]

    def restart(self, host: str, reboot: bool = False, meanwhile: bool = False) -> bool:
        """Start a new nova-compute on a host, as kill -9 and a start do.

        :param reboot: the whole host was: its devices and running guests are gone, and it has
            another boot id. Without it the guests run on.
        :param meanwhile: in the middle of other work, whose end is not waited for.
        :returns: False if the new nova-compute was killed or failed while it started.
        """
        self.stack.silence_host(host)
        if reboot:
            self.stack.reboot_host(host)
        process = self.stack.parts.processes[host] = world.Process(host)
        plan = self.world.rule
        fired = len(plan.fired) if isinstance(plan, faults.Plan) else 0
        self._shaken.discard(host)
        try:
            self.stack.restart_host(host, process)
        except world.Killed:
            process.alive = False
        except Exception:
            # a service that cannot start exits, and its service manager starts it again
            process.alive = False
            LOG.exception('nova-compute on %s did not start', host)
        finally:
            if not meanwhile:
                self.wait()
            if isinstance(plan, faults.Plan) and len(plan.fired) > fired:
                self._shaken.add(host)
        return process.alive

    def recover(self) -> None:
        """One recovery pass of migsafe on every live host; nothing on a plain Nova.

        Time passes afterwards, so that the next pass takes up what was put off.
        """
        if not self.armed:
            return
        for host in self.parts.hosts:
            self.recover_one(host)
        self.wait()
        self.pass_time(PATIENCE)

    def recover_one(self, host: str) -> None:
        """The same on one host, of which nobody waits for what it starts."""
        process = self.parts.processes[host]
        if self.armed and process.alive:
            with self.world.entered(process), contextlib.suppress(world.Killed):
                lab_armed.recover_once(self.stack.computes[host].manager)

    def forget(self) -> None:
        """What is unsettled in the journals of all hosts is of no interest any more."""
        for service in self.stack.computes.values():
            lab_armed.forget(service.manager)

    def pass_time(self, seconds: float) -> None:
        """Let the clock that Nova and migsafe see go forward, until the case ends."""
        self.stack.clock.ahead += datetime.timedelta(seconds=seconds)

    def what_if(self, server: guests.Server, operation: str) -> lab_case.NextStep:
        """Do the next step for real and report the damage; the guest is not the same after.

        :param operation: one of case.NEXT_STEPS.
        """
        before, failed = len(self.world.harms), len(steps.failures(self.stack, server.uuid))
        refused = steps.NEXT[operation](self.stack, server)
        self.wait()
        later = steps.failures(self.stack, server.uuid)
        refused = refused or (later[0] if len(later) > failed else None)
        status = refused or steps.status(self.stack, server.uuid)
        return lab_case.NextStep(operation, refused is None and status in steps.GOOD[operation],
                                 status, tuple(self.world.harms[before:]))

    # -- cases ----------------------------------------------------------------------------

    def arm_faults(self, case: lab_case.Case, phase: str) -> faults.Plan:
        """Let the faults of one phase happen from now on."""
        chosen = [f for f in case.faults if f.phase == phase]
        plan = faults.Plan(chosen, self.world, self.parts.connections)
        self.world.rule = plan
        return plan

    def clean(self) -> None:
        """Make both hosts live and forget all guests."""
        self.world.reset()
        self.stack.clock.ahead = datetime.timedelta()
        for host in {*self.dead(), *self._shaken}:
            self.restart(host)
        cleaning.everything(self.stack)
        self.world.reset()
        self.stack.stdlog.delete_stored_logs()

    def log(self) -> str:
        """What Nova logged since the case began."""
        return str(self.stack.stdlog.logger.output)
