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
"""Operations on an instance whose rows lead to another host than Nova's record.

A source without migsafe whose call of post_live_migration_at_destination times out writes its
destination into the instance minutes later, also when that was moved on meanwhile. What the API
asks for then is sent to the host before, which disconnects what the rows name and starts a second
copy. So is what is asked for after an evacuation that failed, or was cut off, once the guest was
started: nothing but the rows tells where it is. And a destination without it to which
pre_live_migration comes once more writes its attachments into the rows of a guest that has gone on
to another host.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from oslo_log import log as logging

from migsafe.journal.records import Transaction
from migsafe.nova.host.participant import DESTINATION, SOURCE, Participant
from migsafe.nova.seams import evacuation, moves
from migsafe.resources import volume_target
from migsafe.text import masked, shell
from migsafe.transaction.evidence import GuestState
from migsafe.transaction.verdict import Verdict

LOG = logging.getLogger(__name__)
#: What libvirt says where a guest was never started, or has gone.
NEVER_HERE = (GuestState.ABSENT, GuestState.HANDED_OVER)


def refusal(participant: Participant, instance: Any) -> str | None:
    """Why nothing may be done to an instance here; None if it may.

    It takes two things together: it was once migrated to or from here, or was to be evacuated from
    here, and a row leads to an attachment that is not this host's. After a cold migration, an
    evacuation or an unshelving to here the attachments are this host's. Until migrations that were
    begun here without a journal have been looked for since the start, any instance may be in one.

    :raises Exception: when the journal, Nova's database or Cinder cannot be asked
    """
    if instance.host != participant.host:
        # It comes here: an evacuation detaches by rows that are the other host's, as they should.
        return None
    last = participant.journal.list(instance_uuid=instance.uuid, limit=1, newest=True)
    if not last and participant.looked \
            and not moves.taken(
                participant.clients.records.moves(instance.uuid), participant.host):
        return None
    found = _another(participant, instance.uuid, by_journal(participant, last))
    if found is None:
        return None
    whose = f'volume {found[0]} is attached to {found[1]}'
    here = participant.clients.guests.evidence(instance.uuid)
    told = _last(participant.host, last)
    if here.guest in (GuestState.ABSENT, GuestState.UNKNOWN):
        return _gone(participant.host, instance.uuid, told, str(here), whose)
    return _here(participant.host, instance.uuid, told, str(here), whose) \
        if participant.conf.enforce else None


def starting(participant: Participant, instance: Any) -> str | None:
    """The same for what starts a guest here.

    :raises Exception: see :func:`refusal`
    """
    return refusal(participant, instance) or by_hand(participant, instance)


def by_hand(participant: Participant, instance: Any) -> str | None:
    """Why a guest may run where its volumes are attached, although the instance's record was
    given this host: an evacuation by UPDATE, of which nothing knows.

    No guest of it was ever here, so that this host's libvirt alone tells it from all that Nova
    does itself: Cinder is asked for nothing else. The option for evacuations alone says what it
    means that somebody cannot be asked.
    """
    policy = participant.conf.evacuation
    if policy == 'off' or instance.host != participant.host:
        return None
    try:
        why = _elsewhere(participant, instance)
    except Exception as error:
        why = (f'whether instance {instance.uuid} runs on another host than {participant.host} '
               f'cannot be told: {masked(error)}. Do this again once it can. [migsafe] evacuation '
               'decides about this')
    if why and policy == 'warn':
        LOG.warning('Goes on although it may start a second copy of the guest ([migsafe] '
                    'evacuation is warn): %s', why, instance=instance)
        return None
    return why


def _elsewhere(participant: Participant, instance: Any) -> str | None:
    """:raises Exception: when Nova's database or Cinder cannot be asked"""
    here = participant.clients.guests.evidence(instance.uuid)
    found = _another(participant, instance.uuid, set()) if here.guest in NEVER_HERE else None
    if found is None:
        return None
    volume, host = found
    there = participant.clients.peer.evidence(host, instance.uuid, instance.uuid)
    if evacuation.gone(participant, there, instance.uuid):
        return None
    return (f'no guest of instance {instance.uuid} is on {participant.host} [{here}], volume '
            f'{volume} is attached to {host}, and it may run there [{there}]. Look there ("virsh '
            f'list --all"): if it does, its record in Nova has to name {host} again. If {host} is '
            'powered off or fenced, say so with "openstack compute service set --down '
            f'{shell(host)} nova-compute" and do this again. [migsafe] evacuation decides about '
            'this')


