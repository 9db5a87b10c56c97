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
"""A laboratory that records when each effect happens."""

from __future__ import annotations

import logging
from typing import Any

import nova.conf

from migsafe.replay import books, record, words
from migsafe.replay.lab import backup, faults, guests, lab
from migsafe.replay.lab import case as lab_case

#: What a next step is called.
OWNER = {'hard_reboot': 'hard reboot', 'stop_start': 'stop, and start again',
         'detach': 'detach', 'delete': 'delete'}


class Stage(lab.Lab):
    """A Lab that remembers the last guest and notes what belongs to which effect.

    :ivar moments: what else happens in the next case; what has happened is not in it any more.
    :ivar books: the journals, if there are any.
    :ivar luns: the guest's LUN numbers on the source, root disk first.
    """

    def __init__(self, armed: bool, third: bool = False) -> None:
        super().__init__(armed=armed, log_level=logging.ERROR, third=third)
        self.notes = record.Notes()
        self.server: guests.Server | None = None
        self.luns: tuple[int, ...] = ()
        self.moments: list[record.Moment] = []
        self.backup: backup.Backup | None = None
        self.books: books.Books | None = None

    def __enter__(self) -> Stage:
        super().__enter__()
        return self

    def start(self) -> None:
        """Bring everything up."""
        super().start()
        if self.armed:
            self.books = books.Books(nova.conf.CONF)

    def stop(self) -> None:
        """Take everything down."""
        if self.books is not None:
            self.books.close()
        super().stop()

    # -- what a Lab does, noted -----------------------------------------------------------

    def new_server(self, *args: Any, **kwargs: Any) -> guests.Server:
        """Boot the guest; its numbers on the source are kept in ``luns``."""
        server = super().new_server(*args, **kwargs)
        self.server = server
        self.luns = tuple(export.lun for volume in server.volumes
                          for export in self.parts.san.exports(volume))
        return server

    def arm_faults(self, case: lab_case.Case, phase: str) -> faults.Plan:
        """Let the faults of one phase happen from now on."""
        if phase == 'migrate':
            # whatever was noted until now was cleaning and booting
            self.notes = record.Notes(phases=[(0, 'live migration')])
        plan = super().arm_faults(case, phase)
        self.note_with(plan)
        return plan

    def note_with(self, plan: faults.Plan | None = None) -> None:
        """Go on noting, with other faults or none."""
        chosen = plan or faults.Plan((), self.world, self.parts.connections)
        self.world.rule = record.Recorder(chosen, self.world, self.notes, self.moments,
                                          self._written)

    def _written(self, host: str) -> tuple[str, ...]:
        if self.books is None or self.server is None:
            return ()
        with self.world.looking():
            found = self.books.new_lines(host, self.server.uuid)
        return tuple(self.named(text) for text in found)

    def named(self, text: str) -> str:
        """A text with the names of the last guest's disks in place of their ids."""
        for number, volume in enumerate(self.server.volumes if self.server else ()):
            text = text.replace(volume, f'{words.disk(number)} disk')
        return text

    def dies(self, host: str, kind: str, name: str) -> record.Moment:
        """A host's nova-compute is killed when another host causes that effect first."""
        def happens() -> bool:
            process = self.parts.processes[host]
            was, process.alive = process.alive, False
            return was
        others = tuple(other for other in self.parts.hosts if other != host)
        return record.Moment(others, kind, name, f'nova-compute on {host} is killed', happens)

    def copied(self, host: str, kind: str, name: str) -> record.Moment:
        """A host's journal is copied when it does that, if it has one."""
        def happens() -> bool:
            self.backup = backup.Backup(host) if self.armed else None
            return True
        return record.Moment((host,), kind, name, 'the journal is copied', happens)

    def put_back(self, host: str) -> None:
        """Stop a host's nova-compute, and put that copy in the place of its journal."""
        self.phase(f'nova-compute on {host} is stopped, and its disk restored from the copy')
        self.stack.silence_host(host)
        if self.backup is not None and self.books is not None and self.server is not None:
            self.backup.put_back()
            self.books.changed(host, self.server.uuid)

    def returns(self, host: str, by: str, kind: str, name: str) -> record.Moment:
        """A host's nova-compute starts again, and recovers, when another host does that."""
        def happens() -> bool:
            alive = self.restart(host, meanwhile=True)
            self.recover_one(host)
            self.phase('the live migration goes on')
            return alive
        return record.Moment((by,), kind, name, f'nova-compute on {host} starts again', happens)

    def go_on(self, plan: faults.Plan) -> None:
        """Let a host go on that hangs."""
        if plan.hang is not None and plan.hang.stuck:
            self.phase(f'{plan.hang.host} goes on, minutes later')
        super().go_on(plan)

    def phase(self, text: str) -> None:
        """What follows belongs to another phase."""
        self.notes.phases.append((len(self.world.trace), text))

    def late(self) -> list[str]:
        """Deliver what is late; noted only if something is."""
        before = len(self.world.trace)
        delivered = super().late()
        if delivered:
            self.notes.phases.append((before, f'late: {", ".join(delivered)}'))
        return delivered

    def restart(self, host: str, reboot: bool = False, meanwhile: bool = False) -> bool:
        """Start a host's nova-compute again."""
        what = 'is rebooted' if reboot else 'starts its nova-compute again'
        self.phase(f'{host} {what}')
        return super().restart(host, reboot, meanwhile)

    def recover(self) -> None:
        """One recovery pass of migsafe."""
        if self.armed:
            self.phase('periodic recovery')
        super().recover()

    def what_if(self, server: guests.Server, operation: str) -> lab_case.NextStep:
        """What the owner does next."""
        self.phase(f'the owner: {OWNER[operation]}')
        self.note_with()
        return super().what_if(server, operation)
