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
"""A machine over the IPMI service of its BMC, with ipmitool, as Ironic does it.

Each question is a process of its own, which is ended when it takes too long. Raw commands are
given, because what ipmitool makes of an answer differs between its versions. The commands are
those of the IPMI specification 2.0, revision 1.1: Get System GUID (22.14), Get Chassis Status
(28.2), Chassis Control (28.3).
"""

from __future__ import annotations

import math
import os
import shutil
import uuid

from migsafe import exceptions
from migsafe.fencing import power, programs

GUID, STATUS = ('0x06', '0x37'), ('0x00', '0x01')
POWER_DOWN = ('0x00', '0x02', '0x00')
#: Bit of the first byte of the chassis status.
POWERED = 1


class NoIpmi(Exception):
    """ipmitool came to nothing; the text says why."""


def program() -> str:
    """The path of ipmitool.

    :raises ConfigError: it is not installed
    """
    found = shutil.which('ipmitool')
    if found is None:
        raise exceptions.ConfigError(
            '"ipmi" in [migsafe] probes or fences needs ipmitool, which is not installed here: '
            'install the package ipmitool, or leave it out.')
    return found


class Machine(power.Machine):
    """One host."""

    def power(self) -> str:
        """The power state, of exactly this machine."""
        self._check()
        said = self._ask(*STATUS)
        if not said:
            return ''
        return power.ON if said[0] & POWERED else power.OFF

    def cut(self) -> None:
        """Switch it off by force; sent once, as it may be switched on again in between."""
        self._check()
        self._ask(*POWER_DOWN)

    def _check(self) -> None:
        """See that it is the host.

        Firmware sends the bytes as the specification says (least significant first), as SMBIOS
        has them, or as they are written.
        """
        said, wanted = self._ask(*GUID), self.bmc.uuid
        if said not in (wanted.bytes[::-1], wanted.bytes_le, wanted.bytes):
            raise self.wrong(uuid.UUID(bytes_le=said) if len(said) == len(wanted.bytes) else '')

    def _ask(self, *command: str) -> bytes:
        """One command, and the bytes of the answer.

        :raises NoIpmi: there was none
        """
        where = self.bmc.where
        # NOTE: the least right with which a machine can be switched. The password is only in the
        # environment, which no other user can read.
        arguments = [program(), '-I', 'lanplus', '-H', where.hostname or '', '-p',
                     str(where.port or 623), '-U', self.bmc.username, '-E', '-L', 'OPERATOR',
                     '-N', str(max(1, math.floor(self.seconds))), '-R', '1', *(
                         ('-C', self.bmc.cipher_suite) if self.bmc.cipher_suite else ()),
                     'raw', *command]
        environment = {'PATH': os.environ.get('PATH', os.defpath), 'LC_ALL': 'C',
                       'IPMI_PASSWORD': self.bmc.password}
        done = programs.run(arguments, environment, self.seconds)
        if done.code is None:
            raise NoIpmi(f'no answer within {self.seconds:g} seconds')
        if done.code:
            raise NoIpmi(' '.join(done.err.split())[:500] or f'exit code {done.code}')
        try:
            return bytes.fromhex(done.out)
        except ValueError:
            raise NoIpmi('what ipmitool prints is not to be understood') from None
