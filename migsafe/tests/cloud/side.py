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

from migsafe.tests.cloud import api, configs, machines, places, processes, servers

#: MiB/s of a live migration: slow enough to do something in the middle of it.
BANDWIDTH = 1
SIDES = ('plain', 'armed')


def take(side: str) -> None:
    """Configure and restart nova-compute and cinder-volume, unless they are so already."""
    armed, known = side == 'armed', places.part('run') / 'side'
    if (known.read_text() if known.exists() else SIDES[0]) == side:
        return
    known.write_text(side)
    for name in places.MACHINES:
        compute = name in places.COMPUTES
        file = '/etc/nova/nova.conf' if compute else '/etc/cinder/cinder.conf'
        machines.service(name, 'stop')
        machines.write(name, file, configs.render(
            configs.compute(name, armed, BANDWIDTH) if compute else configs.volume(name, armed)))
        machines.service(name, 'start')
    wait()
    processes.say(f'{side}: services restarted')


def wait() -> None:
    """Until every service has reported that it is up since now."""
    before = _reports()
    api.wait('the services to report',
             lambda: len(found := _reports()) == len(places.MACHINES)
             and all(found[name] != before.get(name) for name in found), servers.SLOW)
    # the scheduler hears of a backend somewhat later than the service list
    api.wait('the pools of the array', lambda: api.call(
        'cinder', 'GET', '/scheduler-stats/get_pools')['pools'], servers.SLOW)


def _reports() -> dict[str, str]:
    """Machine -> when its service last said that it is up."""
    found = {one['host']: str(one['updated_at'])
             for one in api.call('nova', 'GET', '/os-services?binary=nova-compute')['services']
             if one['state'] == 'up'}
    found |= {one['host'].split('@')[0]: str(one['updated_at'])
              for one in api.call('cinder', 'GET', '/os-services?binary=cinder-volume')['services']
              if one['state'] == 'up'}
    return found
