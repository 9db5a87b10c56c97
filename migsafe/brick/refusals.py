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
"""What a guarded connector raises: errors that Nova and Cinder handle as os-brick's own."""

from __future__ import annotations

from typing import Any

from os_brick import exception

from migsafe import exceptions

WAYS_OUT = ('Stop what uses it; if it is LVM of the guest that this host has activated, '
            '"migsafe lvm release %(device)s" lets go of it, and "migsafe lvm check" tells how '
            'to keep LVM from such disks. What a migration has left is then removed by itself; '
            'repeat any other detach.')
STALE = ('The connection_info of this volume leads to a disk of somebody else, so that nothing '
         'was removed. "migsafe residue list" shows what a migration left behind.')
LEFT = 'Its devices and its export are left as they are'
HALFWAY = ('Removed before that came up: %s. The rest of its devices and its export are left as '
           'they are, for the next detach')
OLD_DISK = ('It is not handed out: the kernel has had this disk since before, for the volume that '
            'it was then, and who has that open would read and write this one. Look with "lsblk" '
            'and "fuser" who that is, stop it, and remove the disk ("echo 1 > '
            '/sys/block/NAME/device/delete"; for NVMe, "nvme disconnect"); then attach again.')
STAYS = ('%(device)s could not be disconnected again and stays here, until a later attach or a '
         'round of the identity check can take it away: %(reason)s')
GIVEN_BACK = ('It is not handed out. The array maps another volume to this number, or a stale '
              'device is still here: compare the mappings of both hosts, then attach again; '
              '"migsafe residue list" shows what a migration left behind.')


class Refused(exception.BrickException):
    """Base of all refusals. Nothing was handed out when one is raised, and nothing removed.

    But for what comes up in the middle of a detach: then the message names what has gone before.
    """

    def __init__(self, message: str | None = None, **kwargs: Any) -> None:
        super().__init__(
            self.message % exceptions.Words(kwargs) if message is None else message, **kwargs)


def with_more(refused: Refused, text: str) -> Refused:
    """The same, with a sentence more."""
    return type(refused)(message=f'{refused} {text}', **refused.kwargs)


class VolumeHeld(Refused):
    """Something on this host stands on the volume, or has it open."""

    message = ('Volume %(volume)s is not detached from %(host)s. In use on %(device)s: '
               '%(holder)s. %(left)s, because to remove them now would tear the disk away from '
               'what uses it. %(way_out)s')


class WrongDisk(Refused):
    """A device is not the disk of its volume."""

    message = ('Volume %(volume)s on %(host)s: %(device)s is the disk %(found)s, not '
               '%(expected)s. %(way_out)s')


class NotMultipath(Refused):
    """Multipath is enforced, and a plain path is what came back."""

    message = ('Volume %(volume)s on %(host)s: multipath is enforced, but %(device)s is a plain '
               'path, so that one failing path would stop the guest. It has been disconnected '
               'again. See "multipath -v3 -d %(device)s" for why there is no map, or set '
               '[libvirt] volume_enforce_multipath = false in nova.conf.')


class Unjudged(Refused):
    """The kernel or the disk does not say enough to go on."""

    message = ('Volume %(volume)s on %(host)s: nothing is done to %(device)s, because %(reason)s. '
               'It is tried again with the next detach; "lsblk -s" and "dmesg" show what the '
               'device is doing.')


class NotRemoved(Refused):
    """A command failed in the middle of a detach, and nobody is seen to be in the way."""

    message = ('Volume %(volume)s is not detached from %(host)s: %(reason)s. %(left)s, and nobody '
               'is seen to use %(device)s: "dmesg" shows what the kernel says of it. Repeat the '
               'detach.')


class MixedMap(Refused):
    """A multipath map has paths to something else."""

    message = ('Volume %(volume)s on %(host)s: the multipath map %(device)s has paths that the '
               'connection of this volume does not lead to: %(paths)s. What is read comes from '
               'either. It is not handed out. Two volumes have one WWID then, a copy in the array '
               'for instance: detach the other one from this host, or give the copy a WWID of its '
               'own in the array.')


class Unproven(Unjudged):
    """What is known of a volume is not what its disk answers, which may be nothing at all."""

    message = ('Volume %(volume)s on %(host)s: nothing that %(device)s answers tells that it is '
               'the disk %(expected)s: %(reason)s. It is not handed out. Attach again when the '
               'array answers; where the volume has been given a disk of another kind on '
               'purpose, set [migsafe] identity_policy = accept for that attach.')
