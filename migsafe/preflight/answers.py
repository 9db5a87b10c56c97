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
"""Nova's answer to each way of asking, whether it is a good one, and which way works."""

from __future__ import annotations

import dataclasses

from migsafe.preflight import decision, fate
from migsafe.preflight.decision import Asked, Decision, Request, Situation
from migsafe.preflight.fate import Fate, Harm, Judged
from migsafe.preflight.guest import Kind
from migsafe.text import shell


@dataclasses.dataclass(frozen=True)
class Answer:
    """What comes of a request.

    :param disks: what becomes of each disk; of none if Nova refuses
    """

    request: Request
    decision: Decision
    disks: tuple[Judged, ...] = ()

    @property
    def harms(self) -> list[Judged]:
        """The disks that the migration does not bring over whole."""
        return [one for one in self.disks if one.row.harm is not Harm.NONE]

    @property
    def works(self) -> bool:
        """Whether Nova agrees, and every disk is whole afterwards."""
        return self.decision.refusal is None and not self.harms


def answer(found: Situation, request: Request) -> Answer:
    """What comes of a request."""
    made = decision.decide(found, request)
    if made.block is None:
        return Answer(request, made)
    return Answer(request, made, tuple(fate.judge(found, made.block)))


def working(found: Situation, request: Request) -> list[Asked]:
    """The values of ``block_migration`` that work, beside the same other wishes."""
    return [one for one in Asked
            if answer(found, dataclasses.replace(request, block=one)).works]


def config_drive_alone(found: Situation, given: Answer) -> bool:
    """Whether Nova copies disks for nothing but a config drive: incident 002."""
    local = found.guest.local()
    return bool(given.decision.block and local) and all(
        found.guest.kind(disk) is Kind.CONFIG_DRIVE for disk in local)


COLD = ('migrate it with the guest stopped, which copies files whole: openstack server migrate '
        'SERVER')
ELSEWHERE = ('keep images in one place for both hosts: [DEFAULT] instances_path on shared '
             'storage, or [libvirt] images_type = rbd')
SNAPSHOT = ('build it anew from a snapshot: openstack server image create SERVER; Nova does not '
            'move such images')
#: (fate, kind of the disk; None is any) -> what helps. The first that fits.
REMEDIES: tuple[tuple[Fate, Kind | None, str], ...] = (
    (Fate.BLANK, Kind.CONFIG_DRIVE, f'{COLD}; for guests that are built from now on, '
     f'{ELSEWHERE}, or [DEFAULT] config_drive_format = vfat, which is not read-only'),
    (Fate.BLANK, None, f'{COLD}; or set [libvirt] live_migration_tunnelled = false and restart '
     'nova-compute'),
    (Fate.LEFT, Kind.CONFIG_DRIVE, f'{COLD}; {ELSEWHERE}'),
    (Fate.LEFT, Kind.UNKNOWN, 'take it out of the guest (virsh detach-disk, or virsh '
     'change-media --eject for a drive), or attach it through Nova'),
    (Fate.ONTO_ITSELF, Kind.UNKNOWN, 'do not migrate it before libvirt and Nova agree: compare '
     '"virsh domblklist" with "openstack server volume list SERVER"; openstack server reboot '
     "--hard SERVER defines the guest anew by Nova's rows"),
)


def of_server(text: str, server: str) -> str:
    """A text with the server in the place of SERVER."""
    return text.replace('SERVER', shell(server))


def harm(one: Judged) -> str:
    """What a migration does to a disk that it does not bring over whole."""
    return (f'{one.disk.target} ({one.kind.value}): {one.row.fate.value}. {one.row.harm.value}: '
            f'{one.row.why}')


def remedy(one: Judged, server: str) -> str:
    """What helps; empty where nothing has to.

    :param server: its id, for commands
    """
    if one.row.harm is Harm.NONE:
        return ''
    return of_server(next((text for fits, kind, text in REMEDIES if fits is one.row.fate
                           and kind in (None, one.kind)), SNAPSHOT), server)
