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
"""Writes the heartbeat of a host; a process of its own, run as a script.

``beat_writer.py FILE SECONDS HOST MACHINE BOOT``. It ends with who started it, whose end of its
standard input is closed then. Storage that hangs keeps this process, and nobody else, waiting.
"""

import json
import os
import select
import sys
import time


def write(path: str, text: str) -> None:
    """Replace a file as a whole; a reader sees the old or the new one."""
    beside = f'{path}.{os.getpid()}'
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)
    os.replace(beside, path)


def main() -> None:
    """Beat until standard input ends."""
    path, seconds, host, machine, boot = sys.argv[1:]
    # It goes on from where an earlier process of this boot has ended, and never back.
    sequence, broken = time.monotonic_ns() // 1_000_000, False
    while True:
        sequence += 1
        try:
            write(path, json.dumps({'host': host, 'machine': machine, 'boot_id': boot,
                                    'sequence': sequence}))
            broken = False
        except OSError as error:
            if not broken:
                print(f'migsafe: the heartbeat {path} cannot be written: {error.strerror}',
                      file=sys.stderr, flush=True)
            broken = True
        if select.select([sys.stdin], [], [], float(seconds))[0]:
            return


if __name__ == '__main__':
    main()
