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
"""Writes the advised LVM configuration, and reverts it.

A new devices file is made beside the old one by LVM itself and tried before it takes effect by
one rename. What was there before is kept, see migsafe.lvm.backups. After every change LVM is asked
whether all of the host is still there; if not, the files become what they were.
"""

from __future__ import annotations

import dataclasses
import pathlib

from migsafe.lvm import backups as lvm_backups
from migsafe.lvm import errors, facts, filters, reports, rules, seen
from migsafe.lvm import files as lvm_files
from migsafe.lvm.client import Client

LOCAL = 'lvmlocal.conf'
NEW = 'migsafe-new.devices'
_BEGIN, _END = '# BEGIN migsafe lvm check', '# END migsafe lvm check'
_EMPTY = '# LVM uses devices listed in this file: none. By "migsafe lvm check".\nVERSION=1.1.1\n'


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of it.

    :param done: whether the change stays
    :param reason: why it does not
    :param backups: old files that were kept
    """

    done: bool
    reason: str = ''
    backups: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Change:
    """Carries out plans in one directory.

    :param etc: /etc/lvm
    """

    client: Client
    etc: str = facts.ETC

    @property
    def backups(self) -> lvm_backups.Backups:
        """What keeps the old files."""
        return lvm_backups.Backups(self.etc)

    def apply(self, advice: rules.Advice, effective: reports.Settings) -> Outcome:
        """Write what a CONFIGURE says.

        :param effective: the settings now, for the name of the devices file
        :raises errors.NotRestored: if the change is not good and cannot be taken back
        """
        with self.backups.alone():
            return self._apply(advice, effective)

    def restore(self) -> list[str]:
        """Put back what the marker of a change that was cut off names.

        What was not there is taken away; what is in the files now is kept beside them, because
        nobody knows who has written it since.

        :returns: the files
        :raises errors.NotRestored: if that does not work; then the marker stays
        """
        with self.backups.alone():
            return self.backups.put_back()

    def _apply(self, advice: rules.Advice, effective: reports.Settings) -> Outcome:
        plan, backups = advice.plan, self.backups
        if (plan is None or advice.verdict is not rules.Verdict.CONFIGURE
                or backups.marker.exists()):
            raise errors.LvmError('Only CONFIGURE is applied, and only with nothing unfinished.')
        for path in (pathlib.Path(self.etc, LOCAL), facts.devices_file(effective, self.etc)):
            if path.is_symlink():
                raise errors.LvmError(f'{path} is a link, so that something else manages it. '
                                      'Write the lines there, where it is made.')
        if plan.means is rules.Means.DEVICES_FILE and facts.devices_file(
                effective, self.etc).exists():
            raise errors.LvmError('A devices file has appeared meanwhile; run the check again.')
        before = seen.own(self.client, plan, advice)
        strangers = seen.others(advice)
        new = None
        if plan.means is rules.Means.DEVICES_FILE:
            new = self._devices(plan, effective, before, strangers)
        local = pathlib.Path(self.etc, LOCAL)
        files = [facts.devices_file(effective, self.etc)] if new else []
        files += [local] if plan.enable or not new else []
        kept = backups.keep(files)
        try:
            if new:
                lvm_files.rename(new, files[0])
            if local in files:
                text = local.read_bytes() if local.exists() else b''
                lvm_files.write(local, text + setting(plan).encode(), lvm_files.mode_of(local))
            reason = self._ineffective(plan) or self._wrong(before, strangers)
        except (errors.LvmError, OSError) as error:
            reason = str(error)
        if reason:
            backups.put_back(reason)
            # guests that LVM sees again are no matter of this: it saw them before
            lost = self._wrong(before, set())
            if lost:
                return Outcome(False, f'{reason}; and afterwards: {lost}', tuple(kept))
            for backup in kept:
                lvm_files.remove(pathlib.Path(backup))
            return Outcome(False, reason)
        backups.done()
        return Outcome(True, backups=tuple(kept))

    # -- before -------------------------------------------------------------------------------

    def _devices(self, plan: rules.Plan, effective: reports.Settings, before: seen.Seen,
                 strangers: set[str]) -> pathlib.Path:
        """A devices file that LVM has made and tried, and that is not in use yet."""
        new = facts.devices_file(effective, self.etc).with_name(NEW)
        lvm_files.remove(new)
        if not plan.keep:
            new.parent.mkdir(mode=0o700, exist_ok=True)
            lvm_files.write(new, _EMPTY.encode(), lvm_backups.PRIVATE)
            return new
        try:
            for device in plan.keep:
                self.client.add_device(NEW, device.path)
            reason = seen.missing(self.client, before, strangers, '--devicesfile', NEW)
        except errors.LvmError:
            lvm_files.remove(new)
            raise
        if reason:
            lvm_files.remove(new)
            raise errors.LvmError(f'Nothing was changed: with the new devices file {reason}.')
        return new

    # -- after --------------------------------------------------------------------------------

    def _ineffective(self, plan: rules.Plan) -> str:
        """Whether LVM does not take the new setting: a file of a tag may override it."""
        now = reports.settings(self.client.effective())
        if plan.means is rules.Means.DEVICES_FILE:
            taken = now.get('devices/use_devicesfile') == 1
        else:
            value = filters.patterns(now.get('devices/global_filter'))
            taken = filters.hole(value) is None
        return '' if taken else 'LVM does not take the new setting; see "lvmconfig devices"'

    def _wrong(self, before: seen.Seen, strangers: set[str]) -> str:
        """What is wrong now; '' if all is well."""
        try:
            return seen.missing(self.client, before, strangers)
        except errors.LvmError as error:
            return str(error)


def setting(plan: rules.Plan) -> str:
    """What is added to lvmlocal.conf, which LVM reads after lvm.conf and merges with it."""
    return f'\n{_BEGIN}\ndevices {{\n\t{line(plan)}\n}}\n{_END}\n'


def line(plan: rules.Plan) -> str:
    """The setting itself."""
    if plan.means is rules.Means.DEVICES_FILE:
        return 'use_devicesfile = 1'
    return filters.only(device.link for device in plan.keep)
