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
"""The control plane: MariaDB in memory, RabbitMQ, and the services, as processes."""

from __future__ import annotations

import functools
import os
import pathlib
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import amqp
import pymysql

from migsafe.tests import servers
from migsafe.tests.cloud import configs, places, processes

SCHEMAS = ('keystone', 'placement', 'neutron', 'cinder', 'nova_api', 'nova_cell0', 'nova_cell1')
#: Service -> module of its WSGI application.
APIS = {'keystone': 'keystone.wsgi.api', 'placement': 'placement.wsgi.api',
        'neutron': 'neutron.wsgi.api', 'cinder': 'cinder.wsgi.api',
        'nova': 'nova.wsgi.osapi_compute'}
DAEMONS = ('nova-conductor', 'nova-scheduler', 'cinder-scheduler')
ENVIRONMENT = {'OS_CINDER_DISABLE_EVENTLET_PATCHING': 'true', 'LC_ALL': 'C.UTF-8',
               'OS_PLACEMENT_CONFIG_DIR': '/etc/placement', 'NO_PROXY': '*', 'no_proxy': '*'}
_DATA = '/srv'


def prepare() -> None:
    """Private copies of what the services look for in fixed places; the mounts are the cloud's."""
    top = places.part('private')
    processes.run('mount', '--make-rprivate', '/')
    processes.run('mount', '-t', 'tmpfs', '-o', 'mode=755', 'cloud', str(top))
    shutil.copytree('/etc', top / 'etc', symlinks=True)
    processes.run('mount', '--bind', str(top / 'etc'), '/etc')
    processes.run('mount', '-t', 'tmpfs', '-o', 'mode=755', 'data', _DATA)
    pathlib.Path('/etc/hosts').write_text('127.0.0.1 localhost\n')
    processes.run('hostname', 'localhost')
    state = places.part('state')
    for service, file in (('nova', configs.nova(f'{state}/nova')),
                          ('cinder', configs.cinder(f'{state}/cinder')),
                          ('neutron', configs.neutron(f'{state}/neutron')),
                          ('placement', configs.placement()),
                          ('keystone', configs.keystone('/etc/keystone'))):
        etc = pathlib.Path('/etc') / service
        shutil.rmtree(etc, ignore_errors=True)
        if (places.ETC / service).is_dir():
            shutil.copytree(places.ETC / service, etc)
        etc.mkdir(exist_ok=True)
        (etc / f'{service}.conf').write_text(configs.render(file))
        (state / service).mkdir(exist_ok=True)
    plugin = pathlib.Path('/etc/neutron/plugins/ml2')
    plugin.mkdir(parents=True)
    (plugin / 'ml2_conf.ini').touch()


def database() -> None:
    """MariaDB, with its files in memory."""
    data = pathlib.Path(_DATA) / 'mysql'
    if not data.exists():
        data.mkdir()
        shutil.chown(data, 'mysql', 'mysql')
        processes.run(servers.find('mariadb-install-db', 'mariadb-server'), '--no-defaults',
                      f'--datadir={data}', '--auth-root-authentication-method=normal',
                      '--skip-test-db', '--skip-name-resolve', '--user=mysql')
    start_database()
    processes.until(_database_answers, processes.SLOW, 'MariaDB')


def start_database() -> None:
    """Start what stands there."""
    processes.start('mariadb', [
        servers.find('mariadbd', 'mariadb-server'), '--no-defaults', f'--datadir={_DATA}/mysql',
        f'--socket={_DATA}/mysql/sock', f'--bind-address={places.CONTROL}', '--skip-name-resolve',
        '--innodb-flush-log-at-trx-commit=0', '--max-connections=600'], user='mysql')


def _database_answers() -> bool:
    try:
        connection = pymysql.connect(unix_socket=f'{_DATA}/mysql/sock', user='root')
    except pymysql.err.OperationalError:
        return False
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE USER IF NOT EXISTS root@'10.77.0.%'")
        cursor.execute("GRANT ALL ON *.* TO root@'10.77.0.%'")
        for schema in SCHEMAS:
            cursor.execute(f'CREATE DATABASE IF NOT EXISTS {schema} CHARACTER SET utf8mb3')
    return True


def rabbit() -> None:
    """RabbitMQ; its node, cookie and port mapper are the cloud's alone."""
    base = pathlib.Path(_DATA) / 'rabbit'
    if not base.exists():
        base.mkdir()
        (base / 'plugins').write_text('[].\n')
        (base / 'rabbitmq.conf').write_text(
            'log.console = true\nlog.file = false\nloopback_users = none\n')
        shutil.chown(base, 'rabbitmq', 'rabbitmq')
    start_rabbit()
    processes.until(_rabbit_answers, processes.SLOW, 'RabbitMQ')


