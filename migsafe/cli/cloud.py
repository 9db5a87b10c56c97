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
"""Nova's API, for the commands that ask the cloud: each question ends in time, and asks alone.

The account is that of clouds.yaml or of the environment, as with the command ``openstack``.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from oslo_utils import uuidutils

from migsafe import exceptions
from migsafe.cli import deadline, show
from migsafe.preflight.facts import ComputeService, Server
from migsafe.text import masked, shell

T = TypeVar('T')
#: Seconds for one connection or answer, and for a whole question with its log-in.
EACH, WHOLE = 10, 30
#: Bytes of an answer that are read as one.
MOST = 8 << 20
#: The version of the API that says of a service whether it is forced down.
MICROVERSION = '2.11'
ADMIN = 'Use the account of an administrator, or of one with the role reader of the system'
CHECK = 'Check the account with "openstack token issue", or name another one with --os-cloud'


class CloudError(exceptions.MigsafeError):
    """Nova's API was asked, and did not tell."""

    message = "Nova's API gave an answer that is not to be understood: %(reason)s. " + CHECK + '.'


class NoAccount(CloudError):
    """There is no account, or it is refused."""

    message = "Nova's API cannot be asked: %(reason)s. " + CHECK + '.'


class Forbidden(CloudError):
    """The account may not know it."""

    message = "Nova's API does not tell this account %(what)s (403). " + ADMIN + '.'


class Failed(CloudError):
    """It answered with an error."""

    message = ("Nova's API answered %(status)d when it was asked for %(what)s. Look at the log of "
               'nova-api.')


class Silent(CloudError):
    """Nobody answered."""

    message = ("Nova's API did not answer: %(reason)s. Check that the endpoint is reached: "
               'openstack endpoint list --service compute.')


class NoServer(CloudError):
    """There is no such server."""

    message = ('Nova has no server %(server)s that this account sees. openstack server list '
               '--all-projects shows all of them.')


class ManyServers(CloudError):
    """A name is that of several."""

    message = 'Several servers are called %(server)s. Name one by its id: %(ids)s.'


class NoHost(CloudError):
    """Where a server is does not come out."""

    message = ('On which host server %(server)s is does not come out: %(reason)s.')


class Cloud:
    """Asks Nova's API.

    :param name: of the cloud in clouds.yaml; None is that of the environment
    """

    def __init__(self, name: str | None = None) -> None:
        self._name = name
        self._made: Any = None

    def server(self, wanted: str) -> Server:
        """Return a server by its id or name.

        :raises CloudError: with the cause
        """
        if uuidutils.is_uuid_like(wanted):
            found = self._get(f'/servers/{wanted}', 'server', {})
            if found is None:
                raise NoServer(server=wanted)
            return server_of(found)
        rows = self._get('/servers/detail', 'servers', {
            'all_tenants': '1', 'name': f'^{re.escape(wanted)}$'}) or []
        named = [row for row in mappings(rows) if row.get('name') == wanted]
        if not named:
            raise NoServer(server=wanted)
        if len(named) > 1:
            raise ManyServers(server=wanted, ids=', '.join(
                sorted(shell(show.text(row.get('id'))) for row in named)))
        return server_of(named[0])

    def service(self, host: str) -> ComputeService | None:
        """Return the nova-compute of a host; None if Nova has none.

        :raises CloudError: with the cause
        """
        rows = self._get('/os-services', 'services',
                         {'binary': 'nova-compute', 'host': host}) or []
        found = [row for row in mappings(rows) if row.get('host') == host
                 and row.get('binary') == 'nova-compute']
        return _service(found[0]) if found else None

    def _get(self, path: str, key: str, query: Mapping[str, str]) -> Any:
        """The value of ``key`` in an answer; None if there is no such thing (404)."""
        response = bounded(lambda: self._adapter().get(
            path, params=query, microversion=MICROVERSION, raise_exc=False))
        status = int(response.status_code)
        if status == 404:
            return None
        if status == 401:
            raise NoAccount(reason='it refuses the account (401)')
        if status == 403:
            raise Forbidden(what=path)
        if status != 200:
            raise Failed(status=status, what=path)
        try:
            if len(response.content) > MOST:
                raise ValueError(f'it is {len(response.content)} bytes long')
            return response.json()[key]
        except (ValueError, LookupError, TypeError) as error:
            raise CloudError(reason=masked(error)) from None

    def _adapter(self) -> Any:
        if self._made is None:
            self._made = adapter(self._name, 'compute', EACH)
        return self._made


def adapter(name: str | None, service: str, seconds: int) -> Any:
    """What asks a service of a cloud.

    :param name: of the cloud in clouds.yaml; None is that of the environment
    :param service: its type
    :param seconds: for one connection or answer
    :raises Exception: anything that the libraries raise
    """
    # NOTE: imported only where it is needed; Nova brings both into its environment.
    from keystoneauth1 import adapter as keystone
    from openstack.config import loader
    region = loader.OpenStackConfig(app_name='migsafe').get_one(name, api_timeout=seconds)
    return keystone.Adapter(
        region.get_session(), service_type=service, connect_retries=0,
        interface=region.get_interface(service), region_name=region.get_region_name(service),
        endpoint_override=region.get_endpoint(service))


def bounded(question: Callable[[], T]) -> T:
    """The one place where what a library raises becomes an error of ours.

    :raises CloudError: with the cause
    """
    try:
        return deadline.run(question, WHOLE)
    except deadline.Overdue:
        raise Silent(reason=f'nothing came within {WHOLE} seconds') from None
    except ImportError:
        raise NoAccount(reason='openstacksdk is not in this environment; run the command in that '
                        'of nova-compute, which has it') from None
    except Exception as error:
        from keystoneauth1 import exceptions as keystone
        if isinstance(error, keystone.ConnectionError):
            raise Silent(reason=masked(error).rstrip('.')) from None
        raise NoAccount(reason=masked(error).rstrip('.')) from None


def mappings(rows: Any) -> list[Mapping[str, Any]]:
    """The rows of a list.

    :raises CloudError: it is something else
    """
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise CloudError(reason='it is no list of objects')
    return rows


def server_of(row: Any) -> Server:
    """:raises CloudError: it is no server, or does not say where it is"""
    if not isinstance(row, Mapping) or not uuidutils.is_uuid_like(row.get('id')):
        raise CloudError(reason='it is no server')
    uuid, host = str(row['id']), row.get('OS-EXT-SRV-ATTR:host')
    if 'OS-EXT-SRV-ATTR:host' not in row:
        raise NoHost(server=uuid, reason=f'this account is not told. {ADMIN}')
    if not host or not isinstance(host, str):
        raise NoHost(server=uuid, reason=f'Nova has none for it; its status is '
                     f'{show.text(row.get("status"))}')
    name, status, task = (show.text(row.get(key) or '') for key in (
        'name', 'status', 'OS-EXT-STS:task_state'))
    return Server(uuid, name, status, task, host)


def _service(row: Mapping[str, Any]) -> ComputeService:
    """:raises CloudError: its state is not one that is known"""
    if row.get('status') not in ('enabled', 'disabled') or row.get('state') not in ('up', 'down'):
        raise CloudError(reason='it does not say of the service whether it is enabled and up')
    return ComputeService(
        str(row['host']), row['status'] == 'enabled', row['state'] == 'up',
        row.get('forced_down') is True, show.text(row.get('disabled_reason') or ''))
