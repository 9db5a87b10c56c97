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
"""The configuration files of all services, as tables: file -> section -> option -> value."""

from __future__ import annotations

from collections.abc import Mapping

from migsafe.tests.cloud import places

Options = Mapping[str, object]
File = Mapping[str, Options]
RABBIT = f'rabbit://guest:guest@{places.CONTROL}:5672/'
#: A service under emulation answers late; what is dead is not known to be so for longer.
SLOW = {'rpc_response_timeout': 90, 'service_down_time': 90}


def render(file: File) -> str:
    """An INI file."""
    return ''.join(f'[{section}]\n' + ''.join(f'{name} = {value}\n'
                                              for name, value in options.items()) + '\n'
                   for section, options in file.items())


def database(name: str) -> dict[str, object]:
    """Where the tables of a service are."""
    return {'connection': f'mysql+pymysql://root@{places.CONTROL}/{name}?charset=utf8'}


def user(name: str) -> dict[str, object]:
    """How a service logs in."""
    return {'auth_type': 'password', 'auth_url': f'{places.url("keystone")}/v3',
            'username': name, 'password': places.PASSWORD, 'project_name': 'service',
            'user_domain_id': 'default', 'project_domain_id': 'default', 'region_name': 'one'}


def token(name: str) -> dict[str, object]:
    """How a service has its callers' tokens checked."""
    return {**user(name), 'www_authenticate_uri': places.url('keystone'),
            'service_token_roles': 'service', 'service_token_roles_required': True}


def messages(host: str) -> dict[str, object]:
    """What every service on the bus has."""
    return {'transport_url': RABBIT, 'host': host, 'debug': False, 'use_stderr': True,
            **SLOW}


def common(service: str, host: str, state: str) -> dict[str, Options]:
    """What every service has."""
    return {'DEFAULT': {**messages(host), 'state_path': state},
            'keystone_authtoken': token(service),
            'service_user': {**user(service), 'send_service_user_token': True},
            'oslo_concurrency': {'lock_path': f'{state}/lock'},
            'oslo_messaging_rabbit': {'heartbeat_timeout_threshold': 0}}


def nova_clients() -> dict[str, Options]:
    """The services that Nova calls."""
    return {'placement': user('placement'), 'neutron': user('neutron'),
            'cinder': {**user('nova'), 'os_region_name': 'one', 'http_retries': 3},
            'glance': {'endpoint_override': places.NO_GLANCE}}


def nova(state: str) -> File:
    """nova.conf of API, scheduler and conductor."""
    base = common('nova', 'control', state)
    return base | nova_clients() | {
        'DEFAULT': base['DEFAULT'] | {'my_ip': places.CONTROL},
        'database': database('nova_cell1'), 'api_database': database('nova_api'),
        'conductor': {'workers': 1}, 'scheduler': {'workers': 1},
        'quota': {'instances': -1, 'cores': -1, 'ram': -1},
        'filter_scheduler': {'enabled_filters': 'ComputeFilter,ComputeCapabilitiesFilter'}}


def compute(name: str, armed: bool, bandwidth: int) -> File:
    """nova.conf of a compute host.

    :param armed: with migsafe
    :param bandwidth: MiB/s of a live migration
    """
    base = common('nova', name, '/var/lib/nova')
    address = places.address(name)
    return base | nova_clients() | {
        'DEFAULT': base['DEFAULT'] | {
            'my_ip': address, 'compute_driver': 'libvirt.LibvirtDriver',
            'instances_path': '/var/lib/nova/instances', 'log_file': '/var/log/nova-compute.log',
            'graceful_shutdown_timeout': 5, 'reserved_host_memory_mb': 256,
            # five guests at once, and what their migrations claim as well, on one processor; and
            # what plain OpenStack has left in Placement refuses nobody
            'cpu_allocation_ratio': 32.0, 'ram_allocation_ratio': 4.0,
            'max_concurrent_live_migrations': 5,
            'resume_guests_state_on_host_boot': False, 'vif_plugging_timeout': 0,
            'vif_plugging_is_fatal': False, 'shutdown_timeout': 5,
            'rootwrap_config': '/etc/nova/rootwrap.conf'},
        'workarounds': {'enable_qemu_monitor_announce_self': False},
        'vnc': {'enabled': False}, 'spice': {'enabled': False},
        'serial_console': {'enabled': False},
        'libvirt': {'virt_type': 'qemu', 'cpu_mode': 'none', 'hw_machine_type': 'x86_64=pc',
                    'live_migration_scheme': 'tcp', 'live_migration_inbound_addr': address,
                    'volume_use_multipath': True, 'use_virtio_for_bridges': True,
                    'live_migration_bandwidth': bandwidth},
        'migsafe': {'enabled': armed, **(SET if armed else {})}}


