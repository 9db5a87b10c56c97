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
"""The part of a driver's connection_info that the ledger stores, and what the guard adds."""

from __future__ import annotations

from typing import Any

from oslo_log import log as logging

from migsafe.brick.guard import policy
from migsafe.text import masked

LOG = logging.getLogger(__name__)


def learn(inspector: Any, subject: Any, info: Any) -> dict[str, Any]:
    """The facts of a connection without its secrets, with the identity of the volume.

    The volume's identity is added to the connection, for the guard where it is connected.

    :param info: connection_info as the driver gives it
    :returns: parameters of :meth:`migsafe.ledger.api.Ledger.settle`
    """
    data = info.get('data') if isinstance(info, dict) else None
    if not isinstance(data, dict):
        return {}
    identity = _identity(inspector, subject)
    exported = data.get('target_iqn') or data.get('target_wwn') or data.get('target_nqn') \
        or data.get('nqn')
    target = exported or data.get('name') or ''
    if identity or exported:
        # NOTE: an empty one says that a ledger has it, see migsafe.cinder.recovery.standing. RBD
        # has no export that a lost ledger could leave behind, and its connection stays as it is.
        data.setdefault(policy.KEY, sorted(identity))
    return {'target': _text(target), 'lun': _text(data.get('target_lun', '')),
            'identity': identity}


def _identity(inspector: Any, subject: Any) -> frozenset[str]:
    try:
        found: frozenset[str] = inspector.identity(subject)
    except Exception as error:
        # NOTE: without it the connect guard compares with what it has noted itself.
        LOG.warning('The identity of %s is not known: %s', subject['id'], masked(error))
        return frozenset()
    return found


def _text(value: Any) -> str:
    return ','.join(map(str, value)) if isinstance(value, list | tuple) else str(value)
