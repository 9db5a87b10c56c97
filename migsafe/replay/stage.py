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
from migsafe.replay.lab import case as lab_case
from migsafe.replay.lab import faults, guests, lab

#: What a next step is called.
OWNER = {'hard_reboot': 'hard reboot', 'stop_start': 'stop, and start again',
         'detach': 'detach', 'delete': 'delete'}


class Stage(lab.Lab):
    """A Lab that remembers the last guest and notes what belongs to which effect.

    :ivar death: what else kills a nova-compute in the next case.
    :ivar died: whether that happened.
    :ivar books: the journals, if there are any.
    :ivar luns: the guest's LUN numbers on the source, root disk first.
    """

    def __init__(self, armed: bool) -> None:
        super().__init__(armed=armed, log_level=logging.ERROR)
        self.notes = record.Notes()
        self.server: guests.Server | None = None
        self.luns: tuple[int, ...] = ()
        self.death: record.Death | None = None
        self.died = False
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
            self.notes, self.died = record.Notes(phases=[(0, 'live migration')]), False
        plan = super().arm_faults(case, phase)
        self.note_with(plan)
        return plan

    def note_with(self, plan: faults.Plan | None = None) -> None:
        """Go on noting, with other faults or none."""
        chosen = plan or faults.Plan((), self.world, self.parts.connections)
        self.world.rule = record.Recorder(chosen, self.world, self.notes, self._kill,
                                          self.death, self._written)

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

    def _kill(self, host: str) -> bool:
        process = self.parts.processes[host]
        was, process.alive = process.alive, False
        self.died = True
        return was

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

    def restart(self, host: str, reboot: bool = False) -> bool:
        """Start a host's nova-compute again."""
        what = 'is rebooted' if reboot else 'starts its nova-compute again'
        self.phase(f'{host} {what}')
        return super().restart(host, reboot)

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
