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
"""What is done around the methods of a guarded driver."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cinder import exception as cinder_exception
from cinder.volume import configuration as cinder_configuration
from cinder.volume import volume_utils
from oslo_log import log as logging

from migsafe import conf, exceptions, ledger
from migsafe.brick.connectors import shim
from migsafe.brick.guard import policy
from migsafe.cinder import inspectors
from migsafe.cinder.exports import making, steps
from migsafe.cinder.facts import backups, calls, looks, mappings
from migsafe.cinder.recovery import passes, standing
from migsafe.cinder.wrapping import methods, seams
from migsafe.conf import environment, files
from migsafe.ledger import api, opening, records
from migsafe.ledger.records import Thing
from migsafe.lvm import services

LOG = logging.getLogger(__name__)

#: Twice may fail before the other services take it that this one has died.
RENEW_SECONDS = api.PATIENCE.total_seconds() / 3


class StillExported(exceptions.MigsafeError):
    """What Cinder is to forget may be mapped."""

    message = ('It is not unmanaged: %(exports)s. Nobody could take that away once Cinder has '
               'forgotten it. Try again when "migsafe export list" does not show it any more; '
               '"migsafe export revert" helps if nothing uses it there.')


class Guard:
    """The guard of one driver, made with it; nothing is opened before the driver is set up.

    :param driver: a driver as Cinder has made it
    :param host: of this cinder-volume, node@backend
    :param cluster: name of its cluster, None if it has none
    :raises ConfigError: the ledger cannot be on a file, or an option is set in the environment
    """

    def __init__(self, driver: Any, host: str = '', cluster: str | None = None) -> None:
        self.driver = driver
        self.conf = cinder_configuration.CONF
        environment.refuse()
        conf.register_opts(self.conf)
        self.host = host or self.conf.host
        self.cluster = cluster
        opening.check_cluster(self.conf, self.host, cluster)
        self.lines = calls.Lines()
        self.looks = looks.Looks(self)
        self.backups = backups.Backups(self)
        self.standing = standing.Standing(self)
        self.recovery = passes.Recovery(self)
        self.exports = steps.Exports(self)
        self._opening = threading.Lock()
        self._ledger: ledger.Ledger | None = None
        seams.apply()
        if self.conf.migsafe.enabled and self.conf.migsafe.device_guards:
            self._guard_devices()

    @property
    def backend(self) -> str:
        """What the service and its ledger call it."""
        return self.cluster or self.host

    def has(self, subject: Any) -> bool:
        """Whether a volume or snapshot is in this backend; it may have moved to another one."""
        places = [volume_utils.extract_host(place, 'backend') for place in (
            subject['host'], subject['cluster_name']) if place]
        return not places or self.host in places or self.cluster in places

    @property
    def ledger(self) -> ledger.Ledger:
        """The ledger, opened in the process that serves: SQLite does not survive a fork.

        :raises JournalError: it cannot be used
        """
        with self._opening:
            if self._ledger is None:
                self._ledger = ledger.open_ledger(self.conf, self.host, self.cluster)
            return self._ledger

    @functools.cached_property
    def inspector(self) -> inspectors.Inspector:
        """The inspector that the backend's section names.

        :raises ConfigError: there is no such inspector, or it cannot be used
        """
        return inspectors.load(self.driver)

    @property
    def second_writer(self) -> str:
        """What the backend's section says about stale exports: refuse or revert."""
        return str(self.driver.configuration.safe_get('migsafe_second_writer'))

    def _guard_devices(self) -> None:
        """Guard os-brick's connectors, with which cinder-volume itself attaches volumes.

        What needs root is not tried here: this runs in the parent of the process that will
        serve, and a privsep daemon of the parent is of no use to it.
        """
        settings = self.conf.migsafe
        try:
            named = {group.vg_name: group.who
                     for group in services.cinder(files.read_by(self.conf))}
            shim.check_processes()
            shim.install(shim.policy(settings.holder_policy, self.conf.host,
                                     settings.identity_policy, named))
        except exceptions.MigsafeError as error:
            if settings.enforce:
                raise
            LOG.error('Devices of volumes in cinder-volume are NOT guarded: %s', error)

    def setup(self, _name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Set up the driver, and open what the guard needs."""
        result = wrapped(*args, **kwargs)
        LOG.info('migsafe guards %s with the ledger %s and the inspector %s', self.backend,
                 self.ledger.database, type(self.inspector).__name__)
        return result

    def started(self, _name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The driver may be used from now on: take up what the last process has left."""
        result = wrapped(*args, **kwargs)
        if self._ledger is not None:
            self.standing.is_good()
            self.recovery.start()
        return result

    def validate(self, _name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Refuse a connector that could not be recorded, as the caller's own mistake."""
        function = getattr(type(self.driver), _name)
        try:
            records.Peer.of(methods.argument(function, 0, args, kwargs))
        except exceptions.JournalBadValue as error:
            raise cinder_exception.InvalidConnectorException(str(error)) from error
        return wrapped(*args, **kwargs)

    def detaching(self, name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Tell the device guards which volume it is; connection_info does not always say."""
        volume = methods.argument(getattr(type(self.driver), name), 2, args, kwargs)
        with policy.naming(str(volume['id'])), calls.copy():
            return wrapped(*args, **kwargs)

    def export(self, name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Make or remove an export.

        :raises VolumeBackendAPIException: it is refused, before the driver is asked
        """
        if calls.inside():
            return wrapped(*args, **kwargs)
        method = methods.METHODS[name]
        function = getattr(type(self.driver), name)
        subject = methods.argument(function, method.thing, args, kwargs)
        connector = methods.argument(function, method.connector, args, kwargs)

        def into_the_driver(*instead: Any) -> Any:
            """Call it as it was called, or with another connector."""
            given, named = methods.replaced(function, method.connector, args, kwargs, *instead)
            with calls.entering():
                return wrapped(*given, **named)
        try:
            self.standing.require()
            thing = Thing.of(method.kind, subject['id'])
            with self.lines.waiting(thing):
                return getattr(self.exports, method.action)(
                    thing, subject, connector, into_the_driver)
        except exceptions.MigsafeError as error:
            LOG.error('%s of %s is refused: %s', name, method.kind, error)
            raise cinder_exception.VolumeBackendAPIException(data=str(error)) from error

    def copying(self, _name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Know Cinder's own copying, by a driver, from all others who ask for a connection."""
        with calls.copy():
            return wrapped(*args, **kwargs)

    def giving(self, _name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Remember what cinder-backup is told to read: it asks for a connection to it."""
        device, is_snapshot = result = wrapped(*args, **kwargs)
        self.backups.give(device, is_snapshot)
        return result

    @contextlib.contextmanager
    def working(self, thing: Thing, keys: Sequence[str]) -> Iterator[None]:
        """Keep the other services of a cluster from a volume for as long as the driver takes."""
        if not self.cluster:
            yield
            return
        with calls.repeating(RENEW_SECONDS, lambda: self.ledger.renew(thing, keys)):
            yield

    def attach(self, attachment: str, volume: Any, update: Callable[[], Any]) -> Any:
        """Go with the manager through the making of an attachment.

        What was mapped for it is recorded as such once Cinder has recorded the attachment, and
        is taken away if Cinder could not.

        :param update: the manager's own attachment_update
        :raises VolumeBackendAPIException: somebody has taken the mapping away meanwhile
        """
        thing = Thing('volume', str(volume['id']))
        try:
            with self.lines.keeping(thing), calls.attaching(str(attachment)) as call:
                try:
                    result = update()
                except Exception:
                    self._give_up(call)
                    raise
                try:
                    self._confirm(call)
                except exceptions.MigsafeError as error:
                    LOG.error('Attachment %s is not given away: %s', attachment, error)
                    raise cinder_exception.VolumeBackendAPIException(data=str(error)) from error
        except Exception:
            # NOTE: not before this: recovery leaves a volume alone while a call goes on.
            self.recovery.nudge()
            raise
        return result

    def migrated(self, name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Follow Cinder, which ends a migration by exchanging the ids of the two volumes.

        The manager of the new volume's backend calls this just before that. What the old volume
        has in another backend's ledger is told from its record, see Recovery.
        """
        try:
            result = wrapped(*args, **kwargs)
        except NotImplementedError:
            # NOTE: the manager goes on then.
            self._exchange(name, args, kwargs)
            raise
        self._exchange(name, args, kwargs)
        return result

    def _exchange(self, name: str, args: Any, kwargs: Any) -> None:
        function = getattr(type(self.driver), name)
        one, other = sorted((Thing.of('volume', methods.argument(
            function, place, args, kwargs)['id']) for place in (1, 2)), key=lambda thing: thing.id)
        try:
            with self.lines.waiting(one), self.lines.waiting(other):
                self.ledger.swap(one, other)
        except exceptions.MigsafeError as error:
            # NOTE: Nova has moved the guest already. Recovery sees what became of them.
            LOG.error('Volumes %s and %s are exchanged, but not recorded as such yet: %s',
                      one.id, other.id, error)

    def unmanage(self, name: str, wrapped: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Refuse to forget a volume or snapshot that the array may still have mapped.

        :raises VolumeBackendAPIException: it is refused
        """
        kind = 'snapshot' if name.endswith('_snapshot') else 'volume'
        subject = methods.argument(getattr(type(self.driver), name), 0, args, kwargs)
        try:
            self.standing.require()
        except exceptions.MigsafeError as error:
            raise cinder_exception.VolumeBackendAPIException(data=str(error)) from error
        left = [row for row in self.ledger.of(Thing.of(kind, subject['id']))
                if row.peer and row.state != 'gone']
        if left:
            self.recovery.nudge()
            raise cinder_exception.VolumeBackendAPIException(data=str(StillExported(
                exports='; '.join(f'{row} is {row.state} ({row.error or "no error"})'
                                  for row in left))))
        return wrapped(*args, **kwargs)

    def _confirm(self, call: calls.Call) -> None:
        """Record that what was mapped stays.

        :raises MigsafeError: somebody has taken it up to unmap it, or that is not known; an
            attachment without a mapping is not given away
        """
        for thing, keys, facts in call.outcomes:
            if not self.ledger.settle(thing, keys, 'mapped', attachment=call.attachment, **facts):
                peers = [row for row in self.ledger.of(thing) if row.peer in keys and row.peer]
                raise making.Overtaken(kind=thing.kind, id=thing.id, host=', '.join(
                    row.host for row in peers) or '(not named)')

    def _give_up(self, call: calls.Call) -> None:
        for thing, keys in call.begun:
            try:
                self.ledger.fail(thing, keys, 'Cinder did not record the attachment',
                                 attachment=call.attachment)
            except exceptions.MigsafeError as error:
                LOG.error('What was mapped for attachment %s is taken away later: %s',
                          call.attachment, error)

    def mapped(self, subject: Any, export: records.Export | records.Peer) -> bool | None:
        """Ask the array for an export; None if it cannot tell."""
        found = self.inspector.list_exports(subject)
        if found is None:
            return None
        if not (export.key if isinstance(export, records.Peer) else export.peer):
            return bool(found)
        return mappings.any_is_to(self.inspector, found, export)

    def stop(self) -> None:
        """End recovery and let go of the ledger."""
        self.recovery.stop()
        with self._opening:
            if self._ledger is not None:
                self._ledger.close()
                self._ledger = None


Step = Callable[[Guard, str, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]

#: Method of a driver -> what is done around it.
STEPS: dict[str, Step] = {
    'do_setup': Guard.setup,
    'set_initialized': Guard.started,
    'validate_connector': Guard.validate,
    'update_migrated_volume': Guard.migrated,
    'unmanage': Guard.unmanage,
    'unmanage_snapshot': Guard.unmanage,
    '_attach_volume': Guard.copying,
    '_attach_snapshot': Guard.copying,
    'get_backup_device': Guard.giving,
    '_detach_volume': Guard.detaching,
    **dict.fromkeys(methods.METHODS, Guard.export),
}
