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
"""The commands of LVM."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time

from migsafe.lvm import errors

#: Seconds. pvs waits for each disk; one without paths that queues never answers.
TIMEOUT = 120.0
PAUSE = 0.02
PVS = ('pv_name,pv_uuid,pv_major,pv_minor,pv_missing,pv_duplicate,vg_name,vg_uuid')
LVS = 'lv_name,lv_uuid,vg_name,vg_uuid,lv_active'


class Client:
    """Runs them. All are subcommands of ``lvm``: Debian 12 has no link for lvmdevices.

    :param command: what to call
    """

    def __init__(self, command: str = 'lvm', timeout: float = TIMEOUT) -> None:
        self._command, self._timeout = command, timeout

    def run(self, *arguments: str) -> str:
        """One command's standard output.

        :raises errors.NoLvm, errors.CommandFailed: if there is none
        """
        return self._run(self._command, *arguments)

    def _run(self, *command: str) -> str:
        # what an operator's shell says of LVM (LVM_SYSTEM_DIR) is not what udev's LVM does
        environment = {'PATH': os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin'),
                       'LC_ALL': 'C', 'LVM_SUPPRESS_FD_WARNINGS': '1'}
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            try:
                child = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL,
                                         stdout=out, stderr=err)
            except OSError as error:
                if isinstance(error, FileNotFoundError) and command[0] == self._command:
                    raise errors.NoLvm from error
                raise self._failed(command, error.strerror or str(error)) from error
            code = self._ended(command, child)
            out.seek(0)
            err.seek(0)
            if code:
                raise self._failed(command, f'it ended with {code}: {_words(err.read())}')
            return out.read().decode('utf-8', 'backslashreplace')

    def _ended(self, command: tuple[str, ...], child: subprocess.Popen[bytes]) -> int:
        """How it ends. It may sleep in the kernel and never end, so that it is not waited for.

        The time-out of Popen is another class with eventlet than without it.
        """
        end = time.monotonic() + self._timeout
        while (code := child.poll()) is None:
            if time.monotonic() > end:
                child.kill()
                raise self._failed(command, f'no answer for {self._timeout:.0f} s; a disk does '
                                   'not answer, see "multipath -ll" and dmesg')
            time.sleep(PAUSE)
        return code

    @staticmethod
    def _failed(command: tuple[str, ...], reason: str) -> errors.CommandFailed:
        return errors.CommandFailed(command=' '.join(command), reason=reason)

    def version(self) -> str:
        """What ``lvm version`` says."""
        return self.run('version')

    def effective(self) -> str:
        """All settings with the values that they have."""
        return self.run('lvmconfig', '--typeconfig', 'full')

    def written(self) -> str:
        """The settings that somebody has written into a file."""
        return self.run('lvmconfig', '--typeconfig', 'current')

    def pvs(self, *more: str) -> str:
        """The PVs that LVM sees, duplicates too.

        :param more: more arguments, to try something out
        """
        return self.run('pvs', '-a', '--reportformat', 'json', '-o', PVS, *more)

    def lvs(self, *more: str) -> str:
        """The LVs that LVM sees."""
        return self.run('lvs', '--reportformat', 'json', '-o', LVS, *more)

    def opens(self) -> str:
        """How often each table of device-mapper is open; see dmsetup(8).

        LVM tells no numbers, and nothing of a volume group that it is kept from.
        """
        return self._run('dmsetup', 'info', '-c', '--noheadings', '--separator', ':',
                         '-o', 'major,minor,open')

    def add_device(self, file: str, path: str) -> None:
        """Add a PV to a devices file, which is made if it is not there.

        :param file: its name in /etc/lvm/devices
        """
        self.run('lvmdevices', '--devicesfile', file, '--adddev', path)


def _words(err: bytes) -> str:
    """The last of what a command complained of; a guest may have written a part of it."""
    lines = err.decode('utf-8', 'backslashreplace').split('\n')
    return ascii(' '.join(' '.join(lines).split())[-300:])[1:-1] or 'without a word'
