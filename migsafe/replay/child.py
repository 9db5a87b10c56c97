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
"""One child process of the replay, and the messages that it sends."""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import IO, Any

from migsafe.journal import redact

#: The words of the two children, and the arguments that make them so.
SIDES = {'plain Nova': (), 'migsafe': ('--armed',)}
PLAIN, ARMED = SIDES
#: What the second of them also shows: what migsafe left without what mends a fault.
BEFORE = 'before'


@dataclasses.dataclass(frozen=True)
class Said:
    """One line that a child said; ``body`` is None when it has ended."""

    side: str
    body: dict[str, Any] | None


class Child:
    """One worker process and the thread that listens to it."""

    def __init__(self, side: str, names: Sequence[str], heard: queue.Queue[Said]) -> None:
        self.side = side
        self._errors: IO[bytes] = tempfile.TemporaryFile()
        read, write = os.pipe()
        command = [sys.executable, '-m', 'migsafe.replay.worker', '--fd', str(write),
                   *SIDES[side], *names]
        try:
            self.process = subprocess.Popen(
                command, pass_fds=(write,), stdin=subprocess.DEVNULL,
                stdout=self._errors, stderr=self._errors)
        finally:
            os.close(write)
        self._thread = threading.Thread(target=self._listen, args=(read, heard), daemon=True)
        self._thread.start()

    def _listen(self, read: int, heard: queue.Queue[Said]) -> None:
        try:
            with os.fdopen(read, encoding='utf-8') as pipe:
                for line in pipe:
                    heard.put(Said(self.side, json.loads(line)))
        except ValueError as error:
            heard.put(Said(self.side, {'event': 'garbled', 'why': str(error)}))
        finally:
            heard.put(Said(self.side, None))

    def stop(self) -> None:
        """End it, whatever it does; harmless if it has ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._thread.join()

    def last_words(self, lines: int = 15) -> str:
        """The end of what it wrote to its standard error."""
        self._errors.seek(0)
        text = self._errors.read().decode(errors='replace')
        return str(redact('\n'.join(text.splitlines()[-lines:])))
