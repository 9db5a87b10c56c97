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
"""Calls of other services whose answer did not come: which are made once more, and which never.

Incident 003: a load balancer had cut an idle connection, and a migration stayed half done for one
request that nobody repeated. What repeats is keystoneauth itself; only how often, and after what,
is said here, and only for calls of a migration of which a second one does what the first did.

An attachment is made once: Nova has every call to Cinder repeated after a connection that failed
(http_retries), and of one that was cut after Cinder had made the attachment, the id of the first
never comes out; nobody would delete it. Without a second call the migration is rolled back, and
what was made is found.
"""

from __future__ import annotations

import re
import urllib.parse
from typing import Any

from nova.conf import CONF

from migsafe.conf import watch
from migsafe.nova.host import attempt as host_attempt

#: Answers of what stands between, and of a service that has too much to do.
CUT = (429, 502, 503, 504)
#: Seconds after which a service may ask to be asked again; a guest waits for this.
LONGEST = 5
_ID = r'[0-9a-f-]{32,36}'
#: (service, method, end of the path). Not here: what makes a thing (POST), what counts the
#: generations of another (Placement), and Cinder's attachments, whose second deletion fails.
REPEATABLE: tuple[tuple[str, str, str], ...] = (
    ('', 'GET', ''), ('', 'HEAD', ''),
    ('network', 'PUT', rf'/ports/{_ID}(\.json)?'),
    # Nova takes a binding that is gone for deleted (API.delete_port_binding).
    ('network', 'DELETE', rf'/ports/{_ID}/bindings/[^/]+?(\.json)?'),
)
#: (method, end of the path) of what is never repeated, whatever Nova says.
ONCE: tuple[tuple[str, str], ...] = (('POST', '/attachments'),)


def request(wrapped: Any, session: Any, args: Any, kwargs: Any) -> Any:
    """A wrapt wrapper of Session.request: within a migration and its settlement, more tries of
    what may be repeated, none of what may not, and an end of waiting for an answer."""
    if not host_attempt.at_work():
        return wrapped(*args, **kwargs)
    if CONF.migsafe.call_timeout and session.timeout is None:
        # NOTE: Nova has none by default, and a connection that was cut without a word never ends.
        kwargs = {'timeout': CONF.migsafe.call_timeout, **kwargs}
    url, method, service = _named(args, kwargs)
    if any(method.upper() == verb and _path(url).endswith(end) for verb, end in ONCE):
        return wrapped(*args, **{**kwargs, 'connect_retries': 0})
    count = _tries(service)
    if not count or not repeatable(url, method, service):
        return wrapped(*args, **kwargs)
    return wrapped(*args, **{
        'hooks': {'response': soon}, **kwargs, 'retriable_status_codes': list(CUT),
        # NOTE: where Nova has more tries of its own, these count, and are not done twice.
        'connect_retries': max(kwargs.get('connect_retries') or 0, count),
        'status_code_retries': max(kwargs.get('status_code_retries') or 0, count)})


def _tries(service: str) -> int:
    """How often a call to a service is made again.

    :param service: its type, as in the catalogue
    """
    name = next((name for name, types in watch.SERVICES.items() if service in types), '')
    own = CONF.migsafe[f'{name}_call_retries'] if name else None
    return int(CONF.migsafe.call_retries if own is None else own)


def soon(response: Any, *_args: Any, **_kwargs: Any) -> None:
    """A hook of requests: keystoneauth waits as long as Retry-After says, be it an hour."""
    wait = response.headers.get('Retry-After', '0')
    if not (wait.isascii() and wait.isdigit() and int(wait) <= LONGEST):
        del response.headers['Retry-After']


def repeatable(url: str, method: str, service: str) -> bool:
    """Whether a second call does what the first did.

    :param service: its type, as in the catalogue
    """
    return any(kind in ('', service) and method.upper() == verb
               and re.search(f'{end}$', _path(url)) for kind, verb, end in REPEATABLE)


def _path(url: str) -> str:
    return urllib.parse.urlsplit(url).path


def _named(args: Any, kwargs: Any) -> tuple[str, str, str]:
    """URL, method and service of a request."""
    url, method = (*args, *(kwargs[name] for name in ('url', 'method')[len(args):]))[:2]
    return str(url), str(method), str(
        (kwargs.get('endpoint_filter') or {}).get('service_type') or '')
