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
"""What the hosts of a synthetic cloud say of their guests, as nova-compute's endpoint does."""

from collections.abc import Collection
from typing import Any

from tools.clouds import addresses
from tools.clouds.builder import Builder, Disk


def facts(
    made: Builder, host: str, instance: str, asked: Collection[object] = ()
) -> dict[str, Any]:
    """The answer of a host to ``guest_facts``; only a guest has disks there."""
    here = made.guests.get(instance) == host
    return {
        "evidence": {
            "host": host,
            "guest": "here" if here else "absent",
            "job": False,
            "boot_id": "b",
            "detail": "",
            "rebooted": None,
        },
        "power": 1 if here else None,
        "unsettled": False,
        "waiting": False,
        "devices": ["sdq"] if here and asked else [],
        "connector": {"host": host, "initiator": f"iqn.x:{host}", "multipath": False},
        "disks": [
            {"volume": disk.uuid, "path": "/dev/dm-9", "leads": leads(made, disk, host)}
            for disk in (made.disks.get(instance, ()) if here else ())
        ],
    }


def leads(made: Builder, disk: Disk, host: str) -> list[tuple[str, str]]:
    """Where the kernel's paths lead to; of other kinds of disks it does not tell."""
    data = addresses.data(disk.uuid, disk.kind, made.index[host])
    if disk.kind.type == "iscsi":
        return [(data["target_iqn"], str(data["target_lun"]))]
    if disk.kind.type == "fibre_channel":
        return [(name.lower(), str(data["target_lun"])) for name in data["target_wwn"]]
    return [(data["name"], "")] if disk.kind.type == "rbd" else []
