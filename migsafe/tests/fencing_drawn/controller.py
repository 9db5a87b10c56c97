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
"""``migsafe evacuate HOST --fence``, given each minute for what has no heartbeat.

The order of it, its checks, the fences over a BMC and at the storage and the log that limits
fences are the project's own; the host, its BMC, its storage, Nova and what is seen of them are
drawn. Who gives the command gives it three times, and leaves the host to others then.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
import types
import uuid
from collections.abc import Iterator
from typing import Any, ClassVar
from unittest import mock

from migsafe import exceptions
from migsafe.cli import host_fence, storage, storage_plugins
from migsafe.cli.evacuate import Evacuate
from migsafe.fencing import bmc, fences, power, turns
from migsafe.fencing.fence_log import NAME, FenceLog
from migsafe.fencing.fences.power import PowerOff
from migsafe.fencing.verdict import Judgement
from migsafe.preflight.facts import ComputeService
from migsafe.tests.fencing_drawn import model, rules
from migsafe.tests.fencing_drawn.model import Cloud, Host

#: Seconds from the look to the fence, from that to the word, and to the next look.
FENCED, TOLD, AGAIN = 5, 10, 15
GIVEN, LIMIT = 3, 2
STATES = {model.OFF: power.OFF, model.POWERED: power.ON}
MACHINE = uuid.UUID('4c4c4544-0051-3310-8054-b4c04f4d3132')
BMC = bmc.Bmc('host', 'https://x', 'x', 'x', MACHINE, confirmed=True)
YES: Any = types.SimpleNamespace(fence=True, yes=True, client_address=[])
#: All that it has are volumes.
NOVA: Any = types.SimpleNamespace(with_other_disks=lambda _host: ())
QUIET: Any = types.SimpleNamespace(say=lambda text: None)


@dataclasses.dataclass
class Run:
    """The commands that are given for one host.

    :param host: a copy of the drawn one, for which it matters what is done
    :param cuts: how often its BMC was told to cut its power
    :param twice: whether that was told of a machine without power
    """

    cloud: Cloud
    host: Host
    table: rules.Table
    now: int = 0
    later: int = 0
    given: int = 0
    cuts: int = 0
    twice: bool = False
    services: ClassVar[Any] = NOVA

    def explain(self, *_asked: str) -> Judgement:
        """What is seen now, or after the fence."""
        return self.table.judge(self.cloud, self.host, self.now + self.later).judgement

    def service(self, _host: str) -> ComputeService:
        """What Nova's API says of it."""
        return ComputeService('host', True, False, self.cloud.declared(
            self.host, self.now + self.later))

    def force_down(self, _host: str, down: bool = True) -> None:
        """Say so in Nova, or take it back."""
        self.host.told = min(self.host.told, self.now + TOLD) if down else model.LENGTH * 2
        self.host.seen.clear()
        self.later = AGAIN

    def command(self, conf: Any) -> bool:
        """Give it once; whether it evacuates."""
        self.later = 0
        made = [Fence(conf, self), StorageFence(conf, self)]
        with mock.patch.object(fences, 'load', lambda _conf: made):
            try:
                Evacuate._prove(QUIET, YES, conf, self, self, 'host', '')  # type: ignore[arg-type]
            except exceptions.MigsafeError:
                return False
        return True


class Machine(power.Machine):
    """What stands behind the BMC of a host."""

    def __init__(self, run: Run) -> None:
        super().__init__(BMC, 0)
        self._run, self._now = run, run.now + FENCED

    def power(self) -> str:
        """What it says, if it can be asked."""
        host, cloud = self._run.host, self._run.cloud
        if host.bmc == 'another-machine':
            raise self.wrong(uuid.UUID(int=1))
        said = model.NOTHING if self._now in cloud.blind else cloud.bmc(host, self._now)
        if said not in STATES:
            raise TimeoutError('no answer')
        return STATES[said]

    def cut(self) -> None:
        """Do it, if it is one that does anything."""
        self.power()
        self._run.cuts += 1
        host = self._run.host
        if host.bmc == 'true':
            self._run.twice = self._run.twice or not host.powered(self._now)
            host.fenced = min(host.fenced, self._now)
        if self._run.cuts == self._run.cloud.crash:
            raise KeyboardInterrupt


