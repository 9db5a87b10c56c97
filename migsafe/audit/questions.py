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
"""Asks what only a few cases of a page raise, so that it costs nothing for the others."""

from __future__ import annotations

from collections.abc import Sequence

from migsafe.audit.activity import QUEUED, WORKED_ON, Clock
from migsafe.audit.facts import Case, Moment
from migsafe.audit.readers.cinder import Cinder
from migsafe.audit.readers.cinder_api import CinderApi
from migsafe.audit.readers.nova import Nova
from migsafe.audit.whereabouts import disputed

#: task_state of an instance that is live-migrated; one that waits is in it, too.
MIGRATING = 'migrating'


def unshelved(nova: Nova, cases: Sequence[Case]) -> None:
    """Find out which of the disputed instances were unshelved since."""
    questioned = {case.instance.uuid: (case, newest) for case in cases
                  if (newest := disputed(case))}
    times = nova.unshelved(sorted(questioned))
    for uuid, (case, newest) in questioned.items():
        began = times.get(uuid)
        case.brought = bool(began and newest.updated and began > newest.updated)


def queued(nova: Nova, cases: Sequence[Case], clock: Clock,
           working: dict[str, frozenset[str | None]]) -> None:
    """Find out which live migrations wait for another one that their source is at work on.

    :param working: label of a cell -> sources that are; asked once, since no index has it
    """
    asked = [case for case in cases if case.instance.task_state == MIGRATING and any(
        one.status == QUEUED and not clock.alive(one.updated) for one in case.migrations)]
    if not asked:
        return
    if nova.label not in working:
        working[nova.label] = frozenset(
            one.source for one in nova.unended()
            if one.status in WORKED_ON and clock.alive(one.updated))
    for case in asked:
        case.migrations = tuple(one._replace(
            waiting=one.status == QUEUED and one.source in working[nova.label])
            for one in case.migrations)


def unlinked(nova: Nova, cases: Sequence[Case]) -> None:
    """Find out when the rows of attachments were deleted that have none: maybe between copies."""
    spare = {case.instance.uuid: case for case in cases if not {
        one.volume for one in case.attachments} <= {row.volume for row in case.rows}}
    for uuid, moment in nova.unlinked(sorted(spare)).items():
        spare[uuid].gone += (moment,)


def gone(cinder: Cinder | CinderApi, cases: Sequence[Case]) -> dict[str, Moment]:
    """When attachments were deleted that rows name: attachment -> the time."""
    lacking = [(case, row.attachment) for case in cases for row in case.rows
               if row.attachment and case.named(row) is None]
    found = cinder.gone(sorted({uuid for _case, uuid in lacking}))
    for case, uuid in lacking:
        case.gone += (found.get(uuid),)
    return found
