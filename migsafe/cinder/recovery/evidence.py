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
"""The evidence about an export from which recovery takes its verdict."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from oslo_utils import timeutils

from migsafe.cinder.exports import targets
from migsafe.cinder.facts import attachments, compute_hosts, services
from migsafe.cinder.recovery import verdicts
from migsafe.ledger import records
from migsafe.ledger.records import Thing
from migsafe.ledger.rows import PATIENCE

#: Statuses of a volume or snapshot in which Cinder copies nothing; those of errors are more.
SETTLED = ('available', 'in-use', 'reserved', 'attaching', 'detaching')
#: Seconds for which a host that had it open is not seen to, before it is believed to have ended:
#: longer than an initiator that has lost its session waits for it, and than most outages.
QUIET = 900.0
#: Cinder has asked to take it away.
REMOVED = ('unmapping', 'removed')
#: The same for a migration.
NOT_MIGRATING = (None, '', 'success', 'error')


class Case:
    """One row of the ledger, with what Cinder says of its volume at this moment.

    :param guard: of the backend
    :param subject: the volume or snapshot
    :param export: the row
    :param known: all rows of the volume
    """

    def __init__(self, guard: Any, subject: Any, export: records.Export,
                 known: Sequence[records.Export]) -> None:
        self._guard, self._subject, self._export = guard, subject, export
        self._others = [row for row in known
                        if row.peer and row.peer != export.peer and row.state != 'gone']
        self._known = known
        self.attached = [row for row in attachments.of_volume(export.resource) if row.has] \
            if export.kind == 'volume' else []

    def decide(self, vouched: bool) -> tuple[verdicts.Verdict, str]:
        """Look up what is to be done, and give the reason.

        :param vouched: the operator says that no host has it open, for arrays that cannot tell
        """
        facts, export = self._facts(vouched), self._export
        verdict, reason = verdicts.decide(facts)
        if verdict is verdicts.Verdict.REVERT and not export.peer:
            carried = targets.carried(
                self._guard, Thing(export.kind, export.resource), self._subject, self._known)
            verdict, reason = verdicts.decide(dataclasses.replace(
                facts, carries=None if carried is None and not vouched else bool(carried)))
            if carried:
                return verdict, f'{reason}: {carried}'
        if verdict is verdicts.Verdict.REVERT and export.state == 'mapped' and not (
                vouched or facts.fenced):
            doubt = self._copying() if self._copy_ended(export) else self._lost()
            if doubt:
                return verdicts.Verdict.HOLD, doubt
        return verdict, reason

    def _lost(self) -> str:
        """Why a host that had it open may have it yet; empty if it was not seen for long enough.

        It comes back when the storage node has booted, or the network is there again.
        """
        export = self._export
        if verdicts.OPEN not in (export.error or ''):
            return ''
        since = self._guard.recovery.closed.setdefault(
            (Thing(export.kind, export.resource), export.peer), time.monotonic())
        if time.monotonic() - since >= QUIET:
            return ''
        return (f'{verdicts.OPEN}, or had when it was last seen to, and may have lost no more '
                f'than its session: it goes if no host is seen to for {QUIET / 60:.0f} minutes')

    def _facts(self, vouched: bool) -> verdicts.Facts:
        """Gather them; the array is asked only if its answer decides."""
        export, live = self._export, self._live()
        # NOTE: a target that is not live has nothing mapped through it.
        ended = vouched or export.attachment not in ('', records.COPY) or not export.peer or (
            self._copy_ended(export))
        fenced = live is False and bool(export.fenced) and compute_hosts.still(export.host)
        needless = live is not False or fenced or export.state in REMOVED or (
            export.state == 'mapped' and not ended)
        written = None if needless else self._written()
        if written is not False:
            self._guard.recovery.closed.pop(
                (Thing(export.kind, export.resource), export.peer), None)
        return verdicts.Facts(
            'unmapping' if export.state in REMOVED else export.state, live,
            export.before == 'mapped', ended,
            False if vouched and written is None else written, fenced)

    def _live(self) -> bool | None:
        """Whether somebody has it by Cinder's records; None if it may be this that he has."""
        export = self._export
        if self._others and not export.peer:
            return True
        if export.peer and (self._has_attachment(export) or any(
                same_host(row, export) and self._stands(row) for row in self._others)):
            return True
        if any(one.unclear for one in self.attached):
            return None
        return bool(self.attached) and not export.peer

    def _has_attachment(self, row: records.Export) -> bool:
        return any(one.peer and one.explains(row) for one in self.attached) or leaving(row)

    def _stands(self, row: records.Export) -> bool:
        """Whether a row may not be taken away, and with it what could take it away as well.

        Two stale rows of one host do not keep each other.
        """
        if self._has_attachment(row):
            return True
        if row.state == 'mapping':
            return self._in_flight(row)
        return (row.state == 'mapped' and row.attachment in ('', records.COPY)
                and not self._copy_ended(row))

    def _copy_ended(self, row: records.Export) -> bool:
        """Whether a process of this service made it to copy on its own host, and has ended."""
        ledger = self._guard.ledger
        return bool(row.peer and row.attachment == records.COPY
                    and row.service == ledger.service and row.incarnation != ledger.incarnation)

    def _copying(self) -> str:
        """Why a copy may go on although this process has not begun it; empty if none can.

        cinder-backup on this host and the cinder-volume of another backend ask for exports
        too, and outlive this one. They have the volume open a moment after they were told of it.
        """
        if timeutils.utcnow() - self._guard.recovery.since < PATIENCE:
            return 'cinder-volume has just started, and who copies may still be opening it'
        subject = self._subject
        for one in (subject, subject.volume) if self._export.kind == 'snapshot' else (subject,):
            if one.status not in SETTLED and not str(one.status).startswith('error'):
                return (f'{one.id} is in status {one.status}, so that a copy may still go on; if '
                        'none does, reset the status')
        if self._export.kind == 'volume' and subject.migration_status not in NOT_MIGRATING:
            return (f'{subject.id} has the migration status {subject.migration_status}, so that '
                    'a copy may still go on; if none does, reset it')
        return ''

    def _in_flight(self, row: records.Export) -> bool:
        """Whether the call that makes it may still go on."""
        if row.service != self._guard.ledger.service and services.is_up(row.service):
            return True
        # NOTE: an attempt was counted, then it has failed.
        return not row.attempts and row.due_at is not None and row.due_at > timeutils.utcnow()

    def _written(self) -> bool | None:
        """Whether the peer has the volume open; for a target, whether anybody has.

        Who is known by its address only may be anybody: that is not known, then. What could be
        taken away with it counts as well.
        """
        found = self._guard.inspector.writers(self._subject)
        if found is None:
            # NOTE: a target is asked for when nothing is mapped through it any more.
            return None if self._export.peer else False
        if not self._export.peer:
            return bool(found)
        rows = [self._export, *(row for row in self._others if same_host(row, self._export))]
        names = attachments.lower(name for row in rows for name in row.initiators)
        addresses = {attachments.address(row.connector or {}) for row in rows} - {''}
        if any(writer.initiators & names or writer.address in addresses for writer in found):
            return True
        return None if any(not writer.initiators for writer in found) else False


def leaving(export: records.Export) -> bool:
    """Whether it is that of an attachment which a migration is just giving another volume."""
    having = attachments.of_export(export) if export.kind == 'volume' else None
    return having is not None and having[1] != export.resource and having[0].explains(export)


def same_host(one: records.Export, other: records.Export) -> bool:
    """Whether to take one away could take the other away, see Attachment.explains()."""
    return bool((one.host and one.host == other.host)
                or one.counting & other.counting)
