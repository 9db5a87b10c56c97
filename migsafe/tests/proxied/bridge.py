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
"""Makes the calls of a laboratory's nova-computes real requests through haproxy."""

from __future__ import annotations

import collections
import contextvars
import dataclasses
import http.server
import itertools
import json
import random
import re
import select
import socket
import struct
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import requests
import requests.adapters
from cinderclient import exceptions as cinder_exceptions
from keystoneauth1 import noauth, session
from neutronclient.common import exceptions as neutron_exceptions

from migsafe.tests import api_server
from migsafe.tests.proxied import haproxy


@dataclasses.dataclass(frozen=True)
class Fault:
    """What becomes of a request.

    :param door: of haproxy, by which it goes
    :param stale: whether it goes over a connection that haproxy has closed because nobody used it
    :param done: whether the server does it
    :param swallowed: whether no answer ever comes
    """

    door: str = 'open'
    stale: bool = False
    done: bool = False
    swallowed: bool = False


NONE = Fault(done=True)
#: The idle connection was closed before, or reset; the connection is closed in the face of it, or
#: reset; it is swallowed; nobody stands behind haproxy. It is done, and its connection is closed
#: without an answer; haproxy says that the server broke off, or that it took too long (of the
#: first it says nothing to a connection that had an answer before, and closes it); nobody ever
#: says anything.
FAULTS: dict[str, Fault] = {
    'idle': Fault('hasty', stale=True, done=True), 'killed': Fault('killing', True, True),
    'closed': Fault(), 'reset': Fault('killing'), 'hole': Fault(swallowed=True), '503': Fault(),
    'lost': Fault('blind', done=True),
    '502': Fault(done=True), '504': Fault(done=True), 'silent': Fault(done=True, swallowed=True)}
#: What the server does instead of an answer: closes, resets, or keeps quiet.
SERVER_FAULTS = {'lost': 'close', '502': 'reset', '504': 'wait', 'silent': 'wait', 'hole': 'wait'}
#: Seconds after which it is said that an answer that never comes has not come.
FOR_EVER = 0.2
PATIENCE = 120
UUID = '4ec88534-df59-4bea-b6bb-43ac07fc1d2d'
P, G, U, D = 'POST', 'GET', 'PUT', 'DELETE'
#: (kind, the name of the call) -> method and path, the first that fits; Nova's clients send these.
REQUESTS: tuple[tuple[str, str, str, str], ...] = (
    ('cinder', r'attachments\.create', P, '/attachments'),
    ('cinder', r'attachments\.(show|list)', G, '/attachments/*'),
    ('cinder', r'attachments\.update', U, '/attachments/*'),
    ('cinder', r'attachments\.delete', D, '/attachments/*'),
    ('cinder', r'attachments\..*', P, '/attachments/*/action'),
    ('cinder', r'volumes\.get.*', G, '/volumes/*'),
    ('cinder', r'volumes\.delete', D, '/volumes/*'),
    ('cinder', r'.*', P, '/volumes/*/action'),
    ('neutron', r'(list|show)_.*', G, '/ports/*'),
    ('neutron', r'update_port', U, '/ports/*'),
    ('neutron', r'delete_port_binding', D, '/ports/*/bindings/node'),
    ('neutron', r'activate_port_binding', U, '/ports/*/bindings/node/activate'),
    ('neutron', r'.*', P, '/ports/*/bindings'),
)
SERVICES = {'cinder': 'volumev3', 'neutron': 'network', 'placement': 'placement'}
#: What makes a thing: of a second one nobody would know the first.
MAKES = frozenset(('attachments.create', 'create_port_binding', 'volumes.initialize_connection'))
#: Tries of Nova's clients after a connection that failed ([cinder] and [neutron] http_retries).
TRIES = {'cinder': 3, 'neutron': 3, 'placement': 0}


#: Whether a call is of Nova's audit of its resources, which nobody waits for.
ASIDE: contextvars.ContextVar[bool] = contextvars.ContextVar('aside', default=False)


