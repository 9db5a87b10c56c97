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
"""Fibre Channel ports of a host that its connector does not name.

os-brick names the ports that are online (``get_fc_hbas_info``), so that with one down a connector
has one less. Arrays map to the host all the same, or to a group with all of its ports. That such a
port is of the same host no name shows; it shows that the call of this driver has mapped to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from oslo_log import log as logging

from migsafe.cinder.facts import attachments, mappings
from migsafe.cinder.inspectors import Mapping
from migsafe.ledger import records
from migsafe.text import masked

LOG = logging.getLogger(__name__)

WWPN = re.compile('[0-9a-f]{16}')


def beside(found: Iterable[Mapping], peer: records.Peer) -> frozenset[str]:
    """The ports that the mapping of a peer goes to, and that its connector does not name."""
    own = attachments.lower(peer.initiators)
    return frozenset(name for mapping in mappings.shared(found, [peer])
                     for name in mapping.initiators - own if WWPN.fullmatch(name))


def made(inspector: Any, subject: Any, peer: records.Peer,
         before: Sequence[Mapping] | None) -> frozenset[str]:
    """The ports that a call of the driver has mapped a volume to, beside those of the connector.

    :param before: what the array had mapped before the call; None if that is not known
    """
    own = attachments.lower(peer.initiators)
    if before is None or not any(map(WWPN.fullmatch, own)) or any(
            mapping.initiators & own for mapping in before):
        return frozenset()
    try:
        return beside(inspector.list_exports(subject) or (), peer)
    except Exception as error:
        LOG.warning('To which ports of host %s volume %s is mapped is not known: %s', peer.host,
                    subject['id'], masked(error))
        return frozenset()


def of_host(rows: Iterable[records.Export], peer: records.Peer) -> list[records.Export]:
    """What was mapped for a host by connectors that had a port in common with a peer of it."""
    own = attachments.lower(peer.initiators)
    return [row for row in rows if row.peer and row.state != 'gone' and peer.host
            and row.host == peer.host and own & attachments.lower(row.initiators)]
