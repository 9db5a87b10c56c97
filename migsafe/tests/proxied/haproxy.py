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
IDLE, SERVER = 30, 100
#: What is to become of a request, by the header that says so.
FAULT = 'x-fault'
#: Its doors: one that keeps connections; one that closes those that nobody uses; one that closes
#: these and all others with a reset; and one that does not know what is said through it.
DOORS = ('open', 'hasty', 'killing', 'blind')
_TEXT = """\
global
    maxconn 500
    log stdout format raw local0 info
defaults
    mode http
    timeout connect 1s
    timeout client 1h
    timeout server 1h
    timeout http-keep-alive 1h
    http-reuse always
frontend open
    bind 127.0.0.1:{open}
    use_backend %[hdr({fault})]
    default_backend there
frontend hasty
    bind 127.0.0.1:{hasty}
    timeout http-keep-alive {idle}ms
    default_backend there
frontend killing
    bind 127.0.0.1:{killing}
    timeout http-keep-alive {idle}ms
    option nolinger
    use_backend %[hdr({fault})]
    default_backend there
frontend blind
    mode tcp
    bind 127.0.0.1:{blind}
    default_backend behind
backend there
    server one 127.0.0.1:{to}
backend behind
    mode tcp
    server one 127.0.0.1:{to}
backend closed
    http-request reject
backend reset
    http-request reject
backend 504
    timeout server {server}ms
    server one 127.0.0.1:{to}
backend 503
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
            self.ports = {door: free_port() for door in DOORS}
            conf.write_text(_TEXT.format(
                **self.ports, to=to, fault=FAULT, idle=IDLE, server=SERVER,
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
                for port in self.ports.values():
                    socket.create_connection(('127.0.0.1', port), 1).close()
                return True
            except OSError:
                time.sleep(0.02)
        return False

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(PATIENCE)
