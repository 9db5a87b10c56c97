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
"""The steps of making and removing an export, each with its intent and its outcome.

The caller is the only one at the volume. An intent of create_export covers the
initialize_connection that follows it, so that the two of them cost two commits.
"""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from oslo_log import log as logging

from migsafe import exceptions
from migsafe.brick.guard import kept_devices
from migsafe.cinder.exports import targets
from migsafe.cinder.facts import attachments, calls, connections, writers
from migsafe.cinder.recovery import passes
from migsafe.ledger import api, records
from migsafe.ledger.records import Thing
from migsafe.text import masked

LOG = logging.getLogger(__name__)

TARGET = ''


class DeviceKept(exceptions.MigsafeError):
    """The device that an export leads to is still on this host."""

    message = ('Volume %(id)s stays exported to %(host)s, because its device could not be '
               'disconnected there when Cinder was done with it: %(why)s To go on then, copy the '
               'volume once more ("openstack image create --volume"), which disconnects it at '
               'the end; or remove the device by hand and restart cinder-volume. A volume that '
               'is in error_deleting can be deleted again after that.')


class Overtaken(exceptions.MigsafeError):
    """An export was made, and somebody else has begun to take it away."""

    message = ('The connection of %(kind)s %(id)s to host %(host)s is not given away: another '
               'call has taken the export up before it was recorded ("migsafe export show %(id)s" '
               'names it). Try again when that has ended.')


#: How old the intent of create_export may be for initialize_connection to rely on it; recovery
#: looks at it only later than that.
FRESH_SECONDS = api.PATIENCE.total_seconds() / 2

#: Between two looks whether another service has ended.
LOOK_SECONDS = 0.1, 0.4

Driver = Callable[[], Any]
Judging = Callable[[], api.Judge | None]


