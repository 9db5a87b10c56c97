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
"""Instances with nothing wrong, many of which look as if there were."""

import datetime
from collections.abc import Callable

from tools.clouds import addresses
from tools.clouds.builder import Builder
from tools.clouds.rows import NOW


def plain(made: Builder) -> None:
    """It runs, or is stopped, and has been moved before."""
    state, power = made.random.choice((("active", 1), ("active", 1), ("stopped", 4)))
    machine = made.instance(made.host(), vm_state=state, power_state=power)
    for _number in range(made.random.choice((1, 2, 3, 4, 5))):
        made.attached(machine, made.disk())
    host = machine.host or ""
    if made.random.random() < 0.6:
        made.migration(machine, "error", made.other(host), host)
        made.migration(
            machine, made.random.choice(("completed", "confirmed")), made.other(host), host
        )
    if made.random.random() < 0.3:
        made.migration(
            machine,
            made.random.choice(("error", "failed", "cancelled", "reverted")),
            host,
            made.other(host),
        )


def old(made: Builder) -> None:
    """Its volumes were attached before there were attachments in Nova."""
    machine = made.instance(made.host())
    disk = made.disk()
    made.attachment(machine.uuid, disk, None, attach_status="attached")
    made.row(machine, disk, machine.host, None, old=True)


def offloaded(made: Builder) -> None:
    """It is on no host, and its attachments are reserved."""
    machine = made.instance(None, vm_state="shelved_offloaded", power_state=4)
    disk = made.disk(status="reserved")
    made.row(machine, disk, made.host(), made.attachment(machine.uuid, disk, None))


def migrating(made: Builder) -> None:
    """It is being live-migrated, since hours or since just now."""
    source = made.host()
    dest = made.other(source)
    since = made.random.choice((made.just_now(), NOW - datetime.timedelta(hours=5)))
    machine = made.instance(source, task_state="migrating", updated_at=since)
    made.allocation(machine.uuid, dest)
    status = made.random.choice(("queued", "preparing", "running", "post-migrating"))
    uuid = made.migration(machine, status, source, dest, updated_at=since)
    made.allocation(uuid, source)
    for _number in range(2):
        disk = made.disk()
        made.attachment(machine.uuid, disk, source)
        made.row(machine, disk, dest, made.attachment(machine.uuid, disk, dest))


def resized(made: Builder) -> None:
    """Its owner has not confirmed a resize for weeks."""
    source = made.host()
    dest = made.other(source)
    machine = made.instance(dest, vm_state="resized")
    made.allocation(
        made.migration(machine, "finished", source, dest, migration_type="resize"), source
    )
    disk = made.disk()
    made.attached(machine, disk)
    made.attachment(machine.uuid, disk, source)


def just_ended(made: Builder) -> None:
    """Its migration has ended a moment ago, and the source's attachment is still there."""
    source = made.host()
    dest = made.other(source)
    machine = made.instance(dest)
    made.migration(machine, "completed", source, dest, updated_at=made.just_now())
    disk = made.disk()
    made.attached(machine, disk)
    made.attachment(machine.uuid, disk, source)


def attaching(made: Builder) -> None:
    """A volume is being attached."""
    machine = made.instance(made.host())
    made.attached(machine, made.disk())
    disk = made.disk(status="attaching", updated_at=made.just_now())
    made.row(
        machine,
        disk,
        None,
        made.attachment(machine.uuid, disk, None, updated_at=made.just_now()),
        updated_at=made.just_now(),
    )


def retyping(made: Builder) -> None:
    """Cinder moves a volume to another array, since hours."""
    machine = made.instance(made.host())
    since = NOW - datetime.timedelta(hours=3)
    old_disk = made.disk(status="retyping", migration_status="migrating", updated_at=since)
    made.attached(machine, old_disk)
    new = made.disk(status="in-use", migration_status=f"target:{old_disk.uuid}", updated_at=since)
    made.attachment(machine.uuid, new, machine.host, updated_at=since)


def shared(made: Builder) -> None:
    """A volume that is made to be written by two."""
    disk = made.disk(multiattach=True)
    host = made.host()
    for one in (host, made.other(host)):
        made.attached(made.instance(one), disk)


def evacuated(made: Builder) -> None:
    """Its host died, and has not come back to clean up."""
    host = made.host()
    dead = made.other(host)
    machine = made.instance(host)
    made.migration(machine, "done", dead, host, migration_type="evacuation")
    made.allocation(machine.uuid, dead)
    made.attached(machine, made.disk())


