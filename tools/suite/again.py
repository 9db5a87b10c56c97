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
"""What failed is run once more, alone: what passes then is flaky, and is said to be."""

import dataclasses
import pathlib
from collections.abc import Callable, Iterable

from migsafe.tests.sampling import Group
from tools.suite import results
from tools.suite.results import Found, Tally, tail
from tools.suite.table import Tier

#: With more failures than this it is not chance.
MANY = 25


@dataclasses.dataclass(frozen=True)
class Failure:
    """A group in which something failed.

    :param found: what became of it the first time.
    """

    tier: Tier
    group: Group
    found: Found

    def tests(self) -> list[str]:
        """Those that failed; all of them if it was the set-up of their class."""
        failed = self.found.failed
        return failed if set(failed) <= set(self.group.tests) else list(self.group.tests)


def once_more(
    failures: Iterable[Failure],
    tallies: dict[str, Tally],
    alone: Callable[[Tier, Group, list[str]], Found] | None,
    logs: Callable[[str], pathlib.Path],
) -> None:
    """Run each failure again, and correct the counts.

    :param alone: runs some tests of a group in a new process, with nothing beside it; None if
        there is no time for that.
    :param logs: tier -> the file that what tests said goes to.
    """
    failures = list(failures)
    if sum(len(failure.tests()) for failure in failures) > MANY:
        alone = None
    for failure in failures:
        tests = failure.tests()
        found = alone(failure.tier, failure.group, tests) if alone else None
        tally = tallies[failure.tier.name]
        for test in failure.found.failed:
            passed = found is not None and not found.failed
            if found is not None and test in failure.group.tests:
                passed = found.statuses.get(test) in results.PASSED
            text = failure.found.texts.get(test, "")
            _tell(tally, test, passed, test in failure.group.tests, text, logs(failure.tier.name))


def _tell(
    tally: Tally, test: str, passed: bool, is_test: bool, text: str, log: pathlib.Path
) -> None:
    """The set-up of a class counts as failed, but as no test that has passed."""
    word = "FLAKY" if passed else "FAILED"
    tally.lines += [f"{word} {test}", *tail(text), f"  all of it: {log}"]
    with log.open("a", encoding="utf-8") as out:
        print(word, test, text, sep="\n", end="\n\n", file=out)
    if passed:
        tally.flaky += 1
        tally.counts["failed"] -= 1
        tally.counts["passed"] += is_test
