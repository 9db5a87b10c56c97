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
"""Opens the databases of a cloud for one look at it, as many as can be opened."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import TypeVar

import sqlalchemy as sa

from migsafe.audit.address import Compact
from migsafe.audit.cases import Look
from migsafe.audit.readers import database
from migsafe.audit.readers.cinder import Cinder
from migsafe.audit.readers.cinder_api import LABEL, CinderApi
from migsafe.audit.readers.neutron import Neutron
from migsafe.audit.readers.nova import Nova
from migsafe.audit.readers.nova_api import NovaApi
from migsafe.audit.readers.placement import Placement
from migsafe.audit.report import Report
from migsafe.audit.told import NOBODY, Ask
from migsafe.journal import errors

#: What cannot be told without it.
WITHOUT = {
    'Cinder': "rows were compared with Nova's own records only, and attachments not at all",
    'Placement': 'allocations were not looked at (R7)',
    'Neutron': 'bindings of ports were not looked at (R8)',
}
Kind = TypeVar('Kind', Cinder, Placement, Neutron)


@dataclasses.dataclass(frozen=True)
class Sources:
    """The databases to read; there is one of Nova for each cell.

    :ivar cinder_api: begins to read Cinder's API, in place of its database
    :ivar ask: asks services; None: none is asked
    :ivar nova_api: has a mapping of every instance
    """

    nova: Sequence[sa.URL]
    cinder: sa.URL | None = None
    placement: sa.URL | None = None
    neutron: sa.URL | None = None
    ask: Ask | None = None
    cinder_api: Callable[[], CinderApi] | None = None
    nova_api: sa.URL | None = None

    @property
    def cinder_label(self) -> str | None:
        """The name of what tells of Cinder; None if nothing does."""
        return errors.label(self.cinder) if self.cinder else LABEL if self.cinder_api else None

    def without_cinder(self) -> Sources:
        """All others."""
        return dataclasses.replace(self, cinder=None, cinder_api=None)


def look(stack: contextlib.ExitStack, sources: Sources, report: Report,
         compact: Compact | None) -> Look:
    """Begin a snapshot of each database, in the order in which the rows will be read.

    :param stack: closes them
    :param report: told what was opened, and what could not be
    :raises Unreadable: no database of Nova can be read
    """
    # NOTE: before the databases: what comes about meanwhile is in these then, and explained.
    told = sources.ask() if sources.ask else NOBODY
    cells = _cells(stack, sources, report)
    cinder = _of_api(sources.cinder_api, report) if sources.cinder_api else _optional(
        stack, report, 'Cinder', sources.cinder, Cinder)
    placement = _optional(stack, report, 'Placement', sources.placement, Placement)
    neutron = _optional(stack, report, 'Neutron', sources.neutron, Neutron)
    # NOTE: the last, so that it has the mapping of each instance that the others name.
    api = _mappings(stack, sources.nova_api, report)
    report.unseen += told.unseen
    report.failed = report.failed or bool(told.lost)
    report.lost |= told.lost
    if cinder is not None:
        report.unseen += [f'{cinder.label} has no table {name}.' for name in cinder.missing()]
        if isinstance(cinder, CinderApi):
            report.unseen.append(
                "Cinder's API does not tell for which host an attachment is that was never "
                'completed, as those that a failed migration leaves (R1, R2, R3): its database '
                'does.')
        elif not cinder.records_hosts:
            report.unseen.append(
                'This release of Cinder does not write down for which host an attachment is; '
                'exports are known by the rows of Nova alone.')
    return Look(cells, cinder, placement, compact, neutron, told, api)


def _cells(stack: contextlib.ExitStack, sources: Sources, report: Report) -> list[Nova]:
    cells: list[Nova] = []
    for url in sources.nova:
        try:
            nova = Nova(stack.enter_context(database.opened(url)))
        except database.Unreadable as error:
            if len(sources.nova) == 1:
                raise
            lost(report, 'Nova', error, 'A cell of {}')
            continue
        cells.append(nova)
        report.sources.append(f'Nova: {nova.label}')
        report.unseen += [f'{nova.label} has no table {name}.' for name in nova.missing()]
    if not cells:
        raise database.Unreadable(
            label='No database of Nova', reason='; '.join(report.unseen))
    return cells


def _optional(stack: contextlib.ExitStack, report: Report, name: str, url: sa.URL | None,
              kind: Callable[[database.Snapshot], Kind]) -> Kind | None:
    if url is None:
        report.unseen.append(
            f'{name} was not given (--{name.lower()}-database): {WITHOUT[name]}.')
        return None
    try:
        found = kind(stack.enter_context(database.opened(url)))
    except database.Unreadable as error:
        lost(report, name, error)
        return None
    report.sources.append(f'{name}: {errors.label(url)}')
    return found


def _mappings(stack: contextlib.ExitStack, url: sa.URL | None, report: Report) -> NovaApi | None:
    if url is None:
        return None
    try:
        return NovaApi(stack.enter_context(database.opened(url)))
    except database.Unreadable as error:
        lost(report, 'Nova', error, 'The mappings of instances of {}')
        return None


def _of_api(begin: Callable[[], CinderApi], report: Report) -> CinderApi | None:
    try:
        found = begin()
    except database.Unreadable as error:
        lost(report, 'Cinder', error)
        return None
    report.sources.append(f'Cinder: {found.label}')
    return found


def lost(report: Report, name: str, error: Exception, part: str = '{}') -> None:
    """Note that a database that was named could not be read.

    :param name: of the view
    :param part: of it, in words
    """
    report.failed = True
    report.lost.add(name)
    report.unseen.append(f'{part.format(name)}: {error}')
