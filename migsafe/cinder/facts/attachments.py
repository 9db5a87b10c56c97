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
"""The users of a volume according to Cinder's database."""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import types
from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from cinder import context, exception, objects
from cinder.db import api as db_api
from cinder.objects import fields
from oslo_log import log as logging
from oslo_serialization import jsonutils
from oslo_utils import importutils

from migsafe import exceptions
from migsafe.ledger import records

LOG = logging.getLogger(__name__)

#: Where Cinder's tables and their transactions are; it is the second one from Cinder 29 on.
MODELS = importutils.try_import('cinder.db.sqlalchemy.models') or importutils.import_module(
    'cinder.db.models')
SESSIONS = importutils.try_import('cinder.db.sqlalchemy.api') or db_api
#: Statuses of an attachment without a connector that has nothing yet, or nothing any more: Nova
#: reserves it before a host is known. In any other one somebody has the volume.
NOT_YET = ('reserved', 'detached', 'deleted')
#: What Cinder calls a volume that somebody has, and its attach_status.
USED = ('in-use', 'attaching', 'detaching')
ATTACHED = ('attached', 'attaching', 'detaching', 'error_detaching')


@dataclasses.dataclass(frozen=True)
class Attachment:
    """One attachment, or somebody who must be there because Cinder calls the volume in use.

    :param id: empty where there is no attachment
    :param host: that its connector names; what Cinder has as attached_host, without one
    :param peer: key of the peer whose connector it has; empty while it has none
    :param initiators: of that peer, in lower case
    :param address: of that peer, see :func:`address`
    :param unclear: it has the volume, but no connector says where: os-attach makes such ones
        (Zun, scripts, instances from before Queens), and so does a connector that cannot be read
    """

    id: str
    instance: str
    host: str
    peer: str = ''
    initiators: frozenset[str] = frozenset()
    address: str = ''
    unclear: bool = False

    def __str__(self) -> str:
        """Name it in a message."""
        if not self.id:
            return ('somebody has it: Cinder calls the volume in use, and no attachment says by '
                    'whom ("openstack volume set --state available --detached", once you know '
                    'that nobody has)')
        where = f'on host {self.host or "(not named)"}'
        return f'attachment {self.id} has it {where}{" (no connector)" if self.unclear else ""}'

    @property
    def has(self) -> bool:
        """Whether it has the volume, wherever that is."""
        return bool(self.peer) or self.unclear

    def explains(self, export: records.Export) -> bool:
        """Whether to take an export away could take it away from this attachment.

        Arrays map to an initiator or to a host. A connector may name one more initiator than it
        did before an upgrade, and is another peer then, on the same host. Without a connector
        any export may be its own: what os-attach was told of a host is only a name.
        """
        return self.unclear or self.names(export)

    def names(self, export: records.Export) -> bool:
        """Whether its connector is for this export.

        Without one, it is an export that was not made for an attachment, on the same host.
        """
        if not self.peer:
            return self.unclear and export.attachment in ('', self.id) and (
                self.host in ('', export.host))
        return bool(self.peer == export.peer or (self.host and self.host == export.host)
                    or self.initiators & export.counting)


def lower(names: Iterable[str]) -> frozenset[str]:
    """Initiators as they are compared."""
    return frozenset(str(name).lower() for name in names)


def of_volume(volume_id: str) -> list[Attachment]:
    """Who has a volume, and who has reserved it, as far as Cinder knows.

    :raises Exception: whatever the database raises; nothing is known then
    """
    return of_volumes((volume_id,)).get(volume_id, [])


def of_volumes(identifiers: Collection[str]) -> dict[str, list[Attachment]]:
    """The same of many volumes, in one query.

    Every shape of row that Cinder 26 to 29 can have is read here, and nowhere else. Cinder's own
    objects would ask once more for each attachment, for what Cinder before Ocata left of its
    connector; without that it has none, which is somebody all the same. To ask for these columns
    alone takes a third of the time: it is done for each attach and twice for each detach.
    """
    if not identifiers:
        return {}
    with SESSIONS.main_context_manager.reader.using(context.get_admin_context()) as session:
        rows = session.execute(_query(), {'volumes': sorted(identifiers)}).all()
    found: dict[str, Any] = {}
    for row in rows:
        made = found.setdefault(row.volume, types.SimpleNamespace(
            status=row.status, attach_status=row.volume_attached, volume_attachment=[]))
        if row.id is not None:
            made.volume_attachment.append(row)
    return {identifier: of_row(made) for identifier, made in found.items()}


