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
"""Finds other hosts that could write a volume that is about to be mapped."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterable, Sequence
from typing import Any

from oslo_log import log as logging

from migsafe import exceptions
from migsafe.cinder.facts import attachments, calls, compute_hosts, mappings
from migsafe.cinder.inspectors import Mapping, Writer
from migsafe.ledger import records
from migsafe.ledger.records import Thing
from migsafe.text import shell

LOG = logging.getLogger(__name__)

REVERT = 'migsafe --config-file /etc/cinder/cinder.conf export revert --backend'
CURE = ('Detach it there. If nothing there uses it any more: {revert} {backend} {volume} '
        '--from-host {host}; or migsafe_second_writer = revert in the section of the backend. If '
        'the host is powered off: {revert} {backend} --from-host {host} --host-is-fenced.')

#: The same where neither the ledger nor Cinder has heard of the export.
UNRECORDED = ('Nothing that migsafe or Cinder knows of has made the mapping to {initiator}. Find '
              'the host that has this initiator. If nothing there uses the volume: {revert} '
              '{backend} {volume} --from-host {host} --initiator {initiator}; if the host is '
              'powered off, with --host-is-fenced.')
#: And where the driver could take something else away with it.
BY_HAND = ('Nothing that migsafe or Cinder knows of has made a mapping to %s. If nothing uses '
           'the volume there, unmap it in the array by hand.')


class SecondWriter(exceptions.MigsafeError):
    """Another host could write the volume."""

    message = ('Volume %(volume)s is not mapped to host %(host)s: %(others)s, and no current '
               'attachment of the same instance explains it. %(cure)s')

    def __init__(self, found: list[Other], **kwargs: Any) -> None:
        super().__init__(others='; '.join(other.what for other in found),
                         cure=' '.join(dict.fromkeys(_cure(other, **kwargs) for other in found)),
                         **kwargs)
        self.found = found


def _cure(other: Other, *, volume: str, backend: str, **_: Any) -> str:
    """What to type; the name of a host comes from its connector and may be anything."""
    host = other.export.host if other.export else ''
    text = UNRECORDED if other.initiator else CURE
    return other.cure or text.format(
        revert=REVERT, backend=shell(backend), volume=shell(volume),
        host=shell(host or 'HOST'), initiator=shell(other.initiator))


class NotKnown(exceptions.MigsafeError):
    """Whether there is another writer cannot be found out now."""

    message = ('Volume %(volume)s is not mapped: who else could write it cannot be found out '
               '(%(reason)s). Try again when the array and the database answer.')


@dataclasses.dataclass(frozen=True)
class Other:
    """One more that could write.

    :param export: its row in the ledger; None if only the array knows it
    :param cure: what an operator can do about it, empty for CURE or UNRECORDED
    :param initiator: if only the array knows it, one that it is mapped to
    """

    what: str
    export: records.Export | None = None
    cure: str = ''
    initiator: str = ''


@dataclasses.dataclass(frozen=True)
class Known:
    """What is known of a volume before its exports are judged.

    :param mine: the peer that it is about to be mapped to
    :param attached: attachments of the same instance
    :param live: all attachments
    :param mappings: of the array, None if it cannot tell
    :param writers: of the array, None if it cannot tell
    """

    mine: records.Peer
    attached: Sequence[attachments.Attachment]
    live: Sequence[attachments.Attachment]
    initiators: frozenset[str]
    mappings: Sequence[Mapping] | None
    writers: Sequence[Writer] | None


def known(thing: Thing, subject: Any, peer: records.Peer, inspector: Any) -> Known:
    """Ask Cinder's database and the array."""
    call = calls.current()
    rows = attachments.of_volume(thing.id)
    instance = next((row.instance for row in rows if call and row.id == call.attachment), '')
    same = [row for row in rows if instance and row.instance == instance]
    return Known(
        peer, same, rows,
        attachments.lower(peer.initiators).union(*(row.initiators for row in same)),
        inspector.list_exports(subject), inspector.writers(subject))


