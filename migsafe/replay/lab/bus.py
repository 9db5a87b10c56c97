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
"""The message bus: delivers in the caller's thread, so that every run is the same.

Serialization, dispatch, versions and remote exceptions are those of oslo.messaging.
"""

from __future__ import annotations

import contextvars
import dataclasses
import sys
from collections.abc import Callable
from typing import Any

import oslo_messaging as messaging
from nova import rpc
from oslo_context import context as oslo_context
from oslo_log import log as logging
from oslo_messaging._drivers import common as driver_common
from oslo_messaging.rpc import dispatcher as rpc_dispatcher
from oslo_serialization import jsonutils

from migsafe.replay.lab import world as lab_world

LOG = logging.getLogger(__name__)


@dataclasses.dataclass
class Incoming:
    """What the dispatcher wants of a message."""

    ctxt: dict[str, Any]
    message: dict[str, Any]
    client_timeout: int = 0


@dataclasses.dataclass
class Server:
    """One RPC server of one process."""

    bus: Bus
    topic: str
    name: str
    dispatcher: Any
    process: lab_world.Process | None

    def start(self, *args: Any, **kwargs: Any) -> None:
        """Listen."""
        self.bus.servers[self.topic, self.name] = self

    def stop(self) -> None:
        """Listen no more."""
        if self.bus.servers.get((self.topic, self.name)) is self:
            del self.bus.servers[self.topic, self.name]

    def wait(self) -> None:
        """Nothing is in flight: delivery is synchronous."""

    def reset(self) -> None:
        """Part of the interface of an RPC server."""


@dataclasses.dataclass
class Letter:
    """A message that was not delivered yet."""

    topic: str
    server: str | None
    ctxt: dict[str, Any]
    message: dict[str, Any]

    def __str__(self) -> str:
        return f'{self.message.get("method")} to {self.server or self.topic}'


class Unawaited(messaging.MessagingTimeout):
    """What a fault makes of a message that is late, where its sender waits for no reply."""


class Bus:
    """Delivers every RPC, or keeps it for later."""

    def __init__(self, world: lab_world.World) -> None:
        self._world = world
        self.servers: dict[tuple[str, str], Server] = {}
        self.undelivered: list[Letter] = []

    def get_server(self, real: Callable[..., Any]) -> Callable[..., Server]:
        """A replacement for nova.rpc.get_server around the real one."""
        def build(target: Any, endpoints: Any, serializer: Any = None) -> Server:
            made = real(target, endpoints, serializer)
            return Server(self, target.topic, target.server, made.dispatcher,
                          self._world.current())
        return build

    def send(self, target: Any, ctxt: dict[str, Any], message: dict[str, Any],
             wait_for_reply: bool | None) -> Any:
        """What a transport does with a message: one external effect of its sender."""
        letter = Letter(target.topic, target.server, dict(ctxt),
                        jsonutils.loads(jsonutils.dumps(message)))
        method = message['method']
        namespace = message.get('namespace')
        name = f'{namespace}.{method}' if namespace else method
        if target.topic not in ('compute', 'compute-alt', 'conductor') and not namespace:
            return self.deliver(letter, bool(wait_for_reply))
        return self._world.effect(
            'rpc', name, message.get('args', {}).get('volume_id'),
            lambda: self.deliver(letter, bool(wait_for_reply)),
            lambda: self._keep(letter, bool(wait_for_reply)))

    def _keep(self, letter: Letter, awaited: bool) -> None:
        self.undelivered.append(letter)
        kind = messaging.MessagingTimeout if awaited else Unawaited
        raise kind(f'No reply to {letter}')

    def deliver_late(self) -> list[str]:
        """Deliver what was kept for processes that live now; returns what it was."""
        chosen = [m for m in self.undelivered if self._listens(m)]
        self.undelivered = [m for m in self.undelivered if m not in chosen]
        for letter in chosen:
            try:
                self.deliver(letter, True)
            except Exception:
                # nobody waits for this reply any more
                LOG.exception('Late %s failed', letter)
        return [str(letter) for letter in chosen]

    def deliver(self, letter: Letter, wait: bool) -> Any:
        """Dispatch a message in the name of the process that listens."""
        server = self._server(letter)
        if server is None or not self._listens(letter):
            self.undelivered.append(letter)
            if wait:
                raise messaging.MessagingTimeout(f'No reply to {letter}')
            return None
        try:
            return self._dispatch(server, letter)
        except lab_world.Killed:
            if server.process is None or server.process.alive:
                raise
            if wait:
                raise messaging.MessagingTimeout(f'No reply to {letter}') from None
            return None
        except Exception:
            if wait:
                raise
            LOG.exception('Cast %s failed', letter)
            return None

    def _listens(self, letter: Letter) -> bool:
        server = self._server(letter)
        return server is not None and (server.process is None or server.process.alive)

    def _server(self, letter: Letter) -> Server | None:
        if letter.server:
            return self.servers.get((letter.topic, letter.server))
        return next((s for (topic, _), s in self.servers.items() if topic == letter.topic),
                    None)

    def _dispatch(self, server: Server, letter: Letter) -> Any:
        before = oslo_context.get_current()
        try:
            # what its sender is at does not travel with a message
            return contextvars.Context().run(self._handle, server, letter)
        except rpc_dispatcher.ExpectedException as expected:
            raise self._travelled(expected.exc_info) from None
        except Exception:
            raise self._travelled(sys.exc_info()) from None
        finally:
            if before is not None:
                before.update_store()

    def _handle(self, server: Server, letter: Letter) -> Any:
        with self._world.entered(server.process):
            return server.dispatcher.dispatch(Incoming(dict(letter.ctxt), letter.message))

    @staticmethod
    def _travelled(failure: Any) -> Exception:
        """The exception as it comes out of the bus on the other side."""
        data = driver_common.serialize_remote_exception(failure)
        made: Exception = driver_common.deserialize_remote_exception(
            data, rpc.get_allowed_exmods())
        return made

