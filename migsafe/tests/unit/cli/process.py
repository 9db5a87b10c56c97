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
"""Runs the commands as an operator does: each one a process of its own."""

import subprocess
import sys

#: Seconds after which a command that hangs is ended; none of them comes near.
HANGS = 300
_PROGRAM = """
import importlib.abc, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {missing!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)

sys.meta_path.insert(0, Missing())
from migsafe.cli import {module}
sys.argv[0] = {module!r}
sys.exit({module}.main())
"""


def start(module, *args, missing=()):
    """Start a command.

    :param module: of migsafe.cli, which has the command's main()
    :param missing: names of packages that are not installed as far as it knows
    """
    return subprocess.Popen(
        [sys.executable, '-c', _PROGRAM.format(missing=tuple(missing), module=module), *args],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process):
    """Wait for its end; return exit code, standard output and standard error."""
    out, err = process.communicate(timeout=HANGS)
    return process.returncode, out, err


def run(module, *args, **how):
    """Run a command to its end, see :func:`start` and :func:`ended`."""
    process = start(module, *args, **how)
    try:
        return ended(process)
    finally:
        process.kill()
