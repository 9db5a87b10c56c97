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
"""``python -m migsafe.tests.nova_armed.main``: compare Nova plain and armed."""

import argparse
import dataclasses
import json
import pathlib
import re
import sys
import tempfile
import time

from migsafe.tests import sampling
from migsafe.tests.nova_armed import compare, outcomes, patterns, runner, topdir

BASELINES = pathlib.Path(__file__).parent / "baselines"


def parser() -> argparse.ArgumentParser:
    """The options; also shown in doc/source/contributor/testing.rst."""
    made = argparse.ArgumentParser(prog="nova_armed", description=__doc__)
    made.add_argument("--list", choices=sorted(patterns.TEST_PATHS), default="core")
    made.add_argument("--only", metavar="REGEX", help="of the list, only tests that match")
    made.add_argument(
        "--sample",
        type=int,
        metavar="N",
        help="N tests or so, drawn by --seed, at least one of each module; implies --baseline"
        " and --mode armed, since only what is recorded can be drawn of",
    )
    made.add_argument("--seed", default="0", help="of the sample")
    made.add_argument("--mode", choices=("both", "plain", "armed"), default="both")
    made.add_argument("--concurrency", choices=("eventlet", "threads"), default="eventlet")
    made.add_argument("--workers", type=int, default=2, help="test processes at a time")
    made.add_argument("--work-dir", type=pathlib.Path, help="keep logs and results there")
    made.add_argument(
        "--baseline",
        action="store_true",
        help="take plain Nova's outcomes from the recorded ones instead of a plain run",
    )
    made.add_argument("--record", action="store_true", help="write the plain outcomes down")
    made.add_argument("--result", type=pathlib.Path, help="write the counts there, as JSON")
    return made


@dataclasses.dataclass
class Report:
    """What a whole comparison found."""

    plain: outcomes.Outcomes = dataclasses.field(default_factory=dict)
    armed: outcomes.Outcomes = dataclasses.field(default_factory=dict)
    different: list[compare.Difference] = dataclasses.field(default_factory=list)
    unsteady: list[compare.Difference] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    not_drawn: int = 0

    def counts(self) -> dict[str, int]:
        """A test passes when it ends alike in both runs.

        One that fails alike, or is skipped alike, shows nothing about
        migsafe and counts as skipped.
        """
        if not (self.plain and self.armed):
            summary = outcomes.summary(self.plain or self.armed)
            summary["failed"] += len(self.problems)
            return {what: summary[what] for what in ("passed", "failed", "skipped")}
        different = {d.test for d in self.different}
        alike = {t: s for t, s in self.armed.items() if t not in different}
        summary = outcomes.summary(alike)
        return {
            "passed": summary["passed"],
            "failed": len(self.different) + len(self.problems),
            "skipped": summary["skipped"] + summary["failed"],
            **({"not drawn": self.not_drawn} if self.not_drawn else {}),
        }

    def lines(self) -> list[str]:
        """The report, for a person."""
        alike = sorted(
            test
            for test in self.plain.keys() & self.armed.keys()
            if outcomes.SUMMARY[self.plain[test]] == "failed"
            and test not in {d.test for d in self.different}
        )
        return [
            *(f"PROBLEM {problem}" for problem in self.problems),
            *(f"DIFFERENT {difference}" for difference in self.different),
            *(f"unsteady, alike when run again: {difference}" for difference in self.unsteady),
            *(f"fails on plain Nova too: {test}" for test in alike),
        ]


