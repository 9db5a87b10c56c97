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
"""The real servers, as Debian packages them, on loopback with a directory of their own.

Each is a fixture: ``useFixture(servers.MariaDB())`` or ``with servers.PostgreSQL() as db``. None
of them touches the server that the machine may already run. A test that needs a server which is
not installed fails and says which package to install; it is not skipped.
"""

import contextlib
import functools
import os
import pathlib
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable

import fixtures
import sqlalchemy as sa

PASSWORD = 'loopback-only'
EPHEMERAL = pathlib.Path('/proc/sys/net/ipv4/ip_local_port_range')
#: ports that a server of this process has been given and may not have opened yet
GIVEN: set[int] = set()
PATHS = ('/usr/sbin', '/usr/bin', '/usr/local/sbin', '/usr/local/bin')


def find(binary: str, package: str, *more: str) -> str:
    """Return the path of a program of a Debian package.

    :param more: further directories, tried first
    :raises AssertionError: it is not installed
    """
    where = os.pathsep.join((*more, *PATHS, os.environ.get('PATH', '')))
    found = shutil.which(binary, path=where)
    if found is None:
        raise AssertionError(
            f'{binary} was not found, and this test needs the real server. '
            f'Install it: apt-get install {package}')
    return found


def free_port() -> int:
    """Return a TCP port of loopback that nobody uses, and that nobody gets who asks for any.

    The kernel takes those from ip_local_port_range (kernel documentation, ip-sysctl), for
    listeners and for the near end of connections. One of them could be another test's before the
    server listens on it, or while it is restarted.

    :raises AssertionError: none was found
    """
    first, last = map(int, EPHEMERAL.read_text().split())
    ports = [port for port in range(10000, 65536)
             if not first <= port <= last and port not in GIVEN]
    for port in random.sample(ports, min(len(ports), 100)):
        with socket.socket() as probe:
            if _tried(functools.partial(probe.bind, ('127.0.0.1', port)), OSError):
                GIVEN.add(port)
                return port
    raise AssertionError(f'No free TCP port below {first} or above {last} ({EPHEMERAL})')


