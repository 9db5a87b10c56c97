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
"""A root that is there already: what cinder-rootwrap does, with everything imported once.

To start Python and import oslo.rootwrap, and for cinder-rtstool all of Cinder, takes an emulated
processor 5 to 9 seconds, and an attach does it a dozen times. ``guest/cinder-rootwrap`` asks this
program instead. It runs what rootwrap's own filters allow, and for cinder-rtstool its code.
"""

import configparser
import os
import subprocess
import sys
import traceback

import forker
import places
from cinder.cmd import rtstool
from oslo_rootwrap import cmd, wrapper

_read = configparser.RawConfigParser()
_read.read('/etc/cinder/rootwrap.conf')
CONFIG = wrapper.RootwrapConfig(_read)
FILTERS = wrapper.load_filters(CONFIG.filters_path)


def main(words: list[str]) -> int:
    """Be cinder-rootwrap for one caller, whose arguments are in a file."""
    name = str(places.RUN / words[0])
    with open(f'{name}.args', encoding='utf-8') as given:
        arguments = given.read().splitlines()
    for fd, kind in ((1, 'out'), (2, 'err')):
        os.dup2(os.open(f'{name}.{kind}', os.O_WRONLY | os.O_CREAT, 0o600), fd)
    rc = 1
    try:
        rc = run(arguments)
    except Exception:
        # NOTE: before the caller is told that it may read it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        with open(f'{name}.rc', 'w', encoding='ascii') as waiting:
            waiting.write(f'{rc}\n')
    return rc


def run(command: list[str]) -> int:
    """Run what the filters allow.

    :returns: its exit code, or rootwrap's
    """
    try:
        found = wrapper.match_filter(FILTERS, command, CONFIG.exec_dirs)
    except wrapper.NoFilterMatched:
        return cmd.RC_UNAUTHORIZED
    except wrapper.FilterMatchNotExecutable:
        return cmd.RC_NOEXECFOUND
    if found.exec_path == 'cinder-rtstool':
        sys.argv = command
        return rtstool.main() or 0
    return wrapper.start_subprocess(FILTERS, command, CONFIG.exec_dirs,
                                    stdin=subprocess.DEVNULL).wait()


if __name__ == '__main__':
    forker.run_forever('rootwrap', main)
