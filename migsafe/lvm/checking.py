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
"""The check of one host from the facts to an advice that LVM itself has tried."""

from __future__ import annotations

import dataclasses

from migsafe.brick.kernel import sysfs as kernel_sysfs
from migsafe.lvm import change as lvm_change
from migsafe.lvm import errors, facts, render, reports, rules, seen
from migsafe.lvm.client import Client

_LATE = ("this LVM, older than 2.03.19, would not activate the host's own by event, when their "
         'disks are found')


@dataclasses.dataclass(frozen=True)
class Check:
    """Everything that is passed in, together.

    :param named: volume groups of services' configurations
    """

    client: Client = dataclasses.field(default_factory=Client)
    sysfs: kernel_sysfs.Sysfs = dataclasses.field(default_factory=kernel_sysfs.Sysfs)
    named: tuple[facts.Named, ...] = ()
    etc: str = facts.ETC
    proc: str = '/proc'
    dev: str = '/dev'

    @property
    def change(self) -> lvm_change.Change:
        """What writes."""
        return lvm_change.Change(self.client, self.etc)

    def put_back(self) -> list[str]:
        """Undo a change that was cut off.

        :returns: the files, none if nothing was cut off
        :raises errors.NotRestored: if that does not work
        """
        return self.change.restore() if self.change.backups.marker.exists() else []

    def look(self) -> tuple[facts.Facts, rules.Advice]:
        """The facts, and the advice.

        :raises errors.LvmError, migsafe.brick.errors.Unsure: see facts.gather
        """
        found = facts.gather(self.client, self.sysfs, self.named, self.etc, self.proc, self.dev)
        advice = rules.decide(found)
        if advice.plan is not None and advice.plan.keep:
            advice = rules.tried(advice, self._try(advice.plan))
        line = render.instead(found, advice)
        if line is None or advice.plan is None:
            return found, advice
        # by event a disk comes to LVM before its links do, which LVM cannot be tried on now
        wrong = _LATE if rules.links_come_late(found, advice.plan) else self._wrong_with(
            line, advice.plan, advice)
        if wrong:
            return found, dataclasses.replace(advice, reasons=(
                *advice.reasons, f'No filter is proposed in place of your own: with it {wrong}.'))
        return found, dataclasses.replace(advice, instead=line)

    def _wrong_with(self, line: str, plan: rules.Plan, advice: rules.Advice) -> str:
        """What LVM itself would miss with exactly that line, beside an old filter and without.

        :returns: '' if it sees all of the host's own, and nothing else
        """
        before, strangers = seen.own(self.client, plan, advice), seen.others(advice)
        try:
            for more in ('', ' filter = [ "a|.*|" ]'):
                wrong = seen.missing(self.client, before, strangers, '--config',
                                     f'devices {{ {line}{more} }}')
                if wrong:
                    return wrong
        except errors.CommandFailed as failed:
            return f'LVM fails: {failed}'
        return ''

    def _try(self, plan: rules.Plan) -> frozenset[str]:
        """What LVM would see with a plan, without a change to any file."""
        if plan.means is rules.Means.DEVICES_FILE:
            more = [word for device in plan.keep for word in ('--devices', device.path)]
        else:
            more = ['--config', f'devices {{ {lvm_change.line(plan)} }}']
        try:
            return frozenset(pv.uuid for pv in reports.pvs(self.client.pvs(*more))
                             if not pv.missing)
        except errors.CommandFailed:
            return frozenset()
