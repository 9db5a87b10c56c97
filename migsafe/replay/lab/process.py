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
"""Keeps the hosts apart that share one process: threads, options and time."""

from __future__ import annotations

import datetime
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import fixtures
from oslo_concurrency import lockutils
from oslo_config import cfg
from oslo_utils import timeutils

from migsafe.replay.lab import world as lab_world

#: Options that differ between hosts; all of a real deployment's hosts share one process here.
PER_HOST = ('host', 'my_ip', 'my_block_storage_ip', 'instances_path')


class Threads(fixtures.Fixture):
    """Work handed to another thread stays the work of its host, and is counted."""

    def __init__(self, world: lab_world.World) -> None:
        super().__init__()
        self._world = world

    def _setUp(self) -> None:
        import futurist
        from nova import utils
        for cls in (futurist.ThreadPoolExecutor, futurist.GreenThreadPoolExecutor):
            self.useFixture(fixtures.MonkeyPatch(
                f'futurist.{cls.__name__}.submit', self._submit(cls.submit)))
        if hasattr(utils, 'pass_context'):
            self.useFixture(fixtures.MonkeyPatch(
                'nova.utils.pass_context', self._pass_context(utils.pass_context)))
        self.useFixture(fixtures.MonkeyPatch(
            'threading.Thread.start', self._start(threading.Thread.start)))

    def _submit(self, real: Callable[..., Any]) -> Callable[..., Any]:
        world = self._world

        def submit(executor: Any, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
            world.check()
            if (getattr(func, '__module__', None) or '').startswith('oslo_service'):
                # timers of a service: they never end
                return real(executor, world.carry(func), *args, **kwargs)
            world.work_begins()
            try:
                future = real(executor, world.carry(func), *args, **kwargs)
            except BaseException:
                world.work_ends()
                raise
            future.add_done_callback(world.work_ends)
            return future
        return submit

    def _pass_context(self, real: Callable[..., Any]) -> Callable[..., Any]:
        world = self._world

        def pass_context(runner: Any, func: Callable[..., Any], *args: Any,
                         **kwargs: Any) -> Any:
            world.check()
            world.work_begins()
            carried = world.carry(func)

            @functools.wraps(func)
            def counted(*args: Any, **kwargs: Any) -> Any:
                try:
                    return carried(*args, **kwargs)
                finally:
                    world.work_ends()
            return real(runner, counted, *args, **kwargs)
        return pass_context

    def _start(self, real: Callable[..., None]) -> Callable[..., None]:
        world = self._world

        def start(thread: threading.Thread) -> None:
            if world.current() is not None:
                vars(thread)['run'] = world.carry(thread.run)
            real(thread)
        return start


class PerHostLocks(fixtures.Fixture):
    """Locks within a process keep nobody out on another host."""

    def __init__(self, world: lab_world.World) -> None:
        super().__init__()
        self._world = world

    def _setUp(self) -> None:
        real = lockutils.internal_lock
        world = self._world

        def internal_lock(name: str, *args: Any, **kwargs: Any) -> Any:
            return real(f'{world.host() or lab_world.CONTROL}:{name}', *args, **kwargs)
        self.useFixture(fixtures.MonkeyPatch(
            'oslo_concurrency.lockutils.internal_lock', internal_lock))


class PerHostOptions(fixtures.Fixture):
    """Lets CONF answer with the values of the host that asks."""

    def __init__(self, world: lab_world.World, values: dict[str, dict[str, Any]]) -> None:
        super().__init__()
        self._world = world
        self._values = values

    def _setUp(self) -> None:
        real = cfg.ConfigOpts.__getattr__
        world, values = self._world, self._values

        def getattribute(conf: Any, name: str) -> Any:
            if name in PER_HOST:
                mine = values.get(world.host() or '', {})
                if name in mine:
                    return mine[name]
            return real(conf, name)
        self.useFixture(fixtures.MonkeyPatch(
            'oslo_config.cfg.ConfigOpts.__getattr__', getattribute))


class QuickTime:
    """The time module with sleeps that are short."""

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    @staticmethod
    def sleep(seconds: float) -> None:
        """Give way to other threads, and little more."""
        time.sleep(min(seconds, 0.001))


class QuickSleeps(fixtures.Fixture):
    """Nova's libvirt driver waits in steps of half a second for what is instant here."""

    def _setUp(self) -> None:
        for module in ('nova.virt.libvirt.driver', 'nova.compute.manager'):
            self.useFixture(fixtures.MonkeyPatch(f'{module}.time', QuickTime()))


class Clock(fixtures.Fixture):
    """A clock for Nova and migsafe that can be put forward."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = datetime.timedelta()

    def _setUp(self) -> None:
        real = timeutils.utcnow

        def utcnow(with_timezone: bool = False) -> datetime.datetime:
            now: datetime.datetime = real(with_timezone)
            return now + self.ahead
        # the real one looks for this on whatever has its name
        vars(utcnow)['override_time'] = None
        self.useFixture(fixtures.MonkeyPatch('oslo_utils.timeutils.utcnow', utcnow))