def others(facts: Known, exports: Iterable[records.Export], inspector: Any,
           incarnation: str) -> list[Other]:
    """All that could write the volume and are not explained.

    :param exports: of the volume in the ledger, none of them gone
    :param inspector: that has told the mappings
    :param incarnation: of this process; a copy that another one has begun may have ended with it
    """
    exports, found = list(exports), list[Other]()
    # NOTE: of hosts that are fenced, whose session lingers, and of exports that an attachment of
    # the same instance explains which has no connector to tell its initiators itself.
    accounted = frozenset[str]()
    for export in exports:
        if _seen_gone(facts, export, inspector):
            continue
        if export.fenced and not any(row.explains(export) for row in facts.live) \
                and compute_hosts.still(export.host):
            # NOTE: the array may be slow to take the mapping away.
            accounted |= attachments.lower(export.initiators)
            continue
        if export.peer == facts.mine.key:
            continue
        if any(row.names(export) for row in facts.attached):
            accounted |= attachments.lower(export.initiators)
            continue
        if export.attachment == records.COPY and export.incarnation == incarnation:
            continue
        found.append(Other(f'host {export.host or "(not named)"} has an export of it '
                           f'({export.state}, {", ".join(export.initiators) or "no initiator"})',
                           export))
    others_too = exports or any(row.has for row in facts.live)
    for mapping in mappings.strangers(inspector, facts.mappings or (), [
            *exports, *(row for row in facts.attached if row.has)], coming=[facts.mine]):
        # NOTE: one of a group that the peer itself is in as well is not all of them.
        mine = mapping.initiators & attachments.lower(facts.mine.initiators)
        name = min(mapping.initiators - mine, default='')
        found.append(Other(
            f'the array maps it to {mapping}', initiator=name,
            cure=BY_HAND % (name or mapping.host) if others_too or mine or not name else ''))
    found += [Other(f'{writer.who} has it open', cure=writer.cure)
              for writer in unexplained(facts.writers or (), facts.attached,
                                        facts.initiators | accounted)]
    return found


def _seen_gone(facts: Known, export: records.Export, inspector: Any) -> bool:
    """Whether the driver has said that an export is removed, and the array says so now."""
    return export.state == 'removed' and facts.mappings is not None and (
        mappings.any_is_to(inspector, facts.mappings, export) is False)


def unexplained(found: Sequence[Writer], attached: Sequence[attachments.Attachment],
                mine: frozenset[str] = frozenset()) -> list[Writer]:
    """Who has the volume open without an attachment that accounts for it.

    The address of a writer need not be the one that its connector gives: Ceph is seldom on the
    network of Nova's my_block_storage_ip. So each host that is attached, and of which no writer
    is known, accounts for one address more. If there are more addresses than such hosts, one of
    them is somebody else; which one is not known, so that all of them are named.

    :param mine: initiators that count as explained: of the peer that the volume is about to be
        mapped to, and of hosts that are fenced
    """
    left = [writer for writer in found if not writer.initiators & mine
            and not any(_is_of(writer, row) for row in attached)]
    by_address = [writer for writer in left if writer.address and not writer.initiators]
    hosts = {row.host for row in attached if row.has} - {
        row.host for row in attached for writer in found if _is_of(writer, row)}
    if len({writer.address for writer in by_address}) > len(hosts):
        return left
    return [writer for writer in left if writer not in by_address]


def _is_of(writer: Writer, row: attachments.Attachment) -> bool:
    return bool(writer.initiators & row.initiators
                or (writer.address and writer.address == row.address))


def own_names(conf_host: str) -> frozenset[str]:
    """What a connector of this host may call it."""
    return frozenset((socket.gethostname(), conf_host.partition('@')[0]))


def stale(facts: Known, other: Other) -> bool:
    """Whether an export may be taken away first: the array says that its host has the volume
    not open, and Cinder says that nothing is attached there."""
    export = other.export
    if export is None or facts.writers is None or any(
            row.explains(export) for row in facts.live):
        return False
    names = attachments.lower(export.initiators)
    return not any(not writer.initiators or writer.initiators & names
                   for writer in facts.writers)
