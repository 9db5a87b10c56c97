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
"""A haproxy of Debian's package, on free ports of loopback, in front of one server."""

import pathlib
import socket
import subprocess
import time

#: Milliseconds after which it cuts a connection that nobody uses, as incident 003's did after two
#: minutes; and after which it gives up a server that does not answer.
IDLE, SERVER = 150, 250
#: What it does to a request by itself, by the header that says so.
FAULT = 'x-fault'
_TEXT = """\
global
    maxconn 500
    log stdout format raw local0 info
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout http-keep-alive {idle}ms
    timeout server {server}ms
    http-reuse always
frontend all
    bind 127.0.0.1:{port}
    # the connection is closed, and nobody has the request
    http-request reject if {{ hdr({fault}) -m str reject }}
    # neither side says anything more
    http-request silent-drop if {{ hdr({fault}) -m str hole }}
    # the answer is lost
    http-request set-var(txn.fault) hdr({fault})
    use_backend nobody if {{ hdr({fault}) -m str nobody }}
    use_backend slow if {{ hdr({fault}) -m str silent }}
    default_backend there
backend there
    tcp-response content close if {{ var(txn.fault) -m str lost }}
    server one 127.0.0.1:{to}
backend slow
    timeout server 1h
    server one 127.0.0.1:{to}
backend nobody
    retries 0
    server gone 127.0.0.1:{closed}
"""
PATIENCE = 60


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(('127.0.0.1', 0))
        port: int = one.getsockname()[1]
        return port


class Haproxy:
    """Runs until :meth:`close`.

    :param directory: for its configuration and log
    :param to: port of the server
    """

    def __init__(self, directory: str, to: int) -> None:
        self.log = pathlib.Path(directory, 'haproxy.log')
        self.closed = socket.socket()
        # bound, and not listened on: refused, and nobody else's
        self.closed.bind(('127.0.0.1', 0))
        conf = pathlib.Path(directory, 'haproxy.cfg')
        end = time.monotonic() + PATIENCE
        while True:
            self.port = free_port()
            conf.write_text(_TEXT.format(
                port=self.port, to=to, fault=FAULT, idle=IDLE, server=SERVER,
                closed=self.closed.getsockname()[1]))
            with self.log.open('w') as log:
                self._process = subprocess.Popen(
                    ['haproxy', '-db', '-f', str(conf)], stdout=log, stderr=log)
            if self._listens():
                return
            self.close()
            if time.monotonic() > end:
                raise RuntimeError(f'haproxy does not start: {self.log.read_text()}')

    def _listens(self) -> bool:
        end = time.monotonic() + PATIENCE
        while self._process.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(('127.0.0.1', self.port), 1).close()
                return True
            except OSError:
                time.sleep(0.02)
        return False

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(PATIENCE)
