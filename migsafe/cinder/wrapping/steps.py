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
"""What is done around each method of a guarded driver."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cinder import exception as cinder_exception
from oslo_log import log as logging

from migsafe import exceptions
from migsafe.brick.guard import policy
from migsafe.cinder.facts import calls
from migsafe.cinder.wrapping import methods
from migsafe.cinder.wrapping.guard import Guard
from migsafe.ledger import records
from migsafe.ledger.records import Thing

LOG = logging.getLogger(__name__)


class StillExported(exceptions.MigsafeError):
    """What Cinder is to forget may be mapped."""

    message = ('It is not unmanaged: %(exports)s. Nobody could take that away once Cinder has '
               'forgotten it. Try again when "migsafe export list" does not show it any more; '
               '"migsafe export revert" helps if nothing uses it there.')


def setup(guard: Guard, _name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Set up the driver, and open what the guard needs."""
    result = wrapped(*args, **kwargs)
    LOG.info('migsafe guards %s with the ledger %s and the inspector %s', guard.backend,
             guard.ledger.database, type(guard.inspector).__name__)
    return result


def started(guard: Guard, _name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The driver may be used from now on: take up what the last process has left."""
    result = wrapped(*args, **kwargs)
    if guard.is_open:
        guard.standing.is_good()
        guard.recovery.start()
    return result


def reports(guard: Guard, _name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Learn the protocol that the driver reports. Cinder asks for the report before it has the
    driver set as initialized, and again and again."""
    stats = wrapped(*args, **kwargs)
    if isinstance(stats, dict):
        guard.protocols.tell(stats.get('storage_protocol'))
    return stats


def validate(guard: Guard, _name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Refuse a connector that could not be recorded, as the caller's own mistake."""
    function = getattr(type(guard.driver), _name)
    try:
        records.Peer.of(methods.argument(function, 0, args, kwargs))
    except exceptions.JournalBadValue as error:
        raise cinder_exception.InvalidConnectorException(str(error)) from error
    return wrapped(*args, **kwargs)


def detaching(guard: Guard, name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Tell the device guards which volume it is; connection_info does not always say."""
    volume = methods.argument(getattr(type(guard.driver), name), 2, args, kwargs)
    with policy.naming(str(volume['id'])), calls.copy():
        return wrapped(*args, **kwargs)


def export(guard: Guard, name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Make or remove an export.

    :raises VolumeBackendAPIException: it is refused, before the driver is asked
    """
    if calls.inside():
        return wrapped(*args, **kwargs)
    method = methods.METHODS[name]
    function = getattr(type(guard.driver), name)
    subject = methods.argument(function, method.thing, args, kwargs)
    connector = methods.argument(function, method.connector, args, kwargs)

    def into_the_driver(*instead: Any) -> Any:
        """Call it as it was called, or with another connector."""
        given, named = methods.replaced(function, method.connector, args, kwargs, *instead)
        with calls.entering():
            return wrapped(*given, **named)
    try:
        guard.standing.require()
        thing = Thing.of(method.kind, subject['id'])
        with guard.lines.waiting(thing):
            return getattr(guard.exports, method.action)(
                thing, subject, connector, into_the_driver)
    except exceptions.MigsafeError as error:
        LOG.error('%s of %s is refused: %s', name, method.kind, error)
        raise cinder_exception.VolumeBackendAPIException(data=str(error)) from error


def copying(guard: Guard, _name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Know Cinder's own copying, by a driver, from all others who ask for a connection."""
    with calls.copy():
        return wrapped(*args, **kwargs)


def giving(guard: Guard, _name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Remember what cinder-backup is told to read: it asks for a connection to it."""
    device, is_snapshot = result = wrapped(*args, **kwargs)
    guard.backups.give(device, is_snapshot)
    return result


def migrated(guard: Guard, name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Follow Cinder, which ends a migration by exchanging the ids of the two volumes.

    The manager of the new volume's backend calls this just before that. What the old volume
    has in another backend's ledger is told from its record, see Recovery.
    """
    try:
        result = wrapped(*args, **kwargs)
    except NotImplementedError:
        # NOTE: the manager goes on then.
        _exchange(guard, name, args, kwargs)
        raise
    _exchange(guard, name, args, kwargs)
    return result


def _exchange(guard: Guard, name: str, args: Any, kwargs: Any) -> None:
    function = getattr(type(guard.driver), name)
    one, other = sorted((Thing.of('volume', methods.argument(
        function, place, args, kwargs)['id']) for place in (1, 2)), key=lambda thing: thing.id)
    try:
        with guard.lines.waiting(one), guard.lines.waiting(other):
            guard.ledger.swap(one, other)
    except exceptions.MigsafeError as error:
        # NOTE: Nova has moved the guest already. Recovery sees what became of them.
        LOG.error('Volumes %s and %s are exchanged, but not recorded as such yet: %s',
                  one.id, other.id, error)


def unmanage(guard: Guard, name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Refuse to forget a volume or snapshot that the array may still have mapped.

    :raises VolumeBackendAPIException: it is refused
    """
    kind = 'snapshot' if name.endswith('_snapshot') else 'volume'
    subject = methods.argument(getattr(type(guard.driver), name), 0, args, kwargs)
    try:
        guard.standing.require()
    except exceptions.MigsafeError as error:
        raise cinder_exception.VolumeBackendAPIException(data=str(error)) from error
    left = [row for row in guard.ledger.of(Thing.of(kind, subject['id']))
            if row.peer and row.state != 'gone']
    if left:
        guard.recovery.nudge()
        raise cinder_exception.VolumeBackendAPIException(data=str(StillExported(
            exports='; '.join(f'{row} is {row.state} ({row.error or "no error"})'
                              for row in left))))
    return wrapped(*args, **kwargs)


Step = Callable[[Guard, str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]

#: Method of a driver -> what is done around it.
STEPS: dict[str, Step] = {
    'do_setup': setup,
    'set_initialized': started,
    'get_volume_stats': reports,
    'validate_connector': validate,
    'update_migrated_volume': migrated,
    'unmanage': unmanage,
    'unmanage_snapshot': unmanage,
    '_attach_volume': copying,
    '_attach_snapshot': copying,
    'get_backup_device': giving,
    '_detach_volume': detaching,
    **dict.fromkeys(methods.METHODS, export),
}
