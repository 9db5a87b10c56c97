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
"""The live migrations of the cloud: those that run, are stuck, and are not settled."""

import argparse
import collections
import dataclasses
from collections.abc import Iterable
from typing import Any

from oslo_config import cfg

from migsafe.cli import base, bus, compute_services, fleet, show
from migsafe.preflight import report
from migsafe.text import masked
from migsafe.watch.migration import Migration, State

COLUMNS = ('State', 'Migration', 'Instance', 'Source', 'Destination', 'Age', 'Phase', 'Progress',
           'Host', 'Reason')
SINCE = '1.3'
#: Seconds within which a host has looked anew at a migration that has just begun.
YOUNG = 90
#: Seconds after which a look of a host is too old to go by.
OLD = 300
SOURCE = 'source'
#: The states in the order of the list.
ORDER = {state.value: number for number, state in enumerate(State)}


@dataclasses.dataclass(frozen=True)
class Answer:
    """What one host says.

    :param problem: why nothing is known of it; empty if it has answered
    """

    host: str
    migrations: tuple[Migration, ...] = ()
    problem: str = ''


@dataclasses.dataclass(frozen=True)
class Reply:
    """What an endpoint answers; see :class:`migsafe.nova.bus.endpoint.Endpoint`."""

    host: str
    ago: float | None
    migrations: tuple[Migration, ...]


class Migrations(base.Command):
    """List live migrations that run, are stuck, or are not settled, and why.

    Each nova-compute is asked over the message bus, and the database of the cell for what Nova
    has as running and no host is at. Age is in seconds, Progress in percent of what need not be
    sent any more. The exit code is 3 if one is stuck or not settled, or if nothing is known.
    """

    SHORT = ('State', 'Instance', 'Source', 'Destination', 'Age', 'Phase', 'Progress', 'Reason')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the hosts, and the instance."""
        parser = super().get_parser(prog_name)
        parser.add_argument('hosts', nargs='*', metavar='HOST', help='ask these alone; without '
                            'any, all that [database] connection of the configuration knows')
        parser.add_argument('--instance', metavar='UUID', help='only those of one instance')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Ask, put together, and return one row for each."""
        conf, named = self.conf, parsed_args.hosts
        names = sorted(set(named or fleet.hosts(conf)))
        answers = asked(conf, names)
        self.found([f'{show.text(one.host)}: nothing is known: {one.problem}'
                    for one in answers.values() if one.problem])
        found = [one for one in together(answers, self._records(conf, bool(named)))
                 if parsed_args.instance in (None, one.instance)]
        self.found([f'{len(found) - good} of {len(found)} live migrations do not simply run.'
                    for good in [sum(one.state == State.RUNNING.value for one in found)]
                    if good < len(found)])
        return COLUMNS, [_row(one) for one in found]

    def _records(self, conf: cfg.ConfigOpts, named: bool) -> list[Migration]:
        """Nova's; where hosts are named it can be done without the database."""
        try:
            return compute_services.Services(conf).going_on()
        except compute_services.NoHosts as error:
            if not named:
                raise
            self.say(f"What Nova's records alone have is not shown: {show.text(error)}")
            return []


def asked(conf: cfg.ConfigOpts, names: list[str]) -> dict[str, Answer]:
    """What each of some hosts says.

    :raises Unreachable: the message bus is away
    """
    return {one.host: one for one in fleet.each(
        bus.Bus(conf), names, _ask, lambda name, error: Answer(name, (), masked(error)))}


def counted(conf: cfg.ConfigOpts, named: list[str]) -> dict[tuple[str, str], int]:
    """(host, state) -> how many live migrations; see :meth:`Migrations.take_action`.

    A host that has not answered has what Nova's records say of it, and no zero.

    :param named: none means those that Nova knows
    :raises NoHosts: Nova's database cannot be read
    :raises Unreachable: the message bus is away
    """
    answers = asked(conf, sorted(set(named or fleet.hosts(conf))))
    records = compute_services.Services(conf).going_on()
    found = collections.Counter(
        (one.host or one.source, one.state) for one in together(answers, records))
    heard = [host for host, answer in answers.items() if not answer.problem]
    return dict.fromkeys(((host, state) for host in heard for state in ORDER), 0) | found


def together(answers: dict[str, Answer], records: Iterable[Migration]) -> list[Migration]:
    """What hosts say, and what Nova has as running and none of them is at.

    A source leads: while it says that a migration runs or is stuck, its destination only waits.
    """
    told = [one for answer in answers.values() for one in answer.migrations]
    led = {one.migration for one in told
           if one.role == SOURCE and one.state != State.UNSETTLED.value}
    found = [one for one in told if one.role == SOURCE or one.migration not in led]
    known = {one.migration for one in told if one.role == SOURCE}
    found += [_alone(one, answers[one.source]) for one in records
              if one.migration not in known and one.source in answers]
    return sorted(found, key=lambda one: (ORDER[one.state], -one.age))


def _alone(one: Migration, answer: Answer) -> Migration:
    """A record of which its host says nothing."""
    if answer.problem:
        return dataclasses.replace(one, reason=f'{one.source}: {answer.problem}')
    if one.age < YOUNG:
        return dataclasses.replace(one, state=State.RUNNING.value)
    return dataclasses.replace(one, state=State.STUCK.value, reason=(
        f"Nova's record of it is {one.phase}, and {one.source} says nothing of it. Run this "
        f'again; if that stays, look at the log of nova-compute on {one.source}.'))


def _row(one: Migration) -> tuple[Any, ...]:
    return (one.state, one.migration, one.instance, one.source, one.destination, round(one.age),
            one.phase, one.progress, one.host, show.Short(show.text(one.reason)))


def _ask(transport: bus.Bus, host: str) -> Answer:
    """One host; whatever is wrong with it alone is what is known of it.

    :raises Unreachable: the bus is away for all of them
    """
    service = fleet.service_of(host)
    try:
        try:
            return parse(host, transport.call(service, 'migrations', SINCE))
        except bus.TooOld as error:
            return Answer(host, (), fleet.without(transport, service) or show.text(error))
    except bus.Unreachable:
        raise
    except bus.NoAnswer as error:
        return Answer(host, (), show.text(error))


def parse(host: str, reply: Any) -> Answer:
    """What is believed of an answer: each value of its own kind, bounded, and safe to show."""
    try:
        found = report.read(Reply, reply)
    except report.NotUnderstood as error:
        return Answer(host, (), f'its answer is not to be understood ({show.text(error)})')
    if found.host != host or any(one.state not in ORDER for one in found.migrations):
        return Answer(host, (), 'its answer is not to be understood')
    if found.ago is None or found.ago > OLD:
        return Answer(host, (), 'it has not looked at its live migrations for '
                      + ('as long as it runs' if found.ago is None else f'{found.ago:.0f} seconds')
                      + '; if that stays, look for a libvirtd that hangs: virsh list')
    return Answer(host, tuple(dataclasses.replace(one, age=one.age + found.ago, host=host)
                              for one in found.migrations))
