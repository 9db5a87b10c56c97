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
"""What the ledger of exports costs: ``python benchmarks/ledger.py [--exports 100000]``.

For SQLite, MariaDB and PostgreSQL, in one run: a driver by itself against the same driver guarded,
with an empty ledger and with a full one; a walk over all rows, and what is due. The driver does
nothing, so that the difference is the guard's own; a real array takes seconds for each call.

MariaDB and PostgreSQL are started from Debian's packages on loopback, with one sync per commit.
"""

import argparse
import contextlib
import os
import resource
import statistics
import tempfile
import time

import fixtures
import prettytable
import sqlalchemy as sa
from cinder.tests import fake_driver
from cinder.volume import configuration
from cinder.volume import driver as cinder_driver
from oslo_utils import timeutils, uuidutils

import migsafe.conf
from migsafe.cinder.wrapping import classes
from migsafe.conf.cinder import OPTS
from migsafe.ledger import api, models, opening, records
from migsafe.tests import servers

HOST = 'node@array'
CONNECTOR = {'host': 'node13', 'initiator': 'iqn.1994-05.com.redhat:13', 'ip': '172.24.9.13',
             'multipath': True}
ROUNDS = 100
HEADER = ('ledger', 'exports', 'bare: ms', 'guarded: ms', 'more per call: ms', 'walk: s',
          'MiB more', 'due: ms')


def fill(store: api.Ledger, count: int) -> None:
    """Write rows as attaches leave them, a target and a mapping each."""
    peer = records.Peer.of(CONNECTOR)
    now = timeutils.utcnow()
    row = {'backend': store.backend, 'kind': 'volume', 'attachment': 'a' * 36,
           'state': 'mapped', 'before': 'gone', 'target': 'iqn.2010-10.org.openstack:volume',
           'lun': '0', 'identity': '[]', 'service': store.service,
           'incarnation': store.incarnation, 'error': '', 'attempts': 0, 'due_at': None,
           'created_at': now, 'updated_at': now}
    with store._store.engine.begin() as connection:
        for start in range(0, count, 10_000):
            connection.execute(sa.insert(models.EXPORTS), [
                {**row, 'resource': f'{number:036}', 'peer': one.key, 'host': one.host,
                 'initiators': '[]', 'connector': one.connector}
                for number in range(start, min(start + 10_000, count))
                for one in (records.Peer(), peer)])


def make(guarded: bool) -> cinder_driver.VolumeDriver:
    """A driver of Cinder's that does nothing."""
    config = configuration.Configuration(cinder_driver.volume_opts, config_group='array')
    config.append_config_values(OPTS)
    made = fake_driver.FakeLoggingVolumeDriver(configuration=config)
    return classes.guard(made, HOST) if guarded else made


def pairs(made: cinder_driver.VolumeDriver) -> float:
    """Milliseconds of initialize_connection with terminate_connection, the median."""
    times = []
    for _ in range(ROUNDS):
        volume = {'id': uuidutils.generate_uuid(), 'volume_admin_metadata': []}
        start = time.perf_counter()
        made.initialize_connection(volume, dict(CONNECTOR))
        made.terminate_connection(volume, dict(CONNECTOR))
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def measure(name: str, count: int) -> list[list[object]]:
    """An empty ledger, and a full one."""
    bare, guarded = make(False), make(True)
    store, rows = guarded.migsafe_guard.ledger, []
    for exports in (0, count):
        if exports:
            fill(store, exports)
        alone, with_guard = pairs(bare), pairs(guarded)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        walked = sum(1 for _ in store.exports())
        walk = time.perf_counter() - start
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        start = time.perf_counter()
        store.due(timeutils.utcnow())
        due = (time.perf_counter() - start) * 1000
        assert walked >= 2 * exports
        rows.append([name, exports, f'{alone:.3f}', f'{with_guard:.2f}',
                     f'{(with_guard - alone) / 2:.2f}', f'{walk:.1f}', grown, f'{due:.1f}'])
    guarded.migsafe_guard.stop()
    return rows


@contextlib.contextmanager
def ledgers(directory: str | None):
    """Each kind in turn: its name, with the options set for it."""
    conf = configuration.CONF
    migsafe.conf.register_opts(conf)
    with tempfile.TemporaryDirectory(dir=directory) as where:
        def use(**options):
            for name, value in options.items():
                conf.set_override(name, value, 'migsafe')

        def kinds():
            use(ledger_path=os.path.join(where, 'ledgers'))
            yield 'SQLite'
            for kind in (servers.MariaDB, servers.PostgreSQL):
                with kind() as server:
                    use(ledger_connection=server.url)
                    opening.sync(conf, HOST)
                    yield kind.__name__
        yield kinds()


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--exports', type=int, default=100_000)
    parser.add_argument('--directory', help='where SQLite lies; a tmpfs has no sync to measure')
    args = parser.parse_args()
    configuration.CONF([], project='cinder', default_config_files=[])
    table = prettytable.PrettyTable(HEADER)
    # there is no database of Cinder, whose volumes have no attachments here
    nobody = fixtures.MonkeyPatch('migsafe.cinder.facts.attachments.of_volume', lambda volume: [])
    never = fixtures.MonkeyPatch('migsafe.cinder.recovery.standing.Standing.require',
                                 lambda standing: None)
    with nobody, never, ledgers(args.directory) as kinds:
        for name in kinds:
            table.add_rows(measure(name, args.exports))
    print(table)


if __name__ == '__main__':
    main()
