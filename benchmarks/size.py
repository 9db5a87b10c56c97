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
"""What the commands of an operator take with a journal that has been kept for long.

    python benchmarks/size.py [--kept 100000] [--unsettled 1000] [--directory DIR]

Each is a process of its own, as an operator starts it, beside the same program that only tells
its version, which is what Python and its imports take.
"""

import argparse
import contextlib
import datetime
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time

import prettytable

from migsafe import journal
from migsafe.tests.unit.journal import base

HOST = 'node13'
HEADER = ('command', 'seconds', 'without imports: s', 'processor: s', 'lines')
COMMANDS = (('--version',), ('status',), ('residue', 'list'), ('journal', 'list'),
            ('residue', 'list', '-f', 'json'))
EFFECTS = ('attachment_create', 'connect_volume', 'disconnect_volume', 'attachment_delete')


def template(opened):
    """A migration of two volumes, with one hold and one effect of unknown outcome."""
    tx = opened.begin('m-0', 'source', 'i-0', HOST, 'node11')
    for volume in ('v-1', 'v-2'):
        for effect in EFFECTS:
            intent = opened.intent(tx, 'volume_connection', effect, volume, base.CONNECTION)
            opened.outcome(tx, intent, 'ok')
    opened.intent(tx, 'volume_connection', 'disconnect_volume', 'v-2', base.CONNECTION)
    opened.hold(tx, 'host_device', 'R4 v-1', 'its device is in use')


def multiply(path, kept, unsettled):
    """Copy it as often: the kept ones are settled."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        one, = db.execute('SELECT id FROM migsafe_transactions').fetchone()
        lines = db.execute('SELECT max(id) FROM migsafe_records').fetchone()[0]
        db.execute('CREATE TEMP TABLE number (n INTEGER PRIMARY KEY)')
        db.executemany('INSERT INTO number VALUES (?)',
                       ((n,) for n in range(1, kept + unsettled)))
        for table, new in (
                ('migsafe_transactions', {
                    'id': f'{one} + n', 'uuid': "'m-' || n", 'instance_uuid': "'i-' || n",
                    'state': f"CASE WHEN n < {unsettled} THEN state ELSE 'settled' END",
                    'settled_at': f'CASE WHEN n < {unsettled} THEN NULL ELSE updated_at END'}),
                ('migsafe_records', {
                    'id': f'id + n * {lines}', 'transaction_id': f'{one} + n',
                    'ref': f'ref + n * {lines}'})):
            columns = [row[1] for row in db.execute(f'PRAGMA table_info({table})')]
            db.execute(f'INSERT INTO {table} ({", ".join(columns)}) SELECT '
                       f'{", ".join(new.get(name, name) for name in columns)} '
                       f'FROM {table}, number')


def timed(conf_file, command):
    """Seconds, seconds of the processor, lines."""
    begun, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, '-c', 'import sys; from migsafe.cli.main import main; sys.exit(main())',
         '--config-file', conf_file, *command], capture_output=True, text=True, check=False)
    took, now = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 3):
        raise RuntimeError(done.stderr)
    return took, now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime, \
        done.stdout.count('\n')


def main():
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--kept', type=int, default=100000)
    parser.add_argument('--unsettled', type=int, default=1000)
    parser.add_argument('--directory', default=os.getcwd())
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.directory) as where:
        state, conf_file = os.path.join(where, 'state'), os.path.join(where, 'nova.conf')
        conf = base.make_conf(state)
        with contextlib.closing(journal.open_journal(conf, HOST)) as opened:
            template(opened)
        multiply(os.path.join(state, f'{HOST}.sqlite'), args.kept, args.unsettled)
        with open(conf_file, 'w', encoding='utf-8') as file:
            file.write(f'[DEFAULT]\nhost = {HOST}\n[migsafe]\nstate_path = {state}\n')
        table, bare = prettytable.PrettyTable(HEADER), 0.0
        for command in COMMANDS:
            took, processor, lines = min(timed(conf_file, command) for _ in range(3))
            bare = bare or took
            table.add_row([' '.join(command), f'{took:.2f}', f'{took - bare:.2f}',
                           f'{processor:.2f}', lines])
        begun = time.perf_counter()
        with contextlib.closing(journal.open_journal(conf, HOST)) as opened:
            table.add_row(['(open)', f'{time.perf_counter() - begun:.3f}', '', '', ''])
            begun = time.perf_counter()
            count = opened.purge(datetime.datetime.max)
            table.add_row(['(purge)', f'{time.perf_counter() - begun:.1f}', '', '', count])
    print(table)
    return 0


if __name__ == '__main__':
    sys.exit(main())
