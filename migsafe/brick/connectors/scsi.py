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
"""A guarded subclass of os-brick's LinuxSCSI, through which every removal of a disk goes."""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Iterable, Iterator
from typing import Any

from os_brick import exception
from os_brick.initiator import linuxscsi
from oslo_concurrency import processutils
from oslo_log import log as logging

from migsafe.brick import refusals
from migsafe.brick.guard import policy as guard_policy
from migsafe.brick.guard import removal
from migsafe.brick.kernel import holders

LOG = logging.getLogger(__name__)

#: The disks that this thread removes together.
_TOGETHER: contextvars.ContextVar[removal.Together | None] = contextvars.ContextVar(
    'migsafe_together', default=None)
#: What os-brick tries three times, for a minute, whatever is in the way.
_TRIED_AGAIN = ('multipath', 'blockdev')


class GuardedLinuxSCSI(linuxscsi.LinuxSCSI):
    """Every removal of a SCSI disk goes through here, whoever asked for it."""

    policy: guard_policy.Policy

    def remove_connection(self, devices_names: Any, *args: Any, **kwargs: Any) -> Any:
        """Judge the whole set before the first command; ``force`` makes no difference.

        :raises refusals.Refused: with nothing changed
        """
        if not devices_names:
            return super().remove_connection(devices_names, *args, **kwargs)
        self.policy.may_remove(devices_names)
        with self.together(devices_names):
            if guard_policy.current().whoever:
                # os-brick flushes one map, and these disks may be of several
                self.flush_maps(devices_names, False, exception.ExceptionChainer())
            return super().remove_connection(devices_names, *args, **kwargs)

    @contextlib.contextmanager
    def together(self, names: Iterable[str]) -> Iterator[removal.Together]:
        """The disks of one volume are claimed, and looked at for the last time, at once."""
        one = removal.Together(self.policy, names)
        token = _TOGETHER.set(one)
        try:
            yield one
        finally:
            _TOGETHER.reset(token)
            one.let_go()

    def remove_scsi_device(self, device: str, *args: Any, **kwargs: Any) -> None:
        """Flush as os-brick does; then claim, look who has it open, ask who it is, and remove.

        What multipath had kept away until its map was flushed may have got at the disk since.

        :raises refusals.Refused: with the disk still there, and named what is not
        """
        name = device.removeprefix('/dev/')
        together = _TOGETHER.get()
        if not self.policy.guard.sysfs.exists(name):
            # os-brick knows what to do about a disk that is gone: nothing
            super().remove_scsi_device(device, *args, **kwargs)
        elif together is not None and name in together.names:
            self._remove(name, together, *args, **kwargs)
        else:
            with self.together([name]) as alone:
                self._remove(name, alone, *args, **kwargs)

    def flush_maps(self, names: Iterable[str], force: bool, exc: Any) -> None:
        """Flush a multipath map over some disks; multipath does not count as another user."""
        for node in holders.maps(holders.climb(self.policy.guard.sysfs, names)):
            with exc.context(force, 'Flushing %s failed', node.dm_name):
                self.flush_multipath_device(node.dm_name)

    def flush_multipath_device(self, device_map_name: str) -> None:
        """As os-brick does; a refusal that comes later has to say so."""
        super().flush_multipath_device(device_map_name)
        guard_policy.note_gone(f'multipath map {device_map_name}')

    def _execute(self, *command: Any, **how: Any) -> tuple[str, str]:
        """As os-brick does; between its tries of a flush it is looked who is in the way.

        :raises refusals.Refused: naming it
        """
        together = _TOGETHER.get()
        tries = how.get('attempts', 1)
        if together is None or tries < 2 or command[0] not in _TRIED_AGAIN:
            return super()._execute(*command, **how)  # type: ignore[no-any-return]
        for pause in removal.pauses(tries, how.get('interval', 1)):
            try:
                return super()._execute(  # type: ignore[no-any-return]
                    *command, **(how | {'attempts': 1}))
            except processutils.ProcessExecutionError:
                if pause is None:
                    raise
                begin = time.monotonic()
                together.look()
                time.sleep(max(pause - time.monotonic() + begin, 0))
        raise AssertionError('the last try has returned or raised')

    def _remove(self, name: str, together: removal.Together, force: bool = False,
                exc: Any = None, flush: bool = True) -> None:
        device = f'/dev/{name}'
        policy, volume = self.policy, guard_policy.current()
        if not policy.warns:
            try:
                policy.guard.unheld([name], volume)
            except refusals.VolumeHeld as held:
                raise policy.guard.refusal(volume, name, {'reason': held.kwargs['holder']},
                                           guard_policy.gone()) from held
        if flush:
            exc = exc if exc is not None else exception.ExceptionChainer()
            with exc.context(force, 'Flushing %s failed', device):
                self.flush_device_io(device)
        done = together.remove(name, volume.identity)
        if done['done']:
            guard_policy.note_gone(device)
        elif policy.warns and 'identity' not in done:
            LOG.warning('%s: %s; it is removed all the same, as [migsafe] holder_policy is '
                        '"warn"', device, done['reason'])
            super().remove_scsi_device(device, force, exc, flush=False)
        else:
            raise policy.guard.refusal(volume, name, done, guard_policy.gone())


def guarded(cls: type, policy: guard_policy.Policy) -> type:
    """A guarded subclass of LinuxSCSI, or of what stands for it on some architecture."""
    return type(f'Guarded{cls.__name__}', (GuardedLinuxSCSI, cls), {'policy': policy})
