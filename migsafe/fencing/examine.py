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
"""Looks at a host with all probes, several times, and judges it."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from migsafe.brick.kernel import bounded
from migsafe.fencing import probes, verdict
from migsafe.fencing.facts import Limits
from migsafe.fencing.probes.base import Probe, Site
from migsafe.fencing.signs import Checker, Meaning, Observation, Sign
from migsafe.fencing.verdict import Judgement
from migsafe.text import masked

#: Others that are asked, to see whether it is not whoever asks that is cut off.
WITNESSES = 3
#: Seconds more than its own time-out that a probe has.
GRACE = 0.5
OTHER = 'other'


@dataclasses.dataclass(frozen=True)
class Fleet:
    """The other compute hosts, but for those that are forced down.

    :param up: names of those that Nova takes for up
    :param lost: how many it takes for down
    """

    up: tuple[str, ...] = ()
    lost: int = 0


def examine(host: str, instance_uuid: str, site: Site, fleet: Callable[[], Fleet]) -> Judgement:
    """Look and judge; ends in time, whatever hangs.

    :param instance_uuid: the guest that is asked for; empty if only the host is
    :param fleet: reads the other hosts; none of them is whoever asks, or the host itself
    :raises ConfigError: a probe cannot be used
    """
    conf = site.conf
    made = probes.load(site)
    others = bounded.ask({(OTHER, host, instance_uuid): fleet}, conf.probe_timeout + GRACE)
    known = others[OTHER, host, instance_uuid]
    if not isinstance(known, Fleet):
        # Without the records it is not known whether one host is silent or all of them are.
        checker, asked = Checker(sees_others=False), []
    else:
        checker, asked = Checker(None, len(known.up) + known.lost, known.lost), list(known.up)
    witnesses = random.sample(asked, min(WITNESSES, len(asked)))
    answers = bounded.ask(
        _looks(host, instance_uuid, made, conf) | {
            (OTHER, host, instance_uuid, name): _question(site, name) for name in witnesses},
        conf.verdict_interval * (conf.verdict_samples - 1) + conf.probe_timeout + GRACE)
    if witnesses:
        checker = dataclasses.replace(checker, sees_others=any(
            _lives(answers[OTHER, host, instance_uuid, name]) for name in witnesses))
    return verdict.judge(host, _seen(host, instance_uuid, made, conf, answers), checker, Limits(
        conf.verdict_samples, conf.fleet_loss_percent, conf.believe_forced_down))


def _looks(host: str, instance_uuid: str, made: Sequence[Probe], conf: Any
           ) -> dict[Hashable, Callable[[], Any]]:
    """Each look of each probe, at its time."""
    def at(probe: Probe, sample: int) -> Callable[[], Sequence[Observation]]:
        def look() -> Sequence[Observation]:
            time.sleep(sample * conf.verdict_interval)
            return probe.look(host, instance_uuid)
        return look
    return {(probe.name, host, instance_uuid, sample): at(probe, sample)
            for probe in made for sample in range(conf.verdict_samples)}


def _question(site: Site, name: str) -> Callable[[], Any]:
    return lambda: site.ask(name, '', site.conf.probe_timeout)


def _lives(answer: Any) -> bool:
    sign = getattr(answer, 'sign', None)
    return isinstance(sign, Sign) and Observation('', sign).meaning is Meaning.ALIVE


def _seen(host: str, instance_uuid: str, made: Sequence[Probe], conf: Any,
          answers: dict[Hashable, Any]) -> list[Observation]:
    """What came of the looks; one that failed or hangs has seen nothing."""
    seen: list[Observation] = []
    for probe in made:
        for sample in range(conf.verdict_samples):
            answer = answers[probe.name, host, instance_uuid, sample]
            if isinstance(answer, bounded.Silent):
                answer = [probe.saw(Sign.NOTHING, 'did not come back in time')]
            elif isinstance(answer, Exception):
                answer = [probe.saw(Sign.NOTHING, f'failed: {masked(answer)}')]
            seen += (dataclasses.replace(one, sample=sample) for one in answer)
    return seen
