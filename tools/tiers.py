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
"""Run the tiers of tests and count what really happened.

Without options a sample of the slow tiers is run, which is drawn by the commit; with --all,
everything. ``tools/test.sh`` calls this in an environment that has what the tests need. The last
line printed is ``N passed, N failed, N skipped``: each test, each check as one, and what gave no
result as one failure under its own name. Tests that were not drawn are in none of the three.
"""

import argparse
import os
import signal
import sys

from migsafe.tests import sampling
from tools.suite import durations, processes, results, steps, table
from tools.suite.run import Run, forget


def stop(number: int, _frame: object) -> None:
    """Leave nothing running behind when this is told to end."""
    processes.end_all()
    os._exit(128 + number)


def parser() -> argparse.ArgumentParser:
    """The options."""
    names = ", ".join(table.owners())
    made = argparse.ArgumentParser(prog="tools/test.sh", description=__doc__)
    made.add_argument("names", nargs="*", metavar="TIER", help=names)
    made.add_argument("--all", action="store_true", help="the whole of each tier, no samples")
    made.add_argument("--seed", help="of the samples; by default the commit")
    made.add_argument("--only", metavar="REGEX", default="", help="of the tests, those that match")
    made.add_argument(
        "--workers", type=int, default=max(2, min(4, os.cpu_count() or 2)), help="at a time"
    )
    made.add_argument(
        "--minutes",
        type=float,
        help=f"end what runs after so long; {table.DEADLINE} by default, and with --all never",
    )
    return made


def main() -> int:
    """Run all tiers, or the named ones. Exit code 0: nothing failed."""
    arguments = parser()
    args = arguments.parse_args()
    owners = table.owners()
    names = args.names or list(owners)
    if unknown := sorted(set(names) - set(owners)):
        arguments.error(f"no such tier: {', '.join(unknown)}; there are {', '.join(owners)}")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    seed = None if args.all else args.seed or sampling.seed_of(steps.ROOT)
    forget(names)
    results.say(
        f"seed of the samples: {seed}; the same again: --seed {seed}; everything: --all"
        if seed
        else "the whole of each tier"
    )
    run = Run([owners[name] for name in owners if name in names], seed, args.workers, args.only)
    run.run(args.minutes or (None if args.all else table.DEADLINE))
    durations.write(run.measured(), steps.RESULTS / "durations.json")
    for name, tally in run.tallies.items():
        if tally.flaky or tally.counts["failed"]:
            results.say("", name, *tally.lines)
    results.say("", *results.table(run.tallies))
    total = results.total(run.tallies.values())
    results.say(results.line_of(total))
    return 1 if total["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
