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
"""Cinder's API as one of the views of an audit, for where its database cannot be reached."""

import argparse
import dataclasses
from collections.abc import Mapping
from typing import Any

from migsafe.audit.opening import Sources
from migsafe.audit.readers.cinder_api import LABEL, CinderApi
from migsafe.audit.readers.database import Unreadable
from migsafe.cli import audit_sources, cloud, deadline
from migsafe.text import masked

#: The version of the API since which it has attachments (3.27).
MICROVERSION = '3.27'
#: Seconds for one page, with the log-in before the first.
WHOLE = 120
ADMIN = ("Cinder refuses the account (%d). Use that of an administrator: others are shown a part "
         'of the cloud')


def add_argument(parser: argparse.ArgumentParser) -> None:
    """Add the option that asks it."""
    parser.add_argument(
        '--cinder-api', nargs='?', const='', metavar='CLOUD', help="ask Cinder's API in place of "
        'its database, with the account of an administrator or of a service in this cloud of '
        'clouds.yaml, or in the environment (OS_CLOUD). It does not tell for which host an '
        'attachment is that was never completed')


def with_api(sources: Sources, given: argparse.Namespace) -> Sources:
    """The same sources with the API, if it is asked for.

    :raises BadArgument: the database is given, too
    """
    if given.cinder_api is None:
        return sources
    if sources.cinder is not None:
        raise audit_sources.BadArgument(
            option='--cinder-api', reason='--cinder-database is given, too; the database tells '
            'more, so leave this out')
    asked = _Asked(given.cinder_api or None)
    return dataclasses.replace(sources, cinder_api=lambda: CinderApi(asked))


class _Asked:
    """Asks for one body after the other; each question ends in time."""

    def __init__(self, name: str | None) -> None:
        self._name, self._made = name, None

    def __call__(self, path: str, query: Mapping[str, str]) -> Mapping[str, Any] | None:
        try:
            response = deadline.run(lambda: self._adapter().get(
                path, params=dict(query), microversion=MICROVERSION, raise_exc=False), WHOLE)
            status = int(response.status_code)
            body = response.json() if status == 200 else None
        except deadline.Overdue:
            raise Unreadable(label=LABEL, reason=f'{path} did not come within {WHOLE} seconds') \
                from None
        except Exception as error:
            # NOTE: the libraries may raise anything, and have secrets in it.
            raise Unreadable(label=LABEL, reason=f'{masked(error)}. {cloud.CHECK}') from None
        if status in (401, 403):
            raise Unreadable(label=LABEL, reason=ADMIN % status)
        if status not in (200, 404) or status == 200 and not isinstance(body, Mapping):
            raise Unreadable(label=LABEL, reason=f'{path} was answered with {status}, and no '
                             'object; see the log of cinder-api')
        return body

    def _adapter(self) -> Any:
        if self._made is None:
            self._made = cloud.adapter(self._name, 'block-storage', WHOLE)
        return self._made
