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
"""The laboratory in a process of its own: names of cases come in, reports go out.

Arming wraps Nova for the whole process, so that plain and armed cannot share one.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from typing import BinaryIO

from migsafe.replay.lab import case as lab_case
from migsafe.replay.lab import lab as lab_lab
from migsafe.replay.lab import runner, san, world
from migsafe.tests.functional.matrix import client, names
from migsafe.tests.functional.matrix.report import Report, Row


def report(lab: lab_lab.Lab, case: lab_case.Case) -> Report:
    """Run one case."""
    try:
        result = runner.run(lab, case)
    except lab_lab.LabBroken as error:
        return Report(broken=str(error))
    fired = {f.fault for f in result.fired}
    step = result.next_step
    return Report(
        [names.word(f) for f in case.faults if f not in fired], list(left(result)),
        result.seconds, result.log[-20000:], _rows(result.trace),
        _rows(lab.world.trace[len(result.trace):]), [f.effect.index for f in result.fired],
        pieces=[(r.kind, r.host or '', r.volume) for r in result.residue],
        harms=[(h.kind, h.host) for h in (*result.harms, *(step.harms if step else ()))],
        running=result.running_on,
        refused=f'{step.operation}: {step.status}' if step and not step.done else '')


def _rows(trace: Iterable[world.Effect]) -> list[Row]:
    return [(e.host, e.kind, e.name) for e in trace]


def left(result: lab_case.CaseResult) -> Iterable[str]:
    """Everything that is not as it must be."""
    yield from map(str, result.residue)
    for harm in result.harms:
        yield f'harm {harm.kind} on {harm.host}: {harm.detail}'
    if len(result.running_on) != 1:
        yield f'the guest runs on {" and ".join(result.running_on) or "no host"}'
    step = result.next_step
    if step is not None:
        for harm in step.harms:
            yield f'{step.operation} does harm {harm.kind} on {harm.host}: {harm.detail}'
        if not step.done:
            yield f'{step.operation} fails: {step.status}'
    elif result.case.next_step:
        yield 'the next step was impossible, a nova-compute is down'


def laboratory(mode: str) -> lab_lab.Lab:
    """
    :param mode: plain, armed, or which of the two hosts has migsafe: source or destination
    """
    incident = san.Incident.load()
    only = {'source': (incident.source,), 'destination': (incident.destination,)}
    return lab_lab.Lab(armed=mode != 'plain', only=only.get(mode, ()))


def serve(mode: str, requests: BinaryIO, replies: BinaryIO) -> None:
    """Answer until the other side has closed."""
    with laboratory(mode) as lab:
        runner.run(lab, lab_case.Case('fills the caches of Nova', next_step=None))
        replies.write(b'ready\n')
        replies.flush()
        while line := requests.readline():
            name, step = json.loads(line)
            replies.write(report(lab, names.case(name, step)).line())
            replies.flush()
            if mode in client.HALVES:
                lab.forget()


def main() -> None:
    """Keep stdout for the replies; whatever Nova prints goes to stderr."""
    replies = os.fdopen(os.dup(1), 'wb')
    os.dup2(2, 1)
    serve(sys.argv[1], sys.stdin.buffer, replies)


if __name__ == '__main__':
    main()
