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
"""By which names of a connector a backend knows its hosts: those of the protocol that it speaks.

os-brick puts the names of all protocols into each connector. Hosts that were made from one image
may have one of them in common (/etc/nvme/hostnqn), and are two hosts to an iSCSI array all the
same.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from migsafe.ledger import records

#: What a driver calls its protocol (cinder.common.constants), or the type of its connections, in
#: lower case -> the form of its names.
FORMS = {
    'iscsi': 'initiator', 'iser': 'initiator',
    'fc': 'wwpns', 'fibre_channel': 'wwpns',
    'nvme-of': 'nqn', 'nvmeof': 'nqn', 'nvme-roce': 'nqn', 'nvme-fc': 'nqn', 'nvme-tcp': 'nqn',
    # Nothing is mapped to a name there: it only tells whether a host that is fenced comes back
    # under another name.
    'ceph': 'initiator', 'rbd': 'initiator',
}


class Protocols:
    """What one driver has said of its protocol.

    All of it counts: a driver that contradicts itself is known by the names of both.
    """

    def __init__(self) -> None:
        self._said: set[str] = set()

    def tell(self, said: Any) -> None:
        """Take a word of the driver.

        :param said: ``storage_protocol`` of its report, which may be a list, or
            ``driver_volume_type`` of a connection
        """
        words = said if isinstance(said, list | tuple) else [said]
        self._said.update(str(word).lower() for word in words if word)

    def forms(self) -> Collection[str]:
        """The forms of names, see :func:`migsafe.ledger.records.counting`; all of them, unless all
        that was said is known."""
        found = {FORMS.get(word, '') for word in tuple(self._said)}
        return found if found and '' not in found else frozenset(records.FORMS)
