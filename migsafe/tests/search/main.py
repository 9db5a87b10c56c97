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
"""Search the space of schedules: ``python -m migsafe.tests.search --help``."""

import argparse
import collections
import gc
import pathlib
import sys
import time

from migsafe.tests.search import generate, run, script, seams, shrink, unmended

#: Schedules between two collections: what a world leaves is a circle.
COLLECT = 100


def search(seeds, report, **options):
    """Run the schedules of some seeds.

    :param seeds: numbers
    :param report: called with (seed, script, result) of each
    :param options: of :func:`run.run`
    """
    gc.disable()
    try:
        with seams.installed():
            for count, seed in enumerate(seeds):
                schedule = generate.generate(seed)
                report(seed, schedule, run.run(schedule, **options))
                if count % COLLECT == COLLECT - 1:
                    gc.collect()
    finally:
        gc.enable()


class Tally:
    """Counts, and keeps the first schedule of each way to break an invariant.

    :param keep: how many ways are shrunk and shown
    """

    def __init__(self, keep=40):
        self.counts, self.fired = collections.Counter(), collections.Counter()
        self.first, self.ways, self._keep = {}, collections.Counter(), keep
        self.migrations = self.steps = 0

    def __call__(self, seed, schedule, result):
        self.counts['schedules'] += 1
        self.migrations += result.migrations
        self.steps += result.steps
        self.fired.update(f'{key[0]}' for key in result.fired)
        if result.breaches:
            self.counts['broken'] += 1
            self.counts[result.breaches[0].kind] += 1
            self.ways[result.signature] += 1
            self.first.setdefault(result.signature, (
                seed, self.counts['schedules'], schedule, result))
        else:
            self.counts['plain Nova' if result.plain else 'clean'] += 1

    def show(self, **options):
        """Print the shortest schedules."""
        for number, (signature, found) in enumerate(self.first.items()):
            seed, count, schedule, result = found
            if number == self._keep:
                print(f'... and {len(self.first) - number} other ways')
                break
            with seams.installed():
                shortest = shrink.shrink(schedule, result, **options)
                again = run.run(shortest, **options)
            print(f'\n# {signature}\n# first after {count} schedules, '
                  f'{self.ways[signature]} times; seed {seed}:')
            print(f'# {again.breaches[0]}\n{shortest}', flush=True)


def replay(schedule, **options):
    """Run one schedule and print what happened, second by second."""
    print(schedule)
    with seams.installed():
        result = run.run(schedule, **options)
    for moment, host, text in result.trace:
        print(f'{moment:9.1f} {host} {text}')
    for name, error in result.errors:
        print(f'          {name} ended with {type(error).__name__}: {str(error)[:300]}')
    for breach in result.plain:
        print(f'plain Nova: {breach}')
    for breach in result.breaches:
        print(f'BROKEN: {breach}')
    return 1 if result.breaches else 0


def find(number, seeds):
    """The first schedule that breaks an invariant only without the mendings of a fault.

    :returns: (how many schedules were run until then, seed, the breach), or None
    """
    with seams.installed():
        for count, seed in enumerate(seeds, 1):
            schedule = generate.generate(seed)
            with unmended.unmended(number):
                result = run.run(schedule)
            if result.breaches and not run.run(schedule).breaches:
                return count, seed, result.breaches[0]
            gc.collect()
    return None


def _found(number, seeds):
    what = unmended.FAULTS[number].what
    found = find(number, seeds)
    if found is None:
        print(f'{number} ({what}) is not found in {len(seeds)} schedules')
        return 1
    print(f'{number} ({what}) is found after {found[0]} schedules, seed {found[1]}: {found[2]}')
    return 0


def main(arguments=None):
    """Exit code 0: no invariant was broken."""
    parser = argparse.ArgumentParser(prog='python -m migsafe.tests.search', description=(
        'Run schedules of kills, losses, delays and lies against three hosts in virtual time.'))
    parser.add_argument('--schedules', type=int, default=1000, help='how many')
    parser.add_argument('--first', type=int, default=0, help='the first seed')
    parser.add_argument('--seed', type=int, help='run the schedule of this seed alone')
    parser.add_argument('--replay', metavar='FILE', help='run the schedule in a file')
    parser.add_argument('--plain', action='store_true',
                        help='no host has the plugin, and what plain Nova does counts')
    parser.add_argument('--unmended', type=int, choices=sorted(unmended.FAULTS), metavar='FAULT',
                        help='take out the mendings of a fault, 1 to 5, and see when it is found')
    parser.add_argument('--shrink', action='store_true', help='with --seed or --replay')
    given = parser.parse_args(arguments)
    options = {'plain': True} if given.plain else {}
    if given.replay or given.seed is not None:
        schedule = (script.parse(pathlib.Path(given.replay).read_text('utf-8'))
                    if given.replay else generate.generate(given.seed))
        if given.shrink:
            schedule = shrink.shrink(schedule, run.run(schedule, **options), **options)
        return replay(schedule, **options)
    seeds = range(given.first, given.first + given.schedules)
    if given.unmended:
        return _found(given.unmended, seeds)
    tally, begin = Tally(), time.process_time()
    search(seeds, tally, **options)
    seconds = time.process_time() - begin
    print(', '.join(f'{value} {name}' for name, value in sorted(tally.counts.items())))
    print(f'{tally.migrations} moves, {tally.steps} steps, faults that fired: '
          f'{dict(tally.fired)}; {seconds:.0f} s of processor time, '
          f'{1000 * seconds / max(1, given.schedules):.1f} ms a schedule')
    tally.show(**options)
    return 1 if tally.counts['broken'] else 0


if __name__ == '__main__':
    sys.exit(main())
