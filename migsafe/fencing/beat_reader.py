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
"""Reads the heartbeat of a host; a process of its own, run as a script.

``beat_reader.py FILE SECONDS``. It prints what is in the file, as a line of JSON, and once more if
that changes within some seconds. Storage that hangs keeps this process, and nobody else, waiting:
a thread would not do, since one of eventlet's holds up all others.
"""

import json
import os
import stat
import sys
import time

#: Bytes; a file that is longer is none of ours.
LONGEST = 4096
#: Seconds between two readings.
PAUSE = 0.2
NO_FILE = 'no file'


def read(path: str) -> str:
    """What is there; each byte is one character.

    :raises ValueError: it is no file
    :raises OSError: it cannot be read
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ValueError(NO_FILE)
        return os.read(handle, LONGEST + 1).decode('latin-1')
    finally:
        os.close(handle)


def main() -> None:
    """Read until it has changed, or the time is over."""
    path, seconds = sys.argv[1:]
    end, first = time.monotonic() + float(seconds), None
    while True:
        try:
            now = read(path)
        except ValueError:
            print(json.dumps({'error': NO_FILE}))
            return
        except OSError as error:
            print(json.dumps({'error': error.strerror}))
            return
        if now != first:
            print(json.dumps({'text': now}), flush=True)
        if first not in (None, now) or time.monotonic() >= end:
            return
        first = now
        time.sleep(PAUSE)


if __name__ == '__main__':
    main()
