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
"""What the kernel noted of a disk's identity when it found the disk.

It stays when the array maps another volume to the same number, so that it proves nothing of what
the disk is now. Where the disk does not answer, it is what there is.
"""

from __future__ import annotations

import pathlib

from migsafe.brick import errors
from migsafe.brick.identity import designators
from migsafe.brick.kernel import sysfs as kernel_sysfs

#: Pages that drivers/scsi/scsi_sysfs.c shows as they came, and what reads them.
_PAGES = (('vpd_pg83', designators.vpd83), ('vpd_pg80', designators.vpd80))


def noted(sysfs: kernel_sysfs.Sysfs, name: str) -> designators.Identity:
    """The identity that the kernel has of a disk; empty if it has none."""
    found: designators.Identity = frozenset()
    for page, read in _PAGES:
        try:
            found |= read(pathlib.Path(sysfs.root, 'class', 'block', name, 'device', page)
                          .read_bytes())
        except (OSError, errors.BadPage):
            # no SCSI disk, or one that has given no such page
            continue
    for place in (('device', 'wwid'), ('wwid',)):
        try:
            text = sysfs.attribute(name, *place)
        except (kernel_sysfs.Gone, errors.Unsure):
            break
        if not found or place == ('wwid',):
            found |= designators.written(text)
    return found
