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
"""Whole runs, of made-up tests and commands in real processes, and what is counted."""

import contextlib
import io
import json
import pathlib
import sys
import textwrap
from collections import Counter
from unittest import mock

import fixtures
import testtools

from migsafe.tests.sampling import Group, Share
from tools import tiers
from tools.suite import again, durations, results, run, steps, table, workers
from tools.suite.results import Tally
from tools.suite.table import Tier

TESTS = """
import os, pathlib, threading, time, unittest

HERE = pathlib.Path(__file__).parent

class Plain(unittest.TestCase):
    def test_passes(self):
        pass
    def test_fails(self):
        print('said so')
        self.fail('because it does')
    def test_is_skipped(self):
        self.skipTest('not here')
    def test_is_flaky(self):
        ran = HERE / 'ran'
        if not ran.exists():
            ran.touch()
            self.fail('the first time')
"""
DYING = """
import os, unittest

class Dying(unittest.TestCase):
    def test_dies(self):
        os._exit(3)
    def test_lives(self):
        pass
"""
HANGING = """
import threading, unittest

class Hanging(unittest.TestCase):
    def test_hangs(self):
        threading.Event().wait()
"""
SET_UP = """
import pathlib, unittest

RAN = pathlib.Path(__file__).parent / 'set-up'

class SetUp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not RAN.exists():
            RAN.touch()
            raise RuntimeError('not yet')
    def test_a(self):
        pass
    def test_b(self):
        pass
"""


class MadeUp(testtools.TestCase):
    """A directory of tests, and another one for results."""

    def setUp(self):
        super().setUp()
        self.top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        for module in (steps, run):
            self.useFixture(fixtures.MockPatchObject(module, "RESULTS", self.top / "results"))
        self.useFixture(fixtures.MockPatchObject(run, "say"))

    def tier(self, name="it", share=None, **files):
        directory = self.top / name
        directory.mkdir()
        for file, content in files.items():
            (directory / f"test_{file}.py").write_text(textwrap.dedent(content))
        return Tier(name, share, directory=str(directory))

    def run_all(self, *wanted, seed=None, minutes=None, workers=2):
        made = run.Run(wanted, seed, workers)
        made.run(minutes)
        return made


class TestRun(MadeUp):
    def test_each_test_is_counted_once(self):
        tally = self.run_all(self.tier(plain=TESTS)).tallies["it"]
        self.assertEqual(Counter(passed=2, failed=1, skipped=1), tally.counts)
        self.assertEqual(1, tally.flaky)
        lines = "\n".join(tally.lines)
        self.assertIn("FLAKY test_plain.Plain.test_is_flaky", lines)
        self.assertIn("the first time", lines)
        self.assertIn("FAILED test_plain.Plain.test_fails", lines)
        self.assertIn("because it does", lines)
        self.assertIn("the first time", (self.top / "results" / "it" / "failures").read_text())

    def test_a_process_that_dies_takes_only_its_test_with_it(self):
        tally = self.run_all(self.tier(dying=DYING)).tallies["it"]
        self.assertEqual(Counter(passed=1, failed=1), tally.counts)
        self.assertIn("the process has ended", "\n".join(tally.lines))

    def test_the_set_up_of_a_class_runs_again_with_all_of_it(self):
        tally = self.run_all(self.tier(set_up=SET_UP)).tallies["it"]
        self.assertEqual(Counter(passed=2), +tally.counts)
        self.assertIn("not yet", "\n".join(tally.lines))

    def test_a_module_that_cannot_be_imported_has_failed(self):
        tally = self.run_all(self.tier(broken="import absent", plain=TESTS)).tallies["it"]
        self.assertEqual(Counter(passed=2, failed=2, skipped=1), tally.counts)

    def test_no_tests_at_all_are_a_failure(self):
        tally = self.run_all(self.tier()).tallies["it"]
        self.assertEqual(Counter(failed=1), tally.counts)

    def test_what_is_not_drawn_is_no_result(self):
        found = self.run_all(self.tier(plain=TESTS, share=Share(0)), seed="a").tallies["it"]
        self.assertEqual((1, 3), (found.counts.total(), found.not_drawn))
        left = (self.top / "results" / "it" / "not-drawn").read_text().splitlines()
        self.assertEqual(3, len(left))
        whole = self.run_all(self.tier("whole", plain=TESTS, share=Share(0))).tallies["whole"]
        self.assertEqual((4, 0), (whole.counts.total(), whole.not_drawn))

    def test_what_hangs_when_the_time_is_over_is_ended_and_has_failed(self):
        tiers = [self.tier(name, hanging=HANGING) for name in ("one", "other")]
        tallies = self.run_all(*tiers, minutes=0.0, workers=1).tallies
        for tally in tallies.values():
            self.assertLess(0, tally.counts["failed"])
            self.assertEqual(0, tally.counts["passed"])
        # whichever came first, this one was not begun
        self.assertIn("not all of it could run within 0.0 minutes", "".join(
            tallies["one"].lines + tallies["other"].lines))

    def test_what_needs_a_step_that_failed_has_failed(self):
        step = steps.Step("first", (sys.executable, "-c", "raise SystemExit(1)"),
                          steps.by_exit_code)
        second = Tier("second", needs="first", directory=str(self.top))
        tallies = self.run_all(step, second).tallies
        self.assertEqual(Counter(failed=1), tallies["second"].counts)
        self.assertIn("not run, because first failed", tallies["second"].lines)

    def test_what_it_took_can_be_recorded(self):
        found = self.run_all(self.tier(plain=TESTS)).measured()
        self.assertEqual({"", "whole"}, found["it"].keys() & {"", "whole"})


