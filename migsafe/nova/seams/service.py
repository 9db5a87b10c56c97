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
"""Wrappers of init_host and cleanup_host: start and end of an armed nova-compute."""

from __future__ import annotations

import functools
from typing import Any

import stevedore
from nova.conf import CONF
from nova.virt.libvirt import driver as libvirt_driver
from oslo_log import log as logging

import migsafe.version
from migsafe import exceptions
from migsafe.brick.connectors import shim
from migsafe.brick.guard.identity_check import Patrol
from migsafe.fencing import probes
from migsafe.journal.api import Journal
from migsafe.nova import clients
from migsafe.nova.bus import endpoint, peer
from migsafe.nova.clients import (
    guest_facts,
    hosts,
    identities,
    jobs,
    surroundings,
    survey,
    way,
)
from migsafe.nova.deferred import exports
from migsafe.nova.host import (
    heartbeat,
    identity_check,
    incoming_state,
    left_devices,
    recovery,
    registry,
    status,
    watch,
)
from migsafe.nova.host import journal as host_journal
from migsafe.nova.host.participant import Participant
from migsafe.preflight.checks import settings
from migsafe.preflight.path import Path
from migsafe.resources import base
from migsafe.text import masked
from migsafe.transaction import engine

LOG = logging.getLogger(__name__)

RESOURCES = 'migsafe.resources'
#: Without one of these a migration would be called settled that is not.
REQUIRED = frozenset((
    'volume_connection', 'host_device', 'port_binding', 'allocation',
    'instance_record', 'instance_directory'))


def init_host(wrapped: Any, manager: Any, args: Any, kwargs: Any) -> Any:
    """Open the journal before Nova starts, recover once it has started."""
    recover = None
    if isinstance(manager.driver, libvirt_driver.LibvirtDriver):
        recover = _arm(manager)
    else:
        why = (f'migsafe is enabled but {type(manager.driver).__name__} is '
               'not the libvirt driver')
        LOG.warning('%s: live migrations on %s are not protected', why,
                    manager.host)
        status.unarmed(CONF, manager.host, why, create=True)
    result = wrapped(*args, **kwargs)
    if recover is not None:
        recover.start()
        for beside in _beside(registry.of(manager)):
            beside.start()
    return result


def _arm(manager: Any) -> recovery.Recovery | None:
    try:
        return arm_manager(manager, CONF)
    except exceptions.MigsafeError as error:
        if CONF.migsafe.enforce:
            raise
        why = masked(error)
        LOG.error('Live migrations on %s are NOT protected: %s',
                  manager.host, why)
        status.unarmed(CONF, manager.host, why, create=True)
        return None


def arm_manager(manager: Any, config: Any) -> recovery.Recovery:
    """Give a ComputeManager its participant, endpoint and recovery.

    :param config: Nova's configuration, with the [migsafe] group
    :raises MigsafeError: a plugin cannot be used, or the journal, and that does not heal by
        itself
    """
    conf, others = config.migsafe, peer.Peer(config.migsafe.rpc_timeout, manager.compute_rpcapi)
    if conf.evacuation != 'off':
        # Only an evacuation uses them, when somebody waits for it.
        probes.load(hosts.site(conf, others))
    cloud = clients.build(manager, others, conf)
    journal = host_journal.of_host(config, manager.host, cloud.records)
    _open(journal)
    participant = Participant(
        manager.host, conf, journal,
        engine.Engine(manager.host, journal, cloud, load_resources(),
                      conf.recovery_backoff_max, conf.recovery_interval), cloud)
    recover = recovery.Recovery(
        participant, manager, functools.partial(status.armed, journal))
    participant.recovery = recover
    participant.forget = functools.partial(incoming_state.forget, manager)
    participant.survey = functools.partial(
        survey.of_host, manager.driver, manager.host, journal)
    participant.surroundings = functools.partial(
        surroundings.of_host, manager.driver, manager.host)
    participant.guest_facts = functools.partial(
        guest_facts.of_guest, manager, journal, cloud.guests)
    participant.guests = functools.partial(guest_facts.running, manager.driver)
    participant.machine = functools.partial(heartbeat.machine_of, manager.driver)
    participant.qemu_ports = way.qemu_ports
    participant.way = functools.partial(_way, manager, others)
    participant.patrol = _patrol(manager, conf, journal)
    participant.watch = watch.Watch(participant, jobs.Jobs(manager))
    if conf.heartbeat_directory:
        participant.heartbeat = heartbeat.Heartbeat(manager.host, conf, manager.driver)
    participant.left_devices = left_devices.LeftDevices(
        manager.host, journal, functools.partial(identity_check.disks, manager.driver))
    if conf.device_guards:
        participant.kept = exports.Kept(manager.host, manager.volume_api, journal, cloud)
    registry.put(manager, participant)
    manager.additional_endpoints.append(endpoint.Endpoint(participant))
    if conf.preflight != 'off':
        for text, remedy in settings.contradictions(survey.options()):
            LOG.warning('%s. Live migrations from or to %s may end for that alone: %s', text,
                        manager.host, remedy)
    LOG.info('migsafe %s protects live migrations on %s',
             migsafe.version.version(), manager.host)
    return recover


