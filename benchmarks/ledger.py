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
"""What the ledger of exports costs with many rows: ``python benchmarks/ledger.py [ROWS]``.

Prints milliseconds of a commit, and seconds and memory of a walk over all rows.
"""

import json
import os
import resource
import sys
import tempfile
import time

import sqlalchemy as sa
from oslo_utils import timeutils

from migsafe import ledger
from migsafe.ledger import api, models, records
from migsafe.tests.unit.journal import base


def fill(store: api.Ledger, count: int) -> None:
    """Write rows as attaches leave them, a target and a mapping each."""
    peer = records.Peer.of({'host': 'node13', 'initiator': 'iqn.1994-05.com.redhat:13',
                            'ip': '172.24.9.13', 'multipath': True})
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
                 'initiators': json.dumps(one.initiators), 'connector': one.connector}
                for number in range(start, min(start + 10_000, count))
                for one in (records.Peer(), peer)])


def commits(store: api.Ledger, rounds: int = 200) -> float:
    """Milliseconds of a commit, of intents and outcomes in turn."""
    peer = records.Peer.of({'host': 'node11', 'initiator': 'iqn.11'})
    start = time.perf_counter()
    for number in range(rounds):
        thing = api.Thing('volume', f'new-{number}')
        store.intend(thing, [records.Peer(), peer], 'mapping', judge=lambda others: None)
        store.settle(thing, ['', peer.key], 'mapped', lun='4')
    return (time.perf_counter() - start) * 1000 / (2 * rounds)


def main() -> None:
    """Measure an empty ledger, and a full one."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(dir=os.environ.get('MIGSAFE_BENCH_DIR')) as directory:
        conf = base.make_conf('/nonexistent', ledger_path=f'{directory}/ledgers')
        store = ledger.open_ledger(conf, 'node@array')
        print(f'commit, empty ledger: {commits(store):.2f} ms')
        fill(store, count)
        print(f'commit, {count} exports: {commits(store):.2f} ms')
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        found = sum(1 for _ in store.exports())
        seconds = time.perf_counter() - start
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
        print(f'walk over {found} rows: {seconds:.1f} s, {grown} MiB more')
        start = time.perf_counter()
        store.due(timeutils.utcnow())
        print(f'what is due: {(time.perf_counter() - start) * 1000:.2f} ms')
        size = os.path.getsize(f'{directory}/ledgers/node@array.sqlite') // 2**20
        print(f'file: {size} MiB')


if __name__ == '__main__':
    main()
