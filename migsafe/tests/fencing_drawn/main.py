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

from migsafe.tests.fencing_drawn import model, rules

#: Seconds after its death in which a host should be evacuated.
DEADLINE = 600
RULES: dict[str, rules.Rule] = {
    'heartbeat': rules.heartbeat,
    'matrix': rules.matrix,
    'table, default probes': rules.Table(rules.DEFAULT),
    'table, all probes': rules.Table(),
    'table, two proofs, lying scripts': rules.Table(believes=False, scripts=True),
}
#: What must start something twice, or nothing was tried: scripts that force down whatever has no
#: heartbeat, and an operator who lets migsafe believe them.
CONTROLS: dict[str, rules.Rule] = {
    'table, believing lying scripts': rules.Table(rules.DEFAULT, scripts=True),
}


def run(seeds: Iterable[int], tried: Mapping[str, rules.Rule] = RULES
        ) -> dict[str, collections.Counter[str]]:
    """Play schedules under each rule, and count.

    :returns: rule -> hosts evacuated, double starts, hosts that died for good, and how many of
        them were evacuated in time
    """
    counts: dict[str, collections.Counter[str]] = {
        name: collections.Counter() for name in tried}
    for seed in seeds:
        cloud = model.draw(seed)
        for name, rule in tried.items():
            for host in cloud.hosts:
                _play(cloud, host, rule, counts[name])
    return counts


def _play(cloud: model.Cloud, host: model.Host, rule: rules.Rule,
          count: collections.Counter[str]) -> None:
    died = host.at if host.fate in ('power', 'hang') else None
    count['dead'] += died is not None
    count['said'] += died is not None and host.word == 'fencer' and host.fenced <= died + DEADLINE
    for now in range(model.STEP, model.LENGTH, model.STEP):
        if rule(cloud, host, now):
            count['evacuated'] += 1
            # What is decided now is done a little later.
            count['double'] += host.guest_runs(now + model.LOOKS)
            count['in time'] += died is not None and died <= now <= died + DEADLINE
            return


def main() -> int:
    """Print one line per rule; 1 if the table started anything twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--count', type=int, default=10000, help='schedules')
    parser.add_argument('--seed', type=int, default=0, help='the first')
    given = parser.parse_args()
    counts = run(range(given.seed, given.seed + given.count), RULES | CONTROLS)
    print(f'{given.count} schedules from seed {given.seed}')
    for name, count in counts.items():
        print(f'{name:32} evacuated {count["evacuated"]:8} double starts {count["double"]:7} '
              f'dead hosts in time {count["in time"]:8} of {count["dead"]:8} '
              f'({count["in time"] / max(1, count["dead"]):.1%}); somebody had fenced '
              f'{count["said"]}')
    return int(any(counts[name]['double'] for name in RULES if name.startswith('table')))


if __name__ == '__main__':
    sys.exit(main())
