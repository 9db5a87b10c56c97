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
"""Runs a piece of code in a process of its own.

Wrapping Nova is for the whole process, and so is eventlet.
"""

import json
import os
import subprocess
import sys

#: What every child begins with: as the first line of nova.cmd.compute.
PREAMBLE = """
import json, sys
from nova import monkey_patch
if hasattr(monkey_patch, 'patch'):
    monkey_patch.patch(backend='threading')
"""


def run(code, *, threading='true', preamble=PREAMBLE, **values):
    """What the code leaves in ``result``.

    :param threading: OS_NOVA_DISABLE_EVENTLET_PATCHING
    :param values: variables of the code
    """
    source = '\n'.join((
        preamble, *(f'{name} = {value!r}' for name, value in values.items()),
        code, 'import json; print("RESULT " + json.dumps(result))'))
    found = subprocess.run(
        [sys.executable, '-c', source], capture_output=True, text=True,
        timeout=240, env=os.environ | {
            'OS_NOVA_DISABLE_EVENTLET_PATCHING': threading})
    lines = [line for line in found.stdout.splitlines()
             if line.startswith('RESULT ')]
    if not lines:
        raise AssertionError(f'exit {found.returncode}\n'
                             f'{found.stdout}\n{found.stderr[-4000:]}')
    return json.loads(lines[-1].removeprefix('RESULT '))
