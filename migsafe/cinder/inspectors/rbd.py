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
"""RBD: there is no mapping, but the clients that have an image open are known.

Whoever has a key can open an image. Who opens it for writing watches its header as long as it is
open, librbd and the kernel alike; the watch of a client that has died ends after
osd_client_watch_timeout, 30 seconds. A read-only look, as this one, makes no watch.

Who owns the exclusive lock without watching has died, or is cut off. The next client that wants
to write puts it on the blocklist before it takes the lock; where that is switched off, it counts
as a writer.

Rules: Ceph's src/librbd/managed_lock/BreakRequest.cc for the lock. For addresses and the
blocklist see :mod:`migsafe.cinder.inspectors.rbd_clients`.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Sequence, Set
from typing import Any

from cinder.volume.drivers import rbd

from migsafe import exceptions
from migsafe.cinder.inspectors import base, rbd_block
from migsafe.cinder.inspectors.rbd_clients import Address, Blocklist

#: Begins the cookie of the lock that librbd and the kernel take themselves; others are advisory.
AUTOMATIC = 'auto '
#: What the blocklist is called, since Ceph 16 and before.
WORDS = ('blocklist', 'blacklist')

#: For how long an entry is there; without it for an hour.
SECONDS = f'{rbd_block.SECONDS:.0f}'
#: What an operator can do about a client that watches, and about one that only has the lock.
WATCHING = ('Stop what has it open there. If that client has died, try again when its watch has '
            'timed out, 30 seconds after its death (osd_client_watch_timeout). If its host is '
            'fenced: ceph osd %(word)s add %(address)s ' + SECONDS)
LOCKING = ('It is cut off or has died, and rbd_%(word)s_on_break_lock is off. Once its host is '
           'fenced: ceph osd %(word)s add %(address)s ' + SECONDS)


class Refused(exceptions.MigsafeError):
    """The monitors do not list the blocklist."""

    message = 'Ceph does not list its blocklist: error %(code)s, %(status)s'


class WrongDriver(exceptions.MigsafeError):
    """The backend is none of Ceph's images."""

    message = ('it is for cinder.volume.drivers.rbd.RBDDriver, and the driver of this backend is '
               '%(driver)s')


class RbdInspector(base.Inspector):
    """Asks the cluster that Cinder's RBD driver uses, with that driver's configuration.

    :raises WrongDriver: it is another driver
    """

    maps = False

    def __init__(self, driver: Any) -> None:
        if not isinstance(driver, rbd.RBDDriver):
            raise WrongDriver(driver=type(driver).__name__)
        super().__init__(driver)

    def list_exports(self, volume: Any) -> None:
        """Not known: there is no such thing as a mapping."""

    def list_all(self) -> Iterator[base.Mapping]:
        """One for each client that has an image open; ``host`` is its address."""
        with rbd.RADOSClient(self.driver) as client:
            for name in self.driver.RBDProxy().list(client.ioctx):
                for address, _, _ in self._clients(client, name):
                    yield base.Mapping(name, host=str(address))

    def writers(self, volume: Any) -> list[base.Writer]:
        """The clients that can write; nobody if there is no such image.

        A snapshot has no image of its own, and nobody can write it.
        """
        with rbd.RADOSClient(self.driver) as client:
            found = list(self._clients(client, volume['name']))
            if not found:
                return []
            blocked = _blocklist(client.cluster)
        return [base.Writer(who, address=str(address.ip),
                            cure=cure % {'word': blocked.word, 'address': address})
                for address, who, cure in found if not blocked.has(address)]

    def shut_out(self, volumes: Sequence[tuple[Any, Set[str]]], addresses: Set[str],
                 carry_out: bool) -> base.Reach:
        """Put their clients on the blocklist, see :mod:`migsafe.cinder.inspectors.rbd_block`.

        An owner of a lock counts here whether it watches or not: it may come back.
        """
        with rbd.RADOSClient(self.driver) as client:
            seen = {volume['name']: self._seen(client, volume['name'], theirs)
                    for volume, theirs in volumes}
            others = rbd_block.others(seen, addresses, _blocklist(client.cluster))
            if carry_out and not others:
                rbd_block.block(client.cluster, _blocklist(client.cluster), {
                    address for both in seen.values() for address in both
                    if str(address.ip) in addresses})
            blocked = _blocklist(client.cluster)
        return base.Reach(
            rbd_block.left(seen, blocked),
            tuple(f'client.{number} at {address} watches {name}' for name, both in seen.items()
                  for address, number in both.items() if number and not blocked.has(address)),
            others)

    def _clients(self, client: Any, name: str) -> Iterator[tuple[Address, str, str]]:
        """For each client that can write an image: its address, its host, and what can be done."""
        owners, seen = self._look(client, name)
        for address, number in seen.items():
            owner = ', owner of the exclusive lock,' if address in owners else ''
            yield address, f'client.{number} at {address}{owner}', WATCHING
        if not _are_fenced(client.cluster):
            for address in owners - seen.keys():
                yield address, f'the owner of the exclusive lock at {address}', LOCKING

    def _seen(self, client: Any, name: str, theirs: Set[str]) -> dict[Address, int]:
        """The clients of an image -> their numbers; 0 for one that only owns the lock.

        :param theirs: addresses that are left out
        """
        owners, seen = self._look(client, name)
        return {address: number for address, number in (dict.fromkeys(owners, 0) | seen).items()
                if str(address.ip) not in theirs}

    def _look(self, client: Any, name: str) -> tuple[set[Address], dict[Address, int]]:
        """The owners of its exclusive lock, and who watches it; nobody if there is no such image.
        """
        try:
            with rbd.RBDVolumeProxy(self.driver, name, read_only=True, client=client.cluster,
                                    ioctx=client.ioctx) as image:
                # NOTE: of a read-only image librbd tells the lock as it was when it was opened.
                lock, watchers = image.list_lockers(), list(image.watchers_list())
        except self.driver.rbd.ImageNotFound:
            return set(), {}
        return ({Address.of(address) for _, cookie, address in (lock or {}).get('lockers', ())
                 if cookie.startswith(AUTOMATIC)},
                {Address.of(watcher['addr']): watcher['id'] for watcher in watchers})


def _blocklist(cluster: Any) -> Blocklist:
    for word in WORDS:
        code, text, status = cluster.mon_command(
            json.dumps({'prefix': f'osd {word} ls', 'format': 'json'}), b'')
        if not code:
            return Blocklist.of(word, text)
        if code != -errno.EINVAL:
            break
    raise Refused(code=-code, status=ascii(status)[:80])


def _are_fenced(cluster: Any) -> bool:
    """Whether owners of a lock that do not watch are put on the blocklist by who takes it over."""
    return 'true' in (cluster.conf_get(f'rbd_{word}_on_break_lock') for word in WORDS)
