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
"""How long each test takes, as a whole run has measured it: seconds of a processor, which a busy
machine changes least.

``durations.json`` has for each tier the mean, under the empty name, and those that take much more.
A whole run writes build/test/durations.json, which may be put in its place.
"""

import json
import pathlib
from collections.abc import Mapping

RECORDED = pathlib.Path(__file__).with_name("durations.json")
#: Groups are named that take so many times the mean of the tier, and at least so many seconds.
NAMED, LEAST = 1.5, 1.0
#: Seconds that are taken for a group of a tier of which nothing is known.
UNKNOWN = 3.0
#: A group or a step is ended after so many seconds and so many times what it takes: it hangs.
PATIENCE, TIMES = 900.0, 10.0

#: Stands for the whole of a tier, or of a step of which a run takes a sample.
WHOLE = "whole"

Durations = dict[str, dict[str, float]]


def load(path: pathlib.Path = RECORDED) -> Durations:
    """Tier -> group -> seconds."""
    found: Durations = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return found


def known(durations: Durations, tier: str, group: str = "") -> float:
    """Seconds of one group, or of a step, which has no groups."""
    of_tier = durations.get(tier, {})
    return of_tier.get(group, of_tier.get("", UNKNOWN))


def limit(seconds: float) -> float:
    """Seconds after which something that usually takes so long is ended."""
    return PATIENCE + TIMES * seconds


def digest(measured: Mapping[str, Mapping[str, float]]) -> Durations:
    """What is worth writing down of what was measured."""
    found: Durations = {}
    for tier, groups in sorted(measured.items()):
        if not groups:
            continue
        mean = sum(groups.values()) / len(groups)
        long = {
            name: round(seconds, 1)
            for name, seconds in sorted(groups.items())
            if name and seconds > max(LEAST, NAMED * mean)
        }
        rest = [seconds for name, seconds in groups.items() if name not in long]
        found[tier] = {"": round(sum(rest) / len(rest) if rest else mean, 2), **long}
    return found


def gather(measured: Mapping[str, Mapping[str, float]], known: Durations) -> Durations:
    """The same for tiers and steps, with what each takes as a whole.

    :param known: what was known of them, of which a step keeps what this run did not measure
    """
    steps = {name for name, groups in measured.items() if groups.keys() <= {"", WHOLE}}
    found = digest({name: groups for name, groups in measured.items() if name not in steps})
    for name, groups in found.items():
        groups[WHOLE] = round(sum(measured[name].values()))
    for name in steps:
        new = {key: round(taken, 1) for key, taken in measured[name].items()}
        found[name] = known.get(name, {}) | new
    return found


def write(found: Durations, path: pathlib.Path) -> None:
    """As JSON, for a person to compare."""
    path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
