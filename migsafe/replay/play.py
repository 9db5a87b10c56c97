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
"""Plays one fault of the catalogue in a laboratory and says what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from migsafe.journal import redact
from migsafe.replay import catalogue, trace
from migsafe.replay import stage as replay_stage
from migsafe.replay.entry import DESTINATION, SOURCE, THIRD, Entry
from migsafe.replay.lab import case as lab_case
from migsafe.replay.lab import faults, lab, observe, runner, san, steps, world
from migsafe.replay.outcome import Found, Hurt, Next, Outcome, Verdict


def play(stage: replay_stage.Stage, entry: Entry) -> Outcome:
    """Replay one fault, from a new guest to the owner's next step."""
    case = build(entry, stage.armed, stage.source, stage.destination)
    roles = {SOURCE: stage.source, DESTINATION: stage.destination, THIRD: san.THIRD}
    stage.moments = []
    if entry.dies:
        stage.moments += [stage.dies(roles[entry.dies[0]], *entry.dies[1:])]
    if entry.restored:
        stage.moments += [stage.copied(roles[entry.restored[0]], *entry.restored[1:])]
    residue: tuple[Found, ...] | None = None
    pending: tuple[Verdict, ...] = ()
    try:
        result = runner.run(stage, case)
        if entry.waits:
            residue = _found(result.residue)
            pending = tuple(v for v in trace.verdicts(stage) if v.state == 'open')
            if entry.returns:
                _go_on(stage, entry, roles)
            _come_back(stage, entry, case, result)
    except lab.LabBroken as broken:
        return Outcome(entry.name, stage.armed,
                       error=str(redact(f'the laboratory failed: {broken}')))
    return _outcome(stage, entry, result, residue, pending)


def build(entry: Entry, armed: bool, source: str, destination: str) -> lab_case.Case:
    """The laboratory's case of a fault of the catalogue."""
    given = catalogue.arguments(entry, armed, {'source': source, 'destination': destination})
    given['faults'] = tuple(faults.Fault(**fault) for fault in given['faults'])
    if entry.waits:
        # the owner acts when everybody is back, see _come_back
        given['next_step'] = None
    return lab_case.Case(**given)


def _go_on(stage: replay_stage.Stage, entry: Entry, roles: Mapping[str, str]) -> None:
    """Migrate the guest on to the third host; what is down comes back in the middle of that."""
    assert stage.server is not None and entry.returns is not None
    role, kind, name = entry.returns
    stage.note_with()
    if entry.restored:
        stage.put_back(roles[entry.restored[0]])
    stage.moments += [stage.returns(host, roles[role], kind, name) for host in stage.dead()]
    if stage.show(stage.server)['status'] == 'ERROR':
        stage.phase("an operator resets the VM's state")
        steps.api_action(stage.stack, stage.server.uuid, {'os-resetState': {'state': 'active'}})
    for connection in stage.parts.connections.values():
        # this one goes well
        connection.next_verdict = 'complete'
    stage.phase(f'the next live migration, to {roles[THIRD]}')
    stage.migrate(stage.server, roles[THIRD])


def _come_back(stage: replay_stage.Stage, entry: Entry, case: lab_case.Case,
               result: lab_case.CaseResult) -> None:
    """End what the case waited for, let it come to rest, and do the next step."""
    server = stage.server
    assert server is not None
    observer = stage.observer(server)
    stage.note_with()
    for host, _, _ in case.hold:
        stage.phase(f'the holder on {host} goes away')
        stage.parts.kernels[host].held.clear()
    for _ in range(runner.ROUNDS):
        for host in stage.dead():
            stage.restart(host)
        stage.late()
        stage.recover()
        if not stage.dead() and not (stage.armed and observer.look()):
            break
    result.residue, result.running_on = observer.look(), observer.running_on()
    result.status, result.harms = stage.show(server)['status'], list(stage.world.harms)
    result.next_step = stage.what_if(server, entry.next_step)


def _outcome(stage: replay_stage.Stage, entry: Entry, result: lab_case.CaseResult,
             residue: tuple[Found, ...] | None, pending: tuple[Verdict, ...]) -> Outcome:
    missing = _missing(stage, entry, result)
    step = result.next_step
    return Outcome(
        entry.name, stage.armed, fired=not missing, missing=missing, status=result.status,
        running_on=tuple(result.running_on), residue=_found(result.residue), waiting=residue,
        pending=pending, verdicts=trace.verdicts(stage), harms=_hurt(result.harms),
        next=None if step is None else Next(step.operation, step.done,
                                            str(redact(step.status)), _hurt(step.harms)),
        steps=trace.steps(stage), seconds=round(result.seconds, 2))


def _missing(stage: replay_stage.Stage, entry: Entry,
             result: lab_case.CaseResult) -> tuple[str, ...]:
    """What should have gone wrong and did not."""
    fired = {one.fault for one in result.fired}
    missing = [str(fault) for fault in result.case.faults if fault not in fired]
    missing += [str(moment) for moment in stage.moments]
    if entry.returns and stage.armed and result.running_on != [san.THIRD]:
        missing.append(f'the next live migration to {san.THIRD}')
    effects = stage.world.trace
    refused = {effects[index].host for index in stage.notes.errors
               if effects[index].name == 'disconnect_volume'}
    missing += [f'{holder} on {host} refuses a removal' for host, _, holder in result.case.hold
                if host not in refused]
    return tuple(missing)


def _found(residue: Iterable[observe.Residue]) -> tuple[Found, ...]:
    return tuple(Found(r.kind, r.detail, r.host, r.volume) for r in residue)


def _hurt(harms: Iterable[world.Harm]) -> tuple[Hurt, ...]:
    return tuple(Hurt(h.kind, h.host, h.detail, world.HARMS[h.kind]) for h in harms)
