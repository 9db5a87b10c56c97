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
"""Questions to the REST API of NetApp ONTAP, page by page, and what counts as an answer.

The requests are made by the connection of Cinder's own REST client (RestNaServer: password or
certificate, TLS, tunnel to the SVM), made from the options of the backend. It is there whichever
client the driver uses. Neither the RestClient around it is used nor the connection of the driver:

* RestClient makes a ZAPI client too (always until Cinder 28), which an ONTAP without ZAPI
  refuses, and gathers all pages of an answer in memory.
* Neither looks at the HTTP status: a 503 with "{}" in it reads like an answer without records.
* The connection keeps the session and the headers of the request that it is just making in
  itself, so that two threads can send each other's, without the header that names the SVM.
* It follows redirects, waits for ever, and takes half a minute to see that nobody listens.

Rules: "Getting started with the ONTAP REST API" (records, num_records, _links.next, max_records,
queries with | and *, X-Dot-SVM-Name), docs.netapp.com/us-en/ontap-restapi.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib import parse

from cinder.volume.drivers.netapp.dataontap.client import api

from migsafe import exceptions
from migsafe.brick.kernel import bounded
from migsafe.text import masked

API = '/api/'
PAGE = 1000
#: More pages than any SVM has records for; a server that goes on for ever is none of ONTAP's.
PAGES = 1000
#: ONTAP answers with what it has after 15 seconds (return_timeout).
TIMEOUT = 20
RETRIES = 1
#: Times TIMEOUT for one page: that one is for each piece that arrives, and a server can send a
#: byte a time.
PATIENCE = 3
#: Seconds for all pages of a collection.
SECONDS = 900.0
#: Bytes of a page; a record takes some 300.
BODY = 32 * 2 ** 20
#: Requests to all arrays that may be open at once, those included that nobody waits for any more.
LANES = 32
#: Arguments of RestNaServer and the options that they come from.
OPTIONS = {
    'host': 'netapp_server_hostname', 'port': 'netapp_server_port',
    'transport_type': 'netapp_transport_type', 'ssl_cert_path': 'netapp_ssl_cert_path',
    'ssl_cert_verify': 'netapp_ssl_cert_verify', 'username': 'netapp_login',
    'password': 'netapp_password', 'private_key_file': 'netapp_private_key_file',
    'certificate_file': 'netapp_certificate_file',
    'ca_certificate_file': 'netapp_ca_certificate_file',
    'certificate_host_validation': 'netapp_certificate_host_validation',
}

_LANES = threading.BoundedSemaphore(LANES)
_NUMBERS = itertools.count()


class NoAnswer(exceptions.MigsafeError):
    """ONTAP was asked, and what came back says nothing."""

    message = ('ONTAP %(server)s (SVM %(svm)s) did not answer GET %(path)s: %(reason)s. Check '
               'the netapp_ options of the backend, and that its account may read this path')


class _Connection(api.RestNaServer):
    """Cinder's, for one request."""

    def _build_session(self, headers: dict[str, str]) -> None:
        super()._build_session(headers)
        self._session.hooks['response'].append(_refuse)
        adapter = self._session.get_adapter(f'{self._protocol}://')
        adapter.max_retries = adapter.max_retries.new(total=RETRIES)


def _refuse(response: Any, **_kwargs: Any) -> None:
    """Stop at what is not ONTAP's own word, a redirect or a proxy's page, or has no end.

    requests calls this before it reads the body.
    """
    kind = response.headers.get('Content-Type', '')
    if response.is_redirect or (response.status_code != 200 and 'json' not in kind):
        raise ValueError(f'HTTP status {response.status_code} {response.reason}')
    body = bytearray()
    for piece in response.iter_content(65536):
        body += piece
        if len(body) > BODY:
            raise ValueError(f'the answer is longer than {BODY} bytes')
    response._content = bytes(body)


def _within(seconds: float, call: Callable[[], Any]) -> Any:
    """Make one request, and wait no longer for its answer.

    :raises bounded.Silent: it has not come, or too many others are open
    """
    if not _LANES.acquire(timeout=max(seconds, 0)):
        raise bounded.Silent

    def work() -> Any:
        try:
            return call()
        finally:
            _LANES.release()
    return bounded.one(('ontap', next(_NUMBERS)), work, seconds)


