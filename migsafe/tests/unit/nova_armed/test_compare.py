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
import io

import subunit
import testtools

from migsafe.tests.nova_armed import compare, main, outcomes, patterns


def stream(*events: tuple[str, str]) -> bytes:
    """A subunit v2 stream with these (test id, status) events."""
    raw = io.BytesIO()
    result = subunit.StreamResultToBytes(raw)
    for test, status in events:
        result.status(test_id=test, test_status=status)
    return raw.getvalue()


class OutcomesTest(testtools.TestCase):
    def test_each_status_is_read(self):
        found = outcomes.read(
            stream(
                ("a", "inprogress"),
                ("a", "success"),
                ("b", "skip"),
                ("c", "fail"),
                ("d", "xfail"),
                ("e", "uxsuccess"),
                ("f", "exists"),
            )
        )
        expected = {"a": "success", "b": "skip", "c": "fail", "d": "xfail", "e": "uxsuccess"}
        self.assertEqual(expected, found)
        self.assertEqual(
            {"passed": 2, "failed": 2, "skipped": 1},
            {what: outcomes.summary(found)[what] for what in ("passed", "failed", "skipped")},
        )

    def test_a_test_whose_process_died_failed(self):
        found = outcomes.read(stream(("a", "success"), ("b", "inprogress")))
        self.assertEqual("success", found["a"])
        self.assertEqual("failed", outcomes.SUMMARY[found["b"]])

    def test_a_failure_is_not_covered_by_a_success(self):
        for statuses in (("fail", "success"), ("success", "fail")):
            found = outcomes.read(stream(*(("a", status) for status in statuses)))
            self.assertEqual({"a": "fail"}, found)


class CompareTest(testtools.TestCase):
    def test_alike(self):
        run = {"a": "success", "b": "fail", "c": "skip"}
        self.assertEqual([], compare.differences(run, dict(run)))

    def test_every_kind_of_difference_is_named(self):
        plain = {"a": "success", "b": "skip", "c": "fail", "gone": "success", "same": "skip"}
        armed = {"a": "fail", "b": "success", "c": "success", "new": "success", "same": "skip"}
        found = [(d.test, d.plain, d.armed) for d in compare.differences(plain, armed)]
        self.assertEqual(
            [
                ("a", "success", "fail"),
                ("b", "skip", "success"),
                ("c", "fail", "success"),
                ("gone", "success", "absent"),
                ("new", "absent", "success"),
            ],
            found,
        )

    def test_a_difference_that_repeats_once_stays(self):
        found = [compare.Difference("steady", "success", "fail")]
        answers = iter(["success", "success", "success", "fail", "success", "success"])
        stays, unsteady = compare.confirm(
            found, lambda mode, tests: {test: next(answers) for test in tests}
        )
        self.assertEqual((found, []), (stays, unsteady))

    def test_a_difference_that_never_repeats_is_unsteady(self):
        found = [compare.Difference("x", "success", "fail")]
        runs = []

        def rerun(mode, tests):
            runs.append((mode, tests))
            return dict.fromkeys(tests, "success")

        self.assertEqual(([], found), compare.confirm(found, rerun))
        self.assertEqual([("plain", ["x"]), ("armed", ["x"])] * 3, runs)

    def test_nothing_is_run_again_without_a_difference(self):
        self.assertEqual(([], []), compare.confirm([], self.fail))


class ReportTest(testtools.TestCase):
    def test_counts(self):
        plain = {"a": "success", "b": "fail", "c": "skip", "d": "success"}
        armed = plain | {"d": "fail"}
        report = main.Report(plain, armed, compare.differences(plain, armed))
        self.assertEqual({"passed": 1, "failed": 1, "skipped": 2}, report.counts())
        lines = "\n".join(report.lines())
        self.assertIn("DIFFERENT d: success on plain Nova, fail with migsafe armed", lines)
        self.assertIn("fails on plain Nova too: b", lines)

    def test_a_single_run_counts_as_it_is(self):
        outcome = {"a": "success", "b": "fail", "c": "skip"}
        for report in (main.Report(plain=outcome), main.Report(armed=outcome)):
            self.assertEqual({"passed": 1, "failed": 1, "skipped": 1}, report.counts())

    def test_a_problem_of_the_run_itself_fails_it(self):
        report = main.Report({"a": "success"}, {"a": "success"}, problems=["was not armed"])
        self.assertEqual({"passed": 1, "failed": 1, "skipped": 0}, report.counts())


class PatternsTest(testtools.TestCase):
    def test_since(self):
        found = patterns.parse("# what it is\nold.test\nnew.test  # since 2026.2\n\n")
        self.assertEqual(
            [("old.test", True), ("new.test", False)],
            [(p.regex, p.applies_to("2026.1")) for p in found],
        )
        self.assertTrue(found[1].applies_to("2026.2"))

    def test_another_comment_is_refused(self):
        self.assertRaises(ValueError, patterns.parse, "some.test  # flaky")

    def test_a_pattern_without_tests_is_named(self):
        self.assertEqual(
            (["x.a", "x.b"], ["moved"]), patterns.select(["^x", "moved"], ["x.b", "x.a", "y"])
        )

    def test_the_lists_are_readable(self):
        for name in patterns.TEST_PATHS:
            newest = patterns.load(name, "2026.2")
            self.assertGreater(len(newest), 15)
            self.assertLessEqual(set(patterns.load(name, "2025.1")), set(newest))
