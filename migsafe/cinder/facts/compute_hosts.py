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
"""What Nova says of compute hosts: the one place that holds which of them are fenced.

Cinder's own client of Nova is used, with the account of [nova] in cinder.conf.
"""

from __future__ import annotations

from cinder import context
from cinder.compute import nova
from oslo_log import log as logging

from migsafe import exceptions
from migsafe.text import masked

LOG = logging.getLogger(__name__)

#: The first version that has the hosts of a cell that does not answer, and no more of them than
#: their names: older ones leave them out, as if Nova had no such host.
MICROVERSION = '2.69'
SECONDS = 10


class NotSaid(exceptions.MigsafeError):
    """Somebody says it here, and not where it is held."""

    message = ('Host %(host)s is not taken for fenced: Nova says that it is not, and only what '
               'Nova says counts. Once it is powered off or cut off from the storage, and not '
               'before: openstack compute service set --down %(shell:host)s nova-compute. Then '
               'try again.')


class CellSilent(exceptions.MigsafeError):
    """Nova has such a host, and knows nothing of it now."""

    message = 'the cell of host %(host)s does not answer'


class NovaSilent(exceptions.MigsafeError):
    """It is not known."""

    message = ('Host %(host)s is not taken for fenced: whether Nova says so cannot be found out '
               '(%(reason)s). Check the account in section [nova] of cinder.conf, which has to be '
               'one of an administrator, and that the API of Nova answers; then try again.')


def check(host: str) -> None:
    """See that a host may count as fenced; of one that Nova does not have, the caller knows more.

    :raises NotSaid: Nova says that it is not
    :raises NovaSilent: that is not known
    """
    try:
        said = declared(host)
    except Exception as error:
        raise NovaSilent(host=host, reason=masked(error)) from None
    if said is False:
        raise NotSaid(host=host)


def still(host: str) -> bool:
    """Whether a mark that a host is fenced counts yet: what Nova says now, and not what it said.

    :returns: False also if that is not known
    """
    try:
        return declared(host) is not False
    except Exception as error:
        LOG.warning('Host %s is marked as fenced, and does not count as fenced, since Nova does '
                    'not say whether it is: %s', host, masked(error))
        return False


def declared(host: str) -> bool | None:
    """Whether the nova-compute of a host is forced down; None: Nova has no such host.

    :raises Exception: whatever the client raises; nothing is known then
    """
    if not nova.CONF.nova.auth_type:
        raise exceptions.ConfigError(group='nova', option='auth_type', reason='it is not set')
    client = nova.novaclient(context.get_admin_context(), privileged_user=True, timeout=SECONDS,
                             api_version=MICROVERSION)
    found = [one for one in client.services.list(host=host, binary='nova-compute')
             if one.host == host]
    said = [one.to_dict().get('forced_down') for one in found]
    if None in said:
        raise CellSilent(host=host)
    return all(said) if said else None
