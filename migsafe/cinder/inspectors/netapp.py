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
"""NetApp ONTAP with Cinder's iSCSI or FC driver, asked through the REST API (ONTAP 9.6).

``migsafe.cinder.inspectors.ontap`` says which client asks, and what counts as an answer;
``lun_maps`` what a map to an igroup is.

ONTAP knows who is logged in to a target, not who has which LUN open. An initiator that is mapped
and logged in counts as having it open: a host that uses another LUN of the SVM counts too, and
stops counting when it logs out, or when the LUN is unmapped from it.

The identity of a LUN is NAA 6, NetApp's company id 00A098, 0, then the twelve ASCII characters of
its serial number (kb.netapp.com, "How to match a LUN's NAA number to its serial number"). A LUN
that came from 7-Mode has a new one (docs.netapp.com, "Viewing transitioned SAN configurations").
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from cinder.volume import volume_utils
from cinder.volume.drivers.netapp.dataontap import block_cmode
from cinder.volume.drivers.netapp.dataontap.utils import utils as dot_utils

from migsafe import exceptions
from migsafe.brick.identity.designators import Identity
from migsafe.cinder.inspectors import base, lun_maps, ontap

LUNS = 'storage/luns'
COMPANY = '600a0980'
#: What a path must look like to stand in a query, where * and | mean something.
PLAIN = re.compile(r'[\w./:@+-]{1,1024}', re.ASCII)
SERIAL = re.compile(r'[\x21-\x7e]{12}')


class NotOntap(exceptions.MigsafeError):
    """The driver is another one."""

    message = ('"netapp" is for the iSCSI and FC drivers of NetApp ONTAP, not for %(driver)s; '
               'set migsafe_inspector = ledger')


class LunUnclear(exceptions.MigsafeError):
    """Which LUN the volume is cannot be told for certain."""

    message = ('which LUN %(volume)s is cannot be told: expected at %(expected)s, found at '
               '%(found)s. Rename or delete the one that is not the volume, or restart '
               'cinder-volume if its FlexVol was renamed')


class NetAppInspector(base.Inspector):
    """Asks the SVM that the driver works with.

    With SnapMirror active sync a LUN is mapped in a second SVM as well, which is not asked: the
    answer is None then.
    """

    tells_initiators = True

    def __init__(self, driver: Any) -> None:
        super().__init__(driver)
        library = getattr(driver, 'library', None)
        if not isinstance(library, block_cmode.NetAppBlockStorageCmodeLibrary):
            raise NotOntap(driver=type(driver).__name__)
        self._library: Any = library

    def list_exports(self, volume: Any) -> list[base.Mapping] | None:
        """A mapping per igroup; none if ONTAP has no LUN of that name in the whole SVM."""
        if self._has_second_svm():
            return None
        asked = self._ontap()
        lun = self._lun(asked, volume)
        return list(lun_maps.mappings(asked, lun__uuid=asked.text(LUNS, lun, 'uuid'))) \
            if lun else []

    def list_all(self) -> Iterator[base.Mapping] | None:
        """Those of all LUNs of the SVM, Cinder's or not."""
        return None if self._has_second_svm() else lun_maps.mappings(self._ontap())

    def writers(self, volume: Any) -> list[base.Writer] | None:
        """Initiators that the LUN is mapped to and that are logged in."""
        mapped = self.list_exports(volume)
        if mapped is None:
            return None
        names = frozenset[str]().union(*(mapping.initiators for mapping in mapped))
        return [base.Writer(f'initiator {name} (logged in to the array)', frozenset((name,)))
                for name in sorted(names & lun_maps.logged_in(self._ontap(), names))]

    def identity(self, volume: Any) -> Identity:
        """The NAA that ONTAP makes of the serial number."""
        lun = self._lun(self._ontap(), volume)
        serial = lun.get('serial_number') if lun else None
        if not isinstance(serial, str) or not SERIAL.fullmatch(serial):
            return frozenset()
        return frozenset((f'naa.{COMPANY}{serial.encode("ascii").hex()}',))

    def _has_second_svm(self) -> bool:
        return getattr(self._library, 'dest_zapi_client', None) is not None

    def _ontap(self) -> ontap.Ontap:
        return ontap.Ontap(self._config())

    def _config(self) -> Any:
        """The section that the driver works with: another one after a failover."""
        return dot_utils.get_backend_configuration(
            self._library.failed_over_backend_name or self._library.backend_name)

    def _lun(self, asked: ontap.Ontap, volume: Any) -> dict[str, Any] | None:
        """The LUN of a volume; None if ONTAP says that there is none.

        A LUN of the same name may be in another FlexVol, which is another pool of the backend.

        :raises LunUnclear: there is one of that name, but not where it should be, or two are
        """
        name, paths = self._paths(volume)
        fields = 'name,uuid,serial_number'
        found = {asked.text(LUNS, record, 'name'): record
                 for record in asked.records(LUNS, name='|'.join(paths), fields=fields)}
        fitting = [path for path in paths if path in found]
        if len(fitting) == 1:
            return found[fitting[0]]
        if not fitting:
            # NOTE: an administrator may have renamed the FlexVol.
            every = {asked.text(LUNS, record, 'name')
                     for record in asked.records(LUNS, name=f'*{name}', fields='name')}
            fitting = sorted(path for path in every if path.rpartition('/')[2] == name)
            if not fitting:
                return None
        raise LunUnclear(volume=name, expected=' or '.join(paths), found=', '.join(fitting))

    def _paths(self, volume: Any) -> tuple[str, list[str]]:
        """The name of the LUN, and where it can be: where the driver has it in its memory, where
        it was when it was exported last, and in the FlexVol that is its pool."""
        name = str(volume['name'])
        known = self._library.lun_table.get(name)
        pool = volume_utils.extract_host(volume['host'] or '', 'pool')
        paths = [known.get_metadata_property('Path') if known else None,
                 base.told(volume, 'provider_location').partition(':')[2]]
        if self._config().safe_get('netapp_disaggregated_platform'):
            # NOTE: ASA r2 has no FlexVols, and Cinder's driver uses no dashes there.
            name = name.replace('-', '_')
            paths.append(name)
        elif pool:
            paths.append(f'/vol/{pool}/{name}')
        told = [str(path) for path in dict.fromkeys(paths) if path]
        if not told or not all(PLAIN.fullmatch(path) for path in [name, *told]):
            raise LunUnclear(volume=ascii(name)[:100], found='nowhere',
                             expected=ascii(told)[:400])
        return name, told
