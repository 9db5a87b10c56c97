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
"""An HTTP server of a test, in the same process, with either kind of threads.

Nova patches the process when it is imported, and threads are eventlet's from then on. If
socketserver was imported before, it waits in a selector that was not patched, and nothing else
runs any more. A socket that is made afterwards is patched.
"""

import http.server
import threading

#: Seconds after which it looks whether it is to end.
LOOK = 0.1


class Server(http.server.ThreadingHTTPServer):
    """Serves on a free port of loopback from when it is made until :meth:`shutdown`.

    :param handler: class of the handler
    """

    daemon_threads = True

    def __init__(self, handler):
        super().__init__(('127.0.0.1', 0), handler)
        self.socket.settimeout(LOOK)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self):
        """Begin, once everything that the handler uses is there."""
        self._thread.start()

    def _serve(self):
        while not self._over.is_set():
            try:
                request, address = self.get_request()
            except TimeoutError:
                continue
            request.settimeout(None)
            self.process_request(request, address)

    def shutdown(self):
        self._over.set()
        self._thread.join()
