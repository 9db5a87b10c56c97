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
"""Recovery of many unsettled transactions: how long, how much memory, and who has to wait.

    python benchmarks/recovery.py [--counts 10,1000] [--json]

An armed laboratory with real Nova: so many guests fail to migrate while Cinder refuses to delete
any attachment, so that each leaves a transaction on hold. Then Cinder works again, and one pass
settles them all, each by evidence from both hosts and by reading everything back. Memory must
not grow with their number, and nova-compute must answer meanwhile. To boot a guest and to let its
migration fail takes about a second of a processor, and is not measured.
"""

import argparse
import gc
import json
import logging
import os
import statistics
import sys
import threading
import time
import warnings
from unittest import mock

import prettytable

HEADER = ('unsettled', 'settled', 'seconds', 'cpu s', 'ms each', 'asked', 'median ms', '99 % ms',
          'longest ms', 'MiB before', 'MiB more')
REPORT = 'nova.scheduler.client.report.SchedulerReportClient'
#: Guests that the laboratory's judge looks at one by one.
JUDGED = 100
MIB = 1 << 20


class Forgetful(list):
    """A trace of the laboratory that keeps nothing, as it would count as memory of recovery."""

    def append(self, _effect):
        """Let it go."""


def resident():
    """MiB of this process in memory."""
    with open('/proc/self/statm', encoding='ascii') as pages:
        return int(pages.read().split()[1]) * os.sysconf('SC_PAGESIZE') / MIB


class Caller(threading.Thread):
    """Somebody who goes on asking the nova-compute that recovers something of its own.

    :ivar waits: milliseconds that each answer took
    :ivar most: MiB that the process had in memory at the most
    """

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.waits, self.most, self._done, self._lab = [], resident(), threading.Event(), lab

    def run(self):
        """Ask until it is over."""
        from nova import context
        manager = self._lab.stack.computes[self._lab.source].manager
        while not self._done.wait(0.01):
            begun = time.perf_counter()
            manager.get_host_uptime(context.get_admin_context())
            self.waits.append((time.perf_counter() - begun) * 1000)
            self.most = max(self.most, resident())

    def stop(self):
        """End, and wait for it."""
        self._done.set()
        self.join()


def leave(lab, count):
    """Let so many migrations fail, and their way back too.

    :returns: the guests
    """
    from migsafe.replay.lab import case, faults
    guests = []
    for number in range(count):
        server = lab.new_server(1)
        guests.append(server)
        lab.world.volumes = list(server.volumes)
        lab.arm_faults(case.Case('fails', faults=(
            faults.Fault('libvirt', 'migrateToURI3', 'job-fail', lab.source),
            faults.Fault('cinder', 'attachments.delete', 'cinder-500',
                         times=faults.FOR_EVER))), 'migrate')
        lab.migrate(server)
        if number % 50 == 49:
            print(f'{number + 1} of {count} have failed', file=sys.stderr, flush=True)
    lab.world.rule = None
    lab.pass_time(3600)
    return guests


def recover(lab, count):
    """Leave ``count`` transactions, recover, and look."""
    from migsafe.nova.host import registry
    lab.clean()
    lab.forget()
    lab.world.trace = Forgetful()
    guests = leave(lab, count)
    journal = registry.of(lab.stack.computes[lab.source].manager).journal
    opened = [tx.uuid for tx in journal.unsettled(limit=count + 1)]
    gc.collect()
    before = resident()
    caller = Caller(lab)
    caller.start()
    begun, worked = time.perf_counter(), time.process_time()
    lab.recover_one(lab.source)
    seconds, worked = time.perf_counter() - begun, time.process_time() - worked
    caller.stop()
    waits = sorted(caller.waits)
    lab.world.trace = []
    return {
        'unsettled': len(opened),
        'settled': sum(journal.get(uuid, 'source').state == 'settled' for uuid in opened),
        'left': left(lab, guests), 'seconds': round(seconds, 1), 'cpu s': round(worked, 1),
        'ms each': round(seconds * 1000 / count, 1), 'asked': len(waits),
        'median ms': round(statistics.median(waits)), 'longest ms': round(waits[-1]),
        '99 % ms': round(waits[len(waits) * 99 // 100]), 'MiB before': round(before),
        'MiB more': round(caller.most - before, 1)}


def left(lab, guests):
    """How much is left: exports, attachments and devices of all of them, the rest of some."""
    parts = lab.parts
    known = (sum(len(array.exports) for array in parts.san.arrays.values())
             + len(parts.cinder.attachments)
             + sum(len(kernel.devices) for kernel in parts.kernels.values()))
    return known - 3 * len(guests) + sum(
        len(lab.observer(server).look()) for server in guests[::max(1, len(guests) // JUDGED)])


def _make_room(lab):
    """Let one host have more guests than its memory and processors are for."""
    import nova.conf
    from nova import context
    for resource in ('cpu', 'ram', 'disk'):
        nova.conf.CONF.set_override(f'{resource}_allocation_ratio', 1000.0)
    for host, process in lab.parts.processes.items():
        with lab.world.entered(process):
            lab.stack.computes[host].manager.update_available_resource(
                context.get_admin_context())


def measure(lab, count):
    """One row.

    :raises SystemExit: if not all were left, settled and clean
    """
    found = recover(lab, count)
    if (found['unsettled'], found['settled'], found['left']) != (count, count, 0):
        sys.exit(f'not all of {count} were left and settled: {found}')
    return {name: found[name] for name in HEADER}


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--counts', default='10,1000')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    counts = [int(count) for count in args.counts.split(',')]
    warnings.simplefilter('ignore')
    import nova.conf

    from migsafe.replay.lab import lab as lab_lab
    # NOTE: when a guest boots Nova asks Placement for every other one on the host, which its
    # driver needs for vGPUs alone; with 1,000 of them that takes hours.
    with lab_lab.Lab(armed=True) as lab, mock.patch(
            f'{REPORT}.get_allocations_for_provider_tree', return_value={}):
        for quota in ('instances', 'cores', 'ram'):
            nova.conf.CONF.set_override(quota, -1, 'quota')
        _make_room(lab)
        for array in lab.parts.san.arrays.values():
            array.widen(max(counts))
        # a warning a guest would take longer than the guest
        logging.disable(logging.ERROR)
        rows = [measure(lab, count) for count in counts]
    if args.json:
        json.dump(rows, sys.stdout, indent=1)
    else:
        table = prettytable.PrettyTable(HEADER)
        for row in rows:
            table.add_row([row[name] for name in HEADER])
        print(table)


if __name__ == '__main__':
    main()