def aside(real: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose calls are none of a migration."""
    def function(*args: Any, **kwargs: Any) -> Any:
        token = ASIDE.set(True)
        try:
            return real(*args, **kwargs)
        finally:
            ASIDE.reset(token)
    return function


@dataclasses.dataclass
class Call:
    """One call of a nova-compute.

    :param once: whether it must not be done twice
    :param faults: what becomes of its requests, one after the other
    :param done: how often the server has done it
    :param ended: as often as that
    """

    name: str
    method: str
    work: Callable[[], Any]
    once: bool
    faults: collections.deque[str]
    done: int = 0
    result: Any = None
    error: Exception | None = None
    ended: threading.Semaphore = dataclasses.field(default_factory=lambda: threading.Semaphore(0))


class _Handler(http.server.BaseHTTPRequestHandler):
    """Does the call that a request names."""

    protocol_version = 'HTTP/1.1'

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get('Content-Length') or 0))
        fault = self.headers.get(haproxy.FAULT, '')
        server: Any = self.server
        if FAULTS.get(fault, NONE).done and 'x-call' in self.headers:
            server.do(int(self.headers['x-call']))
        instead = SERVER_FAULTS.get(fault)
        if instead == 'wait':
            server.over.wait(PATIENCE)
        if instead:
            if instead == 'reset':
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                           struct.pack('ii', 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(200)
        self.send_header('Content-Length', '2')
        self.end_headers()
        self.wfile.write(json.dumps({}).encode())

    do_POST = do_PUT = do_DELETE = do_PATCH = do_GET

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """The socket may be closed already."""
        try:
            super().finish()
        except OSError:
            self.close_connection = True


class _Adapter(requests.adapters.HTTPAdapter):
    """Says in each request what is to become of it."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        call = self._bridge.calls[int(request.headers['x-call'])]
        name = call.faults.popleft() if call.faults else ''
        fault = FAULTS.get(name, NONE)
        request.headers[haproxy.FAULT] = name or 'none'
        request.url = self._bridge.url(fault.door, request.path_url)
        given, kwargs['timeout'] = kwargs.get('timeout'), PATIENCE
        if fault.stale:
            self._use_and_leave(request.url)
        if fault.swallowed:
            kwargs['timeout'] = FOR_EVER
            if given is None:
                # NOTE: it would never come back, which is what is counted.
                self._bridge.stuck.append(call.name)
        try:
            return super().send(request, *args, **kwargs)
        finally:
            if name:
                self._bridge.fired[name] += 1
            # NOTE: whoever goes on finds it done, however slow the machine is.
            if fault.done and not call.ended.acquire(timeout=PATIENCE):
                raise RuntimeError(f'{call.name} was not done: {name}')

    def _use_and_leave(self, url: str) -> None:
        """Leave a connection behind that the other side has closed."""
        used = requests.Request('GET', url).prepare()
        assert super().send(used, timeout=PATIENCE).content
        left = self.get_connection_with_tls_context(used, None).pool.queue[-1]
        if not select.select([left.sock], [], [], PATIENCE)[0]:
            raise RuntimeError('haproxy does not close it')


class Bridge:
    """A rule of the laboratory's world, see :class:`migsafe.replay.lab.world.Rule`.

    :param directory: for the files of haproxy
    :param hosts: whose calls are made requests
    """

    def __init__(self, directory: str, hosts: tuple[str, ...]) -> None:
        self._hosts, self._numbers = hosts, itertools.count()
        self.calls: dict[int, Call] = {}
        self.fired: collections.Counter[str] = collections.Counter()
        self.stuck: list[str] = []
        self.order = itertools.count()
        self.plan: Callable[[int], list[str]] = lambda number: []
        self._server: Any = api_server.Server(_Handler)
        # what is cut is cut on purpose
        self._server.handle_error = lambda *_client: None
        self._server.do, self._server.over = self._do, threading.Event()
        self._server.start()
        self.proxy = haproxy.Haproxy(directory, self._server.server_port)
        made = requests.Session()
        made.mount('http://', _Adapter(self))
        self._session = session.Session(auth=noauth.NoAuth(), session=made)

    def close(self) -> None:
        self._server.over.set()
        self.proxy.close()
        self._server.shutdown()
        self._server.server_close()

    def begin(self, plan: Callable[[int], list[str]]) -> None:
        """A new migration.

        :param plan: number of the call -> what becomes of its requests
        """
        self._server.over.set()
        self._server.over = threading.Event()
        self.calls, self.fired, self.stuck = {}, collections.Counter(), []
        self.order, self.plan = itertools.count(), plan

    def url(self, door: str, path: str) -> str:
        """Where a path is, through a door of haproxy's."""
        return f'http://127.0.0.1:{self.proxy.ports[door]}{path}'

    def twice(self) -> list[str]:
        """What was done more than once and may not be."""
        return [call.name for call in self.calls.values()
                if call.done > 1 and call.once]

    def around(self, effect: Any, call: Callable[[], Any], later: Any) -> Any:
        """Make a call of a nova-compute a request; leave all else as it is."""
        if effect.kind not in SERVICES or effect.host not in self._hosts or ASIDE.get():
            return call()
        method, path = _request(effect.kind, effect.name)
        number = next(self._numbers)
        context = contextvars.copy_context()
        one = self.calls[number] = Call(
            f'{effect.host} {effect.kind} {effect.name}', method,
            lambda: context.copy().run(call),
            effect.name in MAKES,
            collections.deque(self.plan(next(self.order))))
        response = self._session.request(
            self.url('open', path), method, json={}, raise_exc=False,
            headers={'x-call': str(number)}, connect_retries=TRIES[effect.kind],
            endpoint_filter={'service_type': SERVICES[effect.kind]})
        if response.status_code != 200:
            return _failed(effect.kind, response)
        if one.error is not None:
            raise one.error
        return one.result

    def _do(self, number: int) -> None:
        one = self.calls.get(number)
        if one is None:
            return
        one.done += 1
        try:
            one.result, one.error = one.work(), None
        except Exception as error:
            one.error = error
        finally:
            one.ended.release()


def _request(kind: str, name: str) -> tuple[str, str]:
    if kind == 'placement':
        method, _, path = name.partition(' ')
        return method, path.replace('*', UUID)
    return next((method, path.replace('*', UUID)) for service, pattern, method, path in REQUESTS
                if service == kind and re.fullmatch(pattern, name))


def _failed(kind: str, response: Any) -> Any:
    """What Nova's client makes of an answer of haproxy's."""
    if kind == 'placement':
        return response
    if kind == 'cinder':
        raise cinder_exceptions.ClientException(response.status_code)
    made = neutron_exceptions.NeutronClientException(message=str(response.status_code))
    made.status_code = response.status_code
    raise made


def quick(waits: list[float]) -> types.SimpleNamespace:
    """The module time of keystoneauth, whose pauses between tries nobody has to wait for."""
    return types.SimpleNamespace(sleep=waits.append)


def drawn(seed: str) -> Callable[[int], list[str]]:
    """A plan that strikes some calls, some of them again and again."""
    chosen = random.Random(seed)
    rate = chosen.choice((0.03, 0.1, 0.3))

    def plan(_number: int) -> list[str]:
        if chosen.random() >= rate:
            return []
        return chosen.choices(list(FAULTS), k=chosen.choice((1, 1, 1, 2, 4)))
    return plan


def at(number: int, fault: str, times: int = 1) -> Callable[[int], list[str]]:
    """A plan that strikes one call."""
    return lambda one: [fault] * times if one == number else []


def everywhere(count: int) -> Iterator[tuple[int, str]]:
    """Each call with each fault."""
    return itertools.product(range(count), FAULTS)
