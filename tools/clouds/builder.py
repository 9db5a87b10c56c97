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
"""What a cloud is made of: hosts, instances, volumes, and what they have to do with another."""

import dataclasses
import datetime
import json
from collections.abc import Callable
from typing import Any

from tools.clouds import addresses
from tools.clouds.rows import NOW, Rows

#: (rule, instance, volume or nothing)
Expected = tuple[str, str, str]
Exported = Callable[[str, str, str], None]


@dataclasses.dataclass
class Machine:
    """An instance."""

    uuid: str
    host: str | None


@dataclasses.dataclass
class Disk:
    """A volume, and how it is reached."""

    uuid: str
    kind: addresses.Kind


class Builder(Rows):
    """Collects rows by table.

    :param hosts: how many
    :param exported: told of each attachment that is exported: volume, host, attachment
    :param ports: whether instances have ports
    """

    def __init__(
        self, seed: str, hosts: int, exported: Exported | None = None, ports: bool = False
    ) -> None:
        super().__init__(seed)
        self.exported, self.ports = exported, ports
        self.expected: set[Expected] = set()
        #: instance -> the host that its guest really runs on, and its disks
        self.guests: dict[str, str] = {}
        self.disks: dict[str, list[Disk]] = {}
        self.hosts = [f"node{number + 1}" for number in range(hosts)]
        self.index = {name: number for number, name in enumerate(self.hosts)}
        for number, name in enumerate(self.hosts):
            self._host(number, name)

    def _host(self, number: int, name: str) -> None:
        beat = NOW - datetime.timedelta(seconds=number % 11)
        self.add(
            "services",
            host=name,
            binary="nova-compute",
            topic="compute",
            report_count=number,
            updated_at=beat,
            uuid=self.uuid(),
        )
        self.node(name, name, beat)

    def node(self, name: str, host: str, beat: datetime.datetime) -> int:
        """A compute node of a host; return the primary key of its resource provider."""
        node = self.uuid()
        self.add(
            "compute_nodes",
            uuid=node,
            host=host,
            hypervisor_hostname=name,
            vcpus=64,
            memory_mb=1,
            local_gb=1,
            vcpus_used=0,
            memory_mb_used=0,
            local_gb_used=0,
            hypervisor_type="ironic" if host in self.bare() else "QEMU",
            hypervisor_version=1,
            cpu_info="{}",
            updated_at=beat,
        )
        number = self._numbers["resource_providers"] + 1
        self.add("resource_providers", uuid=node, name=name, generation=1, root_provider_id=number)
        return number

    def bare(self) -> list[str]:
        """Hosts of another hypervisor: the last of a hundred, or of all if there are five."""
        return self.hosts[99::100] or self.hosts[4:][-1:]

    def host(self) -> str:
        """Any host of the usual hypervisor."""
        while (found := self.random.choice(self.hosts)) in self.bare():
            pass
        return found

    def other(self, host: str) -> str:
        """Another one, to which an array gives other LUNs."""
        found = self.hosts[(self.index[host] + 1) % len(self.hosts)]
        return self.other(found) if found in self.bare() else found

    def instance(self, host: str | None, **values: Any) -> Machine:
        """An instance with its allocation."""
        made = Machine(self.uuid(), host)
        self.add(
            "instances",
            **{
                "uuid": made.uuid,
                "host": host,
                "node": host,
                "vm_state": "active",
                "power_state": 1,
                "task_state": None,
                "hidden": False,
                "locked": False,
                "created_at": NOW,
                "updated_at": self.ago(),
                **values,
            },
        )
        if host:
            self.allocation(made.uuid, host)
            if self.ports:
                self.port(made, (host, "ACTIVE"))
            if values.get("power_state", 1) == 1:
                self.guests[made.uuid] = host
        return made

    def allocation(self, consumer: str, host: str) -> None:
        """What a consumer has of a host, of three kinds."""
        for kind in range(3):
            self.add(
                "allocations",
                resource_provider_id=self.index[host] + 1,
                consumer_id=consumer,
                resource_class_id=kind,
                used=1,
            )

    def port(
        self, machine: Machine, *bindings: tuple[str, str], owner: str = "compute:nova"
    ) -> None:
        """A port with its bindings: pairs of a host and a status."""
        made = self.uuid()
        self.add("ports", id=made, device_id=machine.uuid, device_owner=owner)
        for host, status in bindings:
            self.add("ml2_port_bindings", port_id=made, host=host, status=status)

    def disk(self, *kinds: addresses.Kind, **values: Any) -> Disk:
        """A volume; by default of any kind."""
        made = Disk(self.uuid(), self.random.choice(kinds or addresses.KINDS))
        self.add(
            "volumes",
            **{
                "id": made.uuid,
                "status": "in-use",
                "attach_status": "attached",
                "size": 10,
                "multiattach": False,
                "migration_status": None,
                "volume_type_id": "x",
                "use_quota": True,
                "host": "array@a#p",
                "updated_at": self.ago(),
                **values,
            },
        )
        return made

    def attachment(self, machine: str | None, disk: Disk, host: str | None, **values: Any) -> str:
        """An attachment of Cinder; one without a host is reserved."""
        made = self.uuid()
        info = host and json.dumps(
            {
                **addresses.data(disk.uuid, disk.kind, self.index[host]),
                "driver_volume_type": disk.kind.type,
                "attachment_id": made,
            }
        )
        self.add(
            "volume_attachment",
            **{
                "id": made,
                "volume_id": disk.uuid,
                "instance_uuid": machine,
                "attached_host": host,
                "attach_status": "attached" if host else "reserved",
                "attach_mode": "rw",
                "connector": host and json.dumps({"host": host, "initiator": f"iqn.x:{host}"}),
                "connection_info": info,
                "updated_at": self.ago(),
                **values,
            },
        )
        if self.exported and host and not values.get("deleted"):
            self.exported(disk.uuid, host, made)
        return made

    def row(
        self,
        machine: Machine,
        disk: Disk,
        host: str | None,
        attachment: str | None,
        old: bool = False,
        **values: Any,
    ) -> None:
        """A volume in Nova's table, as os-brick leaves it behind.

        :param host: which was given what it says
        :param old: with the connector beside it, as before Pike
        """
        info: dict[str, Any] | None = None
        self.disks.setdefault(machine.uuid, []).append(disk)
        if host:
            data = addresses.as_left(
                addresses.data(disk.uuid, disk.kind, self.index[host]), self.random
            )
            info = {"driver_volume_type": disk.kind.type, "data": data, "serial": disk.uuid}
            if old:
                info["connector"] = {"host": host, "initiator": f"iqn.x:{host}"}
        self.add(
            "block_device_mapping",
            **{
                "instance_uuid": machine.uuid,
                "volume_id": disk.uuid,
                "attachment_id": attachment,
                "connection_info": json.dumps(info) if info else None,
                "source_type": "volume",
                "destination_type": "volume",
                "device_name": "/dev/vda",
                "updated_at": self.ago(),
                **values,
            },
        )

    def attached(self, machine: Machine, disk: Disk, **values: Any) -> str:
        """A volume whose row and attachment agree."""
        made = self.attachment(machine.uuid, disk, machine.host)
        self.row(machine, disk, machine.host, made, **values)
        return made

    def migration(
        self, machine: Machine, status: str, source: str, dest: str, **values: Any
    ) -> str:
        """A migration."""
        made = self.uuid()
        self.add(
            "migrations",
            **{
                "uuid": made,
                "instance_uuid": machine.uuid,
                "status": status,
                "source_compute": source,
                "dest_compute": dest,
                "migration_type": "live-migration",
                "hidden": False,
                "updated_at": self.ago(),
                **values,
            },
        )
        return made

    def expect(self, machine: Machine, *rules: str, disk: Disk | None = None) -> None:
        """What has to be found."""
        for rule in rules:
            self.expected.add((rule, machine.uuid, disk.uuid if disk else ""))
