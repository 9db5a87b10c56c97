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
"""Disks that were not handed out and could not be taken away again, and another try to do so.

Nobody else knows of them: the caller of a connect that failed has nothing to disconnect. LVM of
this host may have activated what is on such a disk in the meantime; it goes once that is away.
What an earlier process could not take away is in the journal, and no more than the disk's
identity: whether it is here still is told by the kernel's own notes.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

from oslo_log import log as logging

from migsafe.brick.identity import designators, noted
from migsafe.brick.kernel import sysfs as kernel_sysfs
from migsafe.text import masked

LOG = logging.getLogger(__name__)

#: Seconds between two tries for one disk.
PAUSE = 60.0
_LOCK = threading.Lock()


@dataclasses.dataclass
class Stray:
    """One of them.

    :param what: a sentence for an operator
    :param identity: which disk it is
    :param take_away: tries again; whether it went by this, or an exception if it stays
    :param due: when, by the monotonic clock
    """

    what: str
    identity: designators.Identity
    take_away: Callable[[], bool]
    due: float


#: path and volume -> what is left
_LEFT: dict[tuple[str, str], Stray] = {}
#: Identities that were handed out as somebody's volume since this process began.
_OWNED: set[designators.Identity] = set()


def remember(path: str, volume: str, what: str, take_away: Callable[[], bool],
             identity: designators.Identity = frozenset()) -> None:
    """Keep in mind that a disk is left here."""
    with _LOCK:
        _LEFT[path, volume] = Stray(what, identity, take_away, time.monotonic() + PAUSE)


def notes() -> dict[str, str]:
    """What is left, for a journal: the volume and the disk's designator -> what an operator is
    told."""
    with _LOCK:
        return {f'{volume} {designators.words(stray.identity)}': stray.what
                for (_, volume), stray in _LEFT.items()}


def may_be_here(note: str, sysfs: kernel_sysfs.Sysfs) -> bool:
    """Whether what an earlier process has noted is on this host still, and nobody's volume.

    :param note: a key of notes()
    """
    _, _, designator = note.partition(' ')
    known = frozenset((designator,)) if designator not in ('', 'unknown') else frozenset()
    if not known:
        # there is nothing to know it by, so that it may be any
        return True
    with _LOCK:
        owned = any(designators.agree(identity, known) for identity in _OWNED)
    return not owned and any(designators.agree(noted.noted(sysfs, name), known)
                             for name in sysfs.names())


def left() -> dict[tuple[str, str], str]:
    """What is left, as an operator is told it."""
    with _LOCK:
        return {key: stray.what for key, stray in _LEFT.items()}


def retry() -> None:
    """Take away what can go by now, if it was not tried just before."""
    now = time.monotonic()
    with _LOCK:
        due = {key: stray for key, stray in _LEFT.items() if stray.due <= now}
        for stray in due.values():
            stray.due = now + PAUSE
    for (path, volume), stray in due.items():
        if (path, volume) not in left():
            continue
        try:
            went = stray.take_away()
        except Exception as error:
            LOG.info('%s Still: %s', stray.what, masked(error))
            continue
        LOG.info('%s, which could not be handed out as volume %s, %s.', path, volume,
                 'has been taken away' if went else 'is left here no more')
        with _LOCK:
            _LEFT.pop((path, volume), None)


def forget(path: str, identity: designators.Identity = frozenset()) -> None:
    """A path has been handed out as somebody's volume.

    The same disk may have been left here under another name: a path that had no map yet.
    """
    with _LOCK:
        if identity:
            _OWNED.add(identity)
        for key, stray in list(_LEFT.items()):
            if key[0] == path or designators.agree(stray.identity, identity):
                del _LEFT[key]


def clear() -> None:
    """Forget everything."""
    with _LOCK:
        _LEFT.clear()
        _OWNED.clear()
