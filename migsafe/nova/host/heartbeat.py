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
"""The heartbeat of this host on shared storage."""

from __future__ import annotations

import re
import subprocess
import sys
import uuid
from typing import Any

from oslo_log import log as logging

from migsafe import process
from migsafe.fencing import beat_writer, beats
from migsafe.text import masked

LOG = logging.getLogger(__name__)
#: Where libvirt's own view of the firmware has the UUID of the machine (virConnectGetSysinfo).
UUID = re.compile(r"<system>.*?<entry name=['\"]uuid['\"]>([0-9a-fA-F-]{36})</entry>", re.DOTALL)


class Heartbeat:
    """Starts and ends the process that writes it.

    :param host: the compute host's name
    :param conf: the options of [migsafe]
    :param driver: the libvirt driver; libvirt is who may read the firmware
    """

    def __init__(self, host: str, conf: Any, driver: Any) -> None:
        self._host, self._conf, self._driver = host, conf, driver
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to write."""
        conf = self._conf
        try:
            self._process = subprocess.Popen(
                [sys.executable, '-I', beat_writer.__file__,
                 beats.path_of(conf.heartbeat_directory, self._host),
                 str(conf.heartbeat_interval), self._host, machine_of(self._driver),
                 process.boot_id()],
                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        except (OSError, ValueError) as error:
            LOG.error('The heartbeat of %s is not written ([migsafe] heartbeat_directory): %s',
                      self._host, masked(error))

    def stop(self) -> None:
        """End it, and wait for nothing: the storage may hang."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.poll()


def machine_of(driver: Any) -> str:
    """Which machine this host is, by its own firmware; empty where libvirt does not tell.

    :param driver: the libvirt driver
    """
    try:
        found = UUID.search(driver._host.get_connection().getSysinfo(0))
        return str(uuid.UUID(found.group(1))) if found else ''
    except Exception as error:
        LOG.debug('Which machine this is, cannot be read from libvirt: %s', masked(error))
        return ''
