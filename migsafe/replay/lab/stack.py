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
"""Nova's own functional test base, set up for the laboratory's hosts."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import uuid
from collections.abc import Callable
from typing import Any
from unittest import mock

import fixtures
from nova import context as nova_context
from nova import rpc
from nova import service as nova_service
from nova.compute import rpcapi as compute_rpcapi
from nova.tests.fixtures import libvirt as fakelibvirt
from nova.tests.functional.libvirt import base as libvirt_base
from nova.virt.libvirt import event as libvirtevent
from oslo_service import service as oslo_service
from oslo_utils.fixture import uuidsentinel as uuids

from migsafe.replay.lab import domain, hypervisor, process, services
from migsafe.replay.lab import parts as lab_parts
from migsafe.replay.lab import world as lab_world


class Stack(libvirt_base.ServersTestBase):
    """API, conductor, scheduler, Placement and the nova-computes; not a test by itself."""

    ADMIN_API = True
    CAST_AS_CALL = False
    REQUIRES_LOCKING = True
    microversion = 'latest'
    api_major_version = 'v2.1'

    def __init__(self, parts: lab_parts.Parts) -> None:
        super().__init__('runTest')
        self.parts = parts

    def runTest(self) -> None:
        """testtools wants a test method; nobody runs it."""

    def setUp(self) -> None:
        # Nova's limit for one test would end a laboratory in the middle of some case
        self.useFixture(fixtures.EnvironmentVariable('OS_TEST_TIMEOUT', '0'))
        for name, value in (('nova.tests.fixtures.CinderFixture', lab_parts.CinderFixture),
                            ('nova.tests.fixtures.OSBrickFixture', fixtures.Fixture),
                            ('nova.tests.fixtures.libvirt.Domain', domain.Domain),
                            ('oslo_messaging.transport.Transport._send', self._send())):
            self.useFixture(fixtures.MonkeyPatch(name, value))
        super().setUp()
        world = self.parts.world
        self.clock = process.Clock()
        for fixture in (self.clock, lab_parts.BrickFixture(self.parts), services.Database(world),
                        services.Placement(world), services.Neutron(world),
                        process.Threads(world), process.QuickSleeps(),
                        process.PerHostLocks(world),
                        services.VifEvents(world),
                        process.PerHostOptions(world, self._host_options())):
            self.useFixture(fixture)
        self.useFixture(fixtures.MonkeyPatch(
            'nova.virt.libvirt.LibvirtDriver._create_image', _create_image))
        self.useFixture(fixtures.MonkeyPatch(
            'nova.virt.libvirt.utils.create_image', _create_file))
        self.useFixture(fixtures.MonkeyPatch(
            'nova.virt.libvirt.LibvirtDriver.check_instance_shared_storage_remote', _sees))

    def _setup_services(self) -> None:
        self._configure()
        # here, because Nova's database fixture has put its own in place by now
        self.useFixture(fixtures.MonkeyPatch(
            'nova.rpc.get_server', self.parts.bus.get_server(rpc.get_server)))
        super()._setup_services()

    def _send(self) -> Callable[..., Any]:
        bus = self.parts.bus

        def send(transport: Any, target: Any, ctxt: Any, message: Any,
                 wait_for_reply: bool | None = None, **kwargs: Any) -> Any:
            return bus.send(target, ctxt, message, wait_for_reply)
        return send

    def _configure(self) -> None:
        self.flags(vif_plugging_timeout=300)
        # a host that is restarted in case after case has no time to report that it is up
        self.flags(service_down_time=7 * 86400)
        # one each; from Nova 34 on all hosts of a process share its pool
        self.flags(max_concurrent_live_migrations=len(self.parts.hosts))
        self.flags(track_instance_changes=False, group='filter_scheduler')
        self.flags(virt_type='kvm', live_migration_inbound_addr=None, group='libvirt')
        self.flags(fixed_key='00' * 32, group='key_manager')
        # the answers of Nova's API are not what is tested here, and checking them takes time
        self.flags(response_validation='ignore', group='api')
        self.flags(api_paste_config=str(_paste_file()), group='wsgi')

    def _host_options(self) -> dict[str, dict[str, Any]]:
        top = self.useFixture(fixtures.TempDir()).path
        values = {}
        for number, host in enumerate(self.parts.hosts):
            path = os.path.join(top, host)
            os.mkdir(path)
            address = f'172.24.9.{21 + number}'
            values[host] = {'host': host, 'instances_path': path, 'my_ip': address,
                            'my_block_storage_ip': address}
        self.host_options = values
        return values

    # -- the hosts ------------------------------------------------------------------------

    def _get_connection(self, *args: Any, **kwargs: Any) -> hypervisor.Connection:
        hostname = self.parts.world.host()
        if hostname is None:
            raise LookupError('libvirt was opened outside of a host; run it in World.entered()')
        known = self.parts.connections
        if hostname not in known:
            known[hostname] = hypervisor.Connection(
                hostname, self.parts.kernels[hostname], self.parts.world,
                version=fakelibvirt.FAKE_LIBVIRT_VERSION,
                hv_version=fakelibvirt.FAKE_QEMU_VERSION,
                host_info=fakelibvirt.HostInfo(cpu_nodes=1, cpu_sockets=1, cpu_cores=4,
                                               cpu_threads=2, kB_mem=1 << 26))
        return known[hostname]

    def boot_hosts(self) -> None:
        """Start all nova-computes for the first time."""
        for host in self.parts.hosts:
            life = self.parts.processes[host] = lab_world.Process(host)
            with self.parts.world.entered(life):
                self.start_compute(hostname=host)
            self._listen(host)
        known = self.parts.connections
        for host in self.parts.hosts:
            known[host].others = [known[h] for h in self.parts.hosts if h != host]

    def restart_host(self, host: str, life: lab_world.Process) -> None:
        """Start a new nova-compute; silence_host() has ended the one before.

        :raises Killed: if a fault kills the new one while it starts.
        """
        options = {'host': host, 'binary': 'nova-compute'}
        if hasattr(compute_rpcapi, 'RPC_TOPIC_ALT'):
            options['topic_alt'] = compute_rpcapi.RPC_TOPIC_ALT
        connection = self.parts.connections[host]
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.cell_mappings['cell1'])
        node = str(getattr(uuids, f'node_{host}'))
        with self.parts.world.entered(life), \
                mock.patch('nova.virt.node.get_local_node_uuid', return_value=node), \
                mock.patch('nova.context.get_admin_context', return_value=context):
            # what a new driver opens first; afterwards each driver has its own
            self.mock_conn.return_value = connection
            service = nova_service.Service.create(**options)
            service.manager.driver._host.get_connection = lambda: connection
            service.manager.driver._host.get_node_uuid()
            self.computes[host] = service
            self._listen(host)
            service.start()

    def _listen(self, host: str) -> None:
        """Let libvirt's events reach the driver; Nova's fixture has no event thread."""
        driver = self.computes[host].manager.driver

        def removed(uuid: str, alias: str | None) -> None:
            driver._device_event_handler.notify_waiters(
                libvirtevent.DeviceRemovedEvent(uuid, alias))
        self.parts.connections[host].on_removed = removed

    def reboot_host(self, host: str) -> None:
        """What a power cycle does to a host besides ending its nova-compute."""
        self.parts.connections[host].power_cycle()
        self.parts.kernels[host].devices.clear()
        self.parts.boot_ids[host] = str(uuid.uuid4())

    def silence_host(self, host: str) -> None:
        """Make a nova-compute stop answering, as kill -9 does."""
        self.parts.processes[host].alive = False
        service = self.computes[host]
        for server in ('rpcserver', 'rpcserver_alt'):
            if getattr(service, server, None) is not None:
                getattr(service, server).stop()
        oslo_service.Service.stop(service)


def _paste_file() -> pathlib.Path:
    """Nova's api-paste.ini: its wheel installs it as data, its tests expect a source tree.

    :raises FileNotFoundError: if this Nova was installed without it.
    """
    for file in importlib.metadata.files('nova') or ():
        if file.name == 'api-paste.ini':
            return pathlib.Path(str(file.locate())).resolve()
    raise FileNotFoundError('the installed nova has no api-paste.ini; install it from its wheel '
                            'with "pip install nova"')


def entries(directory: str) -> list[pathlib.Path]:
    """What is in a directory now."""
    return list(pathlib.Path(directory).iterdir())


def _create_image(driver: Any, context: Any, instance: Any, *args: Any,
                  **kwargs: Any) -> tuple[bool, bool]:
    """Nova's fixture makes no disk; the directory that comes with one is needed, and an empty
    disk where it is copied."""
    from nova.virt.libvirt import utils as libvirt_utils
    directory = pathlib.Path(libvirt_utils.get_instance_path(instance))
    directory.mkdir(parents=True, exist_ok=True)
    if instance.image_ref:
        directory.joinpath('disk').touch()
    return False, False


def _create_file(path: str, *args: Any, **kwargs: Any) -> None:
    """A disk has nothing in it here, and qemu-img is not needed."""
    pathlib.Path(path).touch()


def _sees(driver: Any, context: Any, data: dict[str, Any]) -> bool:
    """Whether this host sees another's file: they are hosts of one disk only in the laboratory."""
    from nova.conf import CONF
    path = pathlib.Path(data['filename'])
    return path.exists() and path.is_relative_to(CONF.instances_path)
