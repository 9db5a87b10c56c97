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
"""Whether the destination has answered the request to prepare.

Then its part is over, well or not, and it writes nothing more. One without migsafe does not say
it again.
"""

from __future__ import annotations

from typing import Any

import oslo_messaging as messaging

from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.host.participant import Participant
from migsafe.resources import unarmed_loser

#: The end of the name of an exception of Nova's that came over the bus (oslo_messaging).
REMOTE = '_Remote'


def pre_live_migration(wrapped: Any, api: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper of the message.

    What was raised on the other side bears the name that it is sent with. All else was raised
    here, and says nothing of what the destination does.
    """
    attempt = host_attempt.current()
    try:
        result = wrapped(*args, **kwargs)
    except Exception as error:
        if attempt is not None:
            attempt.answered = isinstance(error, messaging.RemoteError) \
                or type(error).__name__.endswith(REMOTE)
        raise
    if attempt is not None:
        attempt.answered = True
    return result


def note(participant: Participant, attempt: host_attempt.Attempt) -> None:
    """Write it down before it is needed, which is on the way back only.

    :raises JournalError: when it cannot be written
    """
    if attempt.answered and attempt.tx is not None:
        attempt.answered = False
        participant.journal.unsynced.note(attempt.tx, unarmed_loser.ANSWERED)
