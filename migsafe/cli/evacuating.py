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
"""A run of evacuations: asked for one after the other, and watched together."""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterable

from migsafe import exceptions
from migsafe.cli import cloud, cloud_evacuation, show
from migsafe.fencing.turns import Turns
from migsafe.fencing.verdict import HostVerdict, Judgement
from migsafe.masking import one_line
from migsafe.preflight.facts import Server
from migsafe.text import shell

#: Seconds between two looks at Nova's records.
PAUSE = 2.0
EVACUATED, REFUSED, FAILED, UNDER_WAY, LEFT = (
    'evacuated', 'refused', 'failed', 'under way', 'left')


@dataclasses.dataclass
class Run:
    """What came of each server.

    :param api: Nova's
    :param explain: (host, instance uuid) -> the verdict of now
    :param destination: None lets the scheduler choose
    :param limit: requests of one run
    :param seconds: to watch
    """

    api: cloud_evacuation.Evacuations
    explain: Callable[[str, str], Judgement]
    destination: str | None
    limit: int
    seconds: float
    results: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    #: Of these it is not known whether Nova has got the request.
    unsure: set[str] = dataclasses.field(default_factory=set)

    def go(self, servers: Iterable[Server], turns: Turns) -> None:
        """Evacuate; an interrupt ends the asking and the watching, and is no loss.

        Nova goes on with what it was asked for, and the same command can be given again.
        """
        waiting = list(servers)
        self.results = {one.uuid: (LEFT, 'it was not asked for') for one in waiting}
        with contextlib.ExitStack() as held, contextlib.suppress(KeyboardInterrupt):
            for server in waiting:
                if not self._next(server, turns, held):
                    break
            self._watch({one.uuid: one for one in waiting})

    def _next(self, server: Server, turns: Turns, held: contextlib.ExitStack) -> bool:
        """Ask for one; whether to go on with others."""
        if sum(result == UNDER_WAY for result, _ in self.results.values()) >= self.limit:
            return False
        try:
            still = held.enter_context(turns.of(server.uuid))
            # It may be gone, or under way, since it was listed; and the host may be back.
            now = self.api.server(server.uuid)
            if now.host != server.host or now.task:
                self.results[server.uuid] = LEFT, f'it is on {now.host}: {now.task or now.status}'
                return True
            found = self.explain(server.host, server.uuid)
            if found.verdict is not HostVerdict.DEAD:
                self.results[server.uuid] = REFUSED, show.text(found)
                return False
            still()
            self.results[server.uuid] = UNDER_WAY, f'openstack server show {shell(server.uuid)}'
            self.api.evacuate(server.uuid, self.destination)
        except cloud.Silent:
            self.unsure.add(server.uuid)
        except exceptions.MigsafeError as error:
            self.results[server.uuid] = REFUSED, one_line(show.text(error))
        return True

    def _watch(self, servers: dict[str, Server]) -> None:
        """Look at those that are under way until none is, or the time is up."""
        until = time.monotonic() + self.seconds
        while True:
            for uuid, (result, _detail) in list(self.results.items()):
                if result == UNDER_WAY:
                    self.results[uuid] = self._seen(servers[uuid])
            if time.monotonic() >= until or UNDER_WAY not in dict(self.results.values()):
                return
            time.sleep(PAUSE)

    def _seen(self, server: Server) -> tuple[str, str]:
        try:
            now = self.api.server(server.uuid)
        except cloud.CloudError:
            return self.results[server.uuid]
        if now.task or (now.host == server.host and server.uuid in self.unsure):
            return self.results[server.uuid]
        if now.host != server.host and now.status != 'ERROR':
            return EVACUATED, f'to {show.text(now.host)}: {now.status}'
        return FAILED, (f'it is on {show.text(now.host)}: {now.status}. Why: openstack server '
                        f'event list {shell(server.uuid)}')
