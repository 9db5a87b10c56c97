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
"""Runs the matrix, or a part of it, without a test runner, and prints the table.

With MIGSAFE_CASE only that case is run; ``--table`` prints what stestr has recorded.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import sys
import threading

from migsafe.tests.functional.matrix import catalogue, examine, table


def main() -> int:
    """Run; 1 if a case failed."""
    parser = argparse.ArgumentParser(prog='python -m migsafe.tests.functional.matrix',
                                     description=__doc__)
    parser.add_argument('--table', action='store_true', help='only print the last table')
    parser.add_argument('--forget', action='store_true', help='only begin a new table')
    parser.add_argument('--list', action='store_true', help='only print the cases')
    parser.add_argument('--resume', action='store_true',
                        help='keep what is recorded and run only the rest')
    parser.add_argument('--every', type=int, default=1, help='run each Nth case')
    parser.add_argument('--first', type=int, default=0, help='begin with this case')
    parser.add_argument('--seed', type=int, help='take them in an order drawn by this')
    parser.add_argument('--count', type=int, default=sys.maxsize, help='run so many')
    parser.add_argument('--kind', action='append', choices=('single', 'kill', 'pair'))
    parser.add_argument('--jobs', type=int, default=2)
    args = parser.parse_args()
    if args.forget:
        table.forget()
        return 0
    if args.table:
        return _report([found['name'] for found in table.results() if found['wrong']])
    if 'MIGSAFE_CASE' in os.environ:
        chosen = [catalogue.Entry(os.environ['MIGSAFE_CASE'], 'single', True)]
        return _run(chosen, 1)
    found = catalogue.load()
    chosen = [e for e in found.entries if not args.kind or e.kind in args.kind]
    if args.seed is not None:
        random.Random(args.seed).shuffle(chosen)
    chosen = chosen[args.first::args.every][:args.count]
    for reason in found.left_out:
        print(f'left out: {reason}')
    if args.list:
        print('\n'.join(e.name for e in chosen))
        return 0
    if args.resume:
        known = {finding['name'] for finding in table.results()}
        chosen = [e for e in chosen if e.name not in known]
    else:
        table.forget()
    return _run(chosen, args.jobs)


def _run(chosen: list[catalogue.Entry], jobs: int) -> int:
    failed = []
    todo, done = iter(chosen), itertools.count(1)
    lock = threading.Lock()

    def work() -> None:
        examiner = examine.Examiner()
        try:
            while True:
                with lock:
                    entry = next(todo, None)
                if entry is None:
                    return
                finding = examiner.examine(entry)
                with lock:
                    examine.record(finding)
                    print(f'{next(done)}/{len(chosen)} {finding.seconds:.1f} s '
                          f'{"BAD" if finding.wrong else "ok"} {finding.name}', flush=True)
                    if finding.wrong:
                        failed.append(finding.name)
                        print(examine.text(finding), flush=True)
        finally:
            examiner.stop()

    workers = [threading.Thread(target=work) for _ in range(jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return _report(failed)


def _report(failed: list[str]) -> int:
    found = table.results()
    print(table.table(found))
    print(f'plain Nova left: {table.kinds(found)}')
    for name in failed:
        print(f'failed: {name}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
