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
"""Rows of volumes are compared with Cinder before Nova goes by them (incident 000).

Nova starts a guest from what its rows say, and disconnects by them first; what a row that is wrong
leads to is the disk of somebody else. See :mod:`migsafe.resources.volume_record` for the rule.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

from nova import exception
from oslo_log import log as logging
from oslo_serialization import jsonutils

from migsafe import masking
from migsafe.brick.guard import policy
from migsafe.nova.clients import devices, records
from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.host.participant import Participant
from migsafe.nova.seams import faults, left, moves
from migsafe.resources import volume_record
from migsafe.resources.volume_record import Word
from migsafe.text import masked, shell
from migsafe.transaction.clients import ConnectionInfo, VolumeRow

LOG = logging.getLogger(__name__)

#: Types whose disks are known by what the connection says. What is only not known is no reason
#: where they have no block device of their own, for which nobody else would be asked.
COMPARED = frozenset((*devices.LOOKED_UP, 'rbd'))
WAY_OUT = ('"migsafe audit" shows both (R1), and with the instance stopped "migsafe repair" '
           'writes what Cinder gives %(host)s into the row. [migsafe] identity_policy = accept '
           'goes by the row as it is')


def check(participant: Participant, instance: Any, operation: str,
          rows: Iterable[VolumeRow]) -> None:
    """Let an operation go on only with rows that lead to their volumes.

    :param rows: as Nova has read them; one without an identity is given Cinder's
    :raises NovaException: one is wrong, or nothing tells that it is right
    """
    stop(operation, refusal(participant, instance, rows))


def stop(operation: str, why: str | None) -> None:
    """:raises NovaException: if there is a reason"""
    if why:
        raise faults.discreet(exception.NovaException(f'{operation} refused: {why}'), operation)


def of_bdms(participant: Participant, instance: Any, bdms: Iterable[Any],
            certain: bool = False, gone: bool = True) -> str | None:
    """Why nothing may be done by some rows; None if it may.

    :param bdms: Nova's own objects, which it goes by afterwards: one without an identity is given
        Cinder's
    :param certain: see refusal()
    :param gone: see refusal()
    """
    if not meant(participant, instance):
        return None
    rows = []
    for bdm in (bdm for bdm in bdms if bdm.is_volume and bdm.volume_id):
        # what is damaged leads nowhere, and is Nova's business
        with contextlib.suppress(ValueError):
            rows.append((bdm, records.volume_row(bdm)))
    without = [(bdm, row) for bdm, row in rows if not volume_record.noted(row.connection_info)]
    why = refusal(participant, instance, [row for _bdm, row in rows], certain, gone)
    for bdm, row in without:
        if volume_record.noted(row.connection_info):
            bdm.connection_info = jsonutils.dumps(row.connection_info)
    return why


def of(participant: Participant, instance: Any, volume_id: str | None = None,
       certain: bool = False) -> str | None:
    """The same for the rows of an instance as they are now.

    :param volume_id: of one volume only
    :param certain: see refusal()
    :raises Exception: when they cannot be read
    """
    if not meant(participant, instance):
        return None
    rows = participant.clients.records.volumes(instance.uuid)
    return refusal(participant, instance, [
        row for row in rows if volume_id in (None, row.volume_id)], certain)


def meant(participant: Participant, instance: Any) -> bool:
    """Whether rows are to be compared: what comes here comes by rows that are the other host's,
    as they should be."""
    return bool(participant.conf.device_guards) and instance.host == participant.host


def refusal(participant: Participant, instance: Any, rows: Iterable[VolumeRow],
            certain: bool = False, gone: bool = True) -> str | None:
    """Why nothing may be done by some rows of an instance; None if it may.

    :param certain: only what is known to be wrong counts
    :param gone: False: an attachment that Cinder has no more is no reason
    """
    if not meant(participant, instance):
        return None
    ask = _Cinder(participant, instance)
    for row in filter(_comparable, rows):
        word = ask.word(row)
        if word.identity and row.connection_info:
            row.connection_info['data'][policy.KEY] = list(word.identity)
        if not word.why or certain and not word.certain or word.gone and not gone:
            continue
        why = _told(participant, instance, row, word)
        if binds(participant, instance, why):
            return why
    return None


def binds(participant: Participant, instance: Any, why: str) -> bool:
    """Whether a row that is wrong stops what is done by it; else it is only told."""
    if participant.conf.enforce and participant.conf.identity_policy != 'accept':
        return True
    LOG.warning('%s. It is gone by all the same ([migsafe] enforce, identity_policy).', why,
                instance=instance)
    return False


def _comparable(row: VolumeRow) -> bool:
    """Whether a row leads to a disk by an attachment."""
    info = row.connection_info or {}
    return bool(row.attachment_id and isinstance(info.get('data'), dict)
                and str(info.get('driver_volume_type')) in COMPARED)


def _by_number(info: ConnectionInfo) -> bool:
    """Whether the disk comes as a block device, by what its host alone may know it by."""
    return str(info.get('driver_volume_type')) in devices.LOOKED_UP


class _Cinder:
    """What Cinder has of an instance, asked for as far as it takes."""

    def __init__(self, participant: Participant, instance: Any) -> None:
        self._participant, self._instance = participant, instance
        self._hosts: dict[str, str | None] | None = None

    def word(self, row: VolumeRow) -> Word:
        """Of one row that _comparable() lets through."""
        info = row.connection_info or {}
        # who starts a guest does not wait for ever, either: see migsafe.nova.seams.calls
        with host_attempt.protected():
            try:
                word = self._judged(row, info)
            except Exception as error:
                word = volume_record.RIGHT if volume_record.noted(info) else Word(
                    f'Cinder does not say what that leads to: {masked(error)}')
        return word if word.certain or _by_number(info) else volume_record.RIGHT

    def _judged(self, row: VolumeRow, info: ConnectionInfo) -> Word:
        word = volume_record.judge(
            self._instance.uuid, row.volume_id, info,
            self._participant.clients.volumes.connection_info(str(row.attachment_id)))
        if word.why or volume_record.noted(info) or not _by_number(info):
            return word
        host = self._host(str(row.attachment_id))
        if host is None:
            return self._unnamed(str(row.attachment_id)) or word
        return word if host == self._participant.host else Word(
            f'that is of host {host}', certain=True)

    def _unnamed(self, attachment_id: str) -> Word | None:
        """Cinder tells the host of an attachment once it is complete. In a live migration that
        comes last, after the destination has written it into the row."""
        participant, uuid = self._participant, self._instance.uuid
        hosts = moves.others(participant.clients.records.moves(uuid), participant.host)
        if not hosts or attachment_id in left.by_journal(participant, participant.journal.list(
                instance_uuid=uuid, limit=1, newest=True)):
            return None
        return Word('Cinder does not say of which host that is, and a live migration may have '
                    f'made it for {", ".join(map(shell, hosts))}')

    def _host(self, attachment_id: str) -> str | None:
        """To whom the number in a row was given: no other host knows the disk by that."""
        if self._hosts is None:
            self._hosts = {one.id: one.host for one in
                           self._participant.clients.volumes.attachments(self._instance.uuid)}
        return self._hosts.get(attachment_id)


def _told(participant: Participant, instance: Any, row: VolumeRow, word: Word) -> str:
    wrong = ('. What that is on this host is the disk of somebody else' if word.certain else
             ', and no identity of the disk is noted, so that nothing tells whose it is')
    return (f'the row of volume {row.volume_id} of instance {instance.uuid} on {participant.host} '
            f'names attachment {row.attachment_id}, but {masking.one_line(word.why)}{wrong}. '
            + WAY_OUT % {'host': participant.host})
