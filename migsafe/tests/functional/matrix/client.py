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
"""The other end of worker.py; imports no Nova, which would patch this process."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from typing import IO

from migsafe.tests.functional.matrix.report import Report

#: Seconds after which a case counts as stuck; the laboratory itself gives up earlier.
PATIENCE = 240.0
#: Laboratories in which one of the two hosts has migsafe. What is left unsettled there is
#: forgotten after each case.
HALVES = ('source', 'destination')


class Laboratory:
    """A laboratory in another process, started when it is needed and again when it died.

    :param armed: whether migsafe is switched on there
    :param half: the one of the two hosts that has it, of :data:`HALVES`; both unless told
    """

    def __init__(self, armed: bool, half: str = '') -> None:
        self._mode = half or ('armed' if armed else 'plain')
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None

    def run(self, name: str, step: bool | str = True) -> Report:
        """Run one case there.

        :param step: the next step, or whether to do the one that is its turn
        """
        try:
            process = self._running()
            assert process.stdin is not None
            process.stdin.write(json.dumps([name, step]).encode() + b'\n')
            process.stdin.flush()
            found = Report.read(self._line(process))
        except (OSError, ValueError) as error:
            found = Report(
                broken=f'the {self._mode} laboratory died of {name}: '
                       f'{type(error).__name__} {error}: {self._said()}')
        if found.broken or (self._mode == 'armed' and found.left):
            # what is stuck in there, or unsettled in its journals, would disturb the next case
            self.stop()
        return found

    def stop(self) -> None:
        """End the process, however it is."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._stderr = tempfile.TemporaryFile()
            self._process = subprocess.Popen(
                [sys.executable, '-W', 'ignore', '-m',
                 'migsafe.tests.functional.matrix.worker', self._mode],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr)
            self._line(self._process)
        return self._process

    def _line(self, process: subprocess.Popen[bytes]) -> bytes:
        """The one line that is due. It is read as it comes: where Nova has been imported all the
        same, eventlet's file reads byte by byte, which takes as long as the case."""
        assert process.stdout is not None
        said = process.stdout.fileno()
        line = b''
        while not line.endswith(b'\n'):
            ready, _, _ = select.select([said], [], [], PATIENCE)
            if not ready:
                raise TimeoutError(f'no answer in {PATIENCE:.0f} seconds')
            read = os.read(said, 1 << 16)
            if not read:
                raise ConnectionError('it has ended')
            line += read
        return line

    def _said(self) -> str:
        if self._stderr is None:
            return ''
        self._stderr.seek(0)
        return self._stderr.read()[-2000:].decode(errors='replace')
