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
"""The services that a repair asks for what no row of Nova can change: Cinder and Placement."""

import argparse
from typing import Any

from migsafe.cli import cloud, deadline
from migsafe.repair.requests import Call, Unanswered
from migsafe.text import masked

#: Type of a service -> the version of its API: Cinder's with attachments (3.27), Placement's with
#: generations of consumers (1.28).
MICROVERSIONS = {'block-storage': '3.27', 'placement': '1.28'}
#: Seconds for one question with its log-in. An array may take minutes to take an export away.
WHOLE = 300


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the account."""
    parser.add_argument(
        '--os-cloud', nargs='?', const='', metavar='NAME', help='have Cinder delete attachments '
        '(R3, R10) and Placement set allocations (R7), with the account of an administrator in '
        'this cloud of clouds.yaml, or in the environment (OS_CLOUD); without it these are only '
        'told')


def asking(given: argparse.Namespace) -> Call | None:
    """What asks services; None if no account was named."""
    return None if given.os_cloud is None else _Asked(given.os_cloud or None)


class _Asked:
    """Asks one thing after the other; each question ends in time."""

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._made: dict[str, Any] = {}

    def __call__(self, service: str, method: str, path: str, body: Any) -> tuple[int, Any]:
        try:
            response = deadline.run(lambda: self._adapter(service).request(
                path, method, json=body, microversion=MICROVERSIONS[service], raise_exc=False),
                WHOLE)
        except deadline.Overdue:
            raise Unanswered(service=service,
                             reason=f'nothing came within {WHOLE} seconds') from None
        except Exception as error:
            # NOTE: the libraries may raise anything, and have secrets in it.
            raise Unanswered(service=service,
                             reason=f'{masked(error).rstrip(".")}. {cloud.CHECK}') from None
        return int(response.status_code), _body(response)

    def _adapter(self, service: str) -> Any:
        if service not in self._made:
            self._made[service] = cloud.adapter(self._name, service, WHOLE)
        return self._made[service]


def _body(response: Any) -> Any:
    try:
        return response.json()
    except ValueError:
        return None
