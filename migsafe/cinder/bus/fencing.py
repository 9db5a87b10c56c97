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
"""The calls of the endpoint that are about hosts that are, or are to be, fenced."""

from __future__ import annotations

import ipaddress
from typing import Any

from oslo_log import log as logging
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.cinder.bus import cutting
from migsafe.cinder.facts import compute_hosts, writers
from migsafe.discreet import discreet
from migsafe.journal import values
from migsafe.ledger.records import Thing

LOG = logging.getLogger(__name__)

USER_LIMIT = 100
#: Volumes, and addresses, in one call; a host has fewer.
MOST = 10_000


class NoSuchExport(exceptions.MigsafeError):
    """Nothing in the ledger is meant."""

    message = ('Backend %(backend)s has no export of volume %(volume)s to host %(host)s in its '
               'ledger; see "migsafe export list".')


class OwnHost(exceptions.MigsafeError):
    """A host cannot be fenced from itself."""

    message = ('Host %(host)s is not fenced: this cinder-volume runs on it. Nothing was done.')


class Fencing:
    """Part of :class:`migsafe.cinder.bus.endpoint.Endpoint`."""

    _guard: Any

    @discreet
    def export_fence(self, context: Any, host: Any, user: Any, volumes: Any = (),
                     **_later: Any) -> dict[str, Any]:
        """Have the exports of a host count as those of one that is fenced.

        That it is, is held in Nova alone, and asked there. Nothing is taken away yet: with many
        volumes, or an array that is slow, that takes longer than the caller of an evacuation
        waits. It is due from now on.

        :param user: who says so
        :param volumes: only these; everything that the host has in this ledger, if none is named
        """
        host, guard = host_name(host), self._guard
        wanted = _volumes(volumes)
        if host in writers.own_names(guard.host):
            raise OwnHost(host=host)
        who = values.word('a fenced host', 'who says so', user, USER_LIMIT, empty=False)
        compute_hosts.check(host)
        count = guard.ledger.fence(
            host, f'by {who} at {timeutils.utcnow().isoformat(" ", "seconds")} UTC', wanted)
        if not count:
            raise NoSuchExport(backend=guard.backend, volume=', '.join(wanted)[:400] or '(any)',
                               host=ascii(host)[:80])
        LOG.warning('Operator %s says that host %s is fenced: what it has (%d exports) is taken '
                    'away, and does not count as a second writer any more', who, host, count)
        guard.recovery.nudge()
        return {'marked': count}

    @discreet
    def export_unfence(self, context: Any, host: Any, user: Any,
                       **_later: Any) -> dict[str, Any]:
        """Take back that a host is fenced: what it has counts, and it may have volumes again.

        :param user: who says so
        """
        host, guard = host_name(host), self._guard
        who = values.word('a host', 'who says so', user, USER_LIMIT, empty=False)
        count = guard.ledger.revived(host)
        if not count:
            raise NoSuchExport(backend=guard.backend, volume='(any) that is fenced',
                               host=ascii(host)[:80])
        LOG.warning('Operator %s says that host %s is not fenced any more: what it has '
                    '(%d exports) counts again', who, host, count)
        return {'unmarked': count}

    @discreet
    def export_open(self, context: Any, host: Any, addresses: Any = (),
                    **_later: Any) -> dict[str, Any]:
        """What the array accepts of a host now, see :func:`cutting.look`."""
        return cutting.look(self._guard, host_name(host), _addresses(addresses))

    @discreet
    def export_cut(self, context: Any, host: Any, user: Any, volumes: Any, addresses: Any = (),
                   **_later: Any) -> dict[str, Any]:
        """Have the array accept nothing more of a host, whoever has its volumes attached.

        It is no word that the host is fenced: it makes it so, and what came of it is read back.

        :param user: who wants it
        :param volumes: of those that :meth:`export_open` has told
        :param addresses: that are said to be of the host
        """
        host, guard = host_name(host), self._guard
        wanted, known = _volumes(volumes), _addresses(addresses)
        if host in writers.own_names(guard.host):
            raise OwnHost(host=host)
        who = values.word('a host to be cut off', 'who wants it', user, USER_LIMIT, empty=False)
        LOG.warning('Operator %s cuts host %s off from %d volume(s)', who, host, len(wanted))
        return {'open': cutting.cut(guard, host, wanted, known)}


def host_name(name: Any) -> str:
    """The name of a host, from the bus.

    :raises JournalBadValue: it is none
    """
    return values.word('a host', 'its name', name, 255)


def _addresses(given: Any) -> frozenset[str]:
    if not isinstance(given, list | tuple) or len(given) > MOST:
        raise ValueError(f'addresses must be a list of at most {MOST}')
    return frozenset(str(ipaddress.ip_address(str(one))) for one in given)


def _volumes(given: Any) -> list[str]:
    if not isinstance(given, list | tuple) or len(given) > MOST:
        raise ValueError(f'volumes must be a list of at most {MOST}')
    return [Thing.of('volume', volume).id for volume in given]
