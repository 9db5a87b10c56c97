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
"""How arrays name one volume to different hosts, and how it is written down."""

import dataclasses
import random
import zlib
from typing import Any


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of array.

    :param type: driver_volume_type
    :param numbered: it numbers LUNs for each host anew
    """

    name: str
    type: str
    numbered: bool


IGROUP = Kind("igroup", "iscsi", True)
ZONED = Kind("zoned", "fibre_channel", True)
TARGET = Kind("target", "iscsi", False)
RBD = Kind("rbd", "rbd", False)
NVME = Kind("nvme", "nvmeof", False)
NFS = Kind("nfs", "nfs", False)
STRANGE = Kind("strange", "storpool", False)
KINDS = (IGROUP, IGROUP, IGROUP, ZONED, TARGET, RBD, RBD, NVME, NFS, STRANGE)
NUMBERED = (IGROUP, ZONED)

#: In each connection_info, so that a report with it can be told.
SECRET = "chap-secret-of-a-synthetic-cloud"  # noqa: S105 -- made to be looked for


def lun(volume: str, host: int) -> int:
    """The number of a volume for a host; that of its neighbour is another."""
    return 1 + zlib.crc32(volume.encode()) % 100 + 100 * (host % 50)


def data(volume: str, kind: Kind, host: int) -> dict[str, Any]:
    """What Cinder gives a host."""
    common = {"access_mode": "rw", "encrypted": False, "qos_specs": None, "volume_id": volume}
    if kind is IGROUP:
        iqn, number = "iqn.1992-08.com.netapp:sn.5a7:vs.11", lun(volume, host)
        portals = [f"172.24.3.{part}:3260" for part in (101, 102, 103, 104)]
        return {
            **common,
            "target_iqn": iqn,
            "target_lun": number,
            "target_portal": portals[0],
            "target_iqns": [iqn] * 4,
            "target_luns": [number] * 4,
            "target_portals": portals,
            "target_discovered": False,
            "auth_method": "CHAP",
            "auth_username": "u",
            "auth_password": SECRET,
        }
    if kind is ZONED:
        return {
            **common,
            "target_wwn": ["500A09838DE1AB01", "500A09838DE1AB02"],
            "target_lun": lun(volume, host),
            "target_discovered": True,
            "initiator_target_map": {f"10000090fa{host:06x}": ["500A09838DE1AB01"]},
        }
    return {**common, **_same_everywhere(volume, kind)}


def _same_everywhere(volume: str, kind: Kind) -> dict[str, Any]:
    if kind is TARGET:
        return {
            "target_iqn": f"iqn.2010-10.org.openstack:volume-{volume}",
            "target_lun": 0,
            "target_portal": "172.24.4.1:3260",
            "auth_method": "CHAP",
            "auth_password": SECRET,
        }
    if kind is RBD:
        return {
            "name": f"volumes/volume-{volume}",
            "hosts": ["10.0.0.1"],
            "ports": ["6789"],
            "keyring": SECRET,
            "secret_uuid": "x",
        }
    if kind is NVME:
        return {
            "target_nqn": f"nqn.2014-08.org:{volume}",
            "vol_uuid": volume,
            "portals": [["10.0.0.1", 4420, "tcp"]],
        }
    if kind is NFS:
        return {"export": "10.0.0.1:/vol", "name": f"volume-{volume}", "options": None}
    return {"volume": volume}


def as_left(given: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The same after os-brick has connected it: other portals first, or fewer, and a device."""
    found = dict(given)
    if "target_portals" in found:
        order = chance.sample(range(4), chance.choice((1, 2, 4)))
        for key in ("target_portals", "target_iqns", "target_luns"):
            found[key] = [found[key][place] for place in order]
        found["target_portal"] = found["target_portals"][0]
    if "target_wwn" in found:
        found["target_wwn"] = [name.lower() for name in reversed(found["target_wwn"])]
        found["targets"] = [[name, found["target_lun"]] for name in found["target_wwn"]]
    found["device_path"] = "/dev/dm-7"
    return found
