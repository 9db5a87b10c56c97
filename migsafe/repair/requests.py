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
"""Changes that a service of the cloud makes when it is asked, and not this process itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from migsafe import exceptions
from migsafe.repair.acts import State
from migsafe.repair.hosts import Undecided

#: Asks a service: its type, a method, a path and a body -> status and body of the answer. It
#: raises Unanswered.
Call = Callable[[str, str, str, Any], tuple[int, Any]]
#: Why nothing is asked for.
NO_ACCOUNT = 'No account was named with which {service} is asked to change it (--os-cloud). '
OK, GONE = range(200, 300), 404


class Unanswered(exceptions.MigsafeError):
    """A service has not answered; what was asked for may have been done."""

    message = '%(service)s did not answer: %(reason)s.'


@dataclasses.dataclass(frozen=True)
class Request:
    """One change.

    :ivar kind: of migsafe.repair.carrying
    :ivar key: what is changed: the id of an attachment, or of a consumer
    :ivar before: what was read, and has to be so still
    :ivar after: what it becomes
    :ivar says: for people, in one sentence, without secrets
    """

    kind: str
    key: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    says: str


@dataclasses.dataclass(frozen=True)
class Kind:
    """How one kind is carried out.

    :ivar state: what it is now
    :ivar send: asks for it; the status of the answer, and what the service says
    """

    state: Callable[[Request, Call], State]
    send: Callable[[Request, Call], tuple[int, str]]


def asked(call: Call | None, service: str) -> Call:
    """What asks.

    :raises Undecided: there is none
    """
    if call is None:
        raise Undecided(NO_ACCOUNT.format(service=service))
    return call


def answer(call: Call, service: str, path: str) -> Any:
    """The body of what is there; None if it is not there.

    :raises Undecided: the service does not say
    """
    status, body = call(service, 'GET', path, None)
    if status == GONE:
        return None
    if status not in OK or not isinstance(body, Mapping):
        raise Undecided(f'{service} answered {status} to GET {path}. See its log, and plan again.')
    return body


def reason(body: Any) -> str:
    """What an answer with an error says of it."""
    if isinstance(body, Mapping):
        for found in (*body.values(), *(body.get('errors') or ())):
            if isinstance(found, Mapping) and (told := found.get('message')
                                               or found.get('detail')):
                return str(told)
    return ''
