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
"""The rows of volumes that Nova reads while another host of a migration is away.

An operation that needs no more than its own host goes on then, and that other host may write rows
up to the moment at which they are read, and later. So it is what was read that is looked at.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from nova import exception

from migsafe.nova.host.participant import Participant
from migsafe.nova.seams import effects, faults, left, recorded
from migsafe.text import masked
from migsafe.transaction.clients import VolumeRow


@dataclasses.dataclass(frozen=True)
class _Reading:
    """Whose rows are read, and for which operation."""

    operation: str
    participant: Participant
    uuid: str


_CURRENT: contextvars.ContextVar[_Reading | None] = contextvars.ContextVar(
    'migsafe_rows_read', default=None)


@contextlib.contextmanager
def during(operation: str, participant: Participant, instance: Any) -> Iterator[None]:
    """While an operation is carried out, its rows are looked at when Nova has read them."""
    token = _CURRENT.set(_Reading(operation, participant, instance.uuid))
    try:
        yield
    finally:
        _CURRENT.reset(token)


def block_device_info(wrapped: Any, manager: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper of ComputeManager's, which reads the rows.

    :raises NovaException: what was read may be another host's, or another volume's
    """
    found, reading = wrapped(*args, **kwargs), _CURRENT.get()
    instance = effects.arguments(wrapped, args, kwargs)['instance']
    if reading is not None and reading.uuid == instance.uuid:
        rows = found['block_device_mapping']
        check(reading.participant, instance, reading.operation,
              [row['attachment_id'] for row in rows])
        recorded.check(reading.participant, instance, reading.operation, [
            VolumeRow(0, row.volume_id, row['attachment_id'], row['connection_info'])
            for row in rows])
    return found


def check(participant: Participant, instance: Any, operation: str,
          attachments: Sequence[str | None]) -> None:
    """Let an operation go on only with rows that are this host's, while a migration is unsettled.

    :param attachments: the one of each row that was read
    :raises NovaException: a row may be another host's
    """
    try:
        if not participant.journal.unsettled_for_instance(instance.uuid):
            return
        reason = left.unproven(participant, instance.uuid, attachments)
    except Exception as error:
        reason = masked(error) if participant.conf.enforce else None
    if reason:
        raise faults.discreet(
            exception.NovaException(f'{operation} refused: {reason}'), operation)
