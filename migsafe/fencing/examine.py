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
"""Looks at hosts with all probes, several times, and judges them."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from migsafe.brick.kernel import bounded
from migsafe.fencing import probes, verdict
from migsafe.fencing.facts import Limits
from migsafe.fencing.probes.base import Probe, Record, Site
from migsafe.fencing.signs import Checker, Meaning, Observation, Sign, Strength
from migsafe.fencing.verdict import Judgement
from migsafe.text import masked

#: Others that are asked, to see whether it is not whoever asks that is cut off.
WITNESSES = 10
#: Hosts that are looked at at the same time, with a thread for each look.
AT_ONCE = 100
#: Seconds more than its own time-out that a probe has.
GRACE = 0.5
OTHER = 'other'


@dataclasses.dataclass(frozen=True)
class Fleet:
    """The other compute hosts.

    :param up: names of those that Nova takes for up
    :param lost: how many have fallen silent, see :attr:`Record.lost`
    """

    up: tuple[str, ...] = ()
    lost: int = 0


def fleet(records: Mapping[str, Record], *apart: str) -> Fleet:
    """The other hosts by Nova's records.

    :param records: host -> its record, of all that there are
    :param apart: hosts that do not count: the one that is judged, and the one that judges
    """
    others = {host: one for host, one in records.items() if host not in apart}
    return Fleet(tuple(host for host, one in others.items() if one.up),
                 sum(one.lost for one in others.values()))


def examine(host: str, instance_uuid: str, site: Site, fleet: Callable[[], Fleet],
            confirmed: bool = False) -> Judgement:
    """Look and judge; ends in time, whatever hangs.

    :param instance_uuid: the guest that is asked for; empty if only the host is
    :param fleet: reads the other hosts; none of them is whoever asks, or the host itself
    :param confirmed: a person has confirmed that it is fenced, so that such a word is believed
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
    samples = range(conf.verdict_samples)
    answers = bounded.ask(
        _looks([host], instance_uuid, made, conf, samples) | {
            (OTHER, host, instance_uuid, name): _question(site, name) for name in witnesses},
        _seconds(conf, len(samples)))
    if witnesses:
        seen = sum(_lives(answers[OTHER, host, instance_uuid, name]) for name in witnesses)
        checker = dataclasses.replace(checker, sees_others=seen > 0, asked=len(witnesses),
                                      unheard=len(witnesses) - seen)
    return verdict.judge(host, _seen(host, instance_uuid, made, samples, answers), checker,
                         _limits(conf, confirmed))


def survey(records: Mapping[str, Record], site: Site) -> list[Judgement]:
    """Judge many hosts in one pass: each is looked at once, and again if that says too little.

    Those that show a sign of life are the witnesses for all others.

    :param records: host -> Nova's record of it, of all that there are
    :raises ConfigError: a probe cannot be used
    """
    made, conf = probes.load(site), site.conf
    seen = _passed(list(records), made, conf, range(1))
    found = _judged(records, seen, conf)
    again = [one.host for one in found if one.row.name == verdict.MORE_LOOKS]
    for host, looks in _passed(again, made, conf, range(1, conf.verdict_samples)).items():
        seen[host] += looks
    return _judged(records, seen, conf) if again else found


def _passed(hosts: Sequence[str], made: Sequence[Probe], conf: Any, samples: range
            ) -> dict[str, list[Observation]]:
    """Look at hosts, not at all of them at once; host -> what was seen."""
    seen: dict[str, list[Observation]] = {}
    for start in range(0, len(hosts), AT_ONCE):
        some = hosts[start:start + AT_ONCE]
        answers = bounded.ask(_looks(some, '', made, conf, samples), _seconds(conf, len(samples)))
        seen |= {host: _seen(host, '', made, samples, answers) for host in some}
    return seen


def _judged(records: Mapping[str, Record], seen: Mapping[str, Sequence[Observation]], conf: Any
            ) -> list[Judgement]:
    """Judge each host, with all others as the fleet."""
    living = {host for host, looks in seen.items() if any(
        one.meaning is Meaning.ALIVE and one.strength is Strength.PROOF for one in looks)}
    everybody = fleet(records)
    up = set(everybody.up)
    unheard = up - living

    def checker(host: str) -> Checker:
        asked, lost = len(up - {host}), everybody.lost - records[host].lost
        return Checker(bool(living - {host}) if asked else None, asked + lost, lost, asked,
                       len(unheard - {host}))
    return [verdict.judge(host, seen[host], checker(host), _limits(conf)) for host in records]


def _limits(conf: Any, confirmed: bool = False) -> Limits:
    return Limits(conf.verdict_samples, conf.fleet_loss_percent,
                  conf.believe_forced_down or confirmed, conf.evacuate_without_witness)


def _seconds(conf: Any, samples: int) -> float:
    """How long all looks may take."""
    return float(conf.verdict_interval * (samples - 1) + conf.probe_timeout + GRACE)


def _looks(hosts: Iterable[str], instance_uuid: str, made: Sequence[Probe], conf: Any,
           samples: range) -> dict[Hashable, Callable[[], Any]]:
    """Each look of each probe, at its time."""
    def at(probe: Probe, host: str, sample: int) -> Callable[[], Sequence[Observation]]:
        def look() -> Sequence[Observation]:
            time.sleep((sample - samples.start) * conf.verdict_interval)
            return probe.look(host, instance_uuid)
        return look
    return {(probe.name, host, instance_uuid, sample): at(probe, host, sample)
            for host in hosts for probe in made for sample in samples}


def _question(site: Site, name: str) -> Callable[[], Any]:
    return lambda: site.ask(name, '', site.conf.probe_timeout)


def _lives(answer: Any) -> bool:
    sign = getattr(answer, 'sign', None)
    return isinstance(sign, Sign) and Observation('', sign).meaning is Meaning.ALIVE


def _seen(host: str, instance_uuid: str, made: Sequence[Probe], samples: range,
          answers: dict[Hashable, Any]) -> list[Observation]:
    """What came of the looks; one that failed or hangs has seen nothing."""
    seen: list[Observation] = []
    for probe in made:
        for sample in samples:
            answer = answers[probe.name, host, instance_uuid, sample]
            if isinstance(answer, bounded.Silent):
                answer = [probe.saw(Sign.NOTHING, 'did not come back in time')]
            elif isinstance(answer, Exception):
                answer = [probe.saw(Sign.NOTHING, f'failed: {masked(answer)}')]
            seen += (dataclasses.replace(one, sample=sample) for one in answer)
    return seen
