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
"""External effects of Nova's own code, journalled where they happen.

Only inside an attempt: for everything else Nova does with Cinder and
os-brick, these wrappers are one look at a context variable.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from nova import exception

from migsafe.journal.effects import Planned
from migsafe.nova.clients import devices
from migsafe.nova.host import attempt as host_attempt
from migsafe.nova.seams import faults
from migsafe.text import masked
from migsafe.transaction import history

Arguments = Mapping[str, Any]


def volume_id(info: Mapping[str, Any]) -> str:
    """The volume of a connection_info, as Nova finds it."""
    data = info.get('data')
    found = info.get('serial') or (
        data.get('volume_id') if isinstance(data, Mapping) else None)
    return str(found or '')


@dataclasses.dataclass(frozen=True)
class Kind:
    """How one external call is journalled.

    :param resource: the resource it belongs to
    :param effect: its name in the journal
    :param key: what it concerns, from the call's arguments
    :param before: payload of the intent, from the arguments
    :param after: payload of the outcome, from the arguments and the result
    :param lasting: whether its outcome names what a power cut of this host leaves there
    """

    resource: str
    effect: str
    key: Callable[[Arguments], str]
    before: Callable[[Arguments], Any] = lambda a: None
    after: Callable[[Arguments, Any], Any] = lambda a, result: None
    lasting: bool = False

    def planned(self, key: str) -> Planned:
        """Its intent, to be written ahead of its turn."""
        return Planned(self.resource, self.effect, key)


def _connection(a: Arguments) -> Any:
    return dict(a['connection_info'])


CREATE = Kind('volume_connection', history.CREATE, lambda a: str(a['volume_id']),
              after=lambda a, ref: {'attachment_id': ref['id']}, lasting=True)
DELETE = Kind('volume_connection', 'attachment_delete',
              lambda a: str(a['attachment_id']))
INITIALIZE = Kind('volume_connection', history.LEGACY_CONNECT,
                  lambda a: str(a['volume_id']), lasting=True)
TERMINATE = Kind('volume_connection', 'terminate_connection',
                 lambda a: str(a['volume_id']))
CONNECT = Kind('host_device', history.CONNECT,
               lambda a: volume_id(a['connection_info']), _connection,
               lambda a, result: _connection(a))
DISCONNECT = Kind('host_device', history.DISCONNECT,
                  lambda a: volume_id(a['connection_info']))


def arguments(wrapped: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments of a call by name, defaults filled in."""
    function = getattr(wrapped, '__func__', None)
    if function is None:
        return _bound(inspect.signature(wrapped), *args, **kwargs)
    named = _bound(signature(function), wrapped.__self__, *args, **kwargs)
    named.pop(next(iter(named)))
    return named


@functools.lru_cache(maxsize=256)
def signature(function: Callable[..., Any]) -> inspect.Signature:
    """Of a seam; to work it out takes longer than anything else here.

    oslo_messaging.expected_exceptions() hides the parameters of what it
    decorates, which is then in its closure.
    """
    if not inspect.isfunction(function):  # a seam that is wrapped already
        function = getattr(function, '__wrapped__', function)
    hidden = (inspect.getclosurevars(function).nonlocals.get('func')
              if inspect.isfunction(function) else None)
    return inspect.signature(hidden if callable(hidden) else function)


def _bound(parameters: inspect.Signature, *args: Any,
           **kwargs: Any) -> dict[str, Any]:
    bound = parameters.bind(*args, **kwargs)
    bound.apply_defaults()
    return dict(bound.arguments)


def journalled(kind: Kind) -> Callable[..., Any]:
    """A wrapt wrapper: intent, the call, outcome; fenced before and after."""
    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        attempt = host_attempt.current()
        if attempt is None or attempt.tx is None:
            return wrapped(*args, **kwargs)
        return _record(attempt, kind, wrapped, args, kwargs)
    return wrapper


def _record(attempt: host_attempt.Attempt, kind: Kind, wrapped: Any, args: Any,
            kwargs: Any) -> Any:
    named = arguments(wrapped, args, kwargs)
    key = kind.key(named)
    if kind is DELETE and attempt.keep_attachments:
        return None
    try:
        result = _journalled(attempt, kind, key, named, wrapped, args, kwargs)
    except Exception as error:
        attempt.failures.append(f'{kind.effect} {key}')
        if kind is DISCONNECT:
            attempt.kept[key] = masked(error)
        raise
    check_fence(attempt)
    return result