def unshelved(made: Builder) -> None:
    """It was unshelved on the host from which it had been migrated."""
    host = made.host()
    machine = made.instance(host)
    moved = made.ago(100, 200)
    made.migration(machine, "completed", host, made.other(host), updated_at=moved)
    made.add(
        "instance_actions",
        action="unshelve",
        instance_uuid=machine.uuid,
        start_time=moved + datetime.timedelta(days=9),
        request_id="req-1",
    )
    made.attached(machine, made.disk())


def bare_metal(made: Builder) -> None:
    """The connector of its node has a name of its own."""
    if not made.bare():
        return plain(made)
    machine = made.instance(made.random.choice(made.bare()))
    disk = made.disk()
    uuid = made.attachment(machine.uuid, disk, made.host())
    return made.row(machine, disk, machine.host, uuid)


def rebalanced(made: Builder) -> None:
    """Its node of bare metal is with another service now, and it names the former."""
    if not made.bare():
        return plain(made)
    node = made.uuid()
    provider = made.node(node, made.random.choice(made.bare()), NOW)
    machine = made.instance(None, node=node)
    made.rows["instances"][-1]["host"] = "former-ironic"
    made.add(
        "allocations",
        resource_provider_id=provider,
        consumer_id=machine.uuid,
        resource_class_id=0,
        used=1,
    )
    disk, host = made.disk(), made.host()
    return made.row(machine, disk, host, made.attachment(machine.uuid, disk, host))


def queued(made: Builder) -> None:
    """It waits since days for another live migration of its source."""
    source = made.host()
    dest = made.other(source)
    since = NOW - datetime.timedelta(days=made.random.uniform(1.1, 5))
    for status, moment in (("queued", since), ("running", made.just_now())):
        machine = made.instance(source, task_state="migrating", updated_at=since)
        made.attached(machine, made.disk())
        made.allocation(machine.uuid, dest)
        made.allocation(made.migration(machine, status, source, dest, updated_at=moment), source)


def moving_cold(made: Builder) -> None:
    """A cold migration copies its disk, or an evacuation rebuilds it, since an hour."""
    source = made.host()
    dest = made.other(source)
    since = NOW - datetime.timedelta(hours=1)
    kind, status, task = made.random.choice(
        (
            ("migration", "migrating", "resize_migrating"),
            ("evacuation", "pre-migrating", "rebuild_block_device_mapping"),
        )
    )
    machine = made.instance(source, task_state=task, power_state=4, updated_at=since)
    made.migration(machine, status, source, dest, migration_type=kind, updated_at=since)
    made.allocation(machine.uuid, dest)
    disk = made.disk()
    made.attachment(machine.uuid, disk, source, deleted=True)
    made.row(machine, disk, source, made.attachment(machine.uuid, disk, None))


def building(made: Builder) -> None:
    """It is being built."""
    machine = made.instance(
        made.host(),
        vm_state="building",
        power_state=0,
        task_state="block_device_mapping",
        updated_at=made.just_now(),
    )
    disk = made.disk(status="attaching", updated_at=made.just_now())
    made.row(machine, disk, None, made.attachment(machine.uuid, disk, None))


def soft_deleted(made: Builder) -> None:
    """Its owner may have it back; it keeps what it has."""
    machine = made.instance(made.host(), vm_state="soft-delete", power_state=4)
    made.attached(machine, made.disk())


def deleted(made: Builder) -> None:
    """It is gone, and so is all that was of it."""
    machine = made.instance(None, deleted=1, vm_state="deleted", deleted_at=made.ago())
    disk = made.disk(addresses.IGROUP, status="deleted", deleted=True)
    made.row(
        machine,
        disk,
        made.host(),
        made.attachment(machine.uuid, disk, made.host(), deleted=True),
        deleted=1,
    )
    made.migration(machine, "completed", made.host(), made.host())


def failed(made: Builder) -> None:
    """It is in ERROR, and no guest runs."""
    machine = made.instance(made.host(), vm_state="error", power_state=4)
    made.attached(machine, made.disk())


#: Healthy instance -> how many of a thousand.
HEALTHY: dict[Callable[[Builder], None], int] = {
    plain: 700,
    old: 50,
    offloaded: 30,
    migrating: 30,
    resized: 20,
    just_ended: 20,
    attaching: 20,
    retyping: 15,
    shared: 20,
    evacuated: 10,
    unshelved: 20,
    bare_metal: 20,
    rebalanced: 15,
    queued: 15,
    moving_cold: 15,
    building: 10,
    soft_deleted: 10,
    deleted: 35,
    failed: 10,
}