def by_journal(participant: Participant, last: Sequence[Transaction]) -> set[str]:
    """Attachments that are this host's by its own journal, for which nobody has to be asked: a
    guest that is here is rebooted without Cinder, too."""
    found: set[str] = set()
    for tx in last:
        history = participant.engine.history(tx)
        if (tx.role, tx.verdict) == (DESTINATION, Verdict.COMMIT.value):
            found |= {one for made in history.attachments.values() for one in made}
        if (tx.role, tx.verdict) == (SOURCE, Verdict.ABORT.value):
            found |= {str(captured.get('attachment_id')) for captured in
                      history.captured(volume_target.NAME).values()}
    return found


def _another(participant: Participant, instance_uuid: str, own: set[str]
             ) -> tuple[str, str] | None:
    """A row that leads to another host. One of before there were attachments says nothing, and
    neither does an attachment without a host, which a rebuild that has failed leaves behind.

    :param own: attachments of this host
    :returns: the volume, and that host
    """
    rows = [row for row in participant.clients.records.volumes(instance_uuid)
            if row.attachment_id and row.attachment_id not in own]
    hosts = {one.id: one.host for one in
             participant.clients.volumes.attachments(instance_uuid)} if rows else {}
    return next(((row.volume_id, host) for row in rows
                 if (host := hosts.get(row.attachment_id or ''))
                 and host != participant.host), None)


def unproven(participant: Participant, instance_uuid: str,
             attachments: Iterable[str | None]) -> str | None:
    """Why what Nova has read of rows may not be this host's, while a migration is not settled.

    Another host may write rows up to the moment at which they are read, and later.

    :param attachments: the one of each row that was read; None of one from before there were any
    :returns: None if each is this host's by its own journal, or by Cinder
    :raises Exception: when the journal or Cinder cannot be asked
    """
    own = by_journal(participant, participant.journal.unsettled_for_instance(instance_uuid))
    doubtful = [one for one in attachments if one not in own]
    hosts = {one.id: one.host for one in
             participant.clients.volumes.attachments(instance_uuid)} if doubtful else {}
    wrong = [one for one in doubtful if hosts.get(one or '') != participant.host]
    if not wrong:
        return None
    named = (f'attachment {wrong[0]}, of which neither the journal nor Cinder says that it is of '
             f'{participant.host} (Cinder: {hosts.get(wrong[0])})' if wrong[0]
             else 'no attachment, so that nothing says whose connection it leads to')
    return (f'a row of instance {instance_uuid} names {named}, and a live migration of it is not '
            'settled; `migsafe residue list` says which, and what it waits for')


def _last(host: str, found: Sequence[Transaction]) -> str:
    return ''.join(
        f'. The last live migration that {host} knows of is {tx.uuid} from {tx.source_host} to '
        f'{tx.dest_host}, which ended as {tx.verdict}' for tx in found)


def _gone(host: str, uuid: str, last: str, here: str, whose: str) -> str:
    return (f'instance {uuid} is not on {host}, although its record in Nova says so: no guest of '
            f'it is here [{here}], and {whose}{last}. See "openstack server migration list '
            f'--server {shell(uuid)}" for where it went since; its record has to name that host '
            'again before anything can be done to it')


def _here(host: str, uuid: str, last: str, here: str, whose: str) -> str:
    return (f'instance {uuid} is on {host} [{here}], and {whose}, as its row says: what that '
            f'leads to on {host} is the disk of somebody else{last}. Look with "openstack '
            '--os-volume-api-version 3.27 volume attachment list --all-projects" for the '
            f'attachment of {host}; the row of that volume has to name it again before anything '
            'can be done to the instance')
