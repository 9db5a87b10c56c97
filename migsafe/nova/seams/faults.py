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
"""What a tenant gets to see of an error.

Nova stores the text of a NovaException as the server's fault, which its owner can read
(nova.compute.utils.exception_to_dict takes ``format_message()``). The reasons of migsafe name
hosts, addresses and URLs of the cloud; those are for the log and for operators.
"""

from __future__ import annotations

from typing import TypeVar

from oslo_context import context as oslo_context
from oslo_log import log as logging

from migsafe import masking

LOG = logging.getLogger(__name__)
E = TypeVar('E', bound=Exception)


def public(operation: str) -> str:
    """What may be said of an operation that is refused, with what to ask an operator for."""
    return (f'{operation} refused: an operator has to put right first what a live migration, or '
            f'a change by hand, has left; {_request()}')


def failed(operation: str) -> str:
    """The same of one that failed."""
    return f'{operation} failed. An operator has to look into it; {_request()}'


def _request() -> str:
    current = oslo_context.get_current()
    request = getattr(current, 'request_id', None) or 'not known'
    return f'the request id is {masking.one_line(request)}'


def discreet(error: E, operation: str) -> E:
    """Return an error of Nova's that keeps its reasons out of the server's fault.

    They go to the log, and stay in the text of the error for whoever handles it.

    :param operation: as an operator calls it
    """
    text = public(operation)
    LOG.error('%s', error)
    # NOTE: on the object, because another class would be an unknown one to oslo.messaging.
    error.format_message = lambda: text  # type: ignore[attr-defined]
    return error
