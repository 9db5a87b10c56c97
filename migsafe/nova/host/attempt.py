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
"""A transaction that this process is working on right now."""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import datetime
import threading
from collections.abc import Iterator

from oslo_log import log as logging
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.nova.host import steps
from migsafe.nova.host.lease import Lease
from migsafe.text import masked

LOG = logging.getLogger(__name__)


@dataclasses.dataclass
class Attempt(steps.Steps):
    """One call of Nova's that works on a transaction in this process.

    See :class:`migsafe.nova.host.steps.Steps` for what it writes.
    """

    #: set by the other side: it has rolled back, do not go on
    fenced: threading.Event = dataclasses.field(
        default_factory=threading.Event)
    #: what failed on the way, also where Nova swallowed it
    failures: list[str] = dataclasses.field(default_factory=list)
    #: volume id -> why its device could not be disconnected here
    kept: dict[str, str] = dataclasses.field(default_factory=dict)
    #: the destination has answered the request to prepare, so that its part is over
    answered: bool = False
    #: Nova's own way back was stopped, so that it leaves the destination as it is
    way_back_stopped: bool = False
    #: the verdict is COMMIT, from the evidence of both hosts
    committed: bool = False
    #: why no device of this host may be disconnected in this attempt
    keep_devices: str = ''
    #: attachments are left to the settlement, which deletes each one only
    #: once its device is gone
    keep_attachments: bool = False
    #: for how long the other host waits for this one; None for a host that leads
    lease: Lease | None = None

    def stopped(self) -> str:
        """Why this attempt must not go on; empty if it may. It stays so."""
        if not self.fenced.is_set():
            why = self.lease.lost() if self.lease else ''
            if not why:
                return ''
            LOG.warning('Live migration %s of instance %s stops here: %s', self.uuid,
                        self.instance_uuid, why)
            self.failures.append('lease')
            self.fenced.set()
        return 'it was rolled back by its source, or has to be taken for that'


_CURRENT: contextvars.ContextVar[Attempt | None] = contextvars.ContextVar(
    'migsafe_attempt', default=None)


_PROTECTED: contextvars.ContextVar[bool] = contextvars.ContextVar(
    'migsafe_protected', default=False)


def at_work() -> bool:
    """Whether this call chain is part of a live migration, checks for one, or settles one."""
    return current() is not None or _PROTECTED.get()


@contextlib.contextmanager
def protected() -> Iterator[None]:
    """What is done here belongs to a live migration, and is no step of an attempt."""
    token = _PROTECTED.set(True)
    try:
        yield
    finally:
        _PROTECTED.reset(token)


def current() -> Attempt | None:
    """The attempt that this call chain works on."""
    return _CURRENT.get()


@contextlib.contextmanager
def working(attempt: Attempt | None) -> Iterator[None]:
    """Make an attempt (or none) the current one; what is no step of it still belongs to it."""
    belongs = _PROTECTED.set(at_work())
    token = _CURRENT.set(attempt)
    try:
        yield
    finally:
        _CURRENT.reset(token)
        _PROTECTED.reset(belongs)


def _flush(attempt: Attempt) -> None:
    """At the end of a call; an outcome that is lost "may have happened"."""
    try:
        attempt.flush()
    except exceptions.JournalError as error:
        LOG.warning('The outcome of the last step of live migration %s is '
                    'not journalled: %s', attempt.uuid, masked(error))


class Registry:
    """The attempts of one nova-compute, by migration uuid.

    :param rest: seconds for which a transaction is left to the other host
        once this one has done its part
    """

    def __init__(self, rest: float = 0) -> None:
        self._lock = threading.Lock()
        self._attempts: dict[str, list[Attempt]] = {}
        self._steps: list[str] = []
        self._rest = datetime.timedelta(seconds=rest)
        self._since: dict[str, datetime.datetime] = {}

    @contextlib.contextmanager
    def open(self, attempt: Attempt) -> Iterator[Attempt]:
        """Register an attempt and make it current."""
        with self._lock:
            self._attempts.setdefault(attempt.uuid, []).append(attempt)
        try:
            with working(attempt):
                try:
                    yield attempt
                except Exception:
                    _flush(attempt)
                    raise
                _flush(attempt)
                if not (attempt.failures or attempt.fenced.is_set()):
                    self.rest(attempt.uuid)
        finally:
            with self._lock:
                left = self._attempts[attempt.uuid]
                left.remove(attempt)
                if not left:
                    del self._attempts[attempt.uuid]

    @contextlib.contextmanager
    def step(self, instance_uuid: str) -> Iterator[None]:
        """Have the instance be busy while a call is at work that writes no journal."""
        with self._lock:
            self._steps.append(instance_uuid)
        try:
            with protected():
                yield
        finally:
            with self._lock:
                self._steps.remove(instance_uuid)

    def live(self, uuid: str) -> bool:
        """Whether a call of this process works on the migration."""
        with self._lock:
            return uuid in self._attempts

    def rest(self, uuid: str) -> None:
        """The other host is at work: nothing to do here for a while.

        Not journalled, so that a start of nova-compute looks at everything.
        """
        now = timeutils.utcnow()
        with self._lock:
            self._since = {key: since for key, since in self._since.items()
                           if since <= now < since + self._rest}
            self._since[uuid] = now

    def resting(self, uuid: str, due: datetime.datetime | None) -> bool:
        """Whether it is to be left to the other host for now.

        :param due: when it is to be taken up, which an operator may have set
            to a time after the rest began
        """
        now = timeutils.utcnow()
        with self._lock:
            since = self._since.get(uuid)
        return since is not None and (due is None or due <= since) \
            and since <= now < since + self._rest

    def busy(self, instance_uuid: str) -> bool:
        """Whether a call of this process moves the instance."""
        with self._lock:
            return instance_uuid in self._steps or any(
                a.instance_uuid == instance_uuid
                for found in self._attempts.values() for a in found)

    def fence(self, uuid: str) -> bool:
        """Stop the attempts of a migration; True if there were any."""
        with self._lock:
            found = self._attempts.get(uuid, [])
            for attempt in found:
                attempt.fenced.set()
            return bool(found)