class Server(fixtures.Fixture):
    """A server process in a temporary directory, ended by its pid.

    :cvar package: Debian package that the server comes from
    :cvar user: unprivileged user that root becomes
    """

    package = ''
    user = ''
    #: what the log says when the remains of a killed server are still there for a moment
    try_again = ''
    start_seconds = 300.0

    def _setUp(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.account = pwd.getpwnam(self.user) if os.geteuid() == 0 else None
        # NOTE: a test's own temporary directory is closed to the user that root becomes.
        self.base = pathlib.Path(tempfile.mkdtemp(
            prefix=f'migsafe-{self.user}-', dir='/tmp' if self.account else None))
        self.addCleanup(shutil.rmtree, self.base, ignore_errors=True)
        if self.account:
            os.chown(self.base, self.account.pw_uid, self.account.pw_gid)
        self.port = free_port()
        self.addCleanup(self.stop)
        self.prepare()
        self.start()

    def prepare(self) -> None:
        """Create what the server needs before its first start."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Tell whether the server does what it is for."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return the environment of the server."""
        return {'PATH': os.pathsep.join(PATHS), 'HOME': str(self.base), 'LC_ALL': 'C.UTF-8'}

    def spawn(self, command: list[str], log: str) -> 'subprocess.Popen[bytes]':
        """Start a process as the unprivileged user, its output in a file of the directory."""
        identity = {} if self.account is None else {
            'user': self.account.pw_uid, 'group': self.account.pw_gid, 'extra_groups': []}
        with open(self.base / log, 'ab') as output:
            return subprocess.Popen(
                command, cwd=self.base, env=self.environment(), stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, **identity)

    def run_to_end(self, command: list[str], log: str) -> None:
        """Run a command to its end; its output is in the error if it fails."""
        if self.spawn(command, log).wait(timeout=self.start_seconds):
            raise AssertionError(f'{command[0]} failed:\n{self.tail(log)}')

    def tail(self, log: str = 'server.log') -> str:
        """Return the end of a log."""
        return (self.base / log).read_text(errors='replace')[-4000:]

    def start(self) -> None:
        """Start the server, again if need be, and return once it answers."""
        self.process = self.spawn(self.command(), 'server.log')
        deadline = time.monotonic() + self.start_seconds
        while not self.answers():
            ended = self.process.poll() is not None
            if ended and self.try_again and self.try_again in self.tail()[-600:]:
                self.process = self.spawn(self.command(), 'server.log')
            elif ended or time.monotonic() > deadline:
                raise AssertionError(f'{self.package} did not start:\n{self.tail()}')
            time.sleep(0.2)

    def stop(self) -> None:
        """End the server in good order, and with SIGKILL if it takes too long."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(self.gentle)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.kill()

    gentle = signal.SIGTERM

    def kill(self) -> None:
        """Kill the server as a power cut would; ``start`` brings it back."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=30)


class Database(Server):
    """A database server with an empty database ``migsafe``; ``url`` has its password."""

    driver = ''

    @property
    def url(self) -> str:
        """SQLAlchemy URL."""
        return (f'{self.driver}://migsafe:{PASSWORD}@127.0.0.1:{self.port}/migsafe')

    def execute(self, *statements: str) -> None:
        """Run statements in the database, each one committed."""
        engine = sa.create_engine(self.url, isolation_level='AUTOCOMMIT', poolclass=sa.NullPool)
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def column(self, query: str) -> list[object]:
        """Return the first column of what a query finds."""
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            return list(connection.exec_driver_sql(query).scalars())


def _tried(attempt: Callable[[], object], errors: type[Exception]) -> bool:
    with contextlib.suppress(errors):
        attempt()
        return True
    return False


class MariaDB(Database):
    """MariaDB with the durability that a deployment has: one sync per commit."""

    package, user, driver = 'mariadb-server', 'mysql', 'mysql+pymysql'

    def prepare(self) -> None:
        """Create the system tables."""
        self.binary = find('mariadbd', self.package)
        self.run_to_end(
            [find('mariadb-install-db', self.package), '--no-defaults',
             f'--datadir={self.base}/data', '--auth-root-authentication-method=normal',
             '--skip-test-db', '--skip-name-resolve'], 'install.log')

    def command(self) -> list[str]:
        """Listen on loopback only."""
        return [self.binary, '--no-defaults', f'--datadir={self.base}/data',
                f'--socket={self.base}/sock', f'--pid-file={self.base}/pid',
                f'--port={self.port}', '--bind-address=127.0.0.1', '--skip-name-resolve',
                '--innodb-flush-log-at-trx-commit=1', '--innodb-buffer-pool-size=32M',
                '--innodb-log-file-size=32M', '--max-allowed-packet=16M']

    def answers(self) -> bool:
        """Create user and database at the first start."""
        import pymysql

        def attempt() -> None:
            connection = pymysql.connect(unix_socket=f'{self.base}/sock', user='root')
            with connection, connection.cursor() as cursor:
                cursor.execute('CREATE DATABASE IF NOT EXISTS migsafe')
                cursor.execute(f"CREATE USER IF NOT EXISTS migsafe@'127.0.0.1' "
                               f"IDENTIFIED BY '{PASSWORD}'")
                cursor.execute("GRANT ALL ON migsafe.* TO migsafe@'127.0.0.1'")
        return _tried(attempt, pymysql.err.OperationalError)

    def wipe(self) -> None:
        """Empty the database."""
        self.execute('DROP DATABASE migsafe', 'CREATE DATABASE migsafe')


class PostgreSQL(Database):
    """PostgreSQL with its default durability."""

    package, user, driver = 'postgresql', 'postgres', 'postgresql+psycopg2'
    # NOTE: SIGTERM waits for clients, SIGINT does not.
    gentle = signal.SIGINT
    try_again = 'is still in use'

    def prepare(self) -> None:
        """Create the cluster; its superuser is ``migsafe``."""
        newest = sorted(pathlib.Path('/usr/lib/postgresql').glob('*/bin'),
                        key=lambda path: int(path.parent.name))
        where = [str(path) for path in reversed(newest)]
        self.binary = find('postgres', self.package, *where)
        secret = self.base / 'pwfile'
        secret.write_text(PASSWORD)
        if self.account:
            os.chown(secret, self.account.pw_uid, self.account.pw_gid)
        self.run_to_end(
            [find('initdb', self.package, *where), '--no-sync', '-D', f'{self.base}/data',
             '-U', 'migsafe', '-A', 'scram-sha-256', f'--pwfile={secret}', '-E', 'UTF8'],
            'install.log')

    def command(self) -> list[str]:
        """Listen on loopback only."""
        return [self.binary, '-D', f'{self.base}/data', '-p', str(self.port),
                '-h', '127.0.0.1', '-k', str(self.base)]

    def answers(self) -> bool:
        """Create the database at the first start."""
        import psycopg2

        def attempt() -> None:
            connection = psycopg2.connect(
                host='127.0.0.1', port=self.port, user='migsafe', password=PASSWORD,
                dbname='postgres')
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'migsafe'")
            if not cursor.fetchone():
                cursor.execute('CREATE DATABASE migsafe')
            connection.close()
        return _tried(attempt, psycopg2.OperationalError)

    def wipe(self) -> None:
        """Empty the database."""
        self.execute('DROP SCHEMA public CASCADE', 'CREATE SCHEMA public')


class RabbitMQ(Server):
    """RabbitMQ with a node name, a port mapper and ports of its own.

    ``url`` is for oslo.messaging. Queues are gone after ``kill`` unless they are durable.
    """

    package, user = 'rabbitmq-server', 'rabbitmq'

    @property
    def url(self) -> str:
        """Transport URL."""
        return f'rabbit://guest:guest@127.0.0.1:{self.port}/'

    def prepare(self) -> None:
        """Start a port mapper; the node would otherwise leave one behind."""
        self.binary = find('rabbitmq-server', self.package, '/usr/lib/rabbitmq/bin')
        self.epmd_port, self.dist_port = free_port(), free_port()
        self.node = f'migsafe-{secrets.token_hex(4)}@localhost'
        (self.base / 'plugins').write_text('[].\n')
        (self.base / 'rabbitmq.conf').write_text('log.console = true\nlog.file = false\n')
        mapper = self.spawn([find('epmd', 'erlang-base'), '-port', str(self.epmd_port),
                             '-address', '127.0.0.1'], 'epmd.log')
        self.addCleanup(mapper.wait, 30)
        self.addCleanup(mapper.kill)

    def environment(self) -> dict[str, str]:
        """Keep everything in the directory and on loopback."""
        base = self.base
        return super().environment() | {
            'ERL_EPMD_PORT': str(self.epmd_port), 'ERL_EPMD_ADDRESS': '127.0.0.1',
            'RABBITMQ_NODENAME': self.node, 'RABBITMQ_NODE_IP_ADDRESS': '127.0.0.1',
            'RABBITMQ_NODE_PORT': str(self.port), 'RABBITMQ_DIST_PORT': str(self.dist_port),
            'RABBITMQ_MNESIA_BASE': f'{base}/mnesia', 'RABBITMQ_LOG_BASE': f'{base}/log',
            'RABBITMQ_ENABLED_PLUGINS_FILE': f'{base}/plugins',
            'RABBITMQ_CONFIG_FILE': f'{base}/rabbitmq', 'RABBITMQ_PID_FILE': f'{base}/pid',
            'RABBITMQ_CONF_ENV_FILE': f'{base}/no-such-file',
            'RABBITMQ_GENERATED_CONFIG_DIR': f'{base}/generated',
            'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS':
                '-kernel inet_dist_use_interface {127,0,0,1} +sbwt none',
            # NOTE: makes the script become the server, so that the pid is the server's.
            'RUNNING_UNDER_SYSTEMD': 'true',
        }

    def command(self) -> list[str]:
        """Run in the foreground."""
        return [self.binary]

    def answers(self) -> bool:
        """Log in: the port is open some time before users exist."""
        import amqp

        def attempt() -> None:
            with amqp.Connection(f'127.0.0.1:{self.port}', connect_timeout=5):
                pass
        return _tried(attempt, Exception)
