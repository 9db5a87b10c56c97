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
"""Whether a volume is still connected to this host: by its journal, its kernel and Cinder."""

from __future__ import annotations

from migsafe.transaction.clients import ConnectionInfo
from migsafe.transaction.move import Move


def connected(move: Move, volume: str, info: ConnectionInfo, paths: list[str],
              exported: bool) -> bool:
    """Whether a volume, whose devices were looked for, may be connected to this host.

    :param paths: its devices here; what says that it is another disk is not among them
    :param exported: whether it has an export to this host, by Cinder: then nobody else has
        been given its number. Without that and without a device, whatever has the number by
        now is another disk, and nothing is disconnected by it
    """
    if volume in move.history.ended:
        return False
    if paths:
        return True
    if not move.clients.devices.observable(info):
        # NFS, ScaleIO, StorPool and the like: no look can tell, and to disconnect what is not
        # connected does nothing, as they go by the volume and not by a number.
        return not _never_begun(move, volume)
    return exported and (volume in move.history.connections or volume in move.history.undone)


def _never_begun(move: Move, volume: str) -> bool:
    """Whether this host has journalled how it made the attachment, and no connect after it."""
    return move.local == move.tx.dest_host and volume in move.history.attachments \
        and volume not in move.history.connections
