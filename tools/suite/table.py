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
"""What there is to run. A new tier is one line in TIERS."""

import dataclasses
from collections.abc import Mapping

from migsafe.tests.sampling import Share
from tools.suite.steps import Step, check, comparison, sphinx, storage_image


@dataclasses.dataclass(frozen=True)
class Tier:
    """The tests of one directory.

    :param share: what a sample takes of it, in seconds of recorded time; None: always the whole.
    :param environ: added to the environment of its processes.
    :param needs: the step that comes before it.
    :param waits: its tests wait more than they work, and run beside the others.
    :param directory: by default migsafe/tests/NAME.
    """

    name: str
    share: Share | None = None
    environ: Mapping[str, str] = dataclasses.field(default_factory=dict)
    needs: str = ""
    waits: bool = False
    directory: str = ""

    @property
    def path(self) -> str:
        """Of the directory, from the top of the project."""
        return self.directory or f"migsafe/tests/{self.name}"


TIERS = (
    Tier("unit", Share(20, quick=1)),
    Tier("packaging"),
    Tier("cinder", Share(25, quick=1)),
    Tier("search"),
    Tier("durability"),
    Tier(
        "functional",
        Share(38, always=("test_scenarios_incident_000", "test_matrix.Enough"), kinds=0.6),
    ),
    Tier("threats"),
    Tier(
        "storage",
        Share(45, always=("test_incidents.*_iscsi$",), kinds=0.8),
        needs="storage-image",
    ),
)

STEPS = (
    *(check(name) for name in ("ruff", "layers", "circles", "aliases", "mypy", "sample")),
    check("bandit"),
    sphinx("docs", "doc/source"),
    sphinx("releasenotes", "releasenotes/source"),
    comparison("brick-armed", "brick_armed", sample=("--baseline",)),
    comparison(
        "nova-armed",
        "nova_armed",
        *("--workers", "1"),
        sample=("--sample", "28", "--seed", "{seed}"),
    ),
    storage_image(),
)

#: Minutes after which a run of samples is ended, whatever is missing; that counts as failed.
DEADLINE = 75


def owners() -> dict[str, Step | Tier]:
    """Name -> step or tier, in the order in which they are told."""
    found: tuple[Step | Tier, ...] = (*STEPS, *TIERS)
    return {owner.name: owner for owner in found}