def cinder(state: str) -> File:
    """cinder.conf of API and scheduler."""
    base = common('cinder', 'control', state)
    return base | {
        'DEFAULT': base['DEFAULT'] | {'auth_strategy': 'keystone', 'my_ip': places.CONTROL,
                                      'glance_api_servers': places.NO_GLANCE,
                                      # volumes that plain OpenStack never lets go are many
                                      'quota_volumes': -1, 'quota_gigabytes': -1},
        'database': database('cinder'), 'nova': user('nova'),
        'coordination': {'backend_url': f'file://{state}/coordination'}}


#: Backend, which is a volume type, too -> its volume group.
BACKENDS = {'lvm': 'cinder-volumes', 'second': 'cinder-second'}
#: What an operator sets who would rather have a migration refused than a config drive that arrives
#: blank (the default only says so), and who has two compute hosts, of which neither could tell
#: that it is not the one that is cut off.
SET = {'preflight': 'enforce', 'evacuate_without_witness': True}
#: Neutron's driver that binds ports, see the module tap.
BINDING = 'migsafe_tap'
PLAIN_DRIVER = 'cinder.volume.drivers.lvm.LVMVolumeDriver'
GUARDED = {'volume_driver': 'migsafe.cinder.driver.GuardedDriver',
           'migsafe_wrapped_driver': PLAIN_DRIVER, 'migsafe_inspector': 'lio'}


def volume(name: str, armed: bool) -> File:
    """cinder.conf of cinder-volume."""
    state = '/var/lib/cinder'
    portals = [places.address(name, bridge) for bridge in places.BRIDGES[1:]]
    backend: dict[str, object] = {
        'volume_driver': PLAIN_DRIVER, 'lvm_type': 'default', 'target_helper': 'lioadm',
        'target_protocol': 'iscsi', 'target_ip_address': portals[0],
        'target_secondary_ip_addresses': portals[1], 'volume_clear': 'none',
        'target_prefix': 'iqn.2026-01.org.migsafe:', **(GUARDED if armed else {})}
    return cinder(state) | {
        'DEFAULT': {**cinder(state)['DEFAULT'], 'host': name, 'my_ip': places.address(name),
                    'enabled_backends': ','.join(BACKENDS),
                    'log_file': '/var/log/cinder-volume.log',
                    'rootwrap_config': '/etc/cinder/rootwrap.conf'},
        **{one: {**backend, 'volume_group': group, 'volume_backend_name': one}
           for one, group in BACKENDS.items()}, 'migsafe': {'enabled': armed}}


def neutron(state: str) -> File:
    """neutron.conf, without any agent."""
    base = common('neutron', 'control', state)
    return base | {
        'DEFAULT': base['DEFAULT'] | {
            'core_plugin': 'ml2', 'service_plugins': 'router,port_forwarding',
            'auth_strategy': 'keystone', 'notify_nova_on_port_status_changes': False,
            'notify_nova_on_port_data_changes': False},
        'database': database('neutron'), 'placement': user('placement'), 'nova': user('nova'),
        'ml2': {'mechanism_drivers': BINDING, 'tenant_network_types': 'flat',
                'type_drivers': 'flat'}, 'ml2_type_flat': {'flat_networks': '*'}}


def placement() -> File:
    """placement.conf."""
    return {'DEFAULT': {'use_stderr': True}, 'placement_database': database('placement'),
            'keystone_authtoken': token('placement')}


def keystone(keys: str) -> File:
    """keystone.conf.

    :param keys: the directory of the keys
    """
    return {'DEFAULT': {'use_stderr': True}, 'database': database('keystone'),
            'token': {'provider': 'fernet', 'expiration': 86400},
            'fernet_tokens': {'key_repository': f'{keys}/fernet'},
            'credential': {'key_repository': f'{keys}/credential'},
            'cache': {'enabled': True, 'backend': 'dogpile.cache.memory'}}
