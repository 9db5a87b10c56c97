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
"""Runs one case through its phases."""

from __future__ import annotations

import time
from typing import Any

from migsafe.replay.lab import case as lab_case
from migsafe.replay.lab import faults, guests, observe, world
from migsafe.replay.lab import lab as lab_lab

#: How often a killed host is restarted, and recovery tried, before a case is judged.
ROUNDS = 4


def run(lab: lab_lab.Lab, case: lab_case.Case) -> lab_case.CaseResult:
    """Run one case from a new guest to the next step, and clean up before it.

    :raises LabBroken: if the laboratory failed; it can be used on.
    """
    begun = time.monotonic()
    result = lab_case.CaseResult(case)
    lab.clean()
    try:
        server = lab.new_server(case.volumes, case.backends, case.multiattach,
                                case.encrypted, case.legacy)
        for host, volume, holder in case.hold:
            lab.parts.kernels[host].held[server.volumes[volume]] = holder
        lab.world.reset()
        _migrate(lab, case, server, result)
        _recover(lab, case, server, result)
        result.harms = list(lab.world.harms)
        if case.next_step and not lab.dead():
            lab.world.rule = None
            result.next_step = lab.what_if(server, case.next_step)
    finally:
        result.log = lab.log()
        result.seconds = time.monotonic() - begun
    return result


def _migrate(lab: lab_lab.Lab, case: lab_case.Case, server: guests.Server,
             result: lab_case.CaseResult) -> None:
    plan = lab.arm_faults(case, 'migrate')
    result.accepted = lab.migrate(server)
    lab.go_on(plan)
    result.late = lab.late()
    result.fired += plan.fired
    result.killed = lab.dead()
    lab.world.rule = None
    result.trace = list(lab.world.trace)
    observer = lab.observer(server)
    result.left = observer.look()
    result.running_on = observer.running_on()


def _recover(lab: lab_lab.Lab, case: lab_case.Case, server: guests.Server,
             result: lab_case.CaseResult) -> None:
    plan = lab.arm_faults(case, 'recover')
    for host in case.restart:
        lab.restart(host)
    for host in case.reboot:
        lab.restart(host, reboot=True)
    observer = lab.observer(server)
    _rounds(lab, case, observer, result)
    result.fired += plan.fired
    lab.world.rule = None
    if any(fired.fault.times == faults.FOR_EVER for fired in plan.fired):
        # an outage ends some day, and what was held until then is settled
        _rounds(lab, case, observer, result)
    result.residue = observer.look()
    result.running_on = observer.running_on()
    result.status = lab.show(server)['status']


def _rounds(lab: lab_lab.Lab, case: lab_case.Case, observer: observe.Observer,
            result: lab_case.CaseResult) -> None:
    for _ in range(ROUNDS):
        for host in lab.dead():
            if host not in case.stays_down:
                lab.restart(host)
        result.late += lab.late()
        lab.recover()
        down = set(lab.dead()) - set(case.stays_down)
        if not down and not (lab.armed and observer.look()):
            break


def healthy_trace(lab: lab_lab.Lab, **server: Any) -> list[world.Effect]:
    """All effects of one migration without a fault; faults.points() makes kills of it.

    The first run only fills Nova's caches.

    :raises LabBroken: if it fails though nothing was broken.
    """
    case = lab_case.Case('healthy', next_step=None, **server)
    run(lab, case)
    result = run(lab, case)
    if result.residue or result.running_on != [lab.destination]:
        raise lab_lab.LabBroken(
            f'a migration without a fault left {result.residue} and the guest '
            f'on {result.running_on}:\n{result.log}')
    return result.trace
