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

    python benchmarks/recovery.py [--counts 10,30] [--json]

An armed laboratory with real Nova: so many guests fail to migrate while Cinder refuses to delete
any attachment, so that each leaves a transaction on hold. Then Cinder works again, and one pass
settles them all, each by evidence from both hosts and by reading everything back. Memory must
not grow with their number, and nova-compute must answer meanwhile. The array of the laboratory has
numbers for 34 guests.
"""

import argparse
import gc
import json
import logging
import sys
import threading
import time
import tracemalloc
import warnings

import prettytable

HEADER = ('unsettled', 'settled', 'seconds', 'ms each', 'asked', 'longest ms', 'peak KiB',
          'kept KiB')


class Forgetful(list):
    """A trace of the laboratory that keeps nothing, as it would count as memory of recovery."""

    def append(self, _effect):
        """Let it go."""


class Caller(threading.Thread):
    """Somebody who goes on asking the nova-compute that recovers something of its own.

    :ivar longest: seconds that an answer took at most
    """

    def __init__(self, lab):
        super().__init__(daemon=True)
        self.longest, self.asked, self._done, self._lab = 0.0, 0, threading.Event(), lab

    def run(self):
        """Ask until it is over."""
        from nova import context
        manager = self._lab.stack.computes[self._lab.source].manager
        while not self._done.wait(0.01):
            begun = time.perf_counter()
            manager.get_host_uptime(context.get_admin_context())
            self.longest = max(self.longest, time.perf_counter() - begun)
            self.asked += 1

    def stop(self):
        """End, and wait for it."""
        self._done.set()
        self.join()


def leave(lab, count):
    """Let so many migrations fail, and their way back too.

    :returns: the guests
    """
    from migsafe.replay.lab import case, faults
    guests = [lab.new_server(1) for _ in range(count)]
    for server in guests:
        lab.world.volumes = list(server.volumes)
        lab.arm_faults(case.Case('fails', faults=(
            faults.Fault('libvirt', 'migrateToURI3', 'job-fail', lab.source),
            faults.Fault('cinder', 'attachments.delete', 'cinder-500',
                         times=faults.FOR_EVER))), 'migrate')
        lab.migrate(server)
    lab.world.rule = None
    lab.pass_time(3600)
    return guests


def recover(lab, count, watched):
    """Leave ``count`` transactions, recover, and look.

    :param watched: whether memory is measured, which takes several times as long
    """
    from migsafe.nova.host import registry
    lab.clean()
    lab.forget()
    guests = leave(lab, count)
    journal = registry.of(lab.stack.computes[lab.source].manager).journal
    opened = [tx.uuid for tx in journal.unsettled()]
    lab.world.trace = Forgetful()
    gc.collect()
    caller = Caller(lab)
    caller.start()
    found = {}
    if watched:
        tracemalloc.start()
    begun = time.perf_counter()
    lab.recover_one(lab.source)
    seconds = time.perf_counter() - begun
    caller.stop()
    if watched:
        found['peak KiB'] = tracemalloc.get_traced_memory()[1] // 1024
        gc.collect()
        found['kept KiB'] = tracemalloc.get_traced_memory()[0] // 1024
        tracemalloc.stop()
    else:
        found.update({'seconds': round(seconds, 2), 'ms each': round(seconds * 1000 / count, 1),
                      'asked': caller.asked, 'longest ms': round(caller.longest * 1000)})
    lab.world.trace = []
    found['unsettled'] = len(opened)
    found['settled'] = sum(journal.get(uuid, 'source').state == 'settled' for uuid in opened)
    found['left'] = sum(len(lab.observer(server).look()) for server in guests)
    return found


def measure(lab, count):
    """One row: its time from one pass, its memory from another.

    :raises SystemExit: if not all were left, settled and clean
    """
    row = {}
    for watched in (False, True):
        found = recover(lab, count, watched)
        if (found['unsettled'], found['settled'], found['left']) != (count, count, 0):
            sys.exit(f'not all of {count} were left and settled: {found}')
        row.update(found)
    return {name: row[name] for name in HEADER}


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--counts', default='10,30')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    warnings.simplefilter('ignore')
    import nova.conf

    from migsafe.replay.lab import lab as lab_lab
    with lab_lab.Lab(armed=True) as lab:
        for quota in ('instances', 'cores', 'ram'):
            nova.conf.CONF.set_override(quota, -1, 'quota')
        # a warning a guest would take longer than the guest
        logging.disable(logging.ERROR)
        rows = [measure(lab, int(count)) for count in args.counts.split(',')]
    if args.json:
        json.dump(rows, sys.stdout, indent=1)
    else:
        table = prettytable.PrettyTable(HEADER)
        for row in rows:
            table.add_row([row[name] for name in HEADER])
        print(table)


if __name__ == '__main__':
    main()
