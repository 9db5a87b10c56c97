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
"""Deferred removal of exports whose device is still in use.

Where a guard has refused to disconnect a volume, some of Nova's procedures go on as if it were
gone (deleting an instance, the end of a swap, the clean-up of a failed attach) and delete its
attachment, with which the array takes the export from under the device. Here such a deletion is
put off (:mod:`migsafe.nova.seams.deferred`): it is noted as residue R4 of this host in the
journal, Nova is told that it is done, and each round of recovery tries to disconnect the
device, and deletes the attachment after it.

A migration of Cinder's must not end before that either: at its end Cinder takes the exports of the
old volume away and deletes it. So Nova is told to go on with the new volume under the id that it
has for now, and the end of it, with Cinder's exchange of the two ids, follows here.
"""

from __future__ import annotations

import contextlib
import contextvars
import re
from collections.abc import Iterator
from typing import Any

from oslo_concurrency import lockutils
from oslo_log import log as logging

from migsafe.brick.guard import kept_devices
from migsafe.journal.api import Journal
from migsafe.nova.deferred import cinder_migration, deletions, findings, legacy_volumes
from migsafe.text import masked, shell
from migsafe.transaction.clients import Clients

LOG = logging.getLogger(__name__)

KIND = 'R4'
BY_ITSELF = 'nova-compute tries again by itself, and removes the export after the device.'
#: Said in the finding, and read from there after a restart.
ASKED = 'Attachment %s is deleted then.'
_ASKED = re.compile(re.escape(ASKED).replace('%s', '([0-9A-Za-z-]+)'))
#: Of a guest that is stopped or suspended, nobody has the device open.
AGAIN = ('It is attached to the instance again, by another attachment, which may have the same '
         'device and the same export on this host. Both go once the instance has left it.')
#: Nova's prefix of its locks, see nova.utils.synchronized
LOCKS = 'nova-'

#: Whether this call chain has seen to the device itself.
_DECIDED: contextvars.ContextVar[bool] = contextvars.ContextVar('migsafe_decided', default=False)
#: host -> what it keeps; one process is one host, but in tests
_OF_HOST: dict[str, Kept] = {}


def of_this_process() -> dict[str, Kept]:
    """host -> what it keeps."""
    return dict(_OF_HOST)


def is_decided() -> bool:
    """Whether this call chain may take exports away."""
    return _DECIDED.get()


@contextlib.contextmanager
def decided() -> Iterator[None]:
    """Attachments are deleted inside after their devices, or for another host."""
    token = _DECIDED.set(True)
    try:
        yield
    finally:
        _DECIDED.reset(token)


