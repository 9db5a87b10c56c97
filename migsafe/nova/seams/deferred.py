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
"""Wrappers in Nova's Cinder client; see :mod:`migsafe.nova.deferred.exports`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nova import exception
from oslo_log import log as logging

from migsafe.brick.guard import kept_devices
from migsafe.nova.deferred import cinder_migration, exports, told
from migsafe.nova.host import attempt
from migsafe.nova.seams import effects

LOG = logging.getLogger(__name__)


def _asked() -> bool:
    """Whether the question has to be asked here; a live migration asks it itself."""
    return kept_devices.anything() and not exports.is_decided() and attempt.current() is None


def _refused(volume: str) -> dict[str, str]:
    """The hosts of this process that keep a device of a volume, with the reasons."""
    those = exports.of_this_process()
    return {host: why for host, why in kept_devices.hosts(volume).items() if host in those}


def attachment_delete(wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """Keep the attachment of a volume whose device was kept on the same host.

    :param wrapper: the wrapt wrapper of the same seam
    """
    def outer(wrapped: Any, api: Any, args: Any, kwargs: Any) -> Any:
        if _asked():
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
    refused, those = _refused(volume), exports.of_this_process()
    if not refused:
        return False
    # NOTE: Cinder tells the host of an attachment only once it is complete. One without may be
    # that of the device, and no other has come to its end.
    host = those[next(iter(refused))].host_of(instance, attachment_id)
    for where, why in refused.items():
        if host in (None, where):
            new = not those[where].keeps(volume)
            those[where].keep(instance, volume, why, attachment_id)
            if new:
                told.tell(context, where, instance, volume)
            return True
    return False


def terminate_connection(wrapper: Callable[..., Any]) -> Callable[..., Any]:
    """The same for volumes without attachments.

    :param wrapper: the wrapt wrapper of the same seam
    """
    def outer(wrapped: Any, api: Any, args: Any, kwargs: Any) -> Any:
        if _asked():
            call = effects.arguments(wrapped, args, kwargs)
            connector = call['kwargs'].get('connector') or call['args'][0]
            volume, host = str(call['volume_id']), connector.get('host')
            if why := _refused(volume).get(host):
                exports.of_this_process()[host].legacy.keep('', volume, why)
                return None
        return wrapper(wrapped, api, args, kwargs)
    return outer


def detach(wrapped: Any, api: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper: what Nova asks for after that, with which Cinder removes the export.

    Cinder's own detach (VolumeManager.detach_volume) has its driver do so for the whole volume,
    whoever was meant.
    """
    if _asked():
        call = effects.arguments(wrapped, args, kwargs)
        volume, more = str(call['volume_id']), call['args']
        instance = more[0] if more else call['kwargs'].get('instance_uuid')
        refused = _refused(volume)
        for host, why in refused.items():
            exports.of_this_process()[host].legacy.keep(str(instance or ''), volume, why)
        if refused:
            return None
    return wrapped(*args, **kwargs)


def delete(wrapped: Any, api: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper: a volume of which an attachment is kept is deleted after that.

    Cinder would refuse, and Nova does not ask again.
    """
    if _asked():
        volume = str(effects.arguments(wrapped, args, kwargs)['volume_id'])
        if any(one.put_off_deletion(volume) for one in exports.of_this_process().values()):
            return None
    return wrapped(*args, **kwargs)


def migrate_volume_completion(wrapped: Any, api: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper: a migration of Cinder's ends only once the old device is gone."""
    call = effects.arguments(wrapped, args, kwargs)
    old, new = call['old_volume_id'], call['new_volume_id']
    if call['error'] or exports.is_decided() or not any(
            one.keeps(old) for one in exports.of_this_process().values()):
        return wrapped(*args, **kwargs)
    LOG.warning('The migration of volume %s by Cinder is not ended yet, because its old device '
                'stays. The guest is on volume %s until then.', old, new)
    return {'save_volume_id': new}
