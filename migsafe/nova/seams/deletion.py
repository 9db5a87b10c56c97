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
"""What Nova disconnects when it deletes an instance whose migration is not settled.

Nova deletes the attachment next, and its LUN number is somebody else's at once. What the journal
of the migration still has at that number would then be disconnected as the instance's.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

from oslo_log import log as logging

from migsafe.nova.host.participant import SOURCE, Participant
from migsafe.nova.seams import effects
from migsafe.resources import volume_target
from migsafe.text import masked
from migsafe.transaction import history

LOG = logging.getLogger(__name__)

#: whose host deletes an instance in this call chain
_DELETING: contextvars.ContextVar[Participant | None] = contextvars.ContextVar(
    'migsafe_deleting', default=None)


@contextlib.contextmanager
def by(participant: Participant) -> Iterator[None]:
    """Have noted what is disconnected: nothing connects it here again."""
    token = _DELETING.set(participant)
    try:
        yield
    finally:
        _DELETING.reset(token)


def noted(wrapper: Any) -> Any:
    """Note it before Nova can delete the attachment.

    :param wrapper: the wrapt wrapper of the same seam
    """
    def outer(wrapped: Any, driver: Any, args: Any, kwargs: Any) -> Any:
        result = wrapper(wrapped, driver, args, kwargs)
        participant = _DELETING.get()
        if participant is not None:
            call = effects.arguments(wrapped, args, kwargs)
            try:
                _note(participant, driver, call['instance'].uuid, call['connection_info'])
            except Exception as error:
                # Then a device at that number is one that recovery leaves to a person.
                LOG.warning('That volume %s was disconnected is not journalled: %s',
                            effects.volume_id(call['connection_info']), masked(error),
                            instance=call['instance'])
        return result
    return outer


def _note(participant: Participant, driver: Any, instance_uuid: str,
          info: dict[str, Any]) -> None:
    volume = effects.volume_id(info)
    for tx in participant.journal.unsettled_for_instance(instance_uuid):
        before = participant.engine.history(tx)
        known = before.may_be_connected(tx.role == SOURCE).get(volume)
        if known is None or volume in before.ended or not volume_target.same(known, info):
            continue
        if not effects.left(driver, participant.host, instance_uuid, info):
            participant.journal.note(tx, history.GONE + volume)
