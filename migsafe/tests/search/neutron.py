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
"""Ports and their bindings, as Nova's network API and Neutron's client show them."""

from neutronclient.common import exceptions

ACTIVE, INACTIVE = 'ACTIVE', 'INACTIVE'


class Neutron:
    """One port of each instance; it is bound to the hosts that have a binding of it.

    :param world: where calls may end or fail
    """

    def __init__(self, world):
        self._world, self.owners, self.bindings = world, {}, {}

    def create(self, instance, host):
        """A port that is in use on a host."""
        port = f'port-{len(self.owners) + 1}'
        self.owners[port], self.bindings[port] = instance, {host: ACTIVE}

    def of(self, instance):
        """The bindings of each port of an instance: port -> host -> status."""
        return {port: self.bindings[port] for port, owner in self.owners.items()
                if owner == instance}

    def delete(self, instance):
        """Its ports are gone."""
        for port in tuple(self.of(instance)):
            del self.owners[port], self.bindings[port]

    # -- the client ---------------------------------------------------------

    def list_ports(self, device_id):
        self._world.point('neutron')
        return {'ports': [{'id': port, 'binding:host_id': _active(hosts), 'binding:profile': {}}
                          for port, hosts in self.of(device_id).items()]}

    def show_port_binding(self, port, host):
        if host not in self.bindings.get(port, ()):
            raise exceptions.NotFound()
        return {'binding': {'host': host, 'status': self.bindings[port][host]}}

    def delete_port_binding(self, port, host):
        self._world.point('neutron')
        if host not in self.bindings.get(port, ()):
            raise exceptions.NotFound()
        if self.bindings[port][host] == ACTIVE:
            self._world.broken('binding', f'the active binding of {port} on {host} is deleted',
                               False)
        del self.bindings[port][host]


def _active(hosts):
    return next((host for host, status in hosts.items() if status == ACTIVE), '')


class Api:
    """nova.network.neutron.API, as far as bindings go.

    :param world: has the ports
    """

    def __init__(self, world):
        self._world = world

    def has_port_binding_extension(self, *_args, **_kwargs):
        return True

    def _ports(self, instance):
        self._world.point('neutron')
        return self._world.neutron.of(instance.uuid)

    def bind_ports_to_host(self, context, instance, host):
        for hosts in self._ports(instance).values():
            hosts.setdefault(host, INACTIVE)

    def migrate_instance_start(self, context, instance, migration):
        """Activate what is bound on the destination, which makes the other one inactive."""
        for hosts in self._ports(instance).values():
            if hosts.get(migration.dest_compute) == INACTIVE:
                for host in hosts:
                    hosts[host] = INACTIVE
                hosts[migration.dest_compute] = ACTIVE

    def migrate_instance_finish(self, context, instance, migration, provider_mappings=None):
        """The port itself is given the host, as it is without bindings of several."""
        for hosts in self._ports(instance).values():
            if hosts.get(migration.dest_compute) != ACTIVE:
                hosts.pop(_active(hosts), None)
                hosts[migration.dest_compute] = ACTIVE

    def setup_networks_on_host(self, context, instance, host=None, teardown=False):
        """With teardown, what is bound on a host that is not the instance's goes."""
        if teardown and host and host != instance.host:
            for port, hosts in self._ports(instance).items():
                if host in hosts:
                    self._world.neutron.delete_port_binding(port, host)
