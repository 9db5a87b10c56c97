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
"""Recovery of many unsettled transactions: how long, and how much memory.

    python benchmarks/recovery.py [--counts 100,1000] [--json]

An armed laboratory with real Nova: that many transactions of one guest that
runs on the source are left unsettled, and one pass settles them all, each by
evidence from both hosts and by reading everything back. Memory must not grow
with their number.
"""

import argparse
import gc
import json
import logging
import sys
import time
import tracemalloc
import uuid
import warnings

import prettytable

HEADER = ('unsettled', 'settled', 'seconds', 'ms each', 'peak KiB', 'kept KiB')


class Forgetful(list):
    """A trace of the laboratory that keeps nothing, as it would count as memory of recovery."""

    def append(self, _effect):
        """Let it go."""


def measure(lab, count):
    """Leave ``count`` transactions, recover, and look."""
    from migsafe.nova import arming
    from migsafe.nova.host import registry
    lab.clean()
    server = lab.new_server(1)
    lab.world.reset()
    manager = lab.stack.computes[lab.source].manager
    journal = registry.of(manager).journal
    opened = [journal.begin(str(uuid.uuid4()), 'source', server.uuid, lab.source,
                            lab.destination) for _ in range(count)]
    lab.world.trace = Forgetful()
    gc.collect()
    tracemalloc.start()
    begun = time.perf_counter()
    with lab.world.entered(lab.parts.processes[lab.source]):
        arming.recover_once(manager)
    seconds = time.perf_counter() - begun
    peak = tracemalloc.get_traced_memory()[1]
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    lab.world.trace = []
    settled = sum(journal.get(tx.uuid, 'source').state == 'settled' for tx in opened)
    return dict(zip(HEADER, (count, settled, round(seconds, 2),
                             round(seconds * 1000 / count, 1), peak // 1024, kept // 1024),
                    strict=True))


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--counts', default='100,1000')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    from migsafe.replay.lab import lab as lab_lab
    with lab_lab.Lab(armed=True) as lab:
        logging.disable(logging.CRITICAL)
        rows = [measure(lab, int(count)) for count in args.counts.split(',')]
    if args.json:
        json.dump(rows, sys.stdout, indent=1)
    else:
        table = prettytable.PrettyTable(HEADER)
        for row in rows:
            table.add_row([row[name] for name in HEADER])
        print(table)
    if any(row['settled'] != row['unsettled'] for row in rows):
        sys.exit('not all of them were settled')


if __name__ == '__main__':
    main()
