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
"""LIO, the kernel's own target, as Cinder's helper "lioadm" sets it up.

One target per volume, an ACL per initiator, always LUN 0. Everything is read through rtslib,
which cinder-rtstool uses as well, from configfs.

Rules: the kernel's drivers/target/target_core_spc.c, spc_gen_naa_6h_vendor_specific(), for the
identity that a host sees; target_core_stat.c for what it counts; cinder/cmd/rtstool.py for what
Cinder makes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from migsafe.brick.identity.designators import Identity
from migsafe.cinder.inspectors import base

#: What the kernel counts of the commands of one initiator to one LUN, below its directory.
COMMANDS = 'statistics/scsi_auth_intr/num_cmds'
#: Digits of the largest number that is one.
DIGITS = 20
#: OpenFabrics' company id, which LIO has unless wwn/company_id says otherwise.
COMPANY = 0x001405


def _root() -> Any:
    from rtslib_fb import root
    return root.RTSRoot()


class LioInspector(base.Inspector):
    """Reads LIO's configuration.

    :param root: gives rtslib's root
    """

    tells_initiators = True

    def __init__(self, driver: Any, root: Callable[[], Any] = _root) -> None:
        super().__init__(driver)
        self._root = root

    def list_exports(self, volume: Any) -> list[base.Mapping]:
        """The ACLs of the volume's target; the bare target if it has none."""
        return [mapping for target in self._targets(volume) for mapping in _mappings(target)]

    def list_all(self) -> Iterator[base.Mapping]:
        """Those of all targets, Cinder's or not."""
        for target in list(self._root().targets):
            try:
                found = list(_mappings(target))
            except Exception:
                # NOTE: whoever goes through all of them is slower than Cinder.
                if target.exists:
                    raise
                continue
            yield from found

    def writers(self, volume: Any) -> list[base.Writer]:
        """Initiators with a session: it is there while a host has the disk.

        A session that has lost its connection counts as well: the initiator may come back to it.
        """
        return [
            base.Writer(f'initiator {acl.node_wwn}', frozenset((acl.node_wwn.lower(),)),
                        commands=_commands(acl))
            for target in self._targets(volume) for acl in _acls(target) if acl.session]

    def identity(self, volume: Any) -> Identity:
        """The NAA that the kernel makes of the unit serial number."""
        return frozenset(
            f'naa.{naa(lun.storage_object.wwn, company(lun.storage_object.path))}'
            for target in self._targets(volume) for tpg in target.tpgs for lun in tpg.luns)

    def _targets(self, volume: Any) -> list[Any]:
        names = self._iqns(volume)
        return [target for target in self._root().targets if target.wwn in names]

    def _iqns(self, volume: Any) -> list[str]:
        """What its target is called now, and what it was called when it was made.

        Cinder's driver maps to the second: "portal target LUN" in provider_location.
        """
        prefix = self.driver.configuration.safe_get('target_prefix')
        return [f'{prefix}{volume["name"]}',
                *base.told(volume, 'provider_location').split(' ')[1:2]]


def naa(serial: str, company_id: int = COMPANY) -> str:
    """NAA 6: the company, then the first 25 hexadecimal digits that the serial number has."""
    digits = re.sub('[^0-9a-f]', '', serial.lower())[:25]
    return f'6{company_id:06x}{digits:0<25}'


def company(path: str) -> int:
    """The company id of a backstore; kernels before 5.9 have no such attribute."""
    try:
        with open(f'{path}/wwn/company_id', encoding='ascii') as handle:
            return int(handle.read().strip(), 0)
    except FileNotFoundError:
        return COMPANY


def _acls(target: Any) -> Iterator[Any]:
    for tpg in target.tpgs:
        yield from tpg.node_acls


def _commands(acl: Any) -> int | None:
    """Commands that an initiator has sent to its LUNs; None if they are not counted.

    Of a LUN that goes away meanwhile there is no number. One that comes again begins at 0.
    """
    counted = 0
    for lun in acl.mapped_luns:
        try:
            with open(f'{lun.path}/{COMMANDS}', 'rb') as handle:
                text = handle.read(DIGITS + 2).strip()
        except OSError:
            return None
        if not text.isdigit() or len(text) > DIGITS:
            return None
        counted += int(text)
    return counted


def _mappings(target: Any) -> Iterator[base.Mapping]:
    name = target.wwn.rpartition(':')[2]
    acls = list(_acls(target))
    for acl in acls:
        # NOTE: cinder-rtstool makes the ACL first. Killed then, it leaves one without a LUN, and
        # adds none later, because it finds the ACL: the host gets no disk until that is gone.
        for lun in [str(mapped.mapped_lun) for mapped in acl.mapped_luns] or ['']:
            yield base.Mapping(name, frozenset((acl.node_wwn.lower(),)), target=target.wwn,
                               lun=lun)
    if not acls:
        yield base.Mapping(name, target=target.wwn)
