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
"""Runs the fault matrix with migsafe on one of the two hosts, and prints what went worse.

Both halves of a case, and its control, are run by one job, so that plain Nova runs once for both.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import sys
import threading

from migsafe.tests.functional.matrix import client, halves


def main() -> int:
    """Run; 1 if a case went worse than on plain Nova."""
    parser = argparse.ArgumentParser(prog='python -m migsafe.tests.functional.matrix.halved',
                                     description=__doc__)
    parser.add_argument('--half', action='append', choices=client.HALVES)
    parser.add_argument('--wanted', default='all', choices=('all', 'some'),
                        help='all failures and kills of each effect, or some of them')
    parser.add_argument('--count', type=int, default=sys.maxsize, help='run so many of each half')
    parser.add_argument('--seed', type=int, default=0, help='which ones')
    parser.add_argument('--name', action='append', help='run this case')
    parser.add_argument('--list', action='store_true', help='only print the cases')
    parser.add_argument('--jobs', type=int, default=2)
    args = parser.parse_args()
    chosen: list[halves.Half] = []
    for half in args.half or client.HALVES:
        chosen += [halves.named(half, name) for name in args.name] if args.name else \
            halves.drawn(halves.cases(half, args.wanted, args.seed), args.count, args.seed)
    if args.list:
        print('\n'.join(f'{case.half} {case.name}' for case in chosen))
        return 0
    return _run(chosen, args.jobs)


def _run(chosen: list[halves.Half], jobs: int) -> int:
    groups: dict[str, list[halves.Half]] = collections.defaultdict(list)
    for case in chosen:
        groups[case.control].append(case)
    todo, done, lock = iter(groups.values()), itertools.count(1), threading.Lock()
    results: list[halves.Result] = []

    def work() -> None:
        examiner = halves.Examiner()
        try:
            while True:
                with lock:
                    group = next(todo, None)
                if group is None:
                    return
                for case in group:
                    found = examiner.examine(case)
                    with lock:
                        results.append(found)
                        print(f'{next(done)}/{len(chosen)} {halves.text(found)}', flush=True)
        finally:
            examiner.stop()

    workers = [threading.Thread(target=work) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    print(halves.table(results))
    return 1 if any(r.difference.worse and not r.broken for r in results) else 0


if __name__ == '__main__':
    sys.exit(main())
