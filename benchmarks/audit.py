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
"""What an audit costs, and whether it is right: ``python benchmarks/audit.py [--sizes N ...]``.

On MariaDB and PostgreSQL, a synthetic cloud of each size with the real schema of Nova, Cinder and
Placement (tools/clouds): ``migsafe audit`` as a process of its own, its time, its memory, and what
it found of what was planted. Beside it, in the same run, ``nova-manage volume_attachment show`` of
a few volumes, which is how the same rows are looked at without it, and what that is for all of
them.

The servers are started from Debian's packages on loopback. Exit code 1 if anything planted was not
found, or anything else was.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import prettytable
import sqlalchemy as sa

from migsafe.tests import servers
from tools.clouds import addresses

NAMES = ('nova', 'cinder', 'placement', 'nova_api')
HEADER = ('database', 'instances', 'volumes', 'seconds', 'CPU: s', 'CPU of the server: s', 'MiB',
          'planted', 'found', 'false',
          'nova-manage show: s', 'for all volumes: h')
ROOT = pathlib.Path(__file__).resolve().parent.parent


class MariaDB(servers.MariaDB):
    """One with the buffers of a small production server, and a database for each service."""

    def command(self):
        return [*super().command(), '--innodb-buffer-pool-size=512M',
                '--innodb-flush-log-at-trx-commit=2']

    def databases(self):
        """Create them; return their URLs."""
        import pymysql
        connection = pymysql.connect(unix_socket=f'{self.base}/sock', user='root')
        with connection, connection.cursor() as cursor:
            for name in NAMES:
                cursor.execute(f'DROP DATABASE IF EXISTS {name}')
                cursor.execute(f'CREATE DATABASE {name} CHARACTER SET utf8')
                cursor.execute(f"GRANT ALL ON {name}.* TO migsafe@'127.0.0.1'")
        return {name: self.url.rpartition('/')[0] + f'/{name}' for name in NAMES}


class PostgreSQL(servers.PostgreSQL):
    """One with a database for each service."""

    def databases(self):
        """Create them; return their URLs."""
        for name in NAMES:
            self.execute(f'DROP DATABASE IF EXISTS {name}', f'CREATE DATABASE {name}')
        return {name: self.url.rpartition('/')[0] + f'/{name}' for name in NAMES}


def measured(command, **more):
    """Run a command; return its exit code, output, seconds, those of a processor, and mebibytes
    at most.
    """
    with tempfile.TemporaryFile('w+', encoding='utf-8') as output:
        began = time.monotonic()
        process = subprocess.Popen(command, stdout=output, cwd=ROOT, **more)
        _pid, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        return (process.returncode, output.read(), time.monotonic() - began,
                usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


#: Database -> the section of a configuration that names it, and the command that makes its tables.
SYNC = {
    'nova': ('database', ('nova-manage', 'db', 'sync', '--local_cell')),
    'nova_api': ('api_database', ('nova-manage', 'api_db', 'sync')),
    'cinder': ('database', ('cinder-manage', 'db', 'sync')),
    'placement': ('placement_database', ('placement-manage', 'db', 'sync')),
}


def run(urls, names, *command):
    """Run a command of Nova, Cinder or Placement, with a configuration that names databases."""
    with tempfile.NamedTemporaryFile('w', suffix='.conf', encoding='utf-8') as conf:
        for name in names:
            conf.write(f'[{SYNC[name][0]}]\nconnection = {urls[name]}\n')
        conf.flush()
        program, *arguments = command
        done = subprocess.run(
            [os.path.join(os.path.dirname(sys.executable), program), '--config-file', conf.name,
             *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f'{command}:\n{done.stdout}\n{done.stderr}')


def filled(urls, instances, seed):
    """Make the databases by the services' own migrations and fill them; return what has to be
    found.
    """
    for name, (_section, command) in SYNC.items():
        run(urls, [name], *command)
    with tempfile.NamedTemporaryFile('r', encoding='utf-8') as expected:
        subprocess.run(
            [sys.executable, '-W', 'ignore', '-m', 'tools.clouds.fill', '--nova', urls['nova'],
             '--cinder', urls['cinder'], '--placement', urls['placement'],
             '--instances', str(instances), '--seed', seed, '--expected', expected.name],
            cwd=ROOT, check=True)
        found = {tuple(one) for one in json.load(expected)}
    for name in NAMES[:3]:
        engine = sa.create_engine(urls[name], isolation_level='AUTOCOMMIT')
        with engine.connect() as connection:
            for table in sa.inspect(connection).get_table_names():
                connection.exec_driver_sql(f'ANALYZE {_table(engine)} {table}')
        engine.dispose()
    return found


def _table(engine):
    return 'TABLE' if engine.dialect.name == 'mysql' else ''


def shown(urls, count):
    """Seconds of ``nova-manage volume_attachment show`` for one volume, the mean of some."""
    if not count:
        return 0.0
    engine = sa.create_engine(urls['nova_api'])
    known = sa.MetaData()
    cell, mapping = (sa.Table(name, known, autoload_with=engine)
                     for name in ('cell_mappings', 'instance_mappings'))
    nova = sa.create_engine(urls['nova'])
    with nova.connect() as connection:
        rows = connection.execute(sa.text(
            'SELECT instance_uuid, volume_id FROM block_device_mapping WHERE deleted = 0 '
            f'ORDER BY id LIMIT {count}')).all()
    with engine.begin() as connection:
        connection.execute(sa.insert(cell), {
            'id': 1, 'uuid': 'c' * 36, 'name': 'c', 'transport_url': 'fake:///',
            'database_connection': urls['nova'], 'disabled': False})
        connection.execute(sa.insert(mapping), [
            {'instance_uuid': uuid, 'cell_id': 1, 'project_id': 'p', 'queued_for_delete': False}
            for uuid in {row[0] for row in rows}])
    for one in (engine, nova):
        one.dispose()
    began = time.monotonic()
    for instance, volume in rows:
        run(urls, ['nova', 'nova_api'], 'nova-manage', 'volume_attachment', 'show', instance,
            volume)
    return (time.monotonic() - began) / len(rows)


def spent(process):
    """Seconds of a processor of a server and of its children, living and ended: proc(5)."""
    ticks = 0
    for status in pathlib.Path('/proc').glob('[0-9]*/stat'):
        try:
            fields = status.read_text().rpartition(')')[2].split()
        except OSError:
            continue
        if int(status.parent.name) == process.pid:
            ticks += sum(map(int, fields[11:15]))
        elif int(fields[1]) == process.pid:
            ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf('SC_CLK_TCK')


def one(server, instances, seed, samples):
    """A row of the table, and whether the audit was right."""
    urls = server.databases()
    expected = filled(urls, instances, seed)
    before = spent(server.process)
    code, output, seconds, cpu, memory = measured(
        [sys.executable, '-m', 'migsafe.cli.main', 'audit', '--nova-database', urls['nova'],
         '--cinder-database', urls['cinder'], '--placement-database', urls['placement'],
         '-f', 'json'])
    served = spent(server.process) - before
    assert addresses.SECRET not in output
    found = {(row['Rule'], row['Instance'], row['Volume']) for row in json.loads(output)}
    engine = sa.create_engine(urls['cinder'])
    with engine.connect() as connection:
        volumes = connection.scalar(sa.text('SELECT count(*) FROM volumes'))
    engine.dispose()
    each = shown(urls, samples)
    right = code == 3 and found == expected
    return right, (server.package.partition('-')[0], f'{instances:,}', f'{volumes:,}',
                   f'{seconds:.1f}', f'{cpu:.1f}', f'{served:.1f}', f'{memory:.0f}', len(expected),
                   len(expected & found), len(found - expected), f'{each:.1f}',
                   f'{each * volumes / 3600:,.0f}')


KINDS = {'mariadb': MariaDB, 'postgresql': PostgreSQL}


def main():
    """Fill, audit, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--sizes', type=int, nargs='+', default=[1000, 10_000, 100_000])
    parser.add_argument('--seed', default='0')
    parser.add_argument('--servers', nargs='+', choices=list(KINDS), default=list(KINDS))
    parser.add_argument('--samples', type=int, default=5, help='of nova-manage, at each size')
    given = parser.parse_args()
    table, right = prettytable.PrettyTable(HEADER, align='r'), True
    for name in given.servers:
        with KINDS[name]() as server:
            for size in given.sizes:
                good, row = one(server, size, given.seed, given.samples)
                right = right and good
                table.add_row(row)
                print(dict(zip(HEADER, row, strict=True)), flush=True)
    print(table)
    return 0 if right else 1


if __name__ == '__main__':
    sys.exit(main())
