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
"""``migsafe lvm check``: whether this host's LVM may touch guests' disks."""

from __future__ import annotations

import argparse
import os
from typing import Any

from migsafe import exceptions
from migsafe.brick.kernel import sysfs
from migsafe.cli import base, codes
from migsafe.lvm import checking, errors, facts, render, rules, services

COLUMNS = ('What', 'Name', 'UUID', 'Stands on', 'Detail')


class LvmCheck(base.Command):
    """Say whether this host's LVM keeps away from guests' disks, and what to configure if not.

    UNNEEDED: nothing is to be done. CONFIGURE: the commands that are listed, which keep all of
    the host's own volume groups; --apply carries them out. RECOMMEND: a person has to decide
    first, and why. Run it on the host itself, not in a container.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what to do, and where else volume groups are named."""
        parser = super().get_parser(prog_name)
        parser.add_argument('--apply', action='store_true',
                            help='carry out a CONFIGURE: write with a backup, ask LVM whether all '
                            "of the host's own is still there, and take it back if not")
        parser.add_argument('--cinder-config-file', action='append', metavar='FILE',
                            help="configuration of this host's cinder-volume, may be given "
                            f'several times; default: {services.CINDER_CONF} and what else '
                            'cinder-volume reads by itself, as far as it exists')
        parser.add_argument('--volume-group', action='append', default=[], metavar='VG',
                            help="a volume group that is the host's own by the operator's word")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Look, advise, and apply if that is asked for."""
        if os.geteuid():
            raise exceptions.MigsafeError('Only root can ask LVM what it sees; run it with sudo.')
        try:
            check = checking.Check(sysfs=sysfs.Sysfs(), named=tuple(self._named(parsed_args)))
            return COLUMNS, self._rows(check, parsed_args.apply)
        except errors.NoLvm as error:
            return COLUMNS, [('advice', rules.Verdict.UNNEEDED.value, None, None, str(error))]

    def _named(self, args: argparse.Namespace) -> list[facts.Named]:
        return [*services.both(self.config_files, args.cinder_config_file),
                *(facts.Named(name, '--volume-group') for name in args.volume_group)]

    def _rows(self, check: checking.Check, apply: bool) -> list[tuple[Any, ...]]:
        if apply:
            for path in check.put_back():
                self.say(f'{path} is what it was before an --apply that was cut off.')
        found, advice = check.look()
        if apply and advice.verdict is rules.Verdict.CONFIGURE:
            outcome = check.change.apply(advice, found.effective)
            if not outcome.done:
                raise errors.LvmError(f'The change was taken back, and all files are what they '
                                      f'were: {outcome.reason.rstrip(".")}.')
            kept = ', '.join(outcome.backups) or 'there was none to keep'
            self.say(f'Done, and LVM sees all of the host\'s own. Backup: {kept}. {render.AFTER}')
            found, advice = check.look()
            self.exit_code = codes.REPAIRED
        self._say(advice, apply)
        return [('advice', advice.verdict.value, None, None, ' '.join(advice.reasons)),
                *self._groups(advice), *self._active(found, advice),
                *self._commands(found, advice)]

    def _say(self, advice: rules.Advice, apply: bool) -> None:
        if advice.verdict is rules.Verdict.UNNEEDED:
            for note in advice.notes:
                self.say(f'Note: {note}')
            return
        self.found([f'{advice.verdict.value}: {advice.reasons[0]}', *advice.reasons[1:],
                    *(f'Note: {note}' for note in advice.notes)])
        if advice.verdict is rules.Verdict.CONFIGURE:
            self.say(f'"migsafe lvm check --apply" does what is listed. Then: {render.AFTER}')
        elif apply:
            self.say('Nothing was written: a person has to decide first.')

    @staticmethod
    def _groups(advice: rules.Advice) -> list[tuple[Any, ...]]:
        return [(f'{group.role.value} VG' if group.vg.uuid else f'{group.role.value} PV',
                 group.vg.name or None, group.vg.uuid or group.vg.devices[0].uuid,
                 ', '.join(device.path for device in group.vg.devices), group.why)
                for group in advice.groups]

    def _active(self, found: facts.Facts, advice: rules.Advice) -> list[tuple[Any, ...]]:
        active = render.guests(found, advice.groups)
        if active:
            self.say(render.LATER)
        return [('active guest LV', lv.label, lv.vg, ', '.join(lv.below) or 'nothing', lv.name)
                for lv in active]

    @staticmethod
    def _commands(found: facts.Facts, advice: rules.Advice) -> list[tuple[Any, ...]]:
        kind = ('command' if advice.verdict is rules.Verdict.CONFIGURE else
                'command, once that is decided')
        rows = [(kind, None, None, None, text)
                for text in render.commands(advice, found.effective)]
        if advice.instead:
            rows.append(('or in place of your filter', None, None, None, advice.instead))
        return rows
