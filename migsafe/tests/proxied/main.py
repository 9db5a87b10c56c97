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
"""Counts how migrations end whose calls are cut: each call with each fault, and drawn ones.

With ``--to FILE`` each one is a line there, and those that it has already are not run again.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterator

from migsafe.tests.proxied import bridge, runs

Plan = Callable[[int], list[str]]
#: How often the same call is struck: once, and until nobody tries any more.
TIMES = (1, 8)
#: After so many it is said how it stands.
EVERY = 10


def plans(args: argparse.Namespace, calls: int) -> Iterator[tuple[str, Plan]]:
    """What is to be run, by name."""
    if args.each:
        for times in TIMES[:1 if args.once else None]:
            for number, fault in bridge.everywhere(calls):
                yield f'call {number}, {times} times {fault}', bridge.at(number, fault, times)
    for number in range(args.first, args.first + args.drawn):
        yield f'drawn {args.seed}/{number}', bridge.drawn(f'{args.seed}/{number}')


def count(args: argparse.Namespace) -> bool:
    """Run them; whether all ended well."""
    tally = Tally(args)
    part, of = map(int, args.part.split('/'))
    with runs.started(not args.plain) as made:
        healthy = made.run(lambda number: [])
        if healthy.how != runs.COMMITTED:
            raise RuntimeError(f'without any fault it ends {healthy}')
        for name, plan in list(plans(args, len(healthy.names)))[part::of]:
            if name not in tally.known:
                tally.add(name, made.run(plan))
                if tally.total % EVERY == 0:
                    tally.say()
    tally.say()
    return not tally.bad and tally.total > 0


class Tally:
    """How they have ended so far.

    :ivar known: those that were run before
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self._name, self._began = 'plain' if args.plain else 'armed', time.monotonic()
        self.ends: collections.Counter[str] = collections.Counter()
        self.fired: collections.Counter[str] = collections.Counter()
        self.bad = self.total = self.struck = 0
        self._to, self.known = pathlib.Path(args.to or '/dev/null'), set()
        for line in self._to.read_text().splitlines() if args.to and self._to.exists() else ():
            one = json.loads(line)
            if one['side'] != self._name:
                raise ValueError(f'{self._to} has migrations that were {one["side"]}')
            self.known.add(one['name'])
            self._count(runs.Ended(**{**one['ended'], 'fired': collections.Counter(
                one['ended']['fired'])}))

    def add(self, name: str, ended: runs.Ended) -> None:
        """One more; what has not ended well is said at once."""
        self._count(ended)
        with self._to.open('a') as to:
            # a Counter does not survive asdict()
            plain = dataclasses.replace(ended, fired=dict(ended.fired))
            to.write(json.dumps({'name': name, 'side': self._name,
                                 'ended': dataclasses.asdict(plain)}) + '\n')
        if not ended.good:
            print(f'{name}: {ended.how} {ended.left} {ended.twice} {ended.harms} {ended.waited}',
                  flush=True)

    def _count(self, ended: runs.Ended) -> None:
        self.total += 1
        self.struck += bool(ended.fired)
        self.ends[ended.how] += 1
        self.ends['done twice'] += bool(ended.twice)
        self.fired.update(ended.fired)
        self.bad += not ended.good

    def say(self) -> None:
        """All of them."""
        print(f'{self._name}: {self.total} migrations, {self.struck} with a fault: '
              f'{dict(self.ends)}, {self.bad} not well; faults {dict(self.fired)}; '
              f'{time.monotonic() - self._began:.0f} seconds', flush=True)


def main() -> int:
    """0 if all ended well, or Nova is plain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--each', action='store_true', help='each call with each fault')
    parser.add_argument('--once', action='store_true', help='of --each, not again and again')
    parser.add_argument('--part', default='0/1', help='I/N: of all, those from I on by N')
    parser.add_argument('--to', metavar='FILE', help='where each one becomes a line')
    parser.add_argument('--drawn', type=int, default=0, metavar='COUNT')
    parser.add_argument('--first', type=int, default=0, metavar='NUMBER')
    parser.add_argument('--seed', default='15')
    parser.add_argument('--plain', action='store_true', help='Nova without migsafe')
    args = parser.parse_args()
    return 0 if count(args) or args.plain else 1


if __name__ == '__main__':
    sys.exit(main())
