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
"""One evacuation per instance, and one fence per host, at a time, on however many machines."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

from migsafe import exceptions
from migsafe.masking import one_line
from migsafe.text import masked


class Taken(exceptions.MigsafeError):
    """Somebody else is at it."""

    message = ('Instance %(instance)s is left alone: another command evacuates it now, or what '
               '[migsafe] evacuation_lock names does not answer. Wait until that has ended, or '
               'look at the option.')


class Fenced(exceptions.MigsafeError):
    """Somebody else is at it."""

    message = ('Host %(host)s is not fenced: another command is fencing it now, or what [migsafe] '
               'evacuation_lock names does not answer. Wait until that has ended and look again '
               'with "migsafe host explain %(shell:host)s", or look at the option.')


class Lost(exceptions.MigsafeError):
    """Somebody else may be at it by now."""

    message = ('The lock %(lock)s was lost, and what it is for was not begun: another command may '
               'be at it. Look at what [migsafe] evacuation_lock names; then look with "migsafe '
               'host explain", and give the same command again.')


#: Looks whether a lock is still held.
#:
#: :raises Lost: it is not, or that cannot be known
Still = Callable[[], None]


class Turns:
    """Locks of tooz, which end with the process that holds them.

    Nova itself refuses a second evacuation as long as it records the first one as under way. This
    covers the time before that, in which a command looks at the host and fences it.

    :param url: [migsafe] evacuation_lock; empty is a directory below ``directory``
    :param directory: [migsafe] state_path
    """

    def __init__(self, url: str, directory: str) -> None:
        self._url = url or f'file://{os.path.join(directory, "evacuations")}'
        self._coordinator: Any = None

    def __enter__(self) -> Turns:
        """Connect.

        :raises ConfigError: there is no such backend, or it does not answer
        """
        try:
            # NOTE: imported only where it is needed, as it loads all of its drivers.
            from tooz import coordination
            self._coordinator = coordination.get_coordinator(
                self._url, f'migsafe-{socket.gethostname()}-{os.getpid()}'.encode())
            self._coordinator.start(start_heart=True)
        except Exception as error:
            raise exceptions.ConfigError(
                group='migsafe', option='evacuation_lock',
                reason=f'it cannot be used: {one_line(masked(error))}. It is a URL of tooz, such '
                'as etcd3+http://HOST:2379 or file:///DIRECTORY') from None
        return self

    def __exit__(self, *_ended: object) -> None:
        """Disconnect; what is not released yet is."""
        with contextlib.suppress(Exception):
            self._coordinator.stop()

    @contextlib.contextmanager
    def of(self, instance_uuid: str) -> Iterator[Still]:
        """While this instance is evacuated.

        :raises Taken: another process is at it, or that cannot be known
        """
        with self._lock(f'migsafe-evacuation-{instance_uuid}',
                        Taken(instance=instance_uuid)) as still:
            yield still

    @contextlib.contextmanager
    def at(self, host: str) -> Iterator[Still]:
        """While this host is fenced.

        :raises Fenced: another process is at it, or that cannot be known
        """
        with self._lock(f'migsafe-fence-{quote(host, safe="")}', Fenced(host=host)) as still:
            yield still

    @contextlib.contextmanager
    def _lock(self, name: str, taken: exceptions.MigsafeError) -> Iterator[Still]:
        lock = self._coordinator.get_lock(name.encode())
        try:
            mine = lock.acquire(blocking=False)
        except Exception:
            mine = False
        if not mine:
            raise taken

        def still() -> None:
            if not self._holds(lock):
                raise Lost(lock=name)
        try:
            yield still
        finally:
            # One that was lost meanwhile cannot be released, and has not to be.
            with contextlib.suppress(Exception):
                lock.release()

    def _holds(self, lock: Any) -> bool:
        import tooz
        try:
            return bool(lock.is_still_owner())
        except tooz.NotImplemented:
            pass
        except Exception:
            return False
        try:
            self._coordinator.heartbeat()
            # NOTE: tooz does not look whether a lease of etcd is over when it makes it longer.
            lease = getattr(lock, '_lease', None)
            return bool(getattr(lock, 'acquired', True)) and (
                lease is None or lease.refresh() >= 0)
        except Exception:
            return False
