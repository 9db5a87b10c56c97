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
"""What the preflight is about: the API and both hosts, asked at the same time."""

import functools
import time

from migsafe.brick.kernel import bounded
from migsafe.cli import bus, cloud, fleet, show
from migsafe.preflight import report
from migsafe.preflight.decision import Request
from migsafe.preflight.facts import Facts, Plugin, Server, Side
from migsafe.preflight.path import Path
from migsafe.preflight.surroundings import Surroundings
from migsafe.text import masked

SINCE, PATH_SINCE, AROUND_SINCE = '1.2', '1.3', '1.6'


def facts(api: cloud.Cloud, transport: bus.Bus, seconds: float, server: str, destination: str,
          request: Request) -> Facts:
    """Return all that is to be known before a live migration.

    :param seconds: for the answers of the hosts
    :param server: id or name
    :param destination: empty if none is named
    :raises CloudError: where the server is could not be asked, so that nobody could be
    """
    found = api.server(server)
    questions = {name: functools.partial(_side, api, transport, name, found.uuid)
                 for name in {found.host, destination} - {''}}
    answers = bounded.ask({('preflight', found.uuid, name): question
                           for name, question in questions.items()}, seconds)

    def side(name: str) -> Side:
        answer = answers.get(('preflight', found.uuid, name))
        if isinstance(answer, Side):
            return answer
        why = masked(answer) if isinstance(answer, Exception) else (
            f'it was not answered within {seconds:g} seconds')
        return Side(name, service_problem=why, problem=why)
    here, there = side(found.host), side(destination) if destination else Side('')
    if here.report is None or there.report is None:
        return Facts(found, request, here, there)
    return Facts(found, request, here, there, *_path(transport, found, destination))


def _path(transport: bus.Bus, server: Server, destination: str) -> tuple[Path | None, str]:
    """What the source says of the way to the destination, and why it says nothing."""
    try:
        reply = transport.call(fleet.service_of(server.host), 'path', PATH_SINCE,
                               instance_uuid=server.uuid, destination=destination)
        return report.read(Path, reply), ''
    except bus.NoAnswer as error:
        return None, show.text(error)
    except report.NotUnderstood as error:
        return None, f'the answer of {server.host} is not to be understood ({show.text(error)})'


def _side(api: cloud.Cloud, transport: bus.Bus, host: str, uuid: str) -> Side:
    """One host; whatever is wrong is what is known of it."""
    service, problem = None, ''
    try:
        service = api.service(host)
    except cloud.CloudError as error:
        problem = show.text(error)
    asked, began = fleet.service_of(host), time.time()
    try:
        reply = transport.call(asked, 'preflight', SINCE, instance_uuid=uuid)
    except bus.NoAnswer as error:
        plugin, why = _without(transport, asked, error)
        return Side(show.text(host), service, service_problem=problem, plugin=plugin, problem=why)
    ended = time.time()
    try:
        found = report.read(report.Report, reply)
    except report.NotUnderstood as error:
        return Side(show.text(host), service, service_problem=problem,
                    problem=f'its answer is not to be understood ({show.text(error)})')
    if found.host != host:
        return Side(show.text(host), service, service_problem=problem,
                    problem=f'its answer is that of {found.host}')
    around, silent = _around(transport, asked, uuid)
    return Side(host, service, service_problem=problem, plugin=Plugin.ARMED, report=found,
                offset=found.now - (began + ended) / 2, margin=(ended - began) / 2,
                around=around, around_problem=silent)


def _around(transport: bus.Bus, asked: bus.Service, uuid: str) -> tuple[Surroundings | None, str]:
    """What a host finds around itself, and why it says nothing."""
    try:
        return report.read(Surroundings, transport.call(
            asked, 'surroundings', AROUND_SINCE, instance_uuid=uuid)), ''
    except bus.NoAnswer as error:
        return None, show.text(error)
    except report.NotUnderstood as error:
        return None, f'its answer is not to be understood ({show.text(error)})'


def _without(transport: bus.Bus, service: bus.Service, error: bus.NoAnswer) -> tuple[Plugin, str]:
    """What is known of a host that does not know the call, or does not answer."""
    if isinstance(error, bus.TooOld):
        try:
            if why := fleet.without(transport, service):
                return Plugin.UNARMED, why
        except bus.NoAnswer as later:
            return Plugin.UNKNOWN, show.text(later)
    return Plugin.UNKNOWN, show.text(error)
