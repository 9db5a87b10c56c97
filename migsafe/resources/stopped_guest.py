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
"""A guest that a migration has stopped on its source, and that stays there.

libvirt stops it at the end, and Nova does when somebody has the migration completed by force. When
that fails libvirt lets it run again, if it can, and Nova does, from memory: where libvirt cannot
then, and nova-compute was started anew, nobody does.
"""

from __future__ import annotations

from oslo_log import log as logging

from migsafe.transaction.evidence import NO_QEMU, GuestState
from migsafe.transaction.move import Move
from migsafe.transaction.verdict import Verdict

LOG = logging.getLogger(__name__)

#: What the other host may say, for this one to let the guest run: no copy of it can.
NO_COPY = NO_QEMU | {GuestState.DEAD}


def stopped(move: Move) -> bool:
    """Whether the guest is to run here, and only the migration keeps it from that.

    :raises Exception: libvirt does not say
    """
    return move.decision.verdict is Verdict.ABORT and move.local == move.winner \
        and move.evidence.destination.guest in NO_COPY \
        and move.instance is not None and not move.superseded \
        and move.instance.vm_state != 'paused' \
        and move.clients.guests.stopped(move.tx.instance_uuid)


def go_on(move: Move, resource: str) -> None:
    """Let it run again.

    :param resource: the one whose effect it is
    :raises Exception: libvirt does not
    """
    if stopped(move):
        LOG.warning('Instance %s was stopped by live migration %s, which is over, and goes on',
                    move.tx.instance_uuid, move.tx.uuid)
        with move.effect(resource, 'guest_resume', ''):
            move.clients.guests.resume(move.tx.instance_uuid)
