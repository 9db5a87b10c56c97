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
"""The instance that a transaction moves, as the wrapper in nova-compute knows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from migsafe.transaction.clients import InstanceRow, VolumeRow


@dataclasses.dataclass(frozen=True)
class Subject:
    """An instance at the moment before anything has changed.

    :param instance: its columns
    :param volumes: its volume rows, with the source's connection_info
    :param directory_exists: whether this host has its directory
    :param directory_half_deleted: whether Nova's removal of an earlier one was not finished; None
        if nobody has looked
    :param directory_shared: whether that directory is on storage that both
        hosts share; None when that is not known
    :param request_id: of the request for the migration, by which Nova's API notes it
    """

    instance: InstanceRow
    volumes: Sequence[VolumeRow] = ()
    directory_exists: bool = False
    directory_shared: bool | None = None
    directory_half_deleted: bool | None = None
    request_id: str = ''
