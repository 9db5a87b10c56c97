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
"""The scenarios, by the letter that the documents call them by."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from migsafe.tests.cloud import bystander, control, machines, processes, servers
from migsafe.tests.cloud.acts import after, away, kills, moves, rolling
from migsafe.tests.cloud.acts.kills import DESTINATION, SOURCE
from migsafe.tests.cloud.story import Scenario

DRAWN = 10

SCENARIOS: Mapping[str, Scenario] = {
    'a': Scenario('live migration there and back', moves.there_and_back),
    'b': Scenario('abort through the API', moves.abort),
    'c': Scenario("the destination's QEMU is killed", lambda story: story.failed()),
    'd-source': Scenario('nova-compute of the source is killed', kills.compute(SOURCE)),
    'd-destination': Scenario('nova-compute of the destination is killed',
                              kills.compute(DESTINATION)),
    'd-both': Scenario('nova-compute of both hosts is killed',
                       kills.compute(SOURCE, DESTINATION)),
    **{f'd{seed}': Scenario(
        f'nova-compute of {" and ".join(kills.of_seed(seed))} is killed at a drawn moment',
        kills.compute(*kills.of_seed(seed), seed=seed)) for seed in range(1, DRAWN + 1)},
    'e': Scenario('the destination is powered off, and comes back', kills.power_off, fixed=True),
    'e-dead': Scenario('the destination is powered off, and an operator says that it is dead',
                       kills.never_back, fixed=True),
    'f-volume': Scenario('cinder-volume is killed, and started again', away.service(
        'cinder-volume', lambda: machines.service(servers.ARRAY, 'kill'),
        lambda: machines.service(servers.ARRAY, 'start'))),
    'f-api': Scenario('cinder-api is killed, and started again', away.service(
        'cinder-api', lambda: processes.end('cinder', signal.SIGKILL),
        lambda: control.start_services('cinder'))),
    'f-bus': Scenario('RabbitMQ is restarted', away.service(
        'RabbitMQ', lambda: processes.end('rabbitmq'), control.rabbit)),
    'f-database': Scenario('MariaDB is restarted', away.service(
        'MariaDB', lambda: processes.end('mariadb'), control.database)),
    'g': Scenario('both portals vanish from the destination', away.portals),
    # the next host that gets its second volume activates what is on it
    'h': Scenario('LVM is active on the source', after.lvm, 1, changed=True),
    'i': Scenario('incident 000: a wrong record, then stop and start', after.wrong_record),
    'j': Scenario('incident 003: haproxy cuts connections', away.connections),
    'k': Scenario('incident 004: evacuated while its guest runs', kills.evacuated),
    'l-iso': Scenario('incident 002: a config drive on local disk, iso9660', after.config_drive,
                      body=(('config_drive', True),)),
    'l-vfat': Scenario('incident 002: a config drive on local disk, vfat',
                       after.config_drive_vfat),
    'm': Scenario('rolling upgrade', rolling.upgrade, fixed=True),
    'n-delete': Scenario('deleted right after a failed migration', after.deleted, gone=True,
                         changed=True),
    'n-reboot': Scenario('hard reboot right after a failed migration',
                         after.asked('hard reboot', after.reboot)),
    'n-detach': Scenario('a volume is detached right after a failed migration',
                         after.asked('detaching', after.detach), 1, changed=True),
    'n-attach': Scenario('a volume is attached right after a failed migration',
                         after.asked('attaching', after.attach), changed=True),
    'n-retype': Scenario('a volume is retyped right after a failed migration',
                         after.asked('retype', after.retype), 1, changed=True),
    'n-resize': Scenario('resized right after a failed migration',
                         after.asked('resize', after.resize), changed=True),
    'o': Scenario('ten migrations of five guests, and one kill', kills.five_at_once),
    'p': Scenario('stopped before its last commit, and the guest is moved again',
                  kills.last_commit),
    'q': Scenario('the volume is mapped to a third initiator by hand', moves.by_hand,
                  foreign=frozenset((bystander.OPERATOR,))),
}
