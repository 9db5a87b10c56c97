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
"""Plain or armed: the two sides differ in nova.conf and cinder.conf, and in nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

from migsafe.tests.cloud import api, configs, machines, places, processes, servers

#: MiB/s of a live migration: slow enough to do something in the middle of it.
BANDWIDTH = 1
SIDES = ('plain', 'armed')
NOVA, CINDER = '/etc/nova/nova.conf', '/etc/cinder/cinder.conf'


def take(side: str, bandwidth: int = BANDWIDTH) -> None:
    """Configure and restart nova-compute and cinder-volume, unless they are so already.

    :param bandwidth: MiB/s of a live migration; 0: as many as there are
    """
    armed, known, told = side == 'armed', places.part('run') / 'side', f'{side} {bandwidth}'
    if (known.read_text() if known.exists() else f'{SIDES[0]} {BANDWIDTH}') == told:
        return
    known.write_text(told)
    arm(frozenset(places.MACHINES) if armed else frozenset(), *places.MACHINES,
        bandwidth=bandwidth)
    processes.say(f'{side}: services restarted')


def arm(armed: frozenset[str], *names: str, bandwidth: int = BANDWIDTH) -> None:
    """Configure and restart the services of machines.

    :param armed: those of them that have migsafe; the others do not
    :param bandwidth: see take()
    """
    for name in names:
        compute = name in places.COMPUTES
        machines.service(name, 'stop')
        machines.write(name, NOVA if compute else CINDER, configs.render(
            configs.compute(name, name in armed, bandwidth) if compute
            else configs.volume(name, name in armed)))
    before = reports()
    for name in names:
        machines.service(name, 'start')
    wait(before, *names)


@contextlib.contextmanager
def also(file: configs.File) -> Iterator[None]:
    """The compute hosts have further options for as long as the block runs.

    :param file: section -> option -> value; an option that is there twice has the last value
    """
    was = {name: machines.run(name, f'cat {NOVA}') for name in places.COMPUTES}
    try:
        _restart({name: text + configs.render(file) for name, text in was.items()})
        yield
    finally:
        _restart(was)


def _restart(files: Mapping[str, str]) -> None:
    before = reports()
    for name, text in files.items():
        machines.service(name, 'stop')
        machines.write(name, NOVA, text)
        machines.service(name, 'start')
    wait(before, *files)


def wait(before: Mapping[str, str], *names: str) -> None:
    """Until services have reported that they are up.

    :param before: what they had said before they were started, as of reports()
    """
    api.wait('the services to report', lambda: (found := reports()) and all(
        found.get(name) not in (None, before.get(name)) for name in names), servers.SLOW)
    # the scheduler hears of a backend somewhat later than the service list
    api.wait('the pools of the array', lambda: len(configs.BACKENDS) == len(api.call(
        'cinder', 'GET', '/scheduler-stats/get_pools')['pools']), servers.SLOW)


def reports() -> dict[str, str]:
    """Machine -> when its service last said that it is up; of several, that which is behind."""
    found: dict[str, str] = {}
    for service, binary in (('nova', 'nova-compute'), ('cinder', 'cinder-volume')):
        for one in api.call(service, 'GET', f'/os-services?binary={binary}')['services']:
            if one['state'] == 'up':
                name, when = one['host'].split('@')[0], str(one['updated_at'])
                found[name] = min(when, found.get(name, when))
    return found
