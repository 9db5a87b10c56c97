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
"""Neutron, through Nova's network API."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from neutronclient.common import exceptions as neutron_exc
from nova import context as nova_context
from nova import objects
from nova.network import constants, neutron
from nova.objects import fields

#: Status of a binding that no guest uses (neutron_lib.constants.INACTIVE).
INACTIVE = 'INACTIVE'


class Network:
    """See :class:`migsafe.transaction.clients.Network`."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def bindings(self, instance_uuid: str, hosts: Iterable[str]
                 ) -> dict[str, dict[str, str]]:
        context = nova_context.get_admin_context()
        client = neutron.get_client(context, admin=True)
        if not self._manager.network_api.has_port_binding_extension(
                context, client=client):
            return {}
        ports = client.list_ports(device_id=instance_uuid)['ports']
        asked = tuple(hosts)
        return {port['id']: {host: status + _still_migrating(port, host, asked)
                             for host in asked
                             if (status := self._status(client, port, host))}
                for port in ports}

    def _status(self, client: Any, port: Any, host: str) -> str | None:
        try:
            return str(client.show_port_binding(
                port['id'], host)['binding']['status'])
        except neutron_exc.NeutronClientException as error:
            if error.status_code == 404:
                return None
            raise

    def bind(self, instance_uuid: str, winner: str, loser: str) -> None:
        context = nova_context.get_admin_context()
        instance = objects.Instance.get_by_uuid(
            context, instance_uuid, expected_attrs=['info_cache', 'flavor',
                                                    'pci_requests',
                                                    'pci_devices'])
        migration = objects.Migration(
            source_compute=loser, dest_compute=winner,
            migration_type=fields.MigrationType.LIVE_MIGRATION)
        api = self._manager.network_api
        api.migrate_instance_start(context, instance, migration)
        api.migrate_instance_finish(context, instance, migration,
                                    provider_mappings=None)
        if loser:
            api.setup_networks_on_host(context, instance, host=loser,
                                       teardown=True)


    def unbind(self, instance_uuid: str, host: str) -> None:
        client = neutron.get_client(nova_context.get_admin_context(), admin=True)
        for port, hosts in self.bindings(instance_uuid, (host,)).items():
            if hosts.get(host) == INACTIVE:
                client.delete_port_binding(port, host)


def _still_migrating(port: Any, host: str, hosts: Iterable[str]) -> str:
    """What is wrong with an active binding besides its status.

    Nova takes migrating_to out of the profile only together with the other
    host's binding, and fails half-way between the two.
    """
    to = neutron.get_binding_profile(port).get(constants.MIGRATING_ATTR)
    active = port.get(constants.BINDING_HOST_ID) == host
    return f', migrating_to {to}' if active and to in hosts else ''
