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
"""Counts how migrations end whose calls are cut: each call with each fault, and drawn ones."""

from __future__ import annotations

import argparse
import collections
import sys
import time
from collections.abc import Callable, Iterator

from migsafe.tests.proxied import bridge, runs

Plan = Callable[[int], list[str]]
#: How often the same call is struck: once, and until nobody tries any more.
TIMES = (1, 8)


def plans(args: argparse.Namespace, calls: int) -> Iterator[tuple[str, Plan]]:
    """What is to be run, by name."""
    if args.each:
        for times in TIMES:
            for number, fault in bridge.everywhere(calls):
                yield f'call {number}, {times} times {fault}', bridge.at(number, fault, times)
    for number in range(args.first, args.first + args.drawn):
        yield f'drawn {number}', bridge.drawn(f'{args.seed}/{number}')


def count(args: argparse.Namespace) -> bool:
    """Run them; whether all ended well."""
    ends: collections.Counter[str] = collections.Counter()
    fired: collections.Counter[str] = collections.Counter()
    bad, began = 0, time.monotonic()
    with runs.started(not args.plain) as made:
        healthy = made.run(lambda number: [])
        if healthy.how != runs.COMMITTED:
            raise RuntimeError(f'without any fault it ends {healthy}')
        for name, plan in plans(args, len(healthy.names)):
            ended = made.run(plan)
            ends[ended.how] += 1
            ends['done twice'] += bool(ended.twice)
            fired += ended.fired
            if not ended.good:
                bad += 1
                print(f'{name}: {ended.how} {ended.left} {ended.twice} {ended.harms} '
                      f'{ended.waited}',
                      file=args.out, flush=True)
    total = sum(ends[how] for how in (*runs.GOOD, runs.LEFT, runs.STUCK))
    print(f'{"plain" if args.plain else "armed"}: {total} migrations of {len(healthy.names)} '
          f'calls, {dict(ends)}, {bad} not well; faults {dict(fired)}; '
          f'{time.monotonic() - began:.0f} seconds', file=args.out, flush=True)
    return not bad


def main() -> int:
    """0 if all ended well, or Nova is plain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--each', action='store_true', help='each call with each fault')
    parser.add_argument('--drawn', type=int, default=0, metavar='COUNT')
    parser.add_argument('--first', type=int, default=0, metavar='NUMBER')
    parser.add_argument('--seed', default='15')
    parser.add_argument('--plain', action='store_true', help='Nova without migsafe')
    args = parser.parse_args()
    args.out = sys.stdout
    return 0 if count(args) or args.plain else 1


if __name__ == '__main__':
    sys.exit(main())
