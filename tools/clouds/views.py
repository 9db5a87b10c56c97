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
"""What Neutron, hosts and backends have of a synthetic cloud: residue of theirs, and noise.

Beside it each instance that is on a host has a port there, each attachment an export, and each
guest a host that says it has it.
"""

import dataclasses
from collections.abc import Callable

from migsafe.audit.facts import Export
from migsafe.audit.told import Told
from migsafe.journal.residue import Piece
from tools.clouds.builder import Builder, Machine


@dataclasses.dataclass
class Seen:
    """What services say."""

    pieces: list[Piece] = dataclasses.field(default_factory=list)
    exports: list[Export] = dataclasses.field(default_factory=list)
    runs: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def export(self, volume: str, host: str, attachment: str, state: str = "mapped") -> None:
        """A backend has a volume exported."""
        self.exports.append(Export("array@a", volume, host, state, attachment, "1"))

    def piece(self, kind: str, state: str, host: str, instance: str) -> None:
        """A host has something that is not as it should be."""
        self.pieces.append(
            Piece(kind, state, "device", host, "sdq", None, "tx", instance, "it is open")
        )

    def told(self) -> Told:
        """All of it."""
        return Told(tuple(self.pieces), self.runs, tuple(self.exports))


def _plain(made: Builder) -> tuple[Machine, str, str]:
    """An instance with a volume, its host, and another one."""
    machine = made.instance(made.host())
    made.attached(machine, made.disk())
    host = machine.host or ""
    return machine, host, made.other(host)


def _of_host(rule: str) -> Callable[[Seen, Builder], None]:
    def plant(seen: Seen, made: Builder) -> None:
        machine, host, other = _plain(made)
        state = made.random.choice(("held", "was held", "found"))
        seen.piece(rule, state, made.random.choice((host, other)), machine.uuid)
        made.expect(machine, rule.partition("-")[0])

    return plant


def bound_elsewhere(seen: Seen, made: Builder) -> None:
    """A port of it is bound to the host of a migration that failed, or waits for it."""
    machine, host, other = _plain(made)
    made.migration(machine, "error", host, other)
    if made.random.random() < 0.5:
        made.port(machine, (other, "ACTIVE"))
    else:
        made.port(machine, (host, "ACTIVE"), (other, "INACTIVE"))
    made.expect(machine, "R8")


def exported_elsewhere(seen: Seen, made: Builder) -> None:
    """The ledger has its volume for another host, and no attachment says why."""
    shared = made.random.random() < 0.5
    machine = made.instance(made.host())
    disk = made.disk(multiattach=shared)
    made.attached(machine, disk)
    seen.export(disk.uuid, made.other(machine.host or ""), made.uuid())
    made.expect(machine, *(("R3",) if shared else ("R3", "R10")), disk=disk)


def busy(seen: Seen, made: Builder) -> None:
    """It is being migrated: its port is bound twice, exports come, and pieces are held."""
    source = made.host()
    dest = made.other(source)
    since = made.just_now()
    machine = made.instance(source, task_state="migrating", updated_at=since)
    made.migration(machine, "running", source, dest, updated_at=since)
    disk = made.disk()
    made.attached(machine, disk)
    seen.export(disk.uuid, dest, made.uuid())
    made.port(machine, (source, "ACTIVE"), (dest, "INACTIVE"))
    for rule in ("R4", "R8-binding", "R9", "R11"):
        seen.piece(rule, "held", dest, machine.uuid)


def settling(seen: Seen, made: Builder) -> None:
    """A host is just taking away what it has, and so is a backend."""
    machine, _host, other = _plain(made)
    for rule in ("R4", "R11"):
        seen.piece(rule, "unsettled", other, machine.uuid)
    disk = made.disk()
    made.attached(machine, disk)
    seen.export(disk.uuid, other, made.uuid(), made.random.choice(("mapping", "unmapping")))


def router(seen: Seen, made: Builder) -> None:
    """A port of something else is anywhere, and a port of its own is bound to no host."""
    machine, _host, other = _plain(made)
    made.port(machine, (other, "ACTIVE"), owner="network:router_gateway")
    made.port(machine, ("", "ACTIVE"))


RESIDUE = (
    _of_host("R4"),
    _of_host("R8-binding"),
    _of_host("R9"),
    _of_host("R11"),
    bound_elsewhere,
    exported_elsewhere,
)
HEALTHY = (busy, settling, router)
