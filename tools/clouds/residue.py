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
"""Instances with something wrong, and what has to be found in them."""

from collections.abc import Callable

from tools.clouds.addresses import NUMBERED
from tools.clouds.builder import Builder


def wrong_number(made: Builder) -> None:
    """The row has the LUN of another host, the attachment is right."""
    machine = made.instance(made.host())
    disk = made.disk(*NUMBERED)
    host = machine.host or ""
    made.row(machine, disk, made.other(host), made.attachment(machine.uuid, disk, host))
    made.attached(machine, made.disk())
    made.expect(machine, "R1", disk=disk)


def not_rolled_back(made: Builder) -> None:
    """Row and attachment stayed on the destination: incident 000 since Pike."""
    machine = made.instance(made.host())
    disk = made.disk(*NUMBERED)
    host = machine.host or ""
    there = made.other(host)
    made.row(machine, disk, there, made.attachment(machine.uuid, disk, there))
    made.migration(machine, "error", host, there)
    made.expect(machine, "R1", "R2", "R3", disk=disk)


def not_rolled_back_before_pike(made: Builder) -> None:
    """Incident 000 as it was."""
    machine = made.instance(made.host())
    disk = made.disk(*NUMBERED)
    host = machine.host or ""
    made.attachment(machine.uuid, disk, None, attach_status="attached")
    made.row(machine, disk, made.other(host), None, old=True)
    made.migration(machine, "error", host, made.other(host))
    made.expect(machine, "R1", "R3", "R10", disk=disk)


def gone(made: Builder) -> None:
    """The row names an attachment that was deleted."""
    machine = made.instance(made.host())
    disk = made.disk()
    made.row(
        machine,
        disk,
        machine.host,
        made.attachment(machine.uuid, disk, machine.host, deleted=True),
    )
    made.expect(machine, "R2", disk=disk)


def replaced(made: Builder) -> None:
    """The same, and Cinder has another one for the right host."""
    machine = made.instance(made.host())
    disk = made.disk(*NUMBERED)
    made.row(
        machine,
        disk,
        machine.host,
        made.attachment(machine.uuid, disk, machine.host, deleted=True),
    )
    made.attachment(machine.uuid, disk, machine.host)
    made.expect(machine, "R2", disk=disk)


def left_there(made: Builder) -> None:
    """The destination of a failed migration still has the volume."""
    machine = made.instance(made.host())
    disk = made.disk()
    made.attached(machine, disk)
    host = machine.host or ""
    made.attachment(machine.uuid, disk, made.other(host))
    made.migration(machine, "failed", host, made.other(host))
    made.expect(machine, "R3", "R10", disk=disk)


def of_the_deleted(made: Builder) -> None:
    """A deleted instance still has an attachment."""
    machine = made.instance(None, deleted=1, vm_state="deleted")
    disk = made.disk()
    made.attachment(machine.uuid, disk, made.host())
    made.expect(machine, "R3", disk=disk)


def lost_reply(made: Builder) -> None:
    """A second attachment for the right host, which no row names."""
    machine = made.instance(made.host())
    disk = made.disk()
    made.attached(machine, disk)
    made.attachment(machine.uuid, disk, machine.host)
    made.expect(machine, "R2", disk=disk)


def twice(made: Builder) -> None:
    """A second row of a volume, whose attachment was deleted."""
    machine = made.instance(made.host())
    disk = made.disk(*NUMBERED)
    made.attached(machine, disk)
    gone = made.attachment(machine.uuid, disk, machine.host, deleted=True)
    made.row(machine, disk, machine.host, gone)
    made.disks[machine.uuid].pop()
    made.expect(machine, "R2", disk=disk)


def on_the_other_host(made: Builder) -> None:
    """Its migration was completed, and its record says that it has not left."""
    host = made.host()
    there = made.other(host)
    machine = made.instance(host)
    disk = made.disk()
    made.row(machine, disk, there, made.attachment(machine.uuid, disk, there))
    made.guests[machine.uuid] = there
    made.migration(machine, "completed", host, there)
    made.expect(machine, "R5")


def stuck(made: Builder) -> None:
    """No migration goes on, and it is migrating."""
    machine = made.instance(made.host(), task_state="migrating")
    made.attached(machine, made.disk())
    made.migration(machine, "error", machine.host or "", made.other(machine.host or ""))
    made.expect(machine, "R6")


def in_error(made: Builder) -> None:
    """A migration failed, the guest runs, the instance is in ERROR."""
    machine = made.instance(made.host(), vm_state="error")
    made.attached(machine, made.disk())
    made.migration(machine, "error", machine.host or "", made.other(machine.host or ""))
    made.expect(machine, "R6")


def charged(made: Builder) -> None:
    """Another node is charged for it, or a migration that has ended still is."""
    machine = made.instance(made.host())
    made.attached(machine, made.disk())
    host = machine.host or ""
    move = made.migration(machine, "error", host, made.other(host))
    made.allocation(made.random.choice((machine.uuid, move)), made.other(host))
    made.expect(machine, "R7")


def two_guests(made: Builder) -> None:
    """Two instances on two hosts have one volume that is not made for it."""
    disk = made.disk()
    host = made.host()
    for one in (host, made.other(host)):
        machine = made.instance(one)
        made.attached(machine, disk)
        made.expect(machine, "R10", disk=disk)


def unended(made: Builder) -> None:
    """A migration that nothing ends."""
    machine = made.instance(made.host())
    made.attached(machine, made.disk())
    made.migration(
        machine,
        made.random.choice(("running", "preparing", "post-migrating")),
        machine.host or "",
        made.other(machine.host or ""),
    )
    made.expect(machine, "R12")


def unended_of_the_deleted(made: Builder) -> None:
    """The same of an instance that is gone."""
    machine = made.instance(None, deleted=1, vm_state="deleted")
    made.migration(machine, "running", made.host(), made.host())
    made.expect(machine, "R12")


def unbuilt(made: Builder) -> None:
    """Its build failed: it is on no host, and its attachments were deleted."""
    machine = made.instance(None, vm_state="error", power_state=0)
    disk = made.disk(status="available")
    host = made.host()
    made.row(machine, disk, host, made.attachment(machine.uuid, disk, host, deleted=True))
    made.expect(machine, "R2", disk=disk)


#: What is told as minor and not certain, since it is no residue of a migration.
MINOR: tuple[Callable[[Builder], None], ...] = (unbuilt,)

RESIDUE: tuple[Callable[[Builder], None], ...] = (
    wrong_number,
    not_rolled_back,
    not_rolled_back_before_pike,
    gone,
    replaced,
    left_there,
    of_the_deleted,
    lost_reply,
    twice,
    on_the_other_host,
    stuck,
    in_error,
    charged,
    two_guests,
    unended,
    unended_of_the_deleted,
)
