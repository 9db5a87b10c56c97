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
"""The methods of Cinder's VolumeManager that the guard has to know of.

A driver is not told which attachment it maps or unmaps a volume for, nor whether Cinder could
record it afterwards, nor whether it is Cinder itself that wants to read the volume. Only the
manager knows, and it has the endpoints of the service's RPC server.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import wrapt
from cinder.volume import manager

from migsafe import exceptions
from migsafe.brick.guard import policy
from migsafe.cinder.bus import endpoint
from migsafe.cinder.facts import attachments, calls

#: Method -> its leading parameters, the same in Cinder 26 to 29.
PARAMETERS = {'attachment_update': ('self', 'context', 'vref', 'connector', 'attachment_id'),
              'attachment_delete': ('self', 'context', 'attachment_id', 'vref'),
              'detach_volume': ('self', 'context', 'volume_id', 'attachment_id', 'volume'),
              '_attach_volume': ('self', 'ctxt', 'volume', 'properties', 'remote'),
              '_detach_volume': ('self', 'ctxt', 'attach_info', 'volume', 'properties'),
              'init_host': ('self', 'added_to_cluster')}


class ManagerMismatch(exceptions.MigsafeError):
    """A method of Cinder's manager is missing or has another signature."""

    message = ('migsafe cannot guard exports with this Cinder: VolumeManager.%(method)s '
               '%(reason)s. Install a supported Cinder, or set volume_driver back to the driver '
               'itself.')


def apply() -> None:
    """Wrap the methods of the manager; doing it again changes nothing.

    :raises ManagerMismatch: one of them is not as it should be; nothing is changed then
    """
    for name, wanted in PARAMETERS.items():
        method = getattr(manager.VolumeManager, name, None)
        if method is None:
            raise ManagerMismatch(method=name, reason='is missing')
        found = tuple(inspect.signature(method).parameters)
        if found[:len(wanted)] != wanted:
            raise ManagerMismatch(method=name, reason=f'has the parameters {found}')
    for name, wrapper in WRAPPERS.items():
        if not isinstance(vars(manager.VolumeManager)[name], wrapt.FunctionWrapper):
            wrapt.wrap_function_wrapper(manager.VolumeManager, name, wrapper)


def attachment_update(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Cinder maps the volume, and only then writes the connector."""
    guard = getattr(instance.driver, 'migsafe_guard', None)
    if guard is None:
        return wrapped(*args, **kwargs)
    given = inspect.signature(wrapped).bind(*args, **kwargs).arguments
    return guard.attach(given['attachment_id'], given['vref'], lambda: wrapped(*args, **kwargs))


def attachment_delete(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Cinder unmaps the volume, and only then deletes the attachment."""
    if getattr(instance.driver, 'migsafe_guard', None) is None:
        return wrapped(*args, **kwargs)
    given = inspect.signature(wrapped).bind(*args, **kwargs).arguments
    with calls.detaching(str(given['attachment_id'])):
        return wrapped(*args, **kwargs)


def detach_volume(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """The same of os-detach, which names no attachment if there is only one."""
    if getattr(instance.driver, 'migsafe_guard', None) is None:
        return wrapped(*args, **kwargs)
    given = inspect.signature(wrapped).bind(*args, **kwargs).arguments
    attachment = given.get('attachment_id')
    if not attachment:
        there = [one for one in attachments.of_volume(str(given['volume_id'])) if one.id]
        attachment = there[0].id if len(there) == 1 else ''
    with calls.detaching(str(attachment)):
        return wrapped(*args, **kwargs)


def copy_begins(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """The manager's own copying; that of a driver is known in the driver."""
    with calls.copy():
        return wrapped(*args, **kwargs)


def copy_ends(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """Tell the device guards too which volume it is."""
    given = inspect.signature(wrapped).bind(*args, **kwargs).arguments
    with policy.naming(str(given['volume']['id'])), calls.copy():
        return wrapped(*args, **kwargs)


def init_host(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    """The service makes its RPC server after this, of the endpoints that the manager has."""
    guard = getattr(instance.driver, 'migsafe_guard', None)
    if guard is not None and not any(
            isinstance(one, endpoint.Endpoint) for one in instance.additional_endpoints):
        instance.additional_endpoints.append(endpoint.Endpoint(guard))
    return wrapped(*args, **kwargs)


WRAPPERS: dict[str, Callable[..., Any]] = {
    'attachment_update': attachment_update, 'attachment_delete': attachment_delete,
    'detach_volume': detach_volume, '_attach_volume': copy_begins, '_detach_volume': copy_ends,
    'init_host': init_host}