def execute(args: argparse.Namespace, work: pathlib.Path) -> Report:
    """Run what the options ask for."""
    version, release = patterns.installed_release()
    listed = patterns.load(args.list, release)
    regexes = [f"(?=.*(?:{args.only})).*{regex}" for regex in listed] if args.only else listed
    excluded = patterns.load(f"exclude-{args.concurrency}", release)
    top = topdir.build(work / "top", version, with_doc=args.list == "functional")
    run = runner.Runner(
        top, work, patterns.TEST_PATHS[args.list], args.concurrency, args.workers, tuple(excluded)
    )
    baseline = BASELINES / f"{release}-{args.list}-{args.concurrency}.json"
    report = Report()
    if args.mode != "armed" and not args.baseline:
        report.plain = _timed(run, "plain", regexes)[0]
        _check_patterns(report, args, regexes, report.plain)
        if args.record:
            _record(baseline, version, report.plain)
    elif args.baseline:
        recorded = json.loads(baseline.read_text("utf-8"))["outcomes"]
        report.plain = {t: s for t, s in recorded.items() if re.search(args.only or "", t)}
    if args.sample:
        drawn = _drawn(report.plain, args.sample, args.seed)
        report.not_drawn = len(report.plain) - len(drawn)
        report.plain = {test: report.plain[test] for test in drawn}
    if args.mode != "plain":
        report.armed, proof = _timed(
            run, "armed", list(report.plain) if args.sample else regexes, exact=bool(args.sample)
        )
        _check_patterns(report, args, regexes, report.armed)
        _check_proof(report, proof)
    if report.plain and report.armed:
        found = compare.differences(report.plain, report.armed)
        report.different, report.unsteady = compare.confirm(
            found, lambda mode, tests: run.run(mode, tests, exact=True)[0]
        )
    return report


def _drawn(recorded: outcomes.Outcomes, number: int, seed: str) -> list[str]:
    """Of tests that are recorded, which a sample takes."""
    groups = (sampling.Group(test, (test,), 1.0) for test in recorded)
    return sorted(group.name for group in sampling.draw(groups, sampling.Share(number), seed))


def _timed(
    run: runner.Runner, mode: str, tests: list[str], exact: bool = False
) -> tuple[outcomes.Outcomes, runner.Proof]:
    print(f"Nova's own tests, {mode}: running ({run.concurrency}, {run.workers} processes)")
    sys.stdout.flush()
    start = time.monotonic()
    found, proof = run.run(mode, tests, exact)
    counts = outcomes.summary(found)
    print(
        f"Nova's own tests, {mode}: {counts['passed']} passed, {counts['failed']} failed,"
        f" {counts['skipped']} skipped in {time.monotonic() - start:.0f} s"
    )
    return found, proof


def _check_patterns(
    report: Report, args: argparse.Namespace, regexes: list[str], found: outcomes.Outcomes
) -> None:
    if args.only or args.sample:
        return
    report.problems += [
        f"no test matches {regex}; has Nova moved it?"
        for regex in patterns.select(regexes, found)[1]
    ]


def _check_proof(report: Report, proof: runner.Proof) -> None:
    print(
        f"armed in {proof.processes} processes, {proof.journals} journals written;"
        f" wrapped: {', '.join(proof.wrapped)}"
    )
    if not proof.processes or not proof.wrapped:
        report.problems.append("the armed run was not armed: no process had a wrapped method")


def _record(baseline: pathlib.Path, version: str, found: outcomes.Outcomes) -> None:
    baseline.parent.mkdir(exist_ok=True)
    content = {"nova": version, "outcomes": dict(sorted(found.items()))}
    baseline.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Exit code 0: the same results; 1: not; 2: could not run."""
    args = parser().parse_args(argv)
    if args.sample:
        args.baseline, args.mode = True, "armed"
    work = args.work_dir or pathlib.Path(tempfile.mkdtemp(prefix="nova-armed."))
    work = work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    try:
        report = execute(args, work)
    except (LookupError, RuntimeError) as exc:
        print(f"Nova's own tests could not run: {exc}")
        return 2
    counts = report.counts()
    print(*report.lines(), sep="\n")
    if args.result:
        args.result.write_text(json.dumps(counts), encoding="utf-8")
    print(f"logs in {work}")
    print(", ".join(f"{number} {what}" for what, number in counts.items()))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
