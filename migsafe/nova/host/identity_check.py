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
"""Periodic check that the disks of each guest of this host still are its volumes (R9)."""

from __future__ import annotations

import contextvars
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from oslo_log import log as logging

from migsafe.brick.guard import identity_check, judge, strays
from migsafe.brick.kernel import sysfs as kernel_sysfs
from migsafe.journal.api import Journal
from migsafe.text import masked

LOG = logging.getLogger(__name__)

#: Seconds after which what is new is looked at for the second time.
SOON = 60
#: A disk that was not handed out, and that this host could not let go of again.
STRAY = 'R4-stray'
#: What is said of one that an earlier process could not let go of.
OF_BEFORE = (
    ' It was noted before nova-compute was started anew, which does not try it again: take what '
    'LVM has activated on it away with "migsafe lvm release DEVICE", and the disk with "echo 1 > '
    '/sys/block/NAME/device/delete" ("lsblk -o NAME,WWN" tells which it is).')
#: (instance uuid, volume id)
Attached = tuple[str, str]


class Patrol:
    """Reports what it finds to the log and to ``migsafe residue list``; changes nothing else.

    :param host: this host
    :param journal: its journal
    :param guests: gives (instance uuid, volume id, path) of each block device of each guest
    :param known: gives what is known of the volumes of some instances
    :param look: see :meth:`migsafe.brick.guard.identity_check.Patrol.look`
    :param interval: seconds between two rounds
    """

    def __init__(self, host: str, journal: Journal,
                 guests: Callable[[], Iterator[tuple[str, str, str]]],
                 known: Callable[[list[str]], Mapping[Attached, judge.Wanted]],
                 look: Callable[[str, judge.Wanted], str | None], interval: int,
                 sysfs: kernel_sysfs.Sysfs | None = None) -> None:
        self._host, self._journal, self._interval = host, journal, interval
        self._sysfs = sysfs or kernel_sysfs.Sysfs()
        self._guests, self._known, self._look = guests, known, look
        self._stop = threading.Event()
        self._last: dict[Attached, str] | None = None
        self._strays: dict[Attached, str] | None = None
        self._of_before: dict[str, str] = {}
        self._suspects: set[tuple[Attached, str]] = set()

    def start(self) -> None:
        """Begin, in a thread that ends with the process: a dead disk may take its time."""
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(self._run,), name='migsafe-patrol',
                         daemon=True).start()

    def stop(self) -> None:
        """End after what is being looked at now."""
        self._stop.set()

    def _run(self) -> None:
        while not self._stop.wait(self._pause()):
            try:
                self.strays()
                self.once()
            except Exception as error:
                LOG.error('The volumes of the guests of %s could not be compared with their '
                          'disks; it is tried again: %s', self._host, masked(error))

    def strays(self) -> None:
        """Take away what was not handed out and could not go, and list what still stays."""
        strays.retry()
        found = {('', note): text for note, text in strays.notes().items()}
        if self._strays is None:
            self._of_before = {one.key: one.text.removesuffix(OF_BEFORE) + OF_BEFORE
                               for one in self._journal.findings(kind=STRAY)
                               if one.kind == STRAY}
        for note in [note for note in self._of_before
                     if ('', note) in found or not strays.may_be_here(note, self._sysfs)]:
            del self._of_before[note]
        found |= {('', note): text for note, text in self._of_before.items()}
        if found != self._strays:
            self._journal.set_findings(STRAY, found)
            self._strays = found

    def _pause(self) -> float:
        pause = self._interval * random.uniform(0.8, 1.2)
        return min(pause, SOON) if self._suspects else pause

    def once(self) -> dict[Attached, str]:
        """One round.

        What is new is reported if the next round finds it too: in the middle of a retype libvirt
        has the new disk before Nova's record of the volume has. What was found stays until the
        disk says that it is the volume, or nobody uses it any more.

        :returns: what is reported
        """
        before = self._before()
        disks = list(self._guests())
        known = self._known(sorted({instance for instance, _, _ in disks}))
        found: dict[Attached, str] = {}
        suspects: set[tuple[Attached, str]] = set()
        for instance, volume, path in disks:
            if self._stop.is_set():
                return {}
            if not path:
                # a guest whose disks could not be had
                found |= {key: text for key, text in before.items() if key[0] == instance}
                continue
            key = instance, volume
            wrong = self._look(path, known.get(key, judge.Wanted(volume)))
            if wrong is None and key in before:
                found[key] = before[key]
            elif wrong:
                suspects.add((key, path))
                if key in before or (key, path) in self._suspects:
                    found[key] = wrong
        self._suspects = suspects - {seen for seen in suspects if seen[0] in found}
        self._report(found)
        return found

    def _before(self) -> dict[Attached, str]:
        """What is reported now, if need be by an earlier process."""
        if self._last is not None:
            return self._last
        return {(found.instance_uuid, found.key): found.text
                for found in self._journal.findings(kind=identity_check.KIND)
                if found.kind == identity_check.KIND}

    def _report(self, found: dict[Attached, str]) -> None:
        before = self._last
        for (instance, volume), text in found.items():
            if before is None or (instance, volume) not in before:
                LOG.error('%s: instance %s: %s', identity_check.KIND, instance, text)
        for instance, volume in (before or {}).keys() - found.keys():
            LOG.info('%s of instance %s, volume %s is over', identity_check.KIND, instance, volume)
        if found or before is None or before:
            self._journal.set_findings(identity_check.KIND, found)
        self._last = found


def disks(driver: Any) -> Iterator[tuple[str, str, str]]:
    """The block devices of all running guests, as libvirt has them.

    :param driver: Nova's libvirt driver
    :returns: (instance uuid, volume id, path); Nova writes a volume's id as the disk's serial.
        (instance uuid, '', '') for a guest whose disks cannot be had
    """
    for guest in driver._host.list_guests():
        try:
            its = guest.get_all_disks()
        except Exception as error:
            LOG.info('The disks of guest %s are not looked at this time: %s', guest.uuid,
                     masked(error))
            yield guest.uuid, '', ''
            continue
        for disk in its:
            if disk.source_type == 'block' and disk.source_path and disk.serial:
                yield guest.uuid, disk.serial, disk.source_path