class TestWorker(MadeUp):
    def test_a_test_that_hangs_is_ended_and_says_where_it_was(self):
        worker = workers.Worker(self.tier(hanging=HANGING), self.top / "log")
        self.addCleanup(worker.kill)
        (name, tests), = worker.groups().items()
        with mock.patch.object(workers, "LAST_WORDS", 2):
            stream, why = worker.run(Group(name, tuple(tests)), most=0.5)
        self.assertIn("HUNG", why)
        found = results.read(stream, tests, why)
        self.assertEqual(Counter(failed=1), found.counts())
        self.assertIn("HUNG", found.texts[name])
        self.assertIn("test_hangs", worker.log.read_text())

    def test_a_class_with_a_set_up_stays_together(self):
        worker = workers.Worker(self.tier(set_up=SET_UP, dying=DYING), self.top / "log")
        self.addCleanup(worker.close)
        self.assertEqual(
            {"test_set_up.SetUp": ["test_set_up.SetUp.test_a", "test_set_up.SetUp.test_b"],
             "test_dying.Dying.test_dies": ["test_dying.Dying.test_dies"],
             "test_dying.Dying.test_lives": ["test_dying.Dying.test_lives"]}, worker.groups())


class TestStep(MadeUp):
    def run_step(self, code, count=None, limit=600.0):
        command = (sys.executable, "-c", code)
        tally = steps.Step("it", command, count or steps.by_exit_code).run(limit, None)
        return +tally.counts, "\n".join(tally.lines)

    def test_a_check_counts_as_one(self):
        self.assertEqual(Counter(passed=1), self.run_step("pass")[0])
        counts, lines = self.run_step("import sys; print('why'); sys.exit(3)")
        self.assertEqual(Counter(failed=1), counts)
        self.assertIn("why", lines)

    def test_a_bad_exit_code_is_a_failure_though_all_tests_passed(self):
        def count(step, code):
            return Counter(passed=7), []

        self.assertEqual(Counter(passed=7), self.run_step("pass", count)[0])
        counts, lines = self.run_step("import sys; sys.exit(1)", count)
        self.assertEqual(Counter(passed=7, failed=1), counts)
        self.assertIn("exit code 1", lines)

    def test_a_step_that_hangs_is_ended_and_has_failed(self):
        counts, lines = self.run_step("import threading; threading.Event().wait()", limit=1.0)
        self.assertLess(0, counts["failed"])
        self.assertIn("HUNG, ended after 1 s", lines)

    def test_no_result_is_a_failure(self):
        counts, lines = self.run_step("pass", steps.by_json)
        self.assertEqual(Counter(failed=1), counts)
        self.assertIn("no comparison was made", lines)

    def test_the_comparison_counts_for_itself(self):
        result = self.top / "results" / "it" / "result.json"
        counts = {"passed": 5, "failed": 2, "skipped": 1, "not drawn": 9}
        code = f"open({str(result)!r}, 'w').write({json.dumps(counts)!r})"
        counts.pop("not drawn")
        self.assertEqual(Counter(counts), self.run_step(code, steps.by_json)[0])

    def test_a_sample_is_drawn_by_the_seed(self):
        code = "import sys; sys.exit(sys.argv[1:] != ['--sample', '3', '--seed', 'abc'])"
        step = steps.Step("it", (sys.executable, "-c", code), steps.by_exit_code,
                          ("--sample", "3", "--seed", "{seed}"))
        self.assertEqual(1, step.run(600.0, "abc").counts["passed"])
        self.assertEqual(1, step.run(600.0, None).counts["failed"])


class TestResults(testtools.TestCase):
    def test_a_test_without_a_result_has_failed(self):
        found = results.read(b"", ["a", "b"], "the process is gone")
        self.assertEqual((Counter(failed=2), ["a", "b"]), (found.counts(), found.failed))
        self.assertEqual("the process is gone", found.texts["a"])


