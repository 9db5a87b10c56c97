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
"""Identifies a process by boot and start time, as process ids are reused."""

from __future__ import annotations

#: Documentation/admin-guide/sysctl/kernel.rst of the kernel, random/boot_id.
BOOT_ID = '/proc/sys/kernel/random/boot_id'
#: Field of /proc/PID/stat, counted from behind the name in brackets: see starttime in
#: proc_pid_stat(5).
_STARTTIME = 19


def boot_id() -> str:
    """The id of this machine's boot, empty where there is none."""
    try:
        with open(BOOT_ID, encoding='ascii') as handle:
            return handle.read().strip()
    except OSError:
        return ''


def started(pid: int) -> int | None:
    """When a process began, in clock ticks since boot; None if there is no such process."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as stat:
            return int(stat.read().rpartition(')')[2].split()[_STARTTIME])
    except (OSError, ValueError, IndexError):
        return None