def start_rabbit() -> None:
    """Start what stands there."""
    base = f'{_DATA}/rabbit'
    processes.start('rabbitmq', [servers.find('rabbitmq-server', 'rabbitmq-server',
                                              '/usr/lib/rabbitmq/bin')], user='rabbitmq', env={
        'HOME': base, 'RABBITMQ_NODENAME': 'cloud@localhost',
        'RABBITMQ_NODE_IP_ADDRESS': places.CONTROL, 'RABBITMQ_MNESIA_BASE': f'{base}/mnesia',
        'RABBITMQ_LOG_BASE': f'{base}/log', 'RABBITMQ_ENABLED_PLUGINS_FILE': f'{base}/plugins',
        'RABBITMQ_CONFIG_FILE': f'{base}/rabbitmq', 'RABBITMQ_PID_FILE': f'{base}/pid',
        'RABBITMQ_CONF_ENV_FILE': f'{base}/none', 'RABBITMQ_GENERATED_CONFIG_DIR': f'{base}/made',
        'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': '+sbwt none', 'RUNNING_UNDER_SYSTEMD': 'true'})


def _rabbit_answers() -> bool:
    try:
        with amqp.Connection(f'{places.CONTROL}:5672', connect_timeout=5):
            return True
    except Exception:  # whatever a broker that is still starting does
        return False


def schemas() -> None:
    """The tables of all services, at once."""
    nova = 'nova-manage'
    ways: dict[str, list[list[str]]] = {
        'keystone': [['keystone-manage', 'db_sync']],
        'placement': [['placement-manage', 'db', 'sync']],
        'neutron': [['neutron-db-manage', '--config-file', '/etc/neutron/neutron.conf', 'upgrade',
                     'heads']],
        'cinder': [['cinder-manage', 'db', 'sync']],
        'nova': [[nova, 'api_db', 'sync'],
                 [nova, 'cell_v2', 'map_cell0', '--database_connection',
                  str(configs.database('nova_cell0')['connection'])],
                 [nova, 'db', 'sync'], [nova, 'cell_v2', 'create_cell', '--name', 'one']]}
    running = [subprocess.Popen(
        [sys.executable, '-m', f'{__package__}.sequence', name,
         *(word for command in commands for word in (*command, '--then'))],
        env={**os.environ, **ENVIRONMENT}, stdin=subprocess.DEVNULL)
        for name, commands in ways.items()]
    failed = [name for name, one in zip(ways, running, strict=True) if one.wait()]
    if failed:
        raise processes.Failed(f'schemas of {failed}: see log/schema-*.log')


def identity() -> None:
    """Keystone's keys and its first user."""
    manage = str(places.BIN / 'keystone-manage')
    for what in ('fernet_setup', 'credential_setup'):
        processes.run(manage, what, '--keystone-user', 'root', '--keystone-group', 'root')
    processes.run(manage, 'bootstrap', '--bootstrap-password', places.PASSWORD,
                  '--bootstrap-region-id', 'one', '--bootstrap-public-url',
                  f'{places.url("keystone")}/v3', '--bootstrap-internal-url',
                  f'{places.url("keystone")}/v3')


def _binding() -> pathlib.Path:
    """Where stevedore finds the driver that binds ports, as if it had been installed."""
    site = places.part('private')
    made = site / f'{configs.BINDING}-1.dist-info'
    made.mkdir(exist_ok=True)
    (made / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {configs.BINDING}\nVersion: 1\n')
    (made / 'entry_points.txt').write_text(
        f'[neutron.ml2.mechanism_drivers]\n{configs.BINDING} = {__package__}.tap:TapDriver\n')
    return site


def discover() -> None:
    """Tell Nova's API of the compute hosts that have reported."""
    processes.run(str(places.BIN / 'nova-manage'), 'cell_v2', 'discover_hosts')


def start_keystone() -> None:
    """The one that the others ask when they start."""
    start_services('keystone')


def start_services(*names: str) -> None:
    """Start APIs and daemons; all of them unless some are named."""
    for name, module in APIS.items():
        if not names or name in names:
            processes.start(name, [sys.executable, '-m', f'{__package__}.wsgi', module,
                                   str(places.PORTS[name] + places.BEHIND)],
                            ENVIRONMENT | {'PYTHONPATH': str(_binding())})
    for name in DAEMONS:
        if not names or name in names:
            processes.start(name, [str(places.BIN / name)], ENVIRONMENT)
    for name in APIS:
        if not names or name in names:
            processes.until(functools.partial(_answers, places.behind(name)), processes.SLOW,
                            f'the API of {name}')


def _answers(url: str) -> bool:
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False
    return True
