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
"""Exports that stay because their device had to stay, until the device can go.

Where a guard has refused to disconnect a volume, some of Nova's procedures go on as if it were
gone (deleting an instance, the end of a swap, the clean-up of a failed attach) and delete its
attachment, with which the array takes the export from under the device. Here such a deletion is
put off: it is noted as residue R4 of this host in the journal, Nova is told that it is done, and
each round of recovery tries to disconnect the device, and deletes the attachment after it.

A migration of Cinder's must not end before that either: at its end Cinder takes the exports of the
old volume away and deletes it. So Nova is told to go on with the new volume under the id that it
has for now, and the end of it, with Cinder's exchange of the two ids, follows here.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator
from typing import Any

from nova import exception
from oslo_concurrency import lockutils
from oslo_log import log as logging

from migsafe import exceptions
from migsafe.brick import held
from migsafe.journal import api as journal_api
from migsafe.nova import attempt as at
from migsafe.nova import cinder_migration, effects
from migsafe.text import masked
from migsafe.transaction import clients as cl

LOG = logging.getLogger(__name__)

KIND = 'R4'
BY_ITSELF = 'nova-compute tries again by itself, and removes the export after the device.'
#: Nova's prefix of its locks, see nova.utils.synchronized
LOCKS = 'nova-'

#: (instance uuid, volume id)
Attached = tuple[str, str]

#: Whether this call chain has seen to the device itself.
_DECIDED: contextvars.ContextVar[bool] = contextvars.ContextVar('migsafe_decided', default=False)
#: host -> what it keeps; one process is one host, but in tests
_OF_HOST: dict[str, Kept] = {}


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

    :param host: its name
    :param volume_api: Nova's client of Cinder
    :param journal: of this host
    :param cloud: the clients of the settlement
    """

    def __init__(self, host: str, volume_api: Any, journal: journal_api.Journal,
                 cloud: cl.Clients) -> None:
        self._host, self._journal, self._cloud = host, journal, cloud
        self._migration = cinder_migration.Ending(host, volume_api, cloud.records)
        self._lock = threading.Lock()
        self._found: dict[Attached, str] = {
            (one.instance_uuid, one.key): one.text for one in journal.findings()
            if one.kind == KIND}
        for (_, volume), why in self._found.items():
            held.remember(host, volume, why)
        _OF_HOST[host] = self

    def keep(self, instance: str, volume: str, why: str) -> None:
        """Note that an export stays."""
        LOG.error('%s: the export of volume %s of instance %s to %s stays, and its device: %s %s',
                  KIND, volume, instance, self._host, why, BY_ITSELF)
        self._note((instance, volume), why)

    def host_of(self, instance: str, attachment_id: str) -> str | None:
        """Where an attachment is connected, if Cinder tells."""
        return next((one.host for one in self._cloud.volumes.attachments(instance)
                     if one.id == attachment_id), None)

    def keeps(self, volume: str) -> bool:
        """Whether a device of this volume stays, for whichever instance."""
        with self._lock:
            return any(of == volume for _, of in self._found)

    def settle(self) -> None:
        """Try each one again; one that cannot be settled does not stop the others."""
        with self._lock:
            todo = list(self._found)
        for attached in todo:
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
            self._note(attached, why)

    def _settle(self, instance: str, volume: str) -> str | None:
        """Let go of one; returns why it has to stay."""
        named = {row.attachment_id for row in self._cloud.records.volumes(instance)}
        for attachment in self._cloud.volumes.attachments(instance):
            if (attachment.volume_id == volume and attachment.id not in named
                    and attachment.host in (None, self._host)):
                if why := self._disconnect(instance, volume, attachment.id):
                    return why
                self._cloud.volumes.delete_attachment(attachment.id)
        # also where nova-compute was killed here: the id may be that of another disk by now
        held.forget(self._host, volume)
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

    def _note(self, attached: Attached, why: str | None) -> None:
        with self._lock:
            if why is not None:
                self._found[attached] = f'{why} {BY_ITSELF}'
            elif self._found.pop(attached, None) is not None:
                LOG.info('%s of instance %s, volume %s is over', KIND, *attached)
            found = dict(self._found)
        try:
            self._journal.set_findings(KIND, found)
        except (exceptions.JournalError, OSError) as error:
            LOG.error('%s; what is kept on %s is known to this process alone until that works: '
                      '%s', masked(error), self._host, sorted(found))


def attachment_delete(wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """Keep the attachment of a volume whose device was kept on the same host.

    :param wrapper: the wrapt wrapper of the same seam
    """
    def outer(wrapped: Any, api: Any, args: Any, kwargs: Any) -> Any:
        if held.anything() and not _DECIDED.get() and at.current() is None:
            call = effects.arguments(wrapped, args, kwargs)
            if _kept(api, call['ctx'], call['attachment_id']):
                return None
        return wrapper(wrapped, api, args, kwargs)
    return outer


def _kept(api: Any, context: Any, attachment_id: str) -> bool:
    try:
        attachment = api.attachment_get(context, attachment_id)
    except exception.VolumeAttachmentNotFound:
        return False
    volume = cinder_migration.volume_of(attachment)
    instance = str(attachment.get('instance')
                   or (attachment.get('connection_info') or {}).get('instance') or '')
    refused = {host: why for host, why in held.hosts(volume).items() if host in _OF_HOST}
    if not refused:
        return False
    # NOTE: Cinder tells the host of an attachment only once it is complete. One without may be
    # that of the device, and no other has come to its end.
    host = _OF_HOST[next(iter(refused))].host_of(instance, attachment_id)
    for where, why in refused.items():
        if host in (None, where):
            _OF_HOST[where].keep(instance, volume, why)
            return True
    return False


def terminate_connection(wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """The same for volumes without attachments, of which nothing is left to try again with.

    :param wrapper: the wrapt wrapper of the same seam
    """
    def outer(wrapped: Any, api: Any, args: Any, kwargs: Any) -> Any:
        if held.anything() and not _DECIDED.get() and at.current() is None:
            call = effects.arguments(wrapped, args, kwargs)
            connector = call['kwargs'].get('connector') or call['args'][0]
            volume, host = str(call['volume_id']), connector.get('host')
            if why := held.hosts(volume).get(host):
                LOG.error('The connection of volume %s to %s is not terminated: %s It has no '
                          'attachment, so that this is not tried again by itself: once the '
                          'device is gone, detach it with "cinder reset-state --attach-status '
                          'detached" and remove its export in the array.', volume, host, why)
                return None
        return wrapper(wrapped, api, args, kwargs)
    return outer


def migrate_volume_completion(wrapped: Any, api: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper: a migration of Cinder's ends only once the old device is gone."""
    call = effects.arguments(wrapped, args, kwargs)
    old, new = call['old_volume_id'], call['new_volume_id']
    if call['error'] or _DECIDED.get() or not any(
            one.keeps(old) for one in list(_OF_HOST.values())):
        return wrapped(*args, **kwargs)
    LOG.warning('The migration of volume %s by Cinder is not ended yet, because its old device '
                'stays. The guest is on volume %s until then.', old, new)
    return {'save_volume_id': new}
