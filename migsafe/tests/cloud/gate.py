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
"""Which scenarios a run takes that has no time for all of them: a sample, drawn by a seed."""

from __future__ import annotations

from collections.abc import Mapping

from migsafe.tests import sampling

#: Seconds on both sides, with the guest that some make, as measured on two cores.
USUAL = 240.0
LONGER: Mapping[str, float] = {
    'd1': 400.0, 'd4': 400.0, 'e': 800.0, 'e-dead': 600.0, 'h': 450.0, 'i': 450.0, 'k': 450.0,
    'l-vfat': 700.0, 'm': 1300.0, 'n-detach': 400.0, 'o': 1500.0, 'p': 500.0}
#: What each run has: no fault, and the faults that most of the others are variants of.
ALWAYS = ('a', 'b', 'd-source', 'h', 'i')
#: Seconds until a cloud is up, and for the services to be armed.
BEGIN = 600.0


def drawn(names: Mapping[str, object], minutes: float, seed: str) -> list[str]:
    """Scenarios for so many minutes, both sides, in their order.

    :param names: of all
    :param seed: of the sample; all of them come up sooner or later
    """
    groups = [sampling.Group(name, (name,), LONGER.get(name, USUAL)) for name in names]
    share = sampling.Share(
        max(0.0, minutes * 60 - BEGIN - max(LONGER.values()) / 2),
        always=tuple(f'^{name}$' for name in ALWAYS), kinds=0.0)
    chosen = {group.name for group in sampling.draw(groups, share, seed)}
    return [name for name in names if name in chosen]
