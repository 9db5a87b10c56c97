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
"""What became of the tests of a run, tier by tier."""

import dataclasses
import io
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

import subunit
import testtools

from migsafe.tests.nova_armed import outcomes

WHAT = ("passed", "failed", "skipped")
SHOWN = 20  # failing tests, and lines of a log, that are printed
PASSED = frozenset(s for s, what in outcomes.SUMMARY.items() if what == "passed")


@dataclasses.dataclass
class Tally:
    """What one tier or step has given.

    :param not_drawn: tests that were left out of this run; they are no results.
    :param flaky: tests that failed, and passed when they ran alone.
    :param seconds: of work, which is less than it took if two workers did it.
    """

    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    not_drawn: int = 0
    flaky: int = 0
    seconds: float = 0.0
    lines: list[str] = dataclasses.field(default_factory=list)

    def fail(self, why: str) -> None:
        """Something that is no test has failed, and counts as one."""
        self.counts["failed"] += 1
        self.lines.append(why)


def line_of(counts: Counter[str]) -> str:
    """The last line of a run, and of each tier."""
    return ", ".join(f"{counts[what]} {what}" for what in WHAT)


def total(tallies: Iterable[Tally]) -> Counter[str]:
    """The counts of all; what was not drawn is in none of them."""
    return sum((tally.counts for tally in tallies), Counter[str]())


def table(tallies: dict[str, Tally]) -> list[str]:
    """One line for each tier."""
    columns = ("passed", "failed", "skipped", "flaky", "not drawn", "seconds")
    lines = [f"{'tier':14}" + "".join(f"{column:>10}" for column in columns)]
    for name, tally in tallies.items():
        numbers = [tally.counts[what] for what in WHAT]
        numbers += [tally.flaky, tally.not_drawn, round(tally.seconds)]
        lines.append(f"{name:14}" + "".join(f"{number:10}" for number in numbers))
    return lines


@dataclasses.dataclass(frozen=True)
class Found:
    """What became of a group of tests.

    :param statuses: test -> as subunit calls it.
    :param texts: test that did not pass -> what it said.
    """

    statuses: outcomes.Outcomes
    texts: dict[str, str]

    @property
    def failed(self) -> list[str]:
        """Tests, and what is none but failed, such as the set-up of a class."""
        return [t for t, s in self.statuses.items() if outcomes.SUMMARY[s] == "failed"]

    def counts(self) -> Counter[str]:
        """How many passed, failed and were skipped."""
        return outcomes.summary(self.statuses)


def read(stream: bytes, tests: Iterable[str], why: str = "") -> Found:
    """What a worker has left of a group.

    :param tests: those of the group; one without a result has failed
    :param why: there is no more than this
    """
    statuses = outcomes.read(stream)
    texts = _texts(stream, statuses)
    for test in tests:
        if test not in statuses:
            statuses[test] = "unknown"
            texts[test] = why or "it has no result"
    if why:
        texts |= {t: f"{texts.get(t, '')}{why}" for t, s in statuses.items() if s == "inprogress"}
    return Found(statuses, texts)


def _texts(stream: bytes, statuses: outcomes.Outcomes) -> dict[str, str]:
    found: dict[str, str] = {}

    def on_test(test: dict[str, Any]) -> None:
        if statuses.get(test["id"], "success") != "success":
            parts = (f"{name}:\n{part.as_text()}" for name, part in test["details"].items())
            found[test["id"]] = found.get(test["id"], "") + "\n".join(parts)

    result = testtools.StreamToDict(on_test)
    result.startTestRun()
    subunit.ByteStreamToStreamResult(io.BytesIO(stream)).run(result)
    result.stopTestRun()
    return found


def tail(text: str) -> list[str]:
    """The end of a text, where it says what is wrong."""
    return [f"  {line}" for line in text.splitlines()[-SHOWN:]]


def say(*lines: str) -> None:
    """For who watches, at once, and in one piece among those of other threads."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