class Exports:
    """The steps.

    :param guard: of the backend
    """

    def __init__(self, guard: Any) -> None:
        self._guard = guard
        #: thing and peer -> when create_export has recorded the intent
        self._intents: dict[tuple[Thing, str], float] = {}

    def create(self, thing: Thing, subject: Any, connector: Any, driver: Driver) -> Any:
        """Make the target; the mapping will follow."""
        peers = [records.Peer()]
        if connector:
            peers.append(records.Peer.of(connector))
        keys = self._intend(thing, subject, peers)
        try:
            with self._guard.working(thing, keys):
                result = driver()
        except Exception as error:
            self._failed(thing, keys, error)
            raise
        self._intents[thing, keys[-1]] = time.monotonic()
        return result

    def initialize(self, thing: Thing, subject: Any, connector: Any, driver: Driver) -> Any:
        """Map it to a peer."""
        # NOTE: RBD's driver, for one, does not look at the connector at all.
        peer = records.Peer.of({} if connector is None else connector)
        intended = self._intents.pop((thing, peer.key), None)
        if intended is not None and time.monotonic() - intended < FRESH_SECONDS:
            keys = [TARGET, peer.key]
        else:
            keys = self._intend(thing, subject, [peer])
        try:
            with self._guard.working(thing, keys):
                info = driver()
        except Exception as error:
            self._failed(thing, keys, error)
            raise
        learnt = connections.learn(self._guard.inspector, subject, info)
        call = calls.current()
        if call is None:
            if not self._guard.ledger.settle(thing, keys, 'mapped', **learnt):
                raise Overtaken(kind=thing.kind, id=thing.id, host=peer.host or '(not named)')
        else:
            call.outcomes.append((thing, keys, learnt))
        return info

    def terminate(self, thing: Thing, subject: Any, connector: Any, driver: Driver) -> Any:
        """Take the mapping of one peer away, or of all of them if no connector is given."""
        if connector:
            peers = [records.Peer.of(connector)]
        else:
            peers = [_peer(row) for row in self._guard.ledger.of(thing)
                     if row.peer and row.state != 'gone']
        return self._remove(thing, subject, peers, driver, kept=self._shared(thing, peers))

    def remove(self, thing: Thing, subject: Any, connector: Any, driver: Driver) -> Any:
        """Take the target away, unless somebody needs it: nothing is asked of the driver then.
        """
        try:
            return self._remove(thing, subject, [records.Peer()], driver, kept=set(),
                                judging=lambda: self._unneeded(thing))
        except targets.Needed as needed:
            LOG.info('%s', needed)
            self._guard.ledger.look_at_target(thing)
            return None

    def _unneeded(self, thing: Thing) -> api.Judge:
        """What refuses to take the target away if that changes.

        :raises Needed: somebody needs it, see :func:`targets.user`
        """
        call, ledger = calls.current(), self._guard.ledger
        rows = ledger.of(thing)
        # NOTE: after the rows. What is recorded as mapped has its attachment by then.
        attached = attachments.of_volume(thing.id) if thing.kind == 'volume' else []
        user = targets.user(rows, attached, ledger.incarnation, call.attachment if call else '')
        if user:
            raise targets.Needed(kind=thing.kind, id=thing.id, user=user)
        return targets.unchanged(thing, rows)

    def _remove(self, thing: Thing, subject: Any, peers: list[records.Peer], driver: Driver,
                kept: set[str], judging: Judging | None = None) -> Any:
        self._refuse_if_kept(thing, peers)
        ledger = self._guard.ledger
        keys = [peer.key for peer in peers]
        for key in keys:
            self._intents.pop((thing, key), None)
        self._begin(thing, peers, 'unmapping', judging)
        fenced = self._fenced(thing, keys)
        try:
            with self._guard.working(thing, keys):
                result = driver()
            # NOTE: a row that is gone explains nothing to the next attach, and an array may be
            # slower than its driver says.
            for row in fenced:
                if row.peer not in kept and self._guard.mapped(subject, row):
                    raise passes.StillMapped(export=row)
        except Exception as error:
            if not self._gone(subject, peers):
                self._failed(thing, keys, error)
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
            result, kept = True, set()
        for state, some in (('gone', [key for key in keys if key not in kept]),
                            ('mapped', [key for key in keys if key in kept])):
            if some and not ledger.settle(thing, some, state, intent='unmapping',
                                          look_at_target=True):
                LOG.error(calls.OVERTAKEN, thing.kind, thing.id)
        return result

    def _gone(self, subject: Any, peers: list[records.Peer]) -> bool:
        """Whether the array itself says that it has none of them.

        Killed after it had removed the target, Cinder could never delete the attachment: LIO's
        helper, for one, fails to take an initiator from a target that is not there.
        """
        try:
            return bool(peers) and all(
                (peer.initiators or peer.host or not peer.key)
                and self._guard.mapped(subject, peer) is False for peer in peers)
        except Exception as error:
            LOG.warning('Whether %s is mapped is not known: %s', subject['id'], masked(error))
            return False

    def _refuse_if_kept(self, thing: Thing, peers: list[records.Peer]) -> None:
        """Cinder's own clean-up goes on when the disconnect before it was refused, with force.

        :raises DeviceKept: the export is of a device that a guard has kept in this process, or
            the target through which it is mapped
        """
        own = writers.own_names(self._guard.host)
        if any(not peer.key or peer.host in own for peer in peers):
            for host, why in kept_devices.hosts(thing.id).items():
                raise DeviceKept(id=thing.id, host=host, why=why)

    def _fenced(self, thing: Thing, keys: list[str]) -> list[records.Export]:
        """The rows of these peers, if the hosts of all of them are fenced."""
        if keys == [TARGET]:
            return []
        rows = [row for row in self._guard.ledger.of(thing) if row.peer in keys and row.fenced]
        return rows if len(rows) == len(keys) else []

    @staticmethod
    def _shared(thing: Thing, peers: list[records.Peer]) -> set[str]:
        """Peers that two attachments have, of two instances on one host: a driver keeps the
        mapping for the other one."""
        if thing.kind != 'volume' or len(peers) != 1:
            return set()
        names = attachments.lower(peers[0].initiators)
        having = [row for row in attachments.of_volume(thing.id)
                  if row.peer == peers[0].key or row.initiators & names]
        return {peers[0].key} if len(having) > 1 else set()

    def _intend(self, thing: Thing, subject: Any, peers: list[records.Peer]) -> list[str]:
        call = calls.current()
        attachment = call.attachment if call else ''
        ledger, judging = self._guard.ledger, None
        if peers[-1].host and ledger.revived(peers[-1].host):
            LOG.warning('Host %s was said to be fenced, and attaches volumes again: what it has '
                        'counts again', peers[-1].host)
        if peers[-1].key and thing.kind == 'volume' and not _multiattach(subject):
            judging = functools.partial(self._judge, thing, subject, peers[-1])
        try:
            self._begin(thing, peers, 'mapping', judging, attachment)
        except writers.SecondWriter as second:
            if not self._revert(thing, subject, peers[-1], second):
                raise
            self._begin(thing, peers, 'mapping', judging, attachment)
        keys = [peer.key for peer in peers]
        if call:
            call.begun.append((thing, keys))
        return keys

    def _begin(self, thing: Thing, peers: list[records.Peer], state: str,
               judging: Judging | None, attachment: str = '') -> None:
        """Record an intent, once no other service of the cluster is at work on the volume.

        :param judging: gives the judge, of what is known when nobody is
        :raises Busy: one was, all the time
        """
        ledger, deadline = self._guard.ledger, time.monotonic() + calls.LINE_SECONDS
        while True:
            try:
                ledger.intend(thing, peers, state, attachment=attachment,
                              judge=judging() if judging else None)
                return
            except (api.Busy, targets.Changed):
                if time.monotonic() >= deadline:
                    raise
            while ledger.busy(thing) and time.monotonic() < deadline:
                time.sleep(random.uniform(*LOOK_SECONDS))

    def _judge(self, thing: Thing, subject: Any, peer: records.Peer) -> api.Judge | None:
        """What refuses a second writer, once nobody can change the exports of the volume."""
        own = writers.own_names(self._guard.host)
        if calls.current() is None and (peer.host in own or _backing_up(subject)):
            # NOTE: Cinder copies data itself, cinder-backup from whichever host it runs on; the
            # status of the volume keeps others away.
            return None
        known = self._known(thing, subject, peer)

        def judge(exports: Sequence[records.Export]) -> None:
            found = writers.others(known, exports, own, self._guard.ledger.incarnation)
            if found:
                raise writers.SecondWriter(found, volume=thing.id, backend=self._guard.host,
                                           host=peer.host or '(not named)')
        return judge

    def _known(self, thing: Thing, subject: Any, peer: records.Peer) -> writers.Known:
        try:
            return writers.known(thing, subject, peer, self._guard.inspector)
        except Exception as error:
            raise writers.NotKnown(volume=thing.id, reason=masked(error)) from error

    def _revert(self, thing: Thing, subject: Any, peer: records.Peer,
                second: writers.SecondWriter) -> bool:
        """Take stale exports away, if the policy says so; whether all of them are gone."""
        if self._guard.second_writer != 'revert':
            return False
        known = self._known(thing, subject, peer)
        if not all(writers.stale(known, other) for other in second.found):
            return False
        LOG.warning('%s migsafe_second_writer is "revert", and the array says that nobody has it '
                    'open there.', second)
        return all(self._guard.recovery.revert(thing, other.export, subject, 'it was stale')
                   for other in second.found)

    def _failed(self, thing: Thing, keys: list[str], error: BaseException) -> None:
        """Leave it to recovery to find out what is there. The driver's error goes on."""
        try:
            self._guard.ledger.fail(thing, keys, masked(error))
        except exceptions.MigsafeError as failed:
            LOG.error('%s; the intent stands, and is taken up when it is due', failed)
        self._guard.recovery.nudge()


def _multiattach(subject: Any) -> bool:
    try:
        return bool(subject['multiattach'])
    except (KeyError, AttributeError):
        return False


def _backing_up(subject: Any) -> bool:
    """Whether Cinder reads it for a backup. Some drivers give out the volume in use itself."""
    try:
        return bool(subject['status'] == 'backing-up')
    except (KeyError, AttributeError):
        return False


def _peer(row: records.Export) -> records.Peer:
    from oslo_serialization import jsonutils
    return records.Peer(row.peer, row.host, tuple(row.initiators),
                        jsonutils.dumps(row.connector) if row.connector else None)
