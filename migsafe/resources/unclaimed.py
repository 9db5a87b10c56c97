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
"""Devices of attachments that nobody can tell the host of.

Cinder names the host of an attachment only once it is complete, and a host that was killed without
the plugin, or whose journal is an older one by now, does not know what it connected. What is here
may be the volume, or a LUN of the same number that is somebody else's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from migsafe.transaction.clients import Attachment, ConnectionInfo
from migsafe.transaction.move import Move


@dataclasses.dataclass(frozen=True)
class Unclaimed:
    """Devices on this host that bear the number of such an attachment.

    :param paths: of the devices; what says that it is another disk is not among them
    :param proven: whether each of them says itself that it is the volume
    """

    attachment: Attachment
    info: ConnectionInfo
    paths: Sequence[str]
    proven: bool


def devices(move: Move, attachments: Sequence[Attachment]) -> Iterator[Unclaimed]:
    """What is here by the number of an attachment that no row names, and of which no journal
    entry says that it was connected.

    What the other host has journalled as its own is none of them: its number is another's here.
    """
    history = move.history
    known = {i for volume, ids in history.attachments.items()
             if volume in history.connections or volume in history.ended for i in ids}
    if move.instance is not None:
        known |= {str(row.attachment_id) for row in
                  move.clients.records.volumes(move.tx.instance_uuid)}
    here = move.clients.devices
    for attachment in attachments:
        if attachment.host is not None or attachment.id in known:
            continue
        info = move.clients.volumes.connection_info(attachment.id)
        paths = here.paths(move.tx.instance_uuid, info) if info else []
        if info and paths and attachment.id not in move.peer_attachments().get(
                attachment.volume_id, ()):
            yield Unclaimed(attachment, info, paths, all(
                here.is_volume(path, info) for path in paths))


def why(move: Move, one: Unclaimed) -> str:
    """Why it stays, and its export with it."""
    return (f'{", ".join(one.paths)} may be connected for attachment {one.attachment.id}, and '
            f'no journal of {move.local} says so; compare its WWID with the volume and remove the '
            'device by hand')
