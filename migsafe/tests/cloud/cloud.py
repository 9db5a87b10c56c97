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
"""The whole cloud: brought up in order, each step with its time."""

from __future__ import annotations

import time
from collections.abc import Callable

from migsafe.tests.cloud import (
    api,
    control,
    image,
    machines,
    network,
    places,
    processes,
    proxy,
    servers,
    side,
)


def steps() -> tuple[tuple[str, Callable[[], object]], ...]:
    """What is done, in this order."""
    return (
        ('network', network.make),
        ('configuration', control.prepare),
        ('MariaDB', control.database),
        ('RabbitMQ', control.rabbit),
        ('schemas', control.schemas),
        ('keys of Keystone', control.identity),
        ('haproxy', proxy.start),
        ('Keystone', control.start_keystone),
        ('users and endpoints', api.users),
        ('services', control.start_services),
        # its first list of ports fails if no networks were asked for before
        ('Neutron', lambda: api.call('neutron', 'GET', '/networks')),
        ('image', image.wait),
        ('disks of the machines', lambda: machines.prepare(False, side.BANDWIDTH)),
        ('power', lambda: [machines.power_on(name) for name in places.MACHINES]),
        ('machines', lambda: [processes.until(
            lambda name=name: machines.ready(name), processes.SLOW, name, 2)
            for name in places.MACHINES]),
        ('services of the machines', lambda: side.wait({}, *places.MACHINES)),
        ('hosts', control.discover),
        ('flavors and types', servers.kinds),
    )


def bring_up() -> None:
    """Do all of them; who is inside of the namespaces calls this.

    :raises processes.Failed: one of them did not come to its end
    """
    begun = places.part('.') / 'begun'
    if begun.exists():
        raise processes.Failed('the cloud is being brought up, or that has failed; '
                               '"tools/cloud down" ends it')
    begun.touch()
    began = time.monotonic()
    for name, step in steps():
        start = time.monotonic()
        step()
        processes.say(f'{name}: {time.monotonic() - start:.0f} s')
    processes.say(f'the cloud is up: {time.monotonic() - began:.0f} s')
    (places.part('.') / 'ready').touch()


def status() -> list[tuple[str, str]]:
    """(name, process or "-") of everything."""
    names = ('mariadb', 'rabbitmq', proxy.NAME, *control.APIS, *control.DAEMONS, *places.MACHINES)
    return [(name, str(processes.pid(name) or '-')) for name in names]

