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
"""Whether the guest of an evacuation may run on a host that nobody evacuates.

A live migration hands the guest over before Nova's record names the destination. If the source
dies in between, Nova evacuates what runs there, deletes the attachments that the rows name, which
are the destination's by then, and starts a second copy. The journal of the host that the
instance comes to knows nothing of it.
"""

from __future__ import annotations

from typing import Any

from migsafe.nova.clients import evacuations
from migsafe.nova.host.participant import Participant
from migsafe.text import shell
from migsafe.transaction.clients import OtherMove
from migsafe.transaction.evidence import NO_QEMU, GuestState, HostEvidence


def refusal(participant: Participant, instance: Any) -> str | None:
    """Why an instance must not be evacuated to this host now; None if it may.

    Each host of a live migration that Nova has not ended is asked, but for this one, which looks
    itself, and for the one that is evacuated, which Nova takes for dead.

    :param instance: as it comes to the host, with the one that it is evacuated from
    """
    for move in evacuations.undecided(instance.uuid):
        for host in (move.dest_host, move.source_host):
            if host in ('', participant.host, instance.host):
                continue
            found = participant.clients.peer.evidence(host, move.uuid, instance.uuid)
            if not _gone(found):
                return _may_run(instance.uuid, move, found)
            said = participant.clients.peer.describe(host, move.uuid)
            if said is not None and said['known'] and said['state'] != 'settled':
                return _unsettled(instance.uuid, move, host)
    return None


def _gone(found: HostEvidence) -> bool:
    """Whether no guest is there: the host says so, or it is silent and was fenced."""
    if found.guest is GuestState.UNKNOWN and found.boot_id is None:
        return evacuations.forced_down(found.host)
    return found.guest in NO_QEMU and not found.job


def _may_run(instance_uuid: str, move: OtherMove, found: HostEvidence) -> str:
    host = found.host
    return (f'{move}, and instance {instance_uuid} may run on {host} [{found}]. Start '
            f'nova-compute on {host}: if the guest is there, the migration is settled and the '
            f'instance gets {host} for its host. If {host} is powered off or fenced, say so with '
            f'`openstack compute service set --down {shell(host)} nova-compute` and evacuate '
            'again')


def _unsettled(instance_uuid: str, move: OtherMove, host: str) -> str:
    """Its rows may lead to devices that are still there, with exports that Nova would delete."""
    return (f'{move}, and is not settled on {host}. If {move.source_host} is dead, `migsafe '
            f'settle {shell(move.uuid)} --peer-is-dead {shell(move.source_host)}` on {host} '
            f'settles it; then evacuate instance {instance_uuid} again')
