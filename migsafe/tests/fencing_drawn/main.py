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
"""``python -m migsafe.tests.fencing_drawn.main --count N --seed N``: the long run."""

from __future__ import annotations

import argparse
import collections
import sys
from collections.abc import Iterable, Mapping

from migsafe.tests.fencing_drawn import controller, model, rules

#: Seconds after its death in which a host should be evacuated.
DEADLINE = 600
#: Which of the schedules is played with commands, too: these take ten times as long.
EACH = 10
TIMES = range(model.STEP, model.LENGTH, model.STEP)
Tried = rules.Rule | controller.Controller
RULES: dict[str, Tried] = {
    'heartbeat': rules.heartbeat,
    'matrix': rules.matrix,
    'table, default probes': rules.Table(rules.DEFAULT),
    'table, all probes': rules.Table(),
    'table, two proofs': rules.Table(believes=False),
    'table and commands that fence': controller.Controller(rules.Table(rules.DEFAULT)),
}
#: What must start something twice, or nothing was tried.
CONTROLS: dict[str, Tried] = {
    'fences, believing any BMC and storage': controller.Controller(
        rules.Table(rules.DEFAULT), credulous=True),
}


def run(seeds: Iterable[int], tried: Mapping[str, Tried] = RULES
        ) -> dict[str, collections.Counter[str]]:
    """Play schedules under each rule, and count.

    :returns: rule -> hosts evacuated, double starts, and those of them of a host that was forced
        down and not fenced; hosts that died for good, and how many of
        them were evacuated in time; hosts of which the power was cut, and more than once
    """
    counts: dict[str, collections.Counter[str]] = {
        name: collections.Counter() for name in tried}
    with controller.stage():
        for seed in seeds:
            cloud = model.draw(seed)
            for name, rule in tried.items():
                if isinstance(rule, controller.Controller) and seed % EACH:
                    continue
                counts[name]['schedules'] += 1
                for host in cloud.hosts:
                    _play(cloud, host, rule, counts[name])
    return counts


def _play(cloud: model.Cloud, host: model.Host, rule: Tried,
          count: collections.Counter[str]) -> None:
    died = host.at if host.fate in ('power', 'hang') else None
    count['dead'] += died is not None
    count['said'] += died is not None and host.word == 'fencer' and min(
        host.fenced, host.cut) <= died + DEADLINE
    if isinstance(rule, controller.Controller):
        commands = rule.take(cloud, host)
        host, started = commands.host, model.LOOKS + controller.AGAIN
        when = next((now for now in TIMES if rule.decide(commands, now)), None)
        count['cut'] += commands.cuts > 0
        count['cut twice'] += commands.twice
    else:
        started = model.LOOKS
        when = next((now for now in TIMES if rule(cloud, host, now)), None)
    if when is not None:
        count['evacuated'] += 1
        # What is decided now is done a little later.
        double = host.writes(when + started)
        count['double'] += double
        count['false word'] += double and host.word in model.FALSE
        count['in time'] += died is not None and died <= when <= died + DEADLINE


def main() -> int:
    """Print one line per rule; 1 if the table started anything twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--count', type=int, default=10000, help='schedules')
    parser.add_argument('--seed', type=int, default=0, help='the first')
    given = parser.parse_args()
    counts = run(range(given.seed, given.seed + given.count), RULES | CONTROLS)
    print(f'{given.count} schedules from seed {given.seed}')
    for name, count in counts.items():
        print(f'{name:32} schedules {count["schedules"]:7} evacuated {count["evacuated"]:8} '
              f'double starts {count["double"]:7}, {count["false word"]:7} of a false word, '
              f'dead hosts in time {count["in time"]:8} of {count["dead"]:8} '
              f'({count["in time"] / max(1, count["dead"]):.1%}); somebody had fenced '
              f'{count["said"]}; power cut of {count["cut"]}, twice of {count["cut twice"]}')
    return int(any(wrong(counts[name]) for name in RULES if name.startswith('table')))


def wrong(count: collections.Counter[str]) -> int:
    """What no table may do: powers cut twice, and double starts that no false word explains."""
    return count['cut twice'] + count['double'] - count['false word']


if __name__ == '__main__':
    sys.exit(main())
