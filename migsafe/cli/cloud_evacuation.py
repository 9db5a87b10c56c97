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
"""Nova's API, for the one command that changes something with it."""

from typing import Any

from migsafe.cli import cloud, show
from migsafe.masking import one_line
from migsafe.preflight.facts import Server

#: The last version in which a guest that ran is started by the evacuation itself: from 2.95 on it
#: stays stopped. 2.68 has no "force" any more, which left out the checks of the scheduler.
MICROVERSION = '2.68'


class NotTaken(cloud.CloudError):
    """Nova refuses."""

    message = "Nova's API refuses %(what)s (%(status)d): %(reason)s."


class Evacuations(cloud.Cloud):
    """Asks for evacuations; each question and request is sent once."""

    def of_host(self, host: str) -> list[Server]:
        """Return all servers that Nova has on a host.

        :raises CloudError: with the cause
        """
        found: list[Server] = []
        query = {'all_tenants': '1', 'host': host}
        while rows := cloud.mappings(self._get('/servers/detail', 'servers', query) or []):
            page = [cloud.server_of(row) for row in rows]
            found += page
            if page[-1].uuid == query.get('marker'):
                break
            query['marker'] = page[-1].uuid
        return [one for one in {one.uuid: one for one in found}.values() if one.host == host]

    def evacuate(self, uuid: str, destination: str | None) -> None:
        """Ask for it.

        :param destination: None lets the scheduler choose
        :raises Silent: there was no answer; it may be under way all the same
        :raises CloudError: with the cause; it is not under way
        """
        self._send('POST', f'/servers/{uuid}/action',
                   {'evacuate': {'host': destination} if destination else {}}, MICROVERSION)

    def force_down(self, host: str, down: bool = True) -> None:
        """Say that a host is fenced, in the one place that says it, or take that back.

        :raises CloudError: with the cause
        """
        self._send('PUT', '/os-services/force-down', {
            'host': host, 'binary': 'nova-compute', 'forced_down': down}, cloud.MICROVERSION)

    def _send(self, method: str, path: str, body: dict[str, Any], version: str) -> None:
        response = cloud.bounded(lambda: self._adapter().request(
            path, method, json=body, microversion=version, raise_exc=False))
        status = int(response.status_code)
        if status >= 500:
            # NOTE: a proxy in between answers so, too, while nova-api goes on.
            raise cloud.Silent(reason=f'{path} ended with {status}')
        if status >= 300:
            raise NotTaken(what=path, status=status, reason=_reason(response))


def _reason(response: Any) -> str:
    """What Nova says, in one line."""
    try:
        return one_line(show.text(next(iter(response.json().values()))['message'])).rstrip('.')
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return 'without a reason'