class TestAgain(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.log = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / "failures"

    def counted(self, first, second, tests=("a", "b")):
        """Counts, flaky ones and lines, after a first and a second time."""
        found, then = (results.Found(seen, {}) for seen in (first, second))
        group = Group("g", tuple(tests))
        tally = Tally(found.counts())
        failure = again.Failure(Tier("it"), group, found)
        again.once_more([failure], {"it": tally}, lambda *_: then, lambda _: self.log)
        return +tally.counts, tally.flaky, tally.lines

    def test_one_that_passes_is_flaky_and_has_passed(self):
        counts, flaky, lines = self.counted({"a": "fail", "b": "success"}, {"a": "success"})
        self.assertEqual((Counter(passed=2), 1), (counts, flaky))
        self.assertIn("FLAKY a", lines)

    def test_one_that_fails_again_has_failed(self):
        counts, flaky, lines = self.counted({"a": "fail", "b": "success"}, {"a": "fail"})
        self.assertEqual((Counter(passed=1, failed=1), 0), (counts, flaky))
        self.assertIn("FAILED a", lines)

    def test_one_that_is_skipped_or_has_no_result_has_failed(self):
        for second in ({"a": "skip"}, {}):
            self.assertEqual((Counter(failed=1), 0),
                             self.counted({"a": "fail"}, second, ["a"])[:2])

    def test_too_many_are_no_chance(self):
        names = [str(number) for number in range(again.MANY + 1)]
        counts, flaky, _ = self.counted(
            dict.fromkeys(names, "fail"), dict.fromkeys(names, "success"), names)
        self.assertEqual((Counter(failed=len(names)), 0), (counts, flaky))


class TestDurations(testtools.TestCase):
    def test_what_takes_long_is_named_and_the_rest_has_a_mean(self):
        measured = {"it": {"a": 2.0, "b": 4.0, "c": 60.0}, "step": {"": 7.0}, "none": {}}
        found = durations.digest(measured)
        self.assertEqual({"it": {"": 3.0, "c": 60.0}, "step": {"": 7.0}}, found)
        self.assertEqual([60.0, 3.0, 7.0, durations.UNKNOWN], [
            durations.known(found, *name)
            for name in (("it", "c"), ("it", "new"), ("step",), ("other",))])

    def test_a_machine_that_is_three_times_slower_is_waited_for(self):
        for seconds in (0.0, 1.0, 60.0, 600.0):
            self.assertGreater(durations.limit(seconds), 3 * seconds + 600)


class TestTable(testtools.TestCase):
    def test_no_directory_of_tests_is_forgotten(self):
        tests = steps.ROOT / "migsafe" / "tests"
        found = {path.relative_to(tests).parts[0] for path in tests.rglob("test_*.py")}
        # The emulator of sushy-tools is in nobody's constraints, and has an environment of tox.
        self.assertEqual(found - {"redfish"},
                         {pathlib.Path(tier.path).name for tier in table.TIERS})

    def test_what_is_needed_is_there(self):
        for owner in table.owners().values():
            if owner.needs:
                self.assertIn(owner.needs, table.owners())

    def test_what_is_always_in_a_sample_is_there(self):
        for tier in table.TIERS:
            modules = {path.stem for path in (steps.ROOT / tier.path).rglob("*.py")}
            for pattern in tier.share.always if tier.share else ():
                self.assertIn(pattern.partition(".")[0], modules)


class TestMain(testtools.TestCase):
    def main(self, *words):
        out = io.StringIO()
        made = mock.Mock(tallies={
            "unit": Tally(Counter(passed=3, skipped=1), not_drawn=7, flaky=1,
                          lines=["FLAKY x"]), "docs": Tally(Counter(failed=1))},
            measured=lambda: {})
        with mock.patch.object(tiers, "Run", return_value=made) as runs, \
                mock.patch.object(tiers, "forget"), \
                mock.patch.object(tiers.durations, "write"), \
                mock.patch.object(tiers.signal, "signal"), \
                mock.patch.object(sys, "argv", ["tiers", *words]), \
                contextlib.redirect_stdout(out):
            self.code = tiers.main()
        self.wanted, self.seed = runs.call_args.args[:2]
        self.minutes = made.run.call_args.args[0]
        return out.getvalue().splitlines()

    def test_the_last_line_has_real_results_only(self):
        lines = self.main()
        self.assertEqual("3 passed, 1 failed, 1 skipped", lines[-1])
        self.assertEqual(1, self.code)
        self.assertIn("FLAKY x", lines)
        self.assertRegex("\n".join(lines), r"unit +3 +0 +1 +1 +7")

    def test_the_seed_is_printed_and_can_be_given(self):
        lines = self.main()
        self.assertIn(f"--seed {self.seed}", lines[0])
        self.main("--seed", "abc")
        self.assertEqual("abc", self.seed)

    def test_all(self):
        self.main("--all")
        self.assertEqual((None, None), (self.seed, self.minutes))
        self.assertEqual(list(table.owners().values()), self.wanted)

    def test_a_sample_ends_before_it_is_late(self):
        self.main("unit")
        self.assertEqual(table.DEADLINE, self.minutes)
        self.assertLess(self.minutes, 90)
        self.assertEqual(["unit"], [owner.name for owner in self.wanted])