@functools.cache
def _query() -> Any:
    volume, one = MODELS.Volume, MODELS.VolumeAttachment
    return sa.select(
        volume.id.label('volume'), volume.status, volume.attach_status.label('volume_attached'),
        one.id, one.attach_status, one.instance_uuid, one.attached_host, one.connector,
    ).outerjoin(one, sa.and_(one.volume_id == volume.id, sa.not_(one.deleted))).where(
        volume.id.in_(sa.bindparam('volumes', expanding=True)), sa.not_(volume.deleted))


def of_host(host: str) -> dict[str, Any]:
    """The volumes that a host has, of all backends -> where they are, as columns of their rows."""
    volume, one = MODELS.Volume, MODELS.VolumeAttachment
    query = sa.select(volume.id, volume.host, volume.cluster_name).join(
        one, one.volume_id == volume.id).where(
            one.attached_host == host, sa.not_(one.deleted), sa.not_(volume.deleted),
            one.attach_status != fields.VolumeAttachStatus.DETACHED)
    with SESSIONS.main_context_manager.reader.using(context.get_admin_context()) as session:
        rows = session.execute(query).all()
    return {row.id: {'host': row.host or '', 'cluster_name': row.cluster_name} for row in rows}


def rows_of(identifiers: Collection[str], column: str = 'id') -> list[Any]:
    """Rows of Cinder's table of volumes, with their attachments."""
    return list(db_api.volume_get_all(
        context.get_admin_context(), filters={column: sorted(identifiers)})) if identifiers else []


def of_row(volume: Any) -> list[Attachment]:
    """Of a volume, with its attachments, as rows of Cinder's tables have it."""
    rows = [read(row) for row in volume.volume_attachment
            if row.attach_status != fields.VolumeAttachStatus.DETACHED]
    if (volume.status in USED or volume.attach_status in ATTACHED) and not any(
            row.has for row in rows):
        rows.append(Attachment('', '', '', unclear=True))
    return rows


def explain(rows: Iterable[Attachment], export: records.Export) -> bool:
    """Whether one of the attachments of its volume explains an export, or a target."""
    return any(row.explains(export) if export.peer else row.has for row in rows)


def read(row: Any) -> Attachment:
    """What an attachment says: an object of Cinder, or a row of its database."""
    named = Attachment(
        row.id, row.instance_uuid or '', row.attached_host or '',
        unclear=bool(row.connector or row.attached_host or row.attach_status not in NOT_YET))
    if not row.connector:
        return named
    try:
        connector = _connector(row)
        peer = records.Peer.of(connector)
    except (exceptions.JournalBadValue, ValueError) as error:
        # NOTE: it could not have been mapped through the guard.
        LOG.warning('The connector of attachment %s is not to be understood: %s', row.id, error)
        return named
    return dataclasses.replace(
        named, host=peer.host, peer=peer.key, initiators=lower(peer.initiators),
        address=address(connector), unclear=False)


def peer_of(row: Any) -> records.Peer:
    """The peer of an attachment whose connector :func:`read` could read."""
    return records.Peer.of(_connector(row))


def _connector(row: Any) -> dict[str, Any]:
    return dict(jsonutils.loads(row.connector) if isinstance(row.connector, str)
                else row.connector)


def address(connector: Any) -> str:
    """The address that a connector gives, as addresses are compared; empty if it gives none."""
    try:
        return str(ipaddress.ip_address(str(connector.get('ip'))))
    except ValueError:
        return ''


def of_export(export: records.Export) -> tuple[Attachment, str] | None:
    """The attachment that an export was made for, and the volume that it is of by now.

    The two part for a moment when Cinder ends the migration of a volume in use: it exchanges the
    volumes' records first, and gives the attachments to the other one afterwards.
    """
    if not export.attachment:
        return None
    try:
        found = objects.VolumeAttachment.get_by_id(context.get_admin_context(), export.attachment)
    except exception.NotFound:
        return None
    row = read(found)
    return (row, str(found.volume_id)) if row.peer else None


def named(identifier: str) -> Any:
    """The volume that is another one's successor, None if there is none or more than one.

    After the migration of a volume in use, the driver goes on to use the id of what was the
    temporary volume; Cinder keeps it in the record of the volume.
    """
    found = list(objects.VolumeList.get_all(
        context.get_admin_context(), filters={'_name_id': identifier}))
    return found[0] if len(found) == 1 else None


def thing(kind: str, identifier: str, *, deleted: bool = False) -> Any:
    """The volume or snapshot; None if Cinder has deleted it.

    :param deleted: also if Cinder has deleted it, as long as its database remembers
    """
    admin = context.get_admin_context(read_deleted='yes' if deleted else 'no')
    try:
        if kind == 'snapshot':
            return objects.Snapshot.get_by_id(admin, identifier)
        return objects.Volume.get_by_id(admin, identifier)
    except exception.NotFound:
        return None
