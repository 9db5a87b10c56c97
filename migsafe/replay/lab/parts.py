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
"""The models of everything outside Nova, put together."""

from __future__ import annotations

import uuid
from typing import Any

import fixtures

from migsafe.replay.lab import brick, bus, cinder, cinder_client, hypervisor, san, world


class Parts:
    """The world outside Nova: array, Cinder, kernels, hypervisors, bus."""

    def __init__(self, third: bool = False) -> None:
        """Two hosts, or three.

        :param third: whether there is a host that has no part in the incident.
        """
        self.incident = san.Incident.load()
        self.hosts = (self.incident.source, self.incident.destination,
                      *((san.THIRD,) if third else ()))
        self.world = world.World()
        self.bus = bus.Bus(self.world)
        self.san = san.San(self.incident, self.world)
        self.cinder = cinder.Cinder(self.san, self._export_gone, self._exchanged)
        self.kernels = {h: brick.Kernel(h, self.san, self.world) for h in self.hosts}
        self.connections: dict[str, hypervisor.Connection] = {}
        self.processes: dict[str, world.Process] = {}
        self.boot_ids = {h: str(uuid.uuid4()) for h in self.hosts}

    def _exchanged(self, one: str, other: str) -> None:
        for kernel in self.kernels.values():
            kernel.exchange(one, other)
        for connection in self.connections.values():
            for domain in connection._vms.values():
                domain.exchange(one, other)

    def _export_gone(self, host: str, volume_id: str) -> None:
        self.kernels[host].export_gone(volume_id)


class CinderFixture(fixtures.Fixture):
    """Takes the place of Nova's CinderFixture, one layer lower: below nova.volume.cinder."""

    parts: Parts

    def __init__(self, test: Any, az: str = 'nova') -> None:
        super().__init__()
        self._parts: Parts = test.parts

    def _setUp(self) -> None:
        build = cinder_client.client_factory(self._parts.cinder, self._parts.world)
        self.useFixture(fixtures.MonkeyPatch('nova.volume.cinder.cinderclient', build))


class BrickFixture(fixtures.Fixture):
    """Takes the place of os-brick's connectors."""

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self._parts = parts

    def _setUp(self) -> None:
        parts = self._parts
        base = parts.incident.connector

        def factory(protocol: str, *args: Any, **kwargs: Any) -> brick.Connector:
            return brick.Connector(parts.kernels, parts.world)

        def properties(root_helper: str, my_ip: str, multipath: bool,
                       enforce_multipath: bool, host: str | None = None,
                       execute: Any = None) -> dict[str, Any]:
            name = parts.world.host() or host or ''
            return brick.connector_properties(name, base, parts.hosts.index(name))

        where = 'os_brick.initiator.connector'
        self.useFixture(fixtures.MonkeyPatch(
            f'{where}.InitiatorConnector.factory', staticmethod(factory)))
        self.useFixture(fixtures.MonkeyPatch(f'{where}.get_connector_properties', properties))
        # an encrypted volume is already formatted
        self.useFixture(fixtures.MonkeyPatch(
            'os_brick.encryptors.luks.is_luks', lambda *args, **kwargs: True))
