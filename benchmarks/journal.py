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
"""How many durable commits per second the journal does, and what recovery pages cost.

    python benchmarks/journal.py [--seconds 3] [--only sqlite] [--directory DIR] [--json]

MariaDB and PostgreSQL are started from Debian's packages on loopback, with one sync per commit.
The SQLite journal lies in --directory; a tmpfs would measure nothing but the processor.
"""

import argparse
import contextlib
import json
import os
import statistics
import sys
import tempfile
import threading
import time
import tracemalloc

import fixtures
import prettytable

from migsafe import journal
from migsafe.journal import opening
from migsafe.tests import servers
from migsafe.tests.unit.journal import base

UNSETTLED = 1000
HEADER = ('journal', 'writers', 'commits/s', 'median ms', '99 % ms', '1,000 unsettled: ms',
          'peak KiB')


@contextlib.contextmanager
def sqlite(directory):
    """A journal in a file."""
    with tempfile.TemporaryDirectory(dir=directory) as where:
        yield base.make_conf(os.path.join(where, 'state'))


@contextlib.contextmanager
def server(kind):
    """A journal in a server."""
    with kind() as running:
        conf = base.make_conf('/nonexistent', connection=running.url)
        opening.sync(conf, 'node13')
        yield conf


def write(opened, number, until, times):
    """Commit intents with a payload of the usual size, and their outcomes."""
    tx = opened.begin(f'm-{number}', 'source', 'i-1', 'node13', 'node11')
    while time.perf_counter() < until:
        started = time.perf_counter()
        intent = opened.intent(tx, 'volume_connection', 'attachment_create', 'v-1',
                               base.CONNECTION)
        middle = time.perf_counter()
        opened.outcome(tx, intent, 'ok')
        times += [middle - started, time.perf_counter() - middle]


def measure(opened, writers, seconds):
    """Return commits per second, and the median and 99th percentile in milliseconds."""
    times, started = [], time.perf_counter()
    threads = [threading.Thread(target=write, args=(opened, n, started + seconds, times))
               for n in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(times) / (time.perf_counter() - started)
    return [round(rate), *(round(1000 * found, 2) for found in (
        statistics.median(times), statistics.quantiles(times, n=100)[98]))]


def page(opened):
    """Return milliseconds and peak KiB of reading 1,000 unsettled transactions by pages."""
    for number in range(UNSETTLED):
        opened.begin(f'u-{number}', 'source', 'i-1', 'node13', 'node11')
    tracemalloc.start()
    started, after, count = time.perf_counter(), 0, 0
    while found := opened.unsettled(limit=20, after_id=after):
        after, count = found[-1].id, count + len(found)
    spent, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    if count < UNSETTLED:
        raise AssertionError(f'{count} of {UNSETTLED} were found')
    return [round(1000 * spent, 1), round(peak / 1024)]


def main():
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=float, default=3.0)
    parser.add_argument('--directory', default=os.getcwd())
    parser.add_argument('--json', action='store_true')
    parser.add_argument('--only', choices=('sqlite', 'mariadb', 'postgresql'))
    given = parser.parse_args()
    kinds = {'sqlite': lambda: sqlite(given.directory),
             'mariadb': lambda: server(servers.MariaDB),
             'postgresql': lambda: server(servers.PostgreSQL)}
    rows = []
    with fixtures.NestedTempfile():
        for name, kind in kinds.items():
            if given.only not in (None, name):
                continue
            for writers in (1, 4):
                with kind() as conf, contextlib.closing(
                        journal.open_journal(conf, 'node13')) as opened:
                    rows.append([name, writers, *measure(opened, writers, given.seconds),
                                 *page(opened)])
    if given.json:
        print(json.dumps([dict(zip(HEADER, row, strict=True)) for row in rows]))
        return 0
    table = prettytable.PrettyTable(HEADER)
    table.add_rows(rows)
    print(table)
    return 0


if __name__ == '__main__':
    sys.exit(main())
