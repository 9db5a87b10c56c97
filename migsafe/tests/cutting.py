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
"""A process that stands before a database server, and cuts a connection at one COMMIT.

It is a process, because the threads of a test may be green ones, which a driver of a database
stops while it waits.
"""

import contextlib
import os
import pathlib
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time

COMMIT = b'COMMIT'


class Proxy:
    """Starts and controls the process.

    :param to: port of the server
    """

    def __init__(self, to: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, '-m', 'migsafe.tests.cutting', str(to)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = int(self._ask('port'))

    def _ask(self, question: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(question, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()

    def cut(self, what: str) -> None:
        """Cut at the next COMMIT.

        :param what: ``answer`` (the server has carried it out), ``question`` (it never comes to
            the server), ``both`` (as answer, and nobody gets through until it is ``nothing``)
        """
        self._ask(f'cut {what}')

    def kill(self, process: int, microseconds: int) -> None:
        """Kill the server, with all its processes, so long after it has the next COMMIT.

        :param process: its first one
        """
        self._ask(f'cut kill {process} {microseconds}')

    def lead_to(self, port: int) -> None:
        """End all connections, and lead new ones to another server."""
        self._ask(f'lead {port}')

    @property
    def cuts(self) -> int:
        """How many connections were cut."""
        return int(self._ask('cuts'))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


class _Server:
    """Runs in the process."""

    def __init__(self, to: int) -> None:
        self.to = ('127.0.0.1', to)
        self.what, self.cuts = 'nothing', 0
        self.clients: list[socket.socket] = []
        self.listener = socket.create_server(('127.0.0.1', 0))
        threading.Thread(target=self.accept, daemon=True).start()

    def answer(self, question: str) -> str:
        """Do what the test says."""
        if question.startswith('cut '):
            self.what = question.removeprefix('cut ')
        if question.startswith('lead '):
            self.to = ('127.0.0.1', int(question.removeprefix('lead ')))
            while self.clients:
                with contextlib.suppress(OSError):
                    self.clients.pop().shutdown(socket.SHUT_RDWR)
        return str({'port': self.listener.getsockname()[1], 'cuts': self.cuts}.get(question, ''))

    def accept(self) -> None:
        """Take connections."""
        while True:
            client, _address = self.listener.accept()
            if self.what == 'silence':
                client.close()
                continue
            try:
                server = socket.create_connection(self.to)
            except OSError:
                # it is away
                client.close()
                continue
            self.clients.append(client)
            threading.Thread(target=self.forward, daemon=True, args=(client, server)).start()

    def forward(self, client: socket.socket, server: socket.socket) -> None:
        """Hand on what comes on one connection, until its end or the cut."""
        with client, server, selectors.DefaultSelector() as selector:
            selector.register(client, selectors.EVENT_READ, server)
            selector.register(server, selectors.EVENT_READ, client)
            with contextlib.suppress(OSError):
                while self.pass_all_on(client, server, selector.select()):
                    pass

    def pass_all_on(self, client: socket.socket, server: socket.socket,
                    ready: list[tuple[selectors.SelectorKey, int]]) -> bool:
        """Hand on what has come from both sides; return whether it goes on."""
        return all(self.pass_on(client, server, key) for key, _events in ready)

    def pass_on(self, client: socket.socket, server: socket.socket,
                key: selectors.SelectorKey) -> bool:
        """Hand on what has come; return whether it goes on."""
        assert isinstance(key.fileobj, socket.socket)
        data = key.fileobj.recv(65536)
        if not data:
            return False
        if key.fileobj is client and self.what != 'nothing' and _is_commit(data):
            cut, *given = self.what.split()
            self.what = 'silence' if cut == 'both' else 'nothing'
            if cut == 'kill':
                _kill(server, data, *map(int, given))
            elif cut != 'question':
                server.sendall(data)
                # NOTE: what it answers to a COMMIT comes when that is carried out.
                server.recv(65536)
            self.cuts += 1
            return False
        key.data.sendall(data)
        return True


def _kill(server: socket.socket, data: bytes, process: int, microseconds: int) -> None:
    """Hand on a COMMIT, and kill the server and its children, as a power cut would."""
    children = pathlib.Path(f'/proc/{process}/task/{process}/children').read_text()
    server.sendall(data)
    time.sleep(microseconds / 1e6)
    for one in (process, *map(int, children.split())):
        with contextlib.suppress(ProcessLookupError):
            os.kill(one, signal.SIGKILL)


def _is_commit(data: bytes) -> bool:
    """Whether it is that statement, and no other that has the word in it.

    Both protocols have five bytes before the text of a statement; PostgreSQL ends it by a zero.
    """
    return data[5:].rstrip(b'\0') == COMMIT


if __name__ == '__main__':
    running = _Server(int(sys.argv[1]))
    for line in sys.stdin:
        print(running.answer(line.strip()), flush=True)
