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
"""What it takes to purge what was kept for long: ``python benchmarks/purge.py [--count 1000000]``.

A journal of three hosts, each transaction with two lines, and a ledger; in SQLite, MariaDB and
PostgreSQL. A tenth more is there that is not old enough, and of the ledger comes first. The first
and the last tenth of the deletions are timed, which take the same if nothing is read again.

MariaDB and PostgreSQL are started from Debian's packages on loopback, with one sync per commit.
"""

import argparse
import contextlib
import datetime
import itertools
import pathlib
import tempfile
import time

import prettytable
from oslo_utils import timeutils

from migsafe import journal, ledger
from migsafe.journal import opening
from migsafe.ledger import opening as ledger_opening
from migsafe.tests import filling, servers
from migsafe.tests.unit.journal import base

HOST = 'node13'
HOSTS = (HOST, 'node11', 'node14')
DAY = datetime.timedelta(days=1)
DATABASES = {'SQLite': None, 'MariaDB': servers.MariaDB, 'PostgreSQL': servers.PostgreSQL}
HEADER = ('what', 'where', 'purged', 'left', 'seconds', 'first tenth: s', 'last tenth: s',
          'MiB more')


def peak() -> int:
    """MiB that this process had at most since it was set back."""
    lines = pathlib.Path('/proc/self/status').read_text(encoding='ascii').splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith('VmHWM'))) // 1024


def set_back() -> None:
    """Begin to look for the peak anew, see proc(5)."""
    pathlib.Path('/proc/self/clear_refs').write_text('5', encoding='ascii')


def timed(opened, call, count: int) -> list[object]:
    """Purge, and look at the clock after each deletion."""
    ends, real = [time.perf_counter()], opened._store.write

    def write(*args, **kwargs):
        result = real(*args, **kwargs)
        ends.append(time.perf_counter())
        return result
    opened._store.write = write
    set_back()
    before = peak()
    purged = call()
    took = time.perf_counter() - ends[0]
    assert purged == count, purged
    tenth = len(ends) // 10
    return [f'{took:.1f}', f'{ends[tenth] - ends[0]:.1f}', f'{ends[-1] - ends[-1 - tenth]:.1f}',
            peak() - before]


def of_journal(conf, where: str, count: int) -> list[object]:
    """A journal of three hosts."""
    now = timeutils.utcnow()
    with contextlib.closing(journal.open_journal(conf, HOST)) as opened:
        more = count // 10
        filling.transactions(opened._store, HOSTS, count + more, 2, now)
        until = now - more * filling.SECOND + datetime.timedelta(milliseconds=1)
        return ['journal', where, count, more, *timed(
            opened, lambda: opened.purge(until, all_hosts=True), count)]


def of_ledger(conf, where: str, count: int) -> list[object]:
    """A ledger whose newest rows come first."""
    now = timeutils.utcnow()
    with contextlib.closing(ledger.open_ledger(conf, HOST)) as opened:
        more = count // 10
        filling.exports(opened._store, opened.backend, itertools.chain.from_iterable(
            itertools.repeat(one, number) for one, number in (
                (('gone', now), more), (('gone', now - 40 * DAY), count))))
        return ['ledger', where, count, more, *timed(
            opened, lambda: opened.purge(now - 30 * DAY), count)]


MEASURES = {'journal': of_journal, 'ledger': of_ledger}


@contextlib.contextmanager
def database(kind, directory: str | None):
    """The options of a database."""
    if kind is None:
        with tempfile.TemporaryDirectory(dir=directory) as where:
            yield base.make_conf(f'{where}/journal', ledger_path=f'{where}/ledger')
        return
    with kind() as server:
        conf = base.make_conf('/nonexistent', connection=server.url,
                              ledger_connection=server.url)
        opening.sync(conf, HOST)
        ledger_opening.sync(conf, HOST)
        yield conf


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--count', type=int, default=1_000_000)
    parser.add_argument('--where', choices=DATABASES, action='append', help='all if not given')
    parser.add_argument('--what', choices=MEASURES, action='append', help='both if not given')
    parser.add_argument('--directory', help='where SQLite lies; a tmpfs has no sync to measure')
    args = parser.parse_args()
    table = prettytable.PrettyTable(HEADER)
    for name in args.where or DATABASES:
        with database(DATABASES[name], args.directory) as conf:
            for what in args.what or MEASURES:
                table.add_row(MEASURES[what](conf, name, args.count))
                print(table, flush=True)


if __name__ == '__main__':
    main()
