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
"""What making and removing an export have in common: the intent before, the failure after."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

from oslo_log import log as logging

from migsafe import exceptions
from migsafe.cinder.exports import targets
from migsafe.cinder.facts import calls
from migsafe.ledger import api, records
from migsafe.ledger.records import Thing
from migsafe.text import masked

LOG = logging.getLogger(__name__)

TARGET = ''
#: Between two looks whether another service has ended.
LOOK_SECONDS = 0.1, 0.4

Driver = Callable[..., Any]
Judging = Callable[[], api.Judge | None]


class Intents:
    """Records intents. The caller is the only one at the volume.

    :param guard: of the backend
    """

    def __init__(self, guard: Any) -> None:
        self._guard = guard
        #: thing and peer -> when create_export has recorded the intent
        self._intents: dict[tuple[Thing, str], float] = {}

    def _begin(self, thing: Thing, peers: list[records.Peer], state: str,
               judging: Judging | None, attachment: str = '') -> None:
        """Record an intent, once no other service of the cluster is at work on the volume.

        :param judging: gives the judge, of what is known when nobody is
        :raises Busy: one was, all the time
        """
        ledger, deadline = self._guard.ledger, time.monotonic() + calls.LINE_SECONDS
        while True:
            try:
                ledger.intend(thing, peers, state, attachment=attachment,
                              judge=judging() if judging else None)
                self._guard.looks.anew(thing, [peer.key for peer in peers])
                return
            except (api.Busy, targets.Changed):
                if time.monotonic() >= deadline:
                    raise
            while ledger.busy(thing) and time.monotonic() < deadline:
                time.sleep(random.uniform(*LOOK_SECONDS))

    def _failed(self, thing: Thing, keys: list[str], error: BaseException) -> None:
        """Leave it to recovery to find out what is there. The driver's error goes on."""
        try:
            self._guard.ledger.fail(thing, keys, masked(error))
        except exceptions.MigsafeError as failed:
            LOG.error('%s; the intent stands, and is taken up when it is due', failed)
        self._guard.recovery.nudge()
