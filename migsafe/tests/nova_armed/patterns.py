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
"""Which of Nova's tests are run: the lists in lists/, per Nova release."""

import dataclasses
import importlib.metadata
import pathlib
import re
from collections.abc import Iterable

LISTS = pathlib.Path(__file__).parent / "lists"
# Nova's major version -> the coordinated release that it belongs to.
RELEASES = {31: "2025.1", 32: "2025.2", 33: "2026.1", 34: "2026.2"}
# Where under nova/tests each list's tests live, for unittest's discovery.
TEST_PATHS = {"core": "functional", "functional": "functional", "unit": "unit"}


@dataclasses.dataclass(frozen=True)
class Pattern:
    """One line of a list."""

    regex: str
    since: str = ""

    def applies_to(self, release: str) -> bool:
        """Whether a Nova of that release has such a test; releases sort as text."""
        return release >= self.since


def parse(text: str) -> list[Pattern]:
    """Read a list: one regular expression per line, with ``# since RELEASE`` after it.

    :raises ValueError: for a comment after a pattern that is anything else.
    """
    found = []
    for line in text.splitlines():
        regex, _, comment = (part.strip() for part in line.partition("#"))
        if not regex:
            continue
        if comment and not re.fullmatch(r"since \d{4}\.[12]", comment):
            raise ValueError(f"{regex}: '# {comment}' is not '# since YYYY.N'")
        found.append(Pattern(regex, comment.removeprefix("since ")))
    return found


def load(name: str, release: str) -> list[str]:
    """The regular expressions of one list that apply to a release."""
    text = (LISTS / f"{name}.txt").read_text(encoding="utf-8")
    return [p.regex for p in parse(text) if p.applies_to(release)]


def select(regexes: Iterable[str], tests: Iterable[str]) -> tuple[list[str], list[str]]:
    """The tests that any expression matches, and the expressions that match none.

    An expression without a test means that Nova has moved the test: a run
    that left it out in silence would promise more than it showed.
    """
    tests = list(tests)
    chosen: set[str] = set()
    unmatched = []
    for regex in regexes:
        matches = [test for test in tests if re.search(regex, test)]
        chosen.update(matches)
        if not matches:
            unmatched.append(regex)
    return sorted(chosen), unmatched


def installed_release() -> tuple[str, str]:
    """The version of the installed Nova and the release it belongs to.

    :raises LookupError: when no Nova is installed, or one that nobody tested.
    """
    try:
        version = importlib.metadata.version("nova")
    except importlib.metadata.PackageNotFoundError as exc:
        raise LookupError(
            "nova is not installed here; install it with"
            " pip install -c constraints/nova-2026.2.txt '.[replay,test]'"
        ) from exc
    major = int(version.split(".")[0])
    if major not in RELEASES:
        raise LookupError(f"nova {version} is none of the supported {sorted(RELEASES.values())}")
    return version, RELEASES[major]
