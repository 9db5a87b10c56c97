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
"""What migsafe adds to a healthy live migration, against plain Nova.

    python benchmarks/migration.py [--rounds 20] [--volumes 1,2,8] [--json]

Two laboratories on the same fixtures, one plain and one armed, each in a
process of its own, migrate in turns, so that both see the same machine. What
is measured is the time from the API request to the end of all work; nothing
of it is the transfer of memory, so the ratio is the worst that a real
migration can see. Recovery is at work on both hosts, as in a nova-compute.

The journals lie where TMPDIR says; a tmpfs would hide what their disk costs. Of their commits
the table has those of both hosts together that wait for the disk ("synced") and those that do
not, of one migration, and the median time that one of each took. Recovery writes its
heartbeats beside the migration, so a long one may show more than it makes itself.
"""

import argparse
import json
import logging
import multiprocessing
import statistics
import sys
import time
import warnings

import prettytable

HEADER = ('volumes', 'plain ms', 'migsafe ms', 'ratio', 'ms per volume', 'plain calls',
          'migsafe calls', 'synced commits', 'other commits', 'ms per synced', 'ms per other')


class Commits:
    """Counts and times what the journals of a process write."""

    def __init__(self, store):
        self.times, self._real = {True: [], False: []}, store.Store.write
        commits = self

        def write(store_, what, work, synced=True):
            begun = time.perf_counter()
            try:
                return commits._real(store_, what, work, synced)
            finally:
                commits.times[synced].append(time.perf_counter() - begun)
        store.Store.write = write

    def take(self):
        """(synced, others) since the last call, in seconds each."""
        found = self.times[True], self.times[False]
        self.times = {True: [], False: []}
        return found


def serve(armed, pipe):
    """Migrate a new guest for every number of volumes that comes through the pipe."""
    warnings.simplefilter('ignore')
    logging.disable(logging.CRITICAL)
    from migsafe.replay.lab import lab as lab_lab  # isort: skip (before anything of Nova)
    from migsafe.journal import store
    from migsafe.nova.host import recovery, registry
    commits = Commits(store)
    begin = recovery.Recovery.start  # a laboratory makes its own passes instead
    with lab_lab.Lab(armed=armed) as lab:
        logging.disable(logging.CRITICAL)
        for host in lab.parts.hosts if armed else ():
            with lab.world.entered(lab.parts.processes[host]):
                begin(registry.of(lab.stack.computes[host].manager).recovery)
        pipe.send('ready')
        while (volumes := pipe.recv()) is not None:
            lab.clean()
            server = lab.new_server(volumes)
            lab.world.reset()
            commits.take()
            begun = time.perf_counter()
            lab.migrate(server)
            seconds = time.perf_counter() - begun
            kinds = [effect.kind for effect in lab.world.trace]
            pipe.send((seconds, len(kinds) - kinds.count('journal'), commits.take(),
                       lab.show(server)['OS-EXT-SRV-ATTR:host'] == lab.destination))


def start(armed):
    """A laboratory in a process of its own."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context('spawn').Process(
        target=serve, args=(armed, there), daemon=True)
    process.start()
    if here.recv() != 'ready':
        raise RuntimeError('the laboratory did not start')
    return here, process


def measure(pipes, volumes, rounds):
    """One row: medians over ``rounds`` migrations on each side, in turns."""
    seen = {name: [] for name in pipes}
    for number in range(rounds + 1):
        for name, pipe in pipes.items():
            pipe.send(volumes)
            answer = pipe.recv()
            if not answer[3]:
                raise RuntimeError(f'{name}: the migration failed')
            if number:  # the first one fills caches
                seen[name].append(answer)
    plain, armed = (statistics.median(a[0] for a in seen[n]) * 1000
                    for n in ('plain', 'migsafe'))
    last = {name: answers[-1] for name, answers in seen.items()}
    times = [[second for answer in seen['migsafe'] for second in answer[2][kind]]
             for kind in (0, 1)]
    return dict(zip(HEADER, (
        volumes, round(plain, 1), round(armed, 1), round(armed / plain, 3),
        round((armed - plain) / max(volumes, 1), 2), last['plain'][1], last['migsafe'][1],
        *(round(statistics.median(len(answer[2][kind]) for answer in seen['migsafe']))
          for kind in (0, 1)),
        *(round(statistics.median(found) * 1000, 2) for found in times)), strict=True))


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rounds', type=int, default=20)
    parser.add_argument('--volumes', default='1,2,8')
    parser.add_argument('--json', action='store_true')
    args = parser.parse_args()
    started = {'plain': start(False), 'migsafe': start(True)}
    pipes = {name: pipe for name, (pipe, _process) in started.items()}
    rows = [measure(pipes, int(number), args.rounds) for number in args.volumes.split(',')]
    for pipe, process in started.values():
        pipe.send(None)
        process.join(30)
    if args.json:
        json.dump(rows, sys.stdout, indent=1)
        return
    table = prettytable.PrettyTable(HEADER)
    for row in rows:
        table.add_row([row[name] for name in HEADER])
    print(table)


if __name__ == '__main__':
    main()
