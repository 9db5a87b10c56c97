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
"""How a device that is in use is treated: ``[migsafe] holder_policy``."""

from __future__ import annotations

import contextlib
import contextvars
import time
from collections.abc import Callable, Iterable, Iterator

from oslo_log import log as logging

from migsafe.brick import errors, refusals
from migsafe.brick.guard import questions
from migsafe.brick.guard.judge import Wanted
from migsafe.brick.guard.questions import Guard
from migsafe.brick.identity import designators

LOG = logging.getLogger(__name__)

#: The key of connection_info['data'] that holds the identity of the volume.
KEY = 'migsafe_identity'

#: The volume that this thread is at. os-brick's lower layers know devices only.
_WANTED: contextvars.ContextVar[Wanted | None] = contextvars.ContextVar(
    'migsafe_wanted', default=None)
_NAME: contextvars.ContextVar[str] = contextvars.ContextVar(
    'migsafe_volume', default='(not named)')

#: What the detach that this thread is at has removed so far.
_GONE: contextvars.ContextVar[tuple[str, ...]] = contextvars.ContextVar('migsafe_gone', default=())
#: The disks whose counters of I/O this thread has found at rest.
_WATCHED: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar(
    'migsafe_watched', default=frozenset())
#: Whether this thread takes away what has just come by mistake.
_WHOEVER: contextvars.ContextVar[bool] = contextvars.ContextVar('migsafe_whoever', default=False)

Release = Callable[[list[str]], object]


def name_of(properties: dict[str, object]) -> str:
    """The id of the volume of a connection_info['data'], or what naming() says."""
    volume = properties.get('volume_id') or properties.get('cinder_volume_id')
    return volume if isinstance(volume, str) and len(volume) < 100 else _NAME.get()


def wanted(properties: dict[str, object], host: str = 'this host') -> Wanted:
    """The volume of a connection_info['data'].

    :param host: the name of this one, for messages
    :raises refusals.Unjudged: if the identity in it is none
    """
    name = name_of(properties)
    try:
        identity = designators.read(properties.get(KEY) or ())
    except errors.BadPage as bad:
        raise refusals.Unjudged(
            volume=name, host=host, device='its device',
            reason=f'{KEY} in its connection_info is not to be understood: {bad}') from bad
    return Wanted(name, identity, _WHOEVER.get())


@contextlib.contextmanager
def naming(volume: str) -> Iterator[None]:
    """Remember which volume this thread works on, unless a connection_info names its own."""
    token = _NAME.set(ascii(volume)[1:-1][:100])
    try:
        yield
    finally:
        _NAME.reset(token)


@contextlib.contextmanager
def giving_back() -> Iterator[None]:
    """Take away what has just come, whichever disks that are."""
    token = _WHOEVER.set(True)
    try:
        yield
    finally:
        _WHOEVER.reset(token)


@contextlib.contextmanager
def working_on(volume: Wanted) -> Iterator[None]:
    """Name the volume for everything below."""
    token, so_far, watched = _WANTED.set(volume), _GONE.set(()), _WATCHED.set(frozenset())
    try:
        yield
    finally:
        _WANTED.reset(token)
        _GONE.reset(so_far)
        _WATCHED.reset(watched)


def note_gone(what: str) -> None:
    """Remember for a later message that something has been removed."""
    _GONE.set((*_GONE.get(), what))


def gone() -> tuple[str, ...]:
    """What the detach that this thread is at has removed so far."""
    return _GONE.get()


def current() -> Wanted:
    """The volume that this thread is at."""
    return _WANTED.get() or Wanted(_NAME.get())


class Policy:
    """A guard, and what to do when it finds a holder.

    :param guard: judges
    :param holder_policy: refuse, release or warn
    :param release: lets go of what LVM has activated on some devices
    :param identity_policy: refuse, or accept: note the disk that comes as the volume's
    """

    def __init__(self, guard: Guard, holder_policy: str = 'refuse',
                 release: Release | None = None, identity_policy: str = 'refuse') -> None:
        self.guard = guard
        self.accepts = identity_policy == 'accept'
        self.warns = holder_policy == 'warn'
        self._release = release if holder_policy == 'release' else None

    @contextlib.contextmanager
    def removing(self, names: Iterable[str]) -> Iterator[None]:
        """may_remove(); and while a command of os-brick's removes them, nobody stands on them.

        :raises refusals.Refused: see there
        """
        names = sorted(names)
        self.may_remove(names)
        number = self.claim(names)
        try:
            yield
        finally:
            self.guard.root.let_go(number)

    def claim(self, names: Iterable[str], look: bool = True) -> int:
        """Claim some disks, and look once more who has them open.

        :param look: False where the helper itself will do that
        :returns: the number of the claim; 0 if there is none and the policy is "warn"
        :raises refusals.Refused: naming what came up since they were judged
        """
        names, root = sorted(names), self.guard.root
        end = time.monotonic() + questions.PATIENCE
        # a short opener, as before the detach; now it would be left half done
        while not (claim := root.claim(names))['done'] and time.monotonic() < end:
            time.sleep(questions.PAUSE)
        number = int(claim.get('claim', 0))
        with contextlib.ExitStack() as unless_done:
            # NOTE: whatever goes wrong. Nobody else could give it back, and until the daemon
            # ends nobody could stand on these disks, nor detach them.
            unless_done.callback(root.let_go, number)
            try:
                if not claim['done']:
                    raise self.guard.refusal(current(), claim['name'], claim, gone())
                if look:
                    self.guard.unopened(names, current())
            except refusals.VolumeHeld as held:
                if not self.warns:
                    raise _halfway(held) from held
                LOG.warning('%s It goes on all the same, as [migsafe] holder_policy is "warn".',
                            held)
            unless_done.pop_all()
        return number

    def may_remove(self, names: Iterable[str], also: Iterable[str] = ()) -> None:
        """Guard.may_remove() for the current volume, with the policy.

        :raises refusals.Refused: see there
        """
        names, also = sorted(names), sorted(also)
        # what moves is looked at once in a detach, since it takes a while
        watch = not set(names) <= _WATCHED.get()
        try:
            self.guard.may_remove(names, current(), also, watch)
        except refusals.VolumeHeld as held:
            if self.warns:
                LOG.warning('%s It goes on all the same, as [migsafe] holder_policy is "warn".',
                            held)
                return
            if self._release is None:
                raise _halfway(held) from held
            LOG.info('%s [migsafe] holder_policy is "release".', held)
            try:
                self._release(names)
            except errors.DeviceError as failed:
                LOG.warning('%s', failed)
                raise _halfway(held) from failed
            self.guard.may_remove(names, current(), also)
        if _WANTED.get() is not None:
            _WATCHED.set(_WATCHED.get() | set(names))


def _halfway(held: refusals.VolumeHeld) -> refusals.VolumeHeld:
    """The same, with what the detach has removed before."""
    if not gone():
        return held
    left = refusals.HALFWAY % ', '.join(gone())
    return refusals.VolumeHeld(**{**held.kwargs, 'left': left})
