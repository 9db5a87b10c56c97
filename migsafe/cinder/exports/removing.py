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
"""The steps of removing an export, each with its intent and its outcome.

Cinder asks for it without looking who else has the volume, and what a driver answers is one word
of one array: it is done when it was seen to be done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oslo_log import log as logging

from migsafe import exceptions
from migsafe.brick.guard import kept_devices
from migsafe.cinder.exports import others, outcomes, ports, targets
from migsafe.cinder.exports.intents import TARGET, Driver, Intents, Judging
from migsafe.cinder.facts import attachments, calls, writers
from migsafe.cinder.facts.looks import Seen
from migsafe.ledger import api, records
from migsafe.ledger.records import Thing
from migsafe.text import masked

LOG = logging.getLogger(__name__)


NEVER = ('it was to be unmapped, which failed; it is not known to have been mapped, and no '
         'attachment names it')
PORTS = 'unmapped by a connector with other ports of its host'


class DeviceKept(exceptions.MigsafeError):
    """The device that an export leads to is still on this host."""

    message = ('Volume %(id)s stays exported to %(host)s, because its device could not be '
               'disconnected there when Cinder was done with it: %(why)s To go on then, copy the '
               'volume once more ("openstack image create --volume"), which disconnects it at '
               'the end; or remove the device by hand and restart cinder-volume. A volume that '
               'is in error_deleting can be deleted again after that.')


class Removing(Intents):
    """The steps."""

    def terminate(self, thing: Thing, subject: Any, connector: Any, driver: Driver) -> Any:
        """Take the mapping of one peer away, or of all of them if no connector is given."""
        if not connector:
            return self._terminate_all(thing, subject, driver)
        peer, rows = records.Peer.of(connector), self._guard.ledger.of(thing)
        needed = others.needs(thing, peer, rows, self._guard.protocols.forms())
        if needed:
            LOG.info('%s %s stays mapped to host %s: %s', thing.kind, thing.id, peer.host, needed)
            self._give_over(thing, peer, rows)
            # NOTE: it keeps the manager from removing the target.
            return True
        return self._terminate(thing, subject, peer, driver, rows)

    def _give_over(self, thing: Thing, peer: records.Peer,
                   rows: Sequence[records.Export]) -> None:
        """Where another peer has a row for the same mapping, that one stands for it."""
        there = {row.peer: row for row in rows if row.peer and row.state != 'gone'
                 and others.meet(row, peer)}
        if peer.key in there and len(there) > 1:
            self._guard.ledger.settle(thing, [peer.key], 'gone', read=there[peer.key],
                                      error='another host has the same mapping')

    def _terminate(self, thing: Thing, subject: Any, peer: records.Peer, driver: Driver,
                   rows: Sequence[records.Export]) -> Any:
        self._refuse_if_kept(thing, peer)
        try:
            others.refuse_if_shared(self._guard.inspector, thing, subject, peer, rows)
        except others.SharedMapping:
            raise
        except Exception as error:
            # NOTE: Cinder asks for this very peer, and an array that cannot be asked seldom does
            # anything else either.
            LOG.warning('Whether the mapping of %s to host %s carries more is not known: %s',
                        thing.id, peer.host, masked(error))
        result = self._remove(thing, subject, peer, driver)
        for row in ports.of_host(rows, peer):
            if row.peer != peer.key and row.state == 'mapped' and self._look(
                    thing, subject, records.peer_of(row)) is Seen.GONE:
                self._guard.ledger.settle(thing, [row.peer], 'gone', read=row, error=PORTS)
        return result

    def _terminate_all(self, thing: Thing, subject: Any, driver: Driver) -> Any:
        """What nobody else has of it, one by one: a driver takes it away from everybody.

        :raises AllHosts: who has it stands in the way of all
        """
        rows = [row for row in self._guard.ledger.of(thing) if row.peer and row.state != 'gone']
        rest = others.rest(self._guard.inspector, thing, subject, rows)
        if not rest:
            return driver()
        result = None
        for row in rest:
            result = self._terminate(thing, subject, records.peer_of(row),
                                     lambda row=row: driver(row.connector), rows)
        return result if len(rest) == len(rows) else True

    def remove(self, thing: Thing, subject: Any, connector: Any, driver: Driver) -> Any:
        """Take the target away, unless somebody needs it: nothing is asked of the driver then.
        """
        try:
            self._refuse_if_kept(thing, records.Peer())
            return self._remove(thing, subject, records.Peer(), driver,
                                lambda: self._unneeded(thing, subject))
        except targets.Needed as needed:
            LOG.info('%s', needed)
            self._guard.ledger.look_at_target(thing)
            return None

    def _unneeded(self, thing: Thing, subject: Any) -> api.Judge:
        """What refuses to take the target away if that changes.

        :raises Needed: somebody needs it, see :func:`targets.user` and :func:`targets.carried`
        """
        call, ledger = calls.current(), self._guard.ledger
        rows = ledger.of(thing)
        # NOTE: after the rows. What is recorded as mapped has its attachment by then.
        user = targets.user(rows, _attached(thing), ledger.incarnation,
                            call.attachment if call else '', calls.leaving())
        # NOTE: last, and so right before the removal. Where the array cannot tell, Cinder's word
        # is all there is.
        user = user or targets.carried(self._guard, thing, subject, rows) or ''
        if user:
            raise targets.Needed(kind=thing.kind, id=thing.id, user=user)
        return targets.unchanged(thing, rows)

    def _remove(self, thing: Thing, subject: Any, peer: records.Peer, driver: Driver,
                judging: Judging | None = None) -> Any:
        keys = [peer.key]
        self._intents.pop((thing, peer.key), None)
        self._begin(thing, [peer], 'unmapping', judging)
        try:
            with self._guard.working(thing, keys):
                result = driver()
        except Exception as error:
            seen = self._look(thing, subject, peer)
            if seen is not Seen.GONE:
                if not self._was_never(thing, peer, seen):
                    self._failed(thing, keys, error)
                fenced = self._fenced(thing, keys)
                if not fenced:
                    raise
                LOG.warning('Volume %s is detached all the same, since host %s is fenced (%s); '
                            'what is mapped to it is taken away later: %s', thing.id,
                            fenced[0].host, fenced[0].fenced, masked(error))
                return True     # see below
            LOG.info('%s %s was to be unmapped, and is not mapped any more: %s', thing.kind,
                     thing.id, masked(error))
            # NOTE: True keeps the manager from removing the target, which others may need.
            # Recovery removes it when nothing is mapped through it.
            self._record(thing, keys, Seen.GONE)
            return True
        self._record(thing, keys, self._look(thing, subject, peer, told=True))
        return result

    def _was_never(self, thing: Thing, peer: records.Peer, seen: Seen | None) -> bool:
        """Whether nothing was known to be mapped to a peer before it was to be unmapped.

        Each member of a project can ask for that, of any host. It would be in doubt for ever where
        the array cannot tell and the driver fails to unmap what is not mapped.
        """
        ledger = self._guard.ledger
        row = next((row for row in ledger.of(thing) if row.peer == peer.key), None)
        if seen is not Seen.UNKNOWN or not peer.key or row is None or row.before != 'gone' \
                or calls.copying() or attachments.explain(_attached(thing), row):
            return False
        return bool(ledger.settle(thing, [peer.key], 'gone', error=NEVER))

    def _record(self, thing: Thing, keys: list[str], seen: Seen | None) -> None:
        """Record what was seen of a removal that the driver says is done."""
        if not outcomes.record(self._guard, thing, keys, seen, intent='unmapping',
                               look_at_target=True):
            LOG.error(calls.OVERTAKEN, thing.kind, thing.id)
            self._guard.ledger.doubt(thing, keys, 'it was unmapped meanwhile')

    def _look(self, thing: Thing, subject: Any, peer: records.Peer, *,
              told: bool = False) -> Seen | None:
        """What the array says of it; None if it could not be asked.

        Killed after it had removed the target, Cinder could never delete the attachment: LIO's
        helper, for one, fails to take an initiator from a target that is not there.
        """
        try:
            seen: Seen = self._guard.looks.at(thing, subject, peer, told=told)
        except Exception as error:
            LOG.warning('Whether %s is mapped is not known: %s', subject['id'], masked(error))
            return None
        return seen

    def _refuse_if_kept(self, thing: Thing, peer: records.Peer) -> None:
        """Cinder's own clean-up goes on when the disconnect before it was refused, with force.

        :raises DeviceKept: the export is of a device that a guard has kept in this process, or
            the target through which it is mapped
        """
        kept = kept_devices.hosts(thing.id)
        if kept and (not peer.key or self._is_own(thing, peer)):
            host, why = next(iter(kept.items()))
            raise DeviceKept(id=thing.id, host=host, why=why)

    def _is_own(self, thing: Thing, peer: records.Peer) -> bool:
        """Whether a peer is this host, or has the mapping that this host has got.

        A name alone is what a caller of os-terminate_connection says.
        """
        own = writers.own_names(self._guard.host)
        return peer.host in own or any(
            row.host in own and row.state != 'gone' and others.meet(row, peer)
            for row in self._guard.ledger.of(thing) if row.peer)

    def _fenced(self, thing: Thing, keys: list[str]) -> list[records.Export]:
        """The rows of these peers, if the hosts of all of them are fenced."""
        if keys == [TARGET]:
            return []
        rows = [row for row in self._guard.ledger.of(thing) if row.peer in keys and row.fenced]
        return rows if len(rows) == len(keys) else []


def _attached(thing: Thing) -> list[attachments.Attachment]:
    return attachments.of_volume(thing.id) if thing.kind == 'volume' else []
