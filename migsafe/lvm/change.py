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
one rename. What was there before is kept beside each file. A marker names the backups from the
first write to the end of the check, so that whoever comes after a crash puts them back. After
every change LVM is asked whether all of the host is still there; if not, the files become what
they were, byte for byte.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from migsafe.lvm import errors, facts, filters, reports, roles, rules
from migsafe.lvm import files as lvm_files
from migsafe.lvm.client import Client

LOCAL = 'lvmlocal.conf'
NEW = 'migsafe-new.devices'
PRIVATE: lvm_files.Mode = (0o600, None, None)
_BEGIN, _END = '# BEGIN migsafe lvm check', '# END migsafe lvm check'
_EMPTY = '# LVM uses devices listed in this file: none. By "migsafe lvm check".\nVERSION=1.1.1\n'


@dataclasses.dataclass(frozen=True)
class Seen:
    """What LVM sees of the host's own: uuids of PVs, (VG, LV) uuids of LVs."""

    pvs: frozenset[str]
    lvs: frozenset[tuple[str, str]]


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
    def marker(self) -> pathlib.Path:
        """Where it is noted what is under way."""
        return pathlib.Path(self.etc, facts.MARKER)

    def apply(self, advice: rules.Advice, effective: reports.Settings) -> Outcome:
        """Write what a CONFIGURE says.

        :param effective: the settings now, for the name of the devices file
        :raises errors.NotRestored: if the change is not good and cannot be taken back
        """
        with self._alone():
            return self._apply(advice, effective)

    def restore(self) -> list[str]:
        """Put back what the marker of a change that was cut off names.

        What was not there is taken away; what is in the files now is kept beside them, because
        nobody knows who has written it since.

        :returns: the files
        :raises errors.NotRestored: if that does not work; then the marker stays
        """
        with self._alone():
            return self._put_back('')

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        fd = os.open(self.etc, os.O_RDONLY | os.O_DIRECTORY)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise errors.LvmError('Another "migsafe lvm check --apply" is at work on this '
                                      'host.') from error
            yield
        finally:
            os.close(fd)

    def _apply(self, advice: rules.Advice, effective: reports.Settings) -> Outcome:
        plan = advice.plan
        if plan is None or advice.verdict is not rules.Verdict.CONFIGURE or self.marker.exists():
            raise errors.LvmError('Only CONFIGURE is applied, and only with nothing unfinished.')
        for path in (pathlib.Path(self.etc, LOCAL), facts.devices_file(effective, self.etc)):
            if path.is_symlink():
                raise errors.LvmError(f'{path} is a link, so that something else manages it. '
                                      'Write the lines there, where it is made.')
        if plan.means is rules.Means.DEVICES_FILE and facts.devices_file(
                effective, self.etc).exists():
            raise errors.LvmError('A devices file has appeared meanwhile; run the check again.')
        before = self.own(plan, advice)
        strangers = others(advice)
        new = None
        if plan.means is rules.Means.DEVICES_FILE:
            new = self._devices(plan, effective, before, strangers)
        local = pathlib.Path(self.etc, LOCAL)
        files = [facts.devices_file(effective, self.etc)] if new else []
        files += [local] if plan.enable or not new else []
        kept = self._keep(files)
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
            self._put_back(reason)
            # guests that LVM sees again are no matter of this: it saw them before
            lost = self._wrong(before, set())
            if lost:
                return Outcome(False, f'{reason}; and afterwards: {lost}', tuple(kept))
            for backup in kept:
                lvm_files.remove(pathlib.Path(backup))
            return Outcome(False, reason)
        lvm_files.remove(self.marker)
        return Outcome(True, backups=tuple(kept))

    def _put_back(self, reason: str) -> list[str]:
        try:
            entries = json.loads(self.marker.read_bytes())
            for entry in entries:
                now = pathlib.Path(entry['path'])
                if not reason and now.exists():
                    mode = lvm_files.mode_of(now)
                    lvm_files.write(lvm_files.beside(now), now.read_bytes(), mode)
                self._restore(entry, reason or 'it was cut off')
        except (ValueError, KeyError, TypeError, OSError) as error:
            why = str(error) if isinstance(error, OSError) else f'{self.marker} is damaged'
            raise errors.NotRestored(path=self.etc, reason=reason or 'it was cut off', error=why,
                                     backup=f'{self.etc}/*.migsafe-*') from error
        lvm_files.remove(self.marker)
        return [str(entry['path']) for entry in entries]

    def _restore(self, entry: dict[str, Any], reason: str) -> None:
        path = pathlib.Path(entry['path'])
        try:
            if entry['backup'] is None:
                lvm_files.remove(path)
                return
            data = pathlib.Path(entry['backup']).read_bytes()
            if hashlib.sha256(data).hexdigest() != entry['sha256']:
                raise OSError('the backup is not what was kept')
            lvm_files.write(path, data, (entry['mode'], entry['uid'], entry['gid']))
        except OSError as error:
            raise errors.NotRestored(path=str(path), reason=reason, error=str(error),
                                     backup=str(entry['backup'])) from error

    # -- before -------------------------------------------------------------------------------

    def _devices(self, plan: rules.Plan, effective: reports.Settings, before: Seen,
                 strangers: set[str]) -> pathlib.Path:
        """A devices file that LVM has made and tried, and that is not in use yet."""
        new = facts.devices_file(effective, self.etc).with_name(NEW)
        lvm_files.remove(new)
        if not plan.keep:
            new.parent.mkdir(mode=0o700, exist_ok=True)
            lvm_files.write(new, _EMPTY.encode(), PRIVATE)
            return new
        try:
            for device in plan.keep:
                self.client.add_device(NEW, device.path)
            reason = self.missing(before, strangers, '--devicesfile', NEW)
        except errors.LvmError:
            lvm_files.remove(new)
            raise
        if reason:
            lvm_files.remove(new)
            raise errors.LvmError(f'Nothing was changed: with the new devices file {reason}.')
        return new

    def _keep(self, files: list[pathlib.Path]) -> list[str]:
        """Back files up, and note that in the marker, before anything is changed."""
        entries: list[dict[str, Any]] = []
        for path in files:
            entry: dict[str, Any] = {'path': str(path), 'backup': None}
            if path.exists():
                data, (mode, uid, gid) = path.read_bytes(), lvm_files.mode_of(path)
                backup = lvm_files.beside(path)
                lvm_files.write(backup, data, (mode, uid, gid))
                entry |= {'backup': str(backup), 'mode': mode, 'uid': uid, 'gid': gid,
                          'sha256': hashlib.sha256(data).hexdigest()}
            entries.append(entry)
        lvm_files.write(self.marker, json.dumps(entries).encode(), PRIVATE)
        return [entry['backup'] for entry in entries if entry['backup']]

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

    def own(self, plan: rules.Plan, advice: rules.Advice) -> Seen:
        """What LVM sees of the host's own, as it is configured now."""
        own = {group.vg.uuid for group in advice.groups if group.role is roles.Role.HOST}
        lvs = reports.lvs(self.client.lvs())
        return Seen(frozenset(device.uuid for device in plan.keep),
                    frozenset((lv.vg, lv.uuid) for lv in lvs if lv.vg in own))

    def _wrong(self, before: Seen, strangers: set[str]) -> str:
        """What is wrong now; '' if all is well."""
        try:
            return self.missing(before, strangers)
        except errors.LvmError as error:
            return str(error)

    def missing(self, before: Seen, strangers: set[str], *more: str) -> str:
        """What is not as it was; '' if all is well.

        :param strangers: uuids of PVs that LVM must not see
        :param more: arguments for LVM, to try something out
        """
        pvs = reports.pvs(self.client.pvs(*more))
        seen = {pv.uuid for pv in pvs if not pv.missing}
        if lost := before.pvs - seen:
            return f'LVM does not see the host\'s physical volumes {", ".join(sorted(lost))}'
        lvs = {(lv.vg, lv.uuid) for lv in reports.lvs(self.client.lvs(*more))}
        if gone := before.lvs - lvs:
            return ('LVM does not see the host\'s logical volumes '
                    + ', '.join(sorted(uuid for _, uuid in gone)))
        if left := strangers & seen:
            return f'LVM still sees physical volumes of guests: {", ".join(sorted(left))}'
        return ''


def others(advice: rules.Advice) -> set[str]:
    """The uuids of the PVs that are not the host's own."""
    return {device.uuid for group in advice.groups for device in group.vg.devices
            if group.role is not roles.Role.HOST}


def setting(plan: rules.Plan) -> str:
    """What is added to lvmlocal.conf, which LVM reads after lvm.conf and merges with it."""
    return f'\n{_BEGIN}\ndevices {{\n\t{line(plan)}\n}}\n{_END}\n'


def line(plan: rules.Plan) -> str:
    """The setting itself."""
    if plan.means is rules.Means.DEVICES_FILE:
        return 'use_devicesfile = 1'
    return filters.only(device.link for device in plan.keep)
