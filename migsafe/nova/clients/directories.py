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
"""The instance directory of this host."""

from __future__ import annotations

import os
import shutil

from nova import objects
from nova.virt.libvirt import utils as libvirt_utils
from oslo_utils import uuidutils

#: Suffix under which a directory waits for its removal; Nova ignores it.
DOOMED = '_migsafe_del'
#: The one under which Nova's own removal leaves what it could not finish
#: (LibvirtDriver.delete_instance_files).
HALF_DELETED = '_del'


class Directories:
    """See :class:`migsafe.transaction.clients.Directories`."""

    def _path(self, instance_uuid: str) -> str:
        if not uuidutils.is_uuid_like(instance_uuid):
            # An empty or odd name in a damaged row leads to other directories.
            raise ValueError(f'{instance_uuid!r:.80} is no instance')
        path = libvirt_utils.get_instance_path(
            objects.Instance(uuid=instance_uuid))
        if os.path.basename(path) != instance_uuid:
            raise ValueError(f'{path} is not the directory of {instance_uuid}')
        return str(path)

    def find(self, instance_uuid: str, half_deleted: bool = True) -> str | None:
        path = self._path(instance_uuid)
        for candidate in (path, path + DOOMED, *([path + HALF_DELETED] if half_deleted else [])):
            if os.path.lexists(candidate):
                return candidate
        return None

    def remove(self, instance_uuid: str, half_deleted: bool = True) -> None:
        path = self._path(instance_uuid)
        if os.path.islink(path):
            raise ValueError(f'{path} is a symbolic link; remove it by hand')
        if os.path.exists(path):
            # Out of the way in one step: half a directory under the
            # instance's name would look like an instance.
            shutil.rmtree(path + DOOMED, ignore_errors=True)
            os.rename(path, path + DOOMED)
        for rest in (path + DOOMED, *([path + HALF_DELETED] if half_deleted else [])):
            if os.path.lexists(rest):
                shutil.rmtree(rest)
