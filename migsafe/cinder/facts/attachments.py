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
"""What Cinder's database says of who uses a volume."""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Collection, Iterable
from typing import Any

from cinder import context, exception, objects
from cinder.db import api as db_api
from cinder.objects import fields
from oslo_log import log as logging
from oslo_serialization import jsonutils

from migsafe import exceptions
from migsafe.ledger import records

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Attachment:
    """One attachment.

    :param peer: key of the peer whose connector it has; empty while it has none
    :param initiators: of that peer, in lower case
    :param address: of that peer, see :func:`address`
    """

    id: str
    instance: str
    host: str
    peer: str = ''
    initiators: frozenset[str] = frozenset()
    address: str = ''

    def explains(self, export: records.Export) -> bool:
        """Whether to take an export away could take it away from this attachment.

        Arrays map to an initiator or to a host. A connector may name one more initiator than it
        did before an upgrade, and is another peer then, on the same host.
        """
        return bool(self.peer) and bool(
            self.peer == export.peer or (self.host and self.host == export.host)
            or self.initiators & lower(export.initiators))


def lower(names: Iterable[str]) -> frozenset[str]:
    """Initiators as they are compared."""
    return frozenset(str(name).lower() for name in names)


def of_volume(volume_id: str) -> list[Attachment]:
    """The attachments of a volume that are not deleted, with or without a connector.

    :raises Exception: whatever the database raises; nothing is known then
    """
    found = objects.VolumeAttachmentList.get_all_by_volume_id(
        context.get_admin_context(), volume_id)
    return [_attachment(row) for row in found]


def of_volumes(identifiers: Collection[str]) -> dict[str, list[Attachment]]:
    """The same of many volumes, in one query.

    Cinder's objects would ask once more for each attachment, for what Cinder before Ocata left.
    Without that, such an attachment seems to have no connector.
    """
    if not identifiers:
        return {}
    found = db_api.volume_get_all(context.get_admin_context(), filters={'id': sorted(identifiers)})
    return {volume.id: [_attachment(row) for row in volume.volume_attachment
                        if row.attach_status != fields.VolumeAttachStatus.DETACHED]
            for volume in found}


def explain(rows: Iterable[Attachment], export: records.Export) -> bool:
    """Whether one of the attachments of its volume explains an export, or a target."""
    return any(row.explains(export) if export.peer else bool(row.peer) for row in rows)


def _attachment(row: Any) -> Attachment:
    """What an object of Cinder says, or a row of its database."""
    named = Attachment(row.id, row.instance_uuid or '', row.attached_host or '')
    if not row.connector:
        return named
    try:
        connector = jsonutils.loads(row.connector) if isinstance(row.connector, str) \
            else dict(row.connector)
        peer = records.Peer.of(connector)
    except (exceptions.JournalBadValue, ValueError) as error:
        # NOTE: it could not have been mapped through the guard.
        LOG.warning('The connector of attachment %s is not to be understood: %s', row.id, error)
        return named
    return dataclasses.replace(
        named, host=peer.host, peer=peer.key, initiators=lower(peer.initiators),
        address=address(connector))


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
    row = _attachment(found)
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


def is_up(service: str) -> bool:
    """Whether the cinder-volume of this name has reported lately.

    :param service: its host
    """
    try:
        found = objects.Service.get_by_args(context.get_admin_context(), service, 'cinder-volume')
    except exception.NotFound:
        return False
    return bool(found.is_up)
