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
"""A nova-compute that stays stuck in one call, and goes on when all others have given up."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import oslo_messaging as messaging

from migsafe.replay.lab import bus as lab_bus
from migsafe.replay.lab import world as lab_world


class Hang:
    """One host that gets stuck.

    The bus delivers in the thread of the sender, which must not get stuck as well. So what may
    get stuck is delivered in another one.

    :param host: which host
    """

    def __init__(self, host: str, world: lab_world.World) -> None:
        self.host = host
        self._world = world
        self._begun, self._over, self._ended = (threading.Event() for _ in range(3))

    @property
    def stuck(self) -> bool:
        """Whether it is stuck now."""
        return self._begun.is_set() and not self._over.is_set()

    def concerns(self, effect: lab_world.Effect) -> bool:
        """Whether an effect is a message of another compute host, which may be to this one."""
        return effect.kind == 'rpc' and effect.host not in (self.host, lab_world.CONTROL)

    def ask(self, call: Callable[[], Any]) -> Any:
        """Deliver a message to it.

        :raises oslo_messaging.MessagingTimeout: if it gets stuck in it; the call goes on later
        """
        news, replies = threading.Event(), []

        def deliver() -> None:
            try:
                value = call()
                replies.append(lambda: value)
            except BaseException as error:
                replies.append(_raiser(error))
            self._ended.set()
            news.set()

        self._news, self._ended = news, threading.Event()
        threading.Thread(target=self._world.carry(deliver), daemon=True).start()
        news.wait()
        if self.stuck:
            raise messaging.MessagingTimeout(f'No reply from {self.host}')
        return replies[0]()

    @staticmethod
    def keep(later: Callable[[], Any]) -> Any:
        """Keep a message for it while it is stuck.

        :raises oslo_messaging.MessagingTimeout: if its sender waits for a reply
        """
        try:
            return later()
        except lab_bus.Unawaited:
            return None

    def begin(self) -> None:
        """Get stuck here, in the thread that acts for this host."""
        self._begun.set()
        self._news.set()
        self._over.wait()

    def end(self) -> None:
        """Let it go on, and wait until the call is over. Nobody waits for its reply any more."""
        self._over.set()
        self._ended.wait()


def _raiser(error: BaseException) -> Callable[[], Any]:
    def throw() -> Any:
        raise error
    return throw