class Fence(PowerOff):
    """The project's fence over a BMC, of one host."""

    PROTOCOL = 'redfish'

    def __init__(self, conf: Any, run: Run) -> None:
        self.conf, self.name, self._run, self._bmcs = conf, 'drawn', run, {'host': BMC}

    def machine(self, known: bmc.Bmc) -> power.Machine:
        """The machine behind it."""
        return Machine(self._run)


class StorageFence(storage_plugins.StorageFence):
    """The project's fence at the storage, of one host."""

    def __init__(self, conf: Any, run: Run) -> None:
        self.conf, self.name, self._backends = conf, 'drawn storage', Backends(run)


class Backends(storage.Backends):
    """The project's own, over one backend that is drawn."""

    def __init__(self, run: Run) -> None:
        self._run, self._now = run, run.now + FENCED
        self._all: Any = {'node@drawn': self}

    def call(self, method: str, **_asked: Any) -> dict[str, Any]:
        """What it answers, and does."""
        host, cloud = self._run.host, self._run.cloud
        if self._now in cloud.blind:
            raise exceptions.MigsafeError('no answer')
        if method == 'export_cut' and host.storage != 'refuses':
            host.cut = min(host.cut, self._now)
        open_ = [] if cloud.stored(host, self._now) == model.CUT else ['one']
        return {'backend': 'node@drawn', 'volumes': ['one'], 'open': open_, 'active': [],
                'elsewhere': [], 'maps': False}


@dataclasses.dataclass
class Controller:
    """The rule; see the module.

    :param table: with what it judges
    :param credulous: the control: a BMC or a storage is believed that has always said the same
    """

    table: rules.Table
    credulous: bool = False
    #: where its machines have their logs
    state: ClassVar[pathlib.Path]

    def take(self, cloud: Cloud, host: Host) -> Run:
        """Begin with a host; what becomes of it under this rule is its own."""
        for path in self.state.glob(f'*/{NAME}'):
            path.unlink()
        return Run(cloud, dataclasses.replace(
            host, word='fencer' if host.word == 'fencer' else 'nobody', beats=[], seen={},
            dice=None), self.table)

    def decide(self, run: Run, now: int) -> bool:
        """Whether the host is evacuated."""
        run.now, run.later = now, 0
        if not rules.heartbeat(run.cloud, run.host, now):
            return False
        found = self.table.judge(run.cloud, run.host, now)
        if found.dead or not found.fenced or run.given >= GIVEN:
            return found.dead
        run.given += 1
        believed = mock.patch.multiple(FenceLog, was_cut=lambda *_asked: True,
                                       has=lambda *_asked: True)
        with believed if self.credulous else contextlib.nullcontext():
            return any(run.command(self._conf(number)) for number in range(1 + run.cloud.two))

    def _conf(self, number: int) -> Any:
        return types.SimpleNamespace(
            fence_timeout=0, verdict_samples=3, verdict_interval=0, fence_limit=LIMIT,
            state_path=str(self.state / str(number)), evacuation_lock='', probe_timeout=0,
            heartbeat_directory='')


@contextlib.contextmanager
def stage() -> Iterator[None]:
    """Where the rule can be played: with logs that nobody waits for, and texts that are not read.

    What is drawn goes one after the other, so that there is no lock between machines.
    """
    with tempfile.TemporaryDirectory() as state, \
            mock.patch.object(Controller, 'state', pathlib.Path(state), create=True), \
            mock.patch('os.fsync', lambda _handle: None), \
            mock.patch.object(power, 'PAUSE', 0), \
            mock.patch.object(host_fence, 'Turns', _Turns), \
            mock.patch.object(host_fence.show, 'text', str):
        yield


class _Turns(contextlib.nullcontext['_Turns']):
    """The lock between machines, which nobody else wants."""

    def __init__(self, *_where: str) -> None:
        super().__init__(self)

    def at(self, _host: str) -> contextlib.AbstractContextManager[turns.Still]:
        return contextlib.nullcontext(lambda: None)
