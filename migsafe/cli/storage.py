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
"""Guarded backends as a way to fence compute hosts, and to see what comes of it.

They are asked over the message bus of Cinder. The file that names it has Cinder's passwords, so
that compute hosts should not have it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from migsafe import exceptions
from migsafe.cli import base, config, export_backend
from migsafe.text import shell

SINCE = '1.5'


class NotNamed(exceptions.MigsafeError):
    """The host would not be cut off from everything."""

    message = ('Host %(host)s has volumes in %(backends)s as well, and [migsafe] storage_backends '
               'does not name that. Name each backend that compute hosts use.')


class NothingSeen(exceptions.MigsafeError):
    """There is nothing to be cut off from."""

    message = ('Host %(host)s is not cut off from the storage: none of [migsafe] storage_backends '
               'has a volume of it, so that nothing would show that it is. Switch it off.')


class NotItsOwn(exceptions.MigsafeError):
    """Somebody else may be cut off."""

    message = ('Host %(host)s is not cut off from the storage, since somebody else may have its '
               'volumes open, as a backup has: %(others)s. No connector of the host has this '
               'address. Nothing was done. If it is that of the host on the network of the '
               'storage, give --client-address ADDRESS; otherwise wait until that client has '
               'ended, or switch the host off.')


class StillOpen(exceptions.MigsafeError):
    """It was told, and was not done."""

    message = ('Host %(host)s is not cut off from the storage of %(backend)s, which still accepts '
               '%(open)s. What was taken away stays away. Look at the backend ("migsafe export '
               'verify --backend %(shell:backend)s") and try again, or switch the host off.')


@dataclasses.dataclass(frozen=True)
class Seen:
    """What all backends have of a host.

    :param volumes: backend -> those of the host
    :param open: backend -> in words, what it accepts of the host
    :param active: where the host was seen at work a moment ago
    :param others: clients that have its volumes open, and are not known to be of it
    :param commands: of those of ``active`` that are counted, how many came so far
    :param maps: backends that take one volume away after the other
    """

    volumes: dict[str, list[str]]
    open: dict[str, list[str]]
    active: list[str]
    others: list[str]
    commands: dict[str, int]
    maps: frozenset[str]


class Backends:
    """The backends of ``[migsafe] storage_backends``.

    :param conf: the options of ``[migsafe]``
    :raises ConfigError: none is named, or the bus of Cinder is not
    """

    def __init__(self, conf: Any) -> None:
        for option in ('storage_backends', 'cinder_conf'):
            if not getattr(conf, option):
                raise exceptions.ConfigError(group='migsafe', option=option,
                                             reason='it is not set')
        cinder = config.load([conf.cinder_conf])
        self._all = {name: export_backend.Backend(cinder, name)
                     for name in dict.fromkeys(conf.storage_backends)}

    def look(self, host: str, addresses: Sequence[str] = ()) -> Seen:
        """Ask all of them.

        :param addresses: of the host, besides those in its connectors
        :raises NotNamed: there are more
        :raises NothingSeen: none of them has any
        :raises NoAnswer: one does not answer, or cannot tell
        """
        found = {name: backend.call('export_open', since=SINCE, host=host,
                                    addresses=list(addresses))
                 for name, backend in self._all.items()}
        missing = {place for one in found.values() for place in one['elsewhere']} - {
            *found, *(one['backend'] for one in found.values())}
        if missing:
            raise NotNamed(host=host, backends=', '.join(sorted(map(shell, missing))))
        having = {name: one for name, one in found.items() if one['volumes']}
        if not having:
            raise NothingSeen(host=host)
        return Seen({name: one['volumes'] for name, one in having.items()},
                    {name: one['open'] for name, one in having.items() if one['open']},
                    [text for one in having.values() for text in one['active']],
                    [f'{text} in {name}' for name, one in having.items()
                     for text in one.get('others', [])],
                    {f'{text} in {name}': count for name, one in having.items()
                     for text, count in one.get('commands', {}).items()},
                    frozenset(name for name, one in having.items() if one['maps']))

    def cut(self, host: str, seen: Seen, addresses: Sequence[str] = ()) -> Seen:
        """Cut the host off from what was seen, and look again.

        :param addresses: as for :meth:`look`
        :raises NotItsOwn: somebody else may have one of its volumes open
        :raises StillOpen: a backend accepts something of it
        :raises NoAnswer: one does not answer, or cannot
        """
        if seen.others:
            raise NotItsOwn(host=host, others='; '.join(seen.others))
        for name in seen.open:
            volumes = seen.volumes[name]
            for some in ([one] for one in volumes) if name in seen.maps else (volumes,):
                self._all[name].call('export_cut', since=SINCE, host=host, volumes=some,
                                     addresses=list(addresses), user=base.operator()[:100])
        after = self.look(host, addresses)
        for name, still in after.open.items():
            raise StillOpen(host=host, backend=name, open='; '.join(still))
        return after
