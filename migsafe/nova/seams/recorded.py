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

from collections.abc import Iterable
from typing import Any

from nova import exception
from oslo_log import log as logging
from oslo_serialization import jsonutils

from migsafe.brick.guard import policy
from migsafe.nova.clients import devices, records
from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.host.participant import Participant
from migsafe.nova.seams import faults
from migsafe.resources import volume_record
from migsafe.resources.volume_record import Word
from migsafe.text import masked, shell
from migsafe.transaction.clients import VolumeRow

LOG = logging.getLogger(__name__)

WAY_OUT = ('"migsafe audit" shows both (R1). With the instance stopped, "migsafe repair" writes '
           'what Cinder gives %(host)s into the row, and "nova-manage volume_attachment refresh '
           '%(instance)s %(volume)s CONNECTOR_FILE" has Cinder give it anew. [migsafe] '
           'identity_policy = accept goes by the row as it is')


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
            certain: bool = False) -> str | None:
    """Why nothing may be done by some rows; None if it may.

    :param bdms: Nova's own objects, which it goes by afterwards: one without an identity is given
        Cinder's
    :param certain: see refusal()
    """
    for bdm in (bdm for bdm in bdms if bdm.is_volume and bdm.volume_id):
        row = records.volume_row(bdm)
        known = volume_record.noted(row.connection_info)
        why = refusal(participant, instance, [row], certain)
        if why:
            return why
        if volume_record.noted(row.connection_info) != known:
            bdm.connection_info = jsonutils.dumps(row.connection_info)
    return None


def of(participant: Participant, instance: Any) -> str | None:
    """The same for all rows of an instance, as they are now."""
    return refusal(participant, instance, participant.clients.records.volumes(instance.uuid))


def refusal(participant: Participant, instance: Any, rows: Iterable[VolumeRow],
            certain: bool = False) -> str | None:
    """Why nothing may be done by some rows of an instance; None if it may.

    :param certain: only what is known to be wrong counts
    """
    if not participant.conf.device_guards or instance.host != participant.host:
        # it comes here, by rows that are the other host's as they should be
        return None
    for row in filter(_comparable, rows):
        word = _word(participant, instance, row)
        if word.identity and row.connection_info:
            row.connection_info['data'][policy.KEY] = list(word.identity)
        if not word.why or certain and not word.certain:
            continue
        why = _told(participant, instance, row, word)
        if participant.conf.enforce and participant.conf.identity_policy != 'accept':
            return why
        LOG.warning('%s. It is gone by all the same ([migsafe] enforce, identity_policy).', why,
                    instance=instance)
    return None


def _comparable(row: VolumeRow) -> bool:
    """Whether a row leads to a block device by an attachment; what is damaged is Nova's business.
    """
    info = row.connection_info or {}
    return bool(row.attachment_id and isinstance(info.get('data'), dict)
                and str(info.get('driver_volume_type')) in devices.LOOKED_UP)


def _word(participant: Participant, instance: Any, row: VolumeRow) -> Word:
    noted = volume_record.noted(row.connection_info)
    volumes = participant.clients.volumes
    try:
        # who starts a guest does not wait for ever, either: see migsafe.nova.seams.calls
        with host_attempt.protected():
            word = volume_record.judge(row.volume_id, row.connection_info or {},
                                       volumes.connection_info(str(row.attachment_id)))
            return word if word.why or noted else _of_host(participant, instance, row, word)
    except Exception as error:
        return volume_record.RIGHT if noted else Word(
            f'Cinder does not say what that attachment leads to: {masked(error)}')


def _of_host(participant: Participant, instance: Any, row: VolumeRow, word: Word) -> Word:
    """The same, if the number in a row was given to this host: no other one knows it by that."""
    host = {one.id: one.host for one in participant.clients.volumes.attachments(
        instance.uuid)}.get(str(row.attachment_id))
    return word if host in (None, participant.host) else Word(
        f'that attachment is of host {host}', certain=True)


def _told(participant: Participant, instance: Any, row: VolumeRow, word: Word) -> str:
    wrong = ('. What that is on this host is the disk of somebody else' if word.certain else
             ', and no identity of the disk is noted, so that nothing tells whose it is')
    return (f'the row of volume {row.volume_id} of instance {instance.uuid} on {participant.host} '
            f'names attachment {row.attachment_id}, but {word.why}{wrong}. ' + WAY_OUT % {
                'host': participant.host, 'instance': shell(instance.uuid),
                'volume': shell(row.volume_id)})
