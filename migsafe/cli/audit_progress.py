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
"""How far an audit is, for whoever waits at a terminal."""

import time
from typing import TextIO

#: Seconds between two lines.
EVERY = 0.5
#: Characters of the bar.
WIDTH = 20


class Progress:
    """One line on a terminal that is written anew, and gone at the end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._began = self._last = time.monotonic()
        self._width = 0

    def __call__(self, done: int, total: int) -> None:
        """Show how many of how many instances are done, and how long the rest takes."""
        now = time.monotonic()
        if now - self._last < EVERY or not done:
            return
        self._last = now
        left = (now - self._began) * (total - done) / done
        bar = '#' * (WIDTH * done // max(total, 1))
        self._write(f'[{bar:.<{WIDTH}}] {done:,} of {total:,} instances '
                    f'({100 * done // max(total, 1)} %), {left:.0f} s left')

    def end(self) -> None:
        """Take the line away."""
        if self._width:
            self._write('')
            self._stream.write('\r')
            self._stream.flush()

    def _write(self, text: str) -> None:
        self._stream.write(f'\r{text:{self._width}}')
        self._stream.flush()
        self._width = len(text)


def shown_on(stream: TextIO) -> Progress | None:
    """What shows it, where there is a terminal."""
    return Progress(stream) if stream.isatty() else None
