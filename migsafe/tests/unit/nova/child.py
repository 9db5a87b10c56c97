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

Wrapping Nova is for the whole process, and so is eventlet. To import what nova-compute imports
takes seconds: one process does it once, without nova.compute.manager, and is forked for each piece
of code that begins as nova-compute does, on native threads. Any other has a new process.
"""

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile

#: What every child begins with: as the first line of nova.cmd.compute.
PREAMBLE = """
import json, sys
from nova import monkey_patch
if hasattr(monkey_patch, 'patch'):
    monkey_patch.patch(backend='threading')
"""

#: As far as nova-compute has come when it initializes os_vif, and migsafe with that.
BEGUN = PREAMBLE + """
import os, threading, traceback
import nova.cmd.compute
assert 'nova.compute.manager' not in sys.modules and 'migsafe.nova' not in sys.modules
assert threading.active_count() == 1, 'a thread would not be there after a fork'

def child(source, out):
    code = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for stream in (1, 2):
            os.dup2(os.open(out, os.O_WRONLY | os.O_APPEND), stream)
        exec(compile(source, '<child>', 'exec'), {'__name__': '__main__'})
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

for line in sys.stdin:
    request = json.loads(line)
    pid = os.fork()
    if not pid:
        child(**request)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@functools.cache
def _begun():
    """The process that is forked, for all tests of this one."""
    made = subprocess.Popen([sys.executable, '-W', 'ignore', '-c', BEGUN], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environ('true'))
    atexit.register(made.communicate)
    return made


def _environ(threading):
    return os.environ | {'OS_NOVA_DISABLE_EVENTLET_PATCHING': threading}


def _forked(source):
    begun = _begun()
    with tempfile.NamedTemporaryFile('r') as out:
        begun.stdin.write(json.dumps({'source': source, 'out': out.name}) + '\n')
        begun.stdin.flush()
        code = begun.stdout.readline()
        if not code:
            raise AssertionError(f'it cannot be imported: exit {begun.wait()}')
        return int(code), out.read()


def _started(source, threading):
    found = subprocess.run([sys.executable, '-c', source], stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, env=_environ(threading))
    return found.returncode, found.stdout


def run(code, *, threading='true', preamble=PREAMBLE, **values):
    """What the code leaves in ``result``.

    :param threading: OS_NOVA_DISABLE_EVENTLET_PATCHING
    :param values: variables of the code
    """
    shared = threading == 'true' and preamble == PREAMBLE
    source = '\n'.join((
        'import json, sys' if shared else preamble,
        *(f'{name} = {value!r}' for name, value in values.items()),
        code, 'import json; print("RESULT " + json.dumps(result))'))
    ended, said = _forked(source) if shared else _started(source, threading)
    lines = [line for line in said.splitlines() if line.startswith('RESULT ')]
    if not lines:
        raise AssertionError(f'exit {ended}\n{said[-4000:]}')
    return json.loads(lines[-1].removeprefix('RESULT '))