def _way(manager: Any, others: peer.Peer, instance_uuid: str, destination: str) -> Path:
    """The way of a live migration from here, for the preflight.

    Only to a compute host of this cloud, at the address that it gives itself.

    :raises MigsafeError: there is none, or it does not answer
    """
    if hosts.record(destination) is None:
        raise exceptions.MigsafeError(
            f'Nova has no nova-compute on {destination}; "openstack compute service list" shows '
            'those that it has')
    found = others.inbound(destination)
    if found is None:
        raise exceptions.MigsafeError(
            f'{destination} does not say at which address it expects guests; it has to run, with '
            'migsafe of this version: migsafe status --fleet')
    return way.find(manager.driver, instance_uuid, destination, *found)


def _open(journal: host_journal.HostJournal) -> None:
    """Open the journal now, or leave that to the first use of it that succeeds.

    Guests, and all that has nothing to do with live migrations, do not need it.

    :raises MigsafeError: it cannot be used, and that does not heal by itself
    """
    try:
        journal.open(_report)
    except exceptions.JournalAway as error:
        LOG.error('nova-compute of %s starts without its journal and tries to open it again by '
                  'itself. No live migration begins until then, and nothing is done to an '
                  'instance that may be in one (see [migsafe] enforce): %s', journal.host,
                  masked(error))


def _report(journal: Journal) -> None:
    """Say what is to be said of a journal that has just been opened."""
    LOG.info('The journal of %s is open: %s', journal.host, journal.database)
    # NOTE: before this process reports itself.
    for oddity in journal.oddities():
        LOG.warning('About the journal of %s: %s.', journal.host, oddity)
    try:
        status.account(journal)
        status.armed(journal)
        if word := status.word(journal.host):
            LOG.error(word)
    except exceptions.JournalAway as error:
        LOG.error('The journal of %s can be read alone. No live migration begins until it can be '
                  'written (see [migsafe] enforce): %s', journal.host, masked(error))


def _patrol(manager: Any, conf: Any,
            journal: Journal) -> identity_check.Patrol | None:
    if not (conf.device_guards and conf.identity_check_interval):
        return None
    looks = Patrol(shim.policy('refuse', manager.host).guard)
    return identity_check.Patrol(
        manager.host, journal,
        functools.partial(identity_check.disks, manager.driver), identities.wanted,
        looks.look, conf.identity_check_interval)


def load_resources() -> list[base.Resource]:
    """All resource plugins, built in or of the deployer.

    :raises ResourcePluginError: a built-in one is missing, or one is broken
    """
    found = stevedore.ExtensionManager(
        RESOURCES, invoke_on_load=True, on_load_failure_callback=_broken)
    missing = REQUIRED - set(found.names())
    if missing:
        raise exceptions.ResourcePluginError(
            plugin=', '.join(sorted(missing)), reason='it is not installed',
            cure='Reinstall migsafe in the environment of nova-compute')
    return [found[name].obj for name in sorted(found.names())]


def _broken(manager: Any, entry_point: Any, error: Exception) -> None:
    raise exceptions.ResourcePluginError(
        plugin=entry_point.name, reason=masked(error),
        cure='Fix or uninstall the package that provides it')


def cleanup_host(wrapped: Any, manager: Any, args: Any, kwargs: Any) -> Any:
    """Stop recovering; what is unsettled stays in the journal."""
    participant = registry.of(manager)
    if participant is not None:
        participant.recovery.stop()
        for beside in _beside(participant):
            beside.stop()
    return wrapped(*args, **kwargs)


def _beside(participant: Participant) -> list[Any]:
    """What looks at this host from time to time, beside recovery."""
    return [one for one in (participant.patrol, participant.watch, participant.heartbeat)
            if one]
