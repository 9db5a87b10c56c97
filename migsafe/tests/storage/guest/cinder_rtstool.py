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
"""The forker of cinder-rtstool, which Cinder runs some five times for each attach.

A shell script in its place writes the arguments, a line each, and a line to the pipe. What runs
is Cinder's own program.
"""

import os
import signal
import sys
import traceback
from typing import Any

import forker
import places
from cinder.cmd import rtstool

SCRIPT = f"""#!/bin/sh
cd {places.RUN}
printf '%s\\n' "$@" > $$.args
mkfifo $$.rc
echo $$ > rtstool.pipe
read rc < $$.rc
cat $$.out
cat $$.err >&2
rm $$.args $$.rc $$.out $$.err
exit $rc
"""


def main(words: list[str]) -> int:
    """Be cinder-rtstool for one caller."""
    name = str(places.RUN / words[0])
    with open(f'{name}.args', encoding='utf-8') as given:
        sys.argv = ['cinder-rtstool', *given.read().splitlines()]
    for fd, kind in ((1, 'out'), (2, 'err')):
        os.dup2(os.open(f'{name}.{kind}', os.O_WRONLY | os.O_CREAT, 0o600), fd)
    rc, fault = 1, _fault(sys.argv[1])
    if places.HALF_MADE.exists():
        rtstool.rtslib_fb.MappedLUN = _die
    try:
        rc = fault if fault is not None else rtstool.main() or 0
    except Exception:
        # NOTE: before the caller is told that it may read it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        with open(f'{name}.rc', 'w', encoding='ascii') as waiting:
            waiting.write(f'{rc}\n')
    return rc


def _fault(command: str) -> int | None:
    """The exit code of a command that does nothing this time; None for one that does."""
    if not places.FAULT.exists():
        return None
    which, code = places.FAULT.read_text().split()
    if which != command:
        return None
    places.FAULT.unlink()
    return int(code)


def _die(*_args: Any, **_kwargs: Any) -> None:
    """The ACL is there, and its LUN will not be: both programs end here."""
    places.HALF_MADE.unlink()
    os.kill(places.said(places.STACK), signal.SIGKILL)
    raise RuntimeError('killed')


if __name__ == '__main__':
    forker.run_forever('rtstool', main)
