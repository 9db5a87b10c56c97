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
          'migsafe calls', 'journal commits')


def serve(armed, pipe):
    """Migrate a new guest for every number of volumes that comes through the pipe."""
    warnings.simplefilter('ignore')
    logging.disable(logging.CRITICAL)
    from migsafe.replay.lab import lab as lab_lab  # isort: skip (before anything of Nova)
    from migsafe.nova.host import recovery, registry
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
            begun = time.perf_counter()
            lab.migrate(server)
            seconds = time.perf_counter() - begun
            kinds = [effect.kind for effect in lab.world.trace]
            pipe.send((seconds, len(kinds) - kinds.count('journal'), kinds.count('journal'),
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
    return dict(zip(HEADER, (
        volumes, round(plain, 1), round(armed, 1), round(armed / plain, 3),
        round((armed - plain) / max(volumes, 1), 2), last['plain'][1], last['migsafe'][1],
        last['migsafe'][2]), strict=True))


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
