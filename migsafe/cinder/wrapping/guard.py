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
"""The guard of one driver: what its steps have in common."""

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
from migsafe.cinder import inspectors
from migsafe.cinder.exports import making, steps
from migsafe.cinder.facts import backups, calls, looks, mappings, protocols
from migsafe.cinder.recovery import passes, standing
from migsafe.cinder.wrapping import seams
from migsafe.conf import environment, files
from migsafe.ledger import opening, records, rows
from migsafe.ledger.records import Thing
from migsafe.lvm import services

LOG = logging.getLogger(__name__)

#: Twice may fail before the other services take it that this one has died.
RENEW_SECONDS = rows.PATIENCE.total_seconds() / 3


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
        self.protocols = protocols.Protocols()
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
    def is_open(self) -> bool:
        """Whether the driver was set up, and with it the ledger opened."""
        return self._ledger is not None

    @property
    def ledger(self) -> ledger.Ledger:
        """The ledger, opened in the process that serves: SQLite does not survive a fork.

        :raises JournalError: it cannot be used
        """
        with self._opening:
            if self._ledger is None:
                self._ledger = ledger.open_ledger(self.conf, self.host, self.cluster)
                self._ledger.forms = self.protocols.forms
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