class Ontap:
    """Asks one SVM. It holds no connection, so that threads can share it.

    :param config: of the backend, as Cinder's NetApp driver reads it
    """

    def __init__(self, config: Any) -> None:
        self._config = config
        self.server = str(config.netapp_server_hostname)
        self.svm = str(config.netapp_vserver)

    def records(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Give the records of a collection that are of the SVM, page by page.

        :param path: below /api/
        :param query: what to ask for; a dot in a name is written as two underscores
        :raises NoAnswer: at any page; what was given before is not all there is then
        """
        asked = {name.replace('__', '.'): value for name, value in query.items()}
        asked |= {'svm.name': self.svm, 'max_records': str(PAGE)}
        asked['fields'] = f'{asked["fields"]},svm.name'
        url: str | None = f'{path}?{parse.urlencode(asked, safe="*,/:", quote_via=parse.quote)}'
        seen: set[str] = set()
        end = time.monotonic() + SECONDS
        while url is not None:
            if len(seen) >= PAGES:
                raise self.refused(path, f'it has more than {PAGES} pages')
            seen.add(url)
            page = self._page(path, url, min(end - time.monotonic(), PATIENCE * TIMEOUT))
            yield from page['records']
            url = self._next(path, seen, page)

    def _page(self, path: str, url: str, seconds: float) -> dict[str, Any]:
        try:
            status, page = _within(seconds, lambda: self._connection().invoke_successfully(
                url, 'get', enable_tunneling=True))
        except bounded.Silent:
            raise self.refused(path, f'no whole answer came within {seconds:.0f} s') from None
        except Exception as error:
            # NOTE: what is no JSON, or JSON but no dictionary, comes here as well.
            raise self.refused(path, masked(error)) from error
        if status != 200:
            raise self.refused(path, f'HTTP status {status}')
        records = page.get('records')
        if not isinstance(records, list) or type(page.get('num_records')) is not int:
            raise self.refused(path, 'the answer has no "records" and "num_records"')
        if len(records) > PAGE:
            raise self.refused(path, f'{len(records)} records came in a page of {PAGE}')
        if len(records) != page['num_records']:
            raise self.refused(path, f'{len(records)} records came, and num_records says '
                                     f'{page["num_records"]}')
        for record in records:
            if self.text(path, record, 'svm.name') != self.svm:
                raise self.refused(path, 'a record is of another SVM')
        return dict(page)

    def _next(self, path: str, seen: set[str], page: dict[str, Any]) -> str | None:
        """Where the next page is."""
        links = page.get('_links', {})
        following = links.get('next') if isinstance(links, dict) else links
        if following is None:
            return None
        href = following.get('href') if isinstance(following, dict) else None
        if not isinstance(href, str) or not href.startswith(f'{API}{path}?') \
                or href[len(API):] in seen:
            raise self.refused(path, 'the link to its next page leads elsewhere')
        return href[len(API):]

    def _connection(self) -> Any:
        given = {name: self._config.safe_get(option) for name, option in OPTIONS.items()}
        # NOTE: ssl_cert_verify came with Cinder 29; None is what an unknown option reads as.
        made = _Connection(**{name: value for name, value in given.items() if value is not None})
        if given['private_key_file'] and given['certificate_file']:
            made.set_transport_type('https')
        made.set_vserver(self.svm)
        made.set_timeout(TIMEOUT)
        return made

    def text(self, path: str, record: Any, field: str) -> str:
        """A text in a record.

        :param field: with dots between the levels
        :raises NoAnswer: there is none
        """
        value = record
        for name in field.split('.'):
            value = value.get(name) if isinstance(value, dict) else None
        if not isinstance(value, str) or not value or len(value) > 4096:
            raise self.refused(path, f'"{field}" of a record is missing or no text')
        return value

    def refused(self, path: str, reason: str) -> NoAnswer:
        """The error that says why an answer says nothing."""
        return NoAnswer(server=self.server, svm=self.svm, path=f'{API}{path}', reason=reason)
