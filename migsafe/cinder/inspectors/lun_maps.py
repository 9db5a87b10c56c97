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
"""LUN maps, igroups and logins of ONTAP.

Rules, from docs.netapp.com/us-en/ontap-restapi:

* "Protocols SAN igroups": a group holds either initiators or other groups, never both; a mapped
  group that holds others passes the LUN on to the initiators of all below it. GET of a group names
  those as well; what a LUN map says of its group is not promised to, so that a map that names no
  initiator is looked up.
* "Protocols SAN iSCSI sessions", "Network FC logins": who is logged in to a target of the SVM.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from migsafe.cinder.inspectors import base, ontap

MAPS, IGROUPS = 'protocols/san/lun-maps', 'protocols/san/igroups'
INITIATOR = re.compile(r'[\x21-\x7e]{1,255}')
WWPN = re.compile(r'(?:[0-9a-f]{2}:){7}[0-9a-f]{2}')
#: Who is logged in: collection, field, and whether it is about FC.
LOGINS = (('protocols/san/iscsi/sessions', 'initiator.name', False),
          ('network/fc/logins', 'initiator.wwpn', True))


def mappings(asked: ontap.Ontap, **where: str) -> Iterator[base.Mapping]:
    """Give a mapping per map of a LUN to an igroup, page by page.

    :param where: which maps, see Ontap.records()
    """
    # NOTE: a walk through 100,000 maps asks once for each group.
    looked_up: dict[str, frozenset[str]] = {}
    fields = 'lun.name,lun.uuid,igroup.name,igroup.uuid,igroup.initiators,logical_unit_number'
    for record in asked.records(MAPS, fields=fields, **where):
        lun = asked.text(MAPS, record, 'lun.uuid')
        if where.get('lun__uuid', lun) != lun:
            raise asked.refused(MAPS, 'a map is of another LUN')
        group = asked.text(MAPS, record, 'igroup.uuid')
        names = record['igroup'].get('initiators') or []
        if not names and group not in looked_up:
            looked_up[group] = _of_group(asked, group)
        yield base.Mapping(
            asked.text(MAPS, record, 'lun.name'),
            _initiators(asked, MAPS, names) or looked_up[group],
            host=asked.text(MAPS, record, 'igroup.name'), lun=_number(asked, record))


def _of_group(asked: ontap.Ontap, group: str) -> frozenset[str]:
    """The initiators of a group and of those below it."""
    found = list(asked.records(IGROUPS, uuid=group, fields='uuid,initiators.name'))
    if [asked.text(IGROUPS, record, 'uuid') for record in found] != [group]:
        raise asked.refused(IGROUPS, 'it does not know the igroup of a LUN map')
    entries = found[0].get('initiators') or []
    names = [asked.text(IGROUPS, entry, 'name') for entry in entries] \
        if isinstance(entries, list) else entries
    return _initiators(asked, IGROUPS, names)


def _initiators(asked: ontap.Ontap, path: str, names: Any) -> frozenset[str]:
    if not isinstance(names, list) or not all(
            isinstance(name, str) and INITIATOR.fullmatch(name) for name in names):
        raise asked.refused(path, '"initiators" is no list of names')
    return frozenset(map(_written, names))


def _written(name: str) -> str:
    """As a connector has it: a WWPN without colons."""
    name = name.lower()
    return name.replace(':', '') if WWPN.fullmatch(name) else name


def _number(asked: ontap.Ontap, record: dict[str, Any]) -> str:
    number = record.get('logical_unit_number')
    if isinstance(number, bool) or not re.fullmatch('[0-9]{1,4}', str(number)):
        raise asked.refused(MAPS, '"logical_unit_number" is no number')
    return str(number)


def logged_in(asked: ontap.Ontap, names: frozenset[str]) -> frozenset[str]:
    """Initiators with a session, of the kinds that are among some."""
    kinds = {re.fullmatch('[0-9a-f]{16}', name) is not None for name in names}
    return frozenset().union(*(
        _initiators(asked, path, [asked.text(path, record, field)
                                  for record in asked.records(path, fields=field)])
        for path, field, fc in LOGINS if fc in kinds))
