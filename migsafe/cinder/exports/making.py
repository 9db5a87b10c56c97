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
"""The steps of making an export, each with its intent and its outcome.

An intent of create_export covers the initialize_connection that follows it, so that the two of
them cost two commits.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from typing import Any

from oslo_log import log as logging

from migsafe import exceptions
from migsafe.cinder.exports import ports
from migsafe.cinder.exports.intents import TARGET, Driver, Intents
from migsafe.cinder.facts import calls, connections, writers
from migsafe.ledger import api, records, rows
from migsafe.ledger.records import Thing
from migsafe.text import masked

LOG = logging.getLogger(__name__)


class Overtaken(exceptions.MigsafeError):
    """An export was made, and somebody else has begun to take it away."""

    message = ('The connection of %(kind)s %(id)s to host %(host)s is not given away: another '
               'call, or the cinder-volume that has started since, has taken the export up before '
               'it was recorded ("migsafe export show %(shell:id)s" names it). Try again when '
               'that has ended.')


#: How old the intent of create_export may be for initialize_connection to rely on it; recovery
#: looks at it only later than that.
FRESH_SECONDS = rows.PATIENCE.total_seconds() / 2


class Making(Intents):
    """The steps."""

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
        there = ports.mapped(self._guard.inspector, subject, peer)
        try:
            with self._guard.working(thing, keys):
                info = driver()
        except Exception as error:
            self._failed(thing, keys, error)
            raise
        reached = ports.made(self._guard.inspector, subject, peer, there)
        if reached:
            self._guard.ledger.reaches(thing, peer.key, reached)
        if isinstance(info, dict):
            self._guard.protocols.tell(info.get('driver_volume_type'))
        learnt = connections.learn(self._guard.inspector, subject, info)
        call = calls.current()
        if call is None:
            if not self._guard.ledger.settle(thing, keys, 'mapped', **learnt):
                raise Overtaken(kind=thing.kind, id=thing.id, host=peer.host or '(not named)')
        else:
            call.outcomes.append((thing, keys, learnt))
        return info

    def _intend(self, thing: Thing, subject: Any, peers: list[records.Peer]) -> list[str]:
        call = calls.current()
        attachment = call.attachment if call else records.COPY if calls.copying() else ''
        judging = None
        if peers[-1].key and thing.kind == 'volume' and not _multiattach(subject):
            judging = functools.partial(self._judge, thing, subject, peers[-1])
        try:
            self._begin(thing, peers, 'mapping', judging, attachment)
        except (writers.SecondWriter, writers.NotKnown) as refused:
            # NOTE: asked of the ledger only now, which spares each attach a read.
            # cinder-backup never comes with an attachment: whoever does is a second writer.
            if call is None and self._guard.backups.takes(thing):
                judging = None
            elif not self._revert(thing, subject, peers[-1], refused):
                raise
            self._begin(thing, peers, 'mapping', judging, attachment)
        keys = [peer.key for peer in peers]
        if call:
            call.begun.append((thing, keys))
        return keys

    def _judge(self, thing: Thing, subject: Any, peer: records.Peer) -> api.Judge | None:
        """What refuses a second writer, once nobody can change the exports of the volume.

        Cinder's own copying is known by the call that it comes with, and by nothing that a caller
        of os-initialize_connection could say or wait for: no name of a host, no status.
        """
        if calls.copying():
            return None
        known = self._known(thing, subject, peer)

        def judge(exports: Sequence[records.Export]) -> None:
            found = writers.others(known, exports, self._guard.inspector,
                                   self._guard.ledger.incarnation)
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
                second: exceptions.MigsafeError) -> bool:
        """Take stale exports away, if the policy says so; whether all of them are gone."""
        if self._guard.second_writer != 'revert' or not isinstance(second, writers.SecondWriter):
            return False
        known = self._known(thing, subject, peer)
        if not all(writers.stale(known, other) for other in second.found):
            return False
        LOG.warning('%s migsafe_second_writer is "revert", and the array says that nobody has it '
                    'open there.', second)
        return all(self._guard.recovery.revert(thing, other.export, subject, 'it was stale')
                   for other in second.found)


def _multiattach(subject: Any) -> bool:
    try:
        return bool(subject['multiattach'])
    except (KeyError, AttributeError):
        return False
