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
"""What a host answers when it is asked for a guest, over whichever client of the bus.

An answer that is not understood counts as no answer, and no answer means UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from oslo_utils import uuidutils

from migsafe.fencing.probes.base import Answer
from migsafe.fencing.signs import Sign
from migsafe.transaction.evidence import NO_QEMU, GuestState, HostEvidence

#: A longer text than any real answer has.
MAX_TEXT = 2000
#: What a host answers that is asked to let go of what it is about to let go of by itself.
SETTLING = 'being settled already'


def text(value: Any) -> str:
    """A text of bounded length; empty for anything else."""
    return str(value)[:MAX_TEXT] if isinstance(value, str) else ''


def parse(host: str, reply: Any) -> HostEvidence:
    """The evidence in an answer; UNKNOWN for what is not understood.

    :param host: that was asked
    :param reply: to ``guest_evidence``
    """
    if not isinstance(reply, Mapping):
        return HostEvidence(host, GuestState.UNKNOWN, boot_id='',
                            detail='answer is not an object')
    try:
        guest = GuestState(reply.get('guest'))
    except ValueError:
        # A later version may know more states. What is not understood of an answer is no
        # answer; that a migration were going on would be more than it says.
        return HostEvidence(host, GuestState.UNKNOWN, boot_id='', detail=(
            f'answer is not understood: guest is {text(reply.get("guest"))[:40]!r}'))
    if not isinstance(reply.get('job'), bool):
        return HostEvidence(host, GuestState.UNKNOWN, boot_id='',
                            detail='answer is not understood: job is not a boolean')
    if guest is GuestState.DEAD or reply.get('host') != host:
        return HostEvidence(host, GuestState.UNKNOWN, boot_id='',
                            detail='answer contradicts itself')
    return HostEvidence(
        host, guest, job=reply['job'],
        boot_id=text(reply.get('boot_id')),
        detail=text(reply.get('detail')),
        rebooted=reply.get('rebooted') if isinstance(
            reply.get('rebooted'), bool) else None)


def sign(host: str, instance_uuid: str, reply: Any) -> Answer:
    """What an answer says of a host; that there is one is proof that it lives.

    :param instance_uuid: the guest that was asked for; empty if only the host was
    """
    found, seen = parse(host, reply), Sign.ANSWERS
    if instance_uuid and found.guest in NO_QEMU and not found.job:
        seen = Sign.GUEST_GONE
    elif instance_uuid and found.guest is not GuestState.UNKNOWN:
        seen = Sign.GUEST_RUNS
    return Answer(seen, f'guest {found.guest.value}' if instance_uuid else '',
                  found.boot_id or '', _machine(host, reply))


def _machine(host: str, reply: Any) -> str:
    """Which machine a host says that it is; only of itself."""
    said = reply.get('machine') if isinstance(reply, Mapping) and reply.get('host') == host else ''
    return str(said) if isinstance(said, str) and uuidutils.is_uuid_like(said) else ''