def left(driver: Any, host: str, instance_uuid: str, info: dict[str, Any]) -> str:
    """Why a disconnect that raised nothing did not end the connection, if so.

    Nova's volume drivers swallow some failures of os-brick, and the export must not go before
    the device.
    """
    try:
        paths = devices.own_paths(driver, host, instance_uuid, info)
    except Exception as error:
        return f'could not be looked at: {masked(error)}'
    return f'{", ".join(paths)} still there' if paths else ''


def _journalled(attempt: host_attempt.Attempt, kind: Kind, key: str, named: Arguments,
                wrapped: Any, args: Any, kwargs: Any) -> Any:
    check_fence(attempt)
    if kind is DISCONNECT and attempt.keep_devices:
        raise faults.discreet(
            exception.MigrationError(reason=attempt.keep_devices), 'live migration')
    intent = attempt.intent(kind.resource, kind.effect, key,
                            kind.before(named))
    try:
        # The journal's disk may have kept it waiting for as long as it likes.
        check_fence(attempt)
    except exception.MigrationError:
        attempt.done(intent, 'error', history.NOT_BEGUN, kind.lasting)
        raise
    try:
        result = wrapped(*args, **kwargs)
    except Exception as error:
        # The class is enough; the text may carry secrets.
        attempt.done(intent, 'error', {'error': type(error).__name__}, kind.lasting)
        raise
    why = left(wrapped.__self__, attempt.journal.host, attempt.instance_uuid,
               named['connection_info']) if kind is DISCONNECT else ''
    if why:
        # What is journalled as ended is never looked for again.
        attempt.failures.append(f'{DISCONNECT.effect} {key}')
        attempt.kept[key] = why
        attempt.done(intent, 'unknown', {'error': 'still there'})
        return result
    attempt.done(intent, 'ok', kind.after(named, result), kind.lasting)
    return result


def should_disconnect_target(wrapped: Any, driver: Any, args: Any,
                             kwargs: Any) -> Any:
    """A wrapt wrapper: a multiattach device that another guest uses stays.

    Nova counts the guests of instance.host, which for a destination that
    cleans up is another host.
    """
    attempt, result = host_attempt.current(), wrapped(*args, **kwargs)
    call = arguments(wrapped, args, kwargs)
    if attempt is None or not (result and call['multiattach']):
        return result
    host = attempt.journal.host
    if call['instance'].host == host:
        return result
    return not devices.used_by_others(host, attempt.instance_uuid,
                                      call['volume_id'])


def check_fence(attempt: host_attempt.Attempt) -> None:
    """Stop a late step of a migration that the other side has rolled back.

    :raises nova.exception.MigrationError: once fenced, or when it is so late that the source
        has to be asked, and does not say that it still waits
    """
    if attempt.stopped():
        raise exception.MigrationError(reason=(
            f'live migration {attempt.uuid} of instance '
            f'{attempt.instance_uuid} was rolled back by its source while '
            'this host was still working on it'))


#: What a call whose failure Nova swallows returns when it has done its work: data read from
#: nova/network/neutron.py, nova/scheduler/client/report.py and nova/virt/libvirt/driver.py of 31,
#: 33 and 34. Anything else is a failure. SchedulerReportClient's ``safe_connect`` returns None for
#: a Placement that cannot be reached or does not let us in, and False says that there was no
#: allocation to delete, which is not what a migration expects. A directory that could not be moved
#: away or removed is False. A port that migrate_instance_start passes over, where Neutron has no
#: binding of it for the destination or does not say, is bound by migrate_instance_finish, which
#: raises.
SUCCESS: Mapping[str, object] = {
    'setup_networks_on_host': None,
    'migrate_instance_start': None,
    'delete_allocation_for_instance': True,
    'delete_instance_files': True,
}


def observed(name: str) -> Callable[..., Any]:
    """A wrapt wrapper that only remembers that a call failed.

    Nova swallows some of these failures; a migration with one of them is not
    taken for clean without reading back.

    :param name: of the call, a key of SUCCESS
    """
    success = SUCCESS[name]

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        attempt = host_attempt.current()
        try:
            result = wrapped(*args, **kwargs)
        except Exception:
            if attempt is not None:
                attempt.failures.append(name)
            raise
        if attempt is not None and result is not success:
            attempt.failures.append(name)
        return result
    return wrapper