class Kept:
    """What one nova-compute keeps.

    ``legacy`` has what it keeps of volumes without attachments.

    :param host: its name
    :param volume_api: Nova's client of Cinder
    :param journal: of this host
    :param cloud: the clients of the settlement
    """

    def __init__(self, host: str, volume_api: Any, journal: Journal,
                 cloud: Clients) -> None:
        self._host, self._cloud = host, cloud
        self._migration = cinder_migration.Ending(host, volume_api, cloud.records)
        self.legacy = legacy_volumes.Legacy(host, volume_api, journal)
        self._deletions = deletions.Deletions(host, volume_api, journal)
        #: attachments that Nova on this host wanted deleted: such a one may be without a host
        self._asked: dict[findings.Attached, set[str]] = {}
        self._noted = findings.Noted(KIND, journal, self._known)
        _OF_HOST[host] = self

    def _known(self, attached: findings.Attached, why: str) -> None:
        """What is read from the journal."""
        kept_devices.remember(self._host, attached[1], why)
        # what stands before that is the words of others
        if ids := _ASKED.findall(why.rpartition(BY_ITSELF)[2]):
            self._asked.setdefault(attached, set()).update(ids)

    def keep(self, instance: str, volume: str, why: str, attachment: str) -> None:
        """Note that an export stays.

        :param attachment: what Nova wanted deleted
        """
        self._asked.setdefault((instance, volume), set()).add(attachment)
        LOG.error('%s: the export of volume %s of instance %s to %s stays, and its device: %s %s',
                  KIND, volume, instance, self._host, why, BY_ITSELF)
        self._note((instance, volume), why)

    def _note(self, attached: findings.Attached, why: str) -> None:
        ids = sorted(self._asked.get(attached, ()))
        self._noted.put(attached, ' '.join((why, BY_ITSELF, *(ASKED % one for one in ids))))

    def host_of(self, instance: str, attachment_id: str) -> str | None:
        """Where an attachment is connected, if Cinder tells."""
        return next((one.host for one in self._cloud.volumes.attachments(instance)
                     if one.id == attachment_id), None)

    def keeps(self, volume: str) -> bool:
        """Whether a device of this volume stays, for whichever instance."""
        return bool(self._noted.of_volume(volume)) or self.legacy.keeps(volume)

    def put_off_deletion(self, volume: str) -> bool:
        """Whether a volume that Nova wants deleted is deleted later, once its device is gone."""
        those = self._noted.of_volume(volume)
        if len(those) != 1:
            return False
        try:
            return self._deletions.put_off(those[0])
        except Exception as error:
            LOG.warning('Whether volume %s can be deleted later is not known: %s', volume,
                        masked(error))
            return False

    def settle(self) -> None:
        """Try each one again; one that cannot be settled does not stop the others."""
        self.legacy.settle()
        for attached in self._noted.all():
            try:
                with lockutils.lock(attached[0], LOCKS, blocking=False), decided():
                    if self._migration.busy(attached[0]):
                        # its rows may be those of another host for now
                        continue
                    why = self._settle(*attached)
            except lockutils.AcquireLockFailedException:
                # Nova is at the instance: next time
                continue
            except Exception as error:
                why = masked(error)
            if why is None:
                self._noted.drop(attached)
                self._asked.pop(attached, None)
            else:
                self._note(attached, why)
        with decided():
            self._deletions.only(self._noted.all())

    def _settle(self, instance: str, volume: str) -> str | None:
        """Let go of one; returns why it has to stay."""
        freed, asked = False, self._asked.get((instance, volume))
        named = {row.attachment_id for row in self._cloud.records.volumes(instance)}
        found = [one for one in self._cloud.volumes.attachments(instance)
                 if one.volume_id == volume]
        left = [one for one in found if one.id not in named]
        mine = [one for one in left if one.host == self._host or (
            one.host is None and one.id in (asked or ()))]
        if mine and any(one.id in named and one.host == self._host for one in found):
            return AGAIN
        for attachment in mine:
            if why := self._disconnect(instance, volume, attachment.id):
                return why
            self._cloud.volumes.delete_attachment(attachment.id)
            freed = True
        unknown = [one.id for one in left if one.host is None]
        if unknown and asked is None and not freed:
            return _whose(unknown[0])
        # also where nova-compute was killed here: the id may be that of another disk by now
        kept_devices.forget(self._host, volume)
        self._deletions.do((instance, volume), freed)
        return self._migration.end(instance, volume)

    def _disconnect(self, instance: str, volume: str, attachment: str) -> str | None:
        devices = self._cloud.devices
        info = self._cloud.volumes.connection_info(attachment)
        if info is None:
            return None
        info.setdefault('serial', volume)
        try:
            devices.disconnect(instance, info)
        except Exception as error:
            return masked(error)
        if paths := devices.paths(instance, info):
            return f'{", ".join(paths)} still there after disconnect'
        return None


def _whose(attachment: str) -> str:
    """Of an attachment that has come to no end, where nothing says that it was put off here."""
    return (f'Cinder does not say of which host attachment {attachment} of it is, and nothing '
            'here says that it was to be deleted: it may be that of another host, whose device '
            'would be torn away. If no host, this one too, has a device of the volume any more, '
            f'"openstack volume attachment delete {shell(attachment)}" is the end of it.')
