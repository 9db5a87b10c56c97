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
"""Whether an operation is under way, in which records rightfully disagree.

The clock is that of the cloud (``clocks``). A dump is as old as the heartbeats in it; the clock of
the machine that reads it says nothing. In a live database the earlier of both is taken: a service
whose clock is ahead would make what others have just written look old.
"""

from __future__ import annotations

import dataclasses
import datetime

from migsafe.audit.facts import Case, Instance, Life, Migration, Moment

#: In these a migration has ended: migration_get_in_progress_by_host_and_node() of
#: nova/db/main/api.py.
ENDED = frozenset(('confirmed', 'reverted', 'error', 'failed', 'completed', 'cancelled', 'done'))
#: In these the guest is on the destination.
ARRIVED = frozenset(('completed', 'confirmed', 'done', 'finished'))
#: In these a live migration moves the guest, or has moved it.
TRANSFERRING = frozenset(('running', 'post-migrating'))
#: A live migration that waits for others of its source, of which one at a time is done by default
#: (max_concurrent_live_migrations). Nova does not touch its records meanwhile, however long.
QUEUED = 'queued'
#: Status of one for which the source is at work; Nova writes its progress down.
WORKED_ON = frozenset(('preparing', 'running', 'post-migrating'))
#: A resize that waits, as long as its owner likes, for a word of the owner.
WAITS = 'finished'
RESIZED = 'resized'


@dataclasses.dataclass(frozen=True)
class Spans:
    """How long things take in a cloud.

    :ivar grace: what changed within it may still be changing
    :ivar stuck: an operation that shows no progress for so long does not go on any more
    """

    grace: datetime.timedelta = datetime.timedelta(minutes=15)
    stuck: datetime.timedelta = datetime.timedelta(hours=24)


@dataclasses.dataclass(frozen=True, slots=True)
class Clock:
    """The time of the cloud, as the records tell it, in UTC."""

    now: datetime.datetime
    spans: Spans

    def recent(self, moment: Moment) -> bool:
        """Whether it was just now, or in a future that only a wrong clock has written."""
        return self._within(moment, self.spans.grace)

    def alive(self, moment: Moment) -> bool:
        """Whether what has changed then may still be going on."""
        return self._within(moment, self.spans.stuck)

    def _within(self, moment: Moment, span: datetime.timedelta) -> bool:
        return moment is not None and moment > self.now - span


def under_way(migration: Migration, clock: Clock) -> bool:
    """Whether a migration goes on."""
    return migration.status not in ENDED and (
        migration.status == WAITS or migration.waiting or clock.alive(migration.updated))


def waits_for_owner(instance: Instance, migration: Migration) -> bool:
    """Whether it is a resize that is to be confirmed or reverted."""
    return migration.status == WAITS and instance.vm_state == RESIZED


def busy(case: Case, clock: Clock) -> bool:
    """Whether records of this instance may be different in a moment."""
    return case.once(_busy, clock)


def _busy(case: Case, clock: Clock) -> bool:
    instance = case.instance
    if instance.task_state and clock.alive(instance.updated):
        return True
    # A resize that waits for its owner, maybe for ever, changes nothing meanwhile.
    if any(under_way(one, clock) and one.status != WAITS for one in case.migrations):
        return True
    moments = (instance.updated if instance.task_state or instance.life is Life.DELETED else None,
               *case.gone,
               *(one.updated for one in case.rows), *(one.updated for one in case.attachments),
               *(one.updated for one in case.migrations))
    return any(map(clock.recent, moments))


#: migration_status of a volume with which Cinder is done.
SETTLED = frozenset(('none', 'success', 'error'))
#: status of a volume with which Cinder is at work.
WORKING = frozenset(('attaching', 'detaching', 'retyping', 'maintenance', 'creating', 'deleting',
                     'restoring-backup', 'downloading', 'uploading', 'backing-up', 'extending'))


def moving(case: Case, volume: str, clock: Clock) -> bool:
    """Whether Cinder is working on a volume: retype, migration, attach, detach."""
    found = case.volumes.get(volume)
    return bool(found and clock.alive(found.updated) and (
        (found.migration or 'none') not in SETTLED or found.status in WORKING))
