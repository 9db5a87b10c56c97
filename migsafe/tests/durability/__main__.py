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
"""Search states of a crash and faults of a disk: ``python -m migsafe.tests.durability``.

The search runs in a process of its own, with the library of ``recorder.c`` before the C library.
"""

import os
import subprocess
import sys
import tempfile

from migsafe.tests.durability import library


def main() -> int:
    """Compile the library and search."""
    with tempfile.TemporaryDirectory() as directory:
        return subprocess.run(
            [sys.executable, '-W', 'ignore', '-m', 'migsafe.tests.durability.search',
             *sys.argv[1:]],
            env={**os.environ, 'LD_PRELOAD': library.build(directory)}, check=False).returncode


if __name__ == '__main__':
    sys.exit(main())
