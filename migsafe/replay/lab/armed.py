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
"""Switches migsafe on in the laboratory, through the configuration and nothing else."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import threading
from typing import Any

import fixtures
import wrapt

from migsafe.replay.lab import stack as lab_stack
from migsafe.replay.lab import world as lab_world

_NUMBER = re.compile(r'\d+')


def _owner(seam: Any) -> tuple[Any, str]:
    """The class that a seam is an attribute of; None if this Nova has no such class."""
    *path, name = seam.attribute.split('.')
    owner: Any = importlib.import_module(seam.module)
    for part in path:
        owner = getattr(owner, part, None)
    return owner, name


def is_armed() -> bool:
    """Whether something armed this process and left it so."""
    seams = sys.modules.get('migsafe.nova.seams.table')
    if seams is None:
        return False
    return any(isinstance(vars(owner).get(name), wrapt.FunctionWrapper)
               for owner, name in map(_owner, seams.SEAMS) if owner is not None)


class Armed(fixtures.Fixture):
    """Sets [migsafe] enabled, arms this process, and makes journal commits effects.

    :param only: the hosts that have migsafe; all if there is none.
    """

    def __init__(self, stack: lab_stack.Stack, only: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._stack, self._only = stack, only

    def _setUp(self) -> None:
        from nova import conf as nova_conf

        import migsafe.conf
        import migsafe.journal.api
        import migsafe.nova.arming
        import migsafe.nova.clients.devices
        import migsafe.nova.clients.evidence
        import migsafe.nova.host.recovery
        import migsafe.nova.host.watch
        import migsafe.nova.seams.table
        conf = nova_conf.CONF
        migsafe.conf.register_opts(conf)
        state = self.useFixture(fixtures.TempDir()).path
        for name, value in (('enabled', True), ('enforce', True), ('state_path', state),
                            # of two or three hosts, most of which are dead
                            ('evacuate_without_witness', True), ('fleet_loss_percent', 100)):
            conf.set_override(name, value, group='migsafe')
            self.addCleanup(conf.clear_override, name, group='migsafe')
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.journal.api.Journal._commit',
            self._commit(migsafe.journal.api.Journal._commit)))
        # Lab.recover() makes the passes, so that a run does not depend on when a thread wakes
        for name in ('recovery.Recovery', 'watch.Watch'):
            self.useFixture(fixtures.MonkeyPatch(
                f'migsafe.nova.host.{name}.start', lambda thread: None))
        self.useFixture(fixtures.MonkeyPatch(
            'threading.excepthook', _but_killed(threading.excepthook)))
        parts = self._stack.parts
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.nova.clients.evidence.boot_id',
            lambda: parts.boot_ids[parts.world.host() or parts.hosts[0]]))
        self.useFixture(fixtures.MonkeyPatch(
            'migsafe.nova.clients.devices.is_there',
            lambda path: path in parts.kernels[parts.world.host()].devices))
        for seam in migsafe.nova.seams.table.SEAMS:
            owner, name = _owner(seam)
            if owner is not None and name in vars(owner):
                self.addCleanup(setattr, owner, name, inspect.getattr_static(owner, name))
        if self._only:
            self.useFixture(fixtures.MonkeyPatch(
                'wrapt.wrap_function_wrapper', self._there(wrapt.wrap_function_wrapper)))
        migsafe.nova.arming.arm(conf)

    def _there(self, real: Any) -> Any:
        """Wraps what is called on a host with migsafe; elsewhere it is as Nova has it."""
        world, only = self._stack.parts.world, self._only

        def wrap(module: str, attribute: str, wrapper: Any) -> Any:
            def there(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
                if world.host() not in only:
                    return wrapped(*args, **kwargs)
                return wrapper(wrapped, instance, args, kwargs)
            return real(module, attribute, there)
        return wrap

    def _commit(self, real: Any) -> Any:
        from migsafe.journal import errors
        world = self._stack.parts.world

        def commit(journal: Any, label: str, work: Any) -> Any:
            # 'the outcome of intent 14': a number that is another one in the next run
            name = _NUMBER.sub('N', label)
            # a fault here is an OSError; what fails in the real one is translated as well
            with errors.translated('journal', label):
                return world.effect('journal', name, None, lambda: real(journal, label, work))
        return commit


def _but_killed(real: Any) -> Any:
    """Threads of a nova-compute that was killed say nothing."""
    def hook(args: Any) -> None:
        if args.exc_type is not lab_world.Killed:
            real(args)
    return hook


def recover_once(manager: Any) -> None:
    """One recovery pass for one ComputeManager."""
    import migsafe.nova.arming
    migsafe.nova.arming.recover_once(manager)


def forget(manager: Any) -> None:
    """End everything unsettled of one ComputeManager; nothing if it is not armed."""
    from migsafe.nova.host import registry
    participant = registry.of(manager)
    for tx in participant.journal.unsettled() if participant else ():
        participant.journal.finish(tx)
