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
"""Are two runs of the same tests the same, test by test?"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from migsafe.tests.nova_armed.outcomes import Outcomes

ABSENT = "absent"


@dataclasses.dataclass(frozen=True)
class Difference:
    """One test that ended differently in the two runs."""

    test: str
    plain: str
    armed: str

    def __str__(self) -> str:
        return f"{self.test}: {self.plain} on plain Nova, {self.armed} with migsafe armed"


def differences(plain: Mapping[str, str], armed: Mapping[str, str]) -> list[Difference]:
    """Every test whose outcome differs; a test missing from one run differs too."""
    return [
        Difference(test, plain.get(test, ABSENT), armed.get(test, ABSENT))
        for test in sorted(plain.keys() | armed.keys())
        if plain.get(test, ABSENT) != armed.get(test, ABSENT)
    ]


def confirm(
    found: Iterable[Difference],
    rerun: Callable[[str, list[str]], Outcomes],
    rounds: int = 3,
) -> tuple[list[Difference], list[Difference]]:
    """Tell differences that repeat from tests of Nova that are unsteady by themselves.

    Nova's functional tests run real threads against the clock, and some fail
    now and then. The tests that differ are run again, plain and armed. A
    difference is called unsteady only if the two agree in every round, and
    then it is still reported.

    :param found: the differences of the first comparison.
    :param rerun: runs the named tests, plain or armed, and gives the outcomes.
    :param rounds: how many times both must agree.
    :returns: the differences that stay, and the unsteady ones.
    """
    found = list(found)
    suspects = {d.test for d in found}
    repeated: set[str] = set()
    for _ in range(rounds):
        tests = sorted(suspects - repeated)
        if not tests:
            break
        again = differences(rerun("plain", tests), rerun("armed", tests))
        repeated.update(d.test for d in again)
    return (
        [d for d in found if d.test in repeated],
        [d for d in found if d.test not in repeated],
    )
