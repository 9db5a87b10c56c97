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
"""What must be true after each step of each schedule.

A breach counts when it is the act of a host that has the plugin. What plain Nova does on a host
without it is written down, and ends the schedule: nothing after it says anything of migsafe.
"""

import dataclasses
import re

from migsafe.tests.search import journals, records, world

UUID = re.compile('[0-9a-f]{8}-[0-9a-f-]{27}')
#: Statuses after which Nova does nothing more with a migration.
OVER = frozenset(('completed', 'error', 'failed', 'cancelled', 'done', 'confirmed', 'reverted',
                  'finished'))


@dataclasses.dataclass(frozen=True)
class Breach:
    """An invariant that was broken.

    :param kind: export, foreign, copies, row, verdict, settled, unsettled or stuck
    :param text: what was seen
    :param moment: seconds since the beginning
    :param host: who did it; - for nobody
    """

    kind: str
    text: str
    moment: float = 0.0
    host: str = '-'

    @property
    def signature(self):
        """Without times, numbers, hosts and names."""
        text = UUID.sub('U', self.text)
        text = re.sub(r'\b(volume|foreign)-\d+x*', r'\1', text)
        text = re.sub(r'\b[ABC]\b', 'H', text)
        return f'{self.kind}: {re.sub(r"[0-9]+", "N", text)[:160]}'

    def __str__(self):
        return f'[{self.moment:.1f} s, {self.host}] {self.kind}: {self.text}'


class Stop(Exception):
    """Nothing more is to be seen in this schedule."""


class Watch:
    """Looks on.

    :param all_actors: count what plain Nova does as well
    """

    def __init__(self, all_actors=False):
        self.breaches, self.plain, self.all_actors = [], [], all_actors
        #: rows written by who does not lead, until its step ends: bdm id -> (life, text)
        self._written = {}
        #: host -> (uuid, role) -> the verdict that its journal has
        self._decided = {name: {} for name in world.HOSTS}

    # -- told by the world --------------------------------------------------

    def broken(self, around, kind, text, severe):
        """An act that breaks an invariant by itself."""
        life = around.loop.life
        if life is not None and life.dead:
            return
        armed = life is not None and around.hosts[life.host].participant is not None
        if not (severe or armed):
            return
        if kind == 'export' and not severe and self._dead_volume(around, text):
            return
        self._add(around, kind, text, armed or self.all_actors)

    @staticmethod
    def _dead_volume(around, text):
        """Deleting an instance may take away what it no longer has open."""
        return bool(around.instance.get('deleted'))

    def _add(self, around, kind, text, counts):
        life = around.loop.life
        found = Breach(kind, text, around.loop.now, life.host if life else '-')
        (self.breaches if counts else self.plain).append(found)

    def row_written(self, around, row):
        """A row must lead to the host that has the instance, or to where it is on its way."""
        life = around.loop.life
        if life is None:
            return
        to = led_to(around, row)
        allowed = leaders(around)
        if to in allowed or to is None:
            self._written.pop(row['id'], None)
        elif around.hosts[life.host].participant is not None or self.all_actors:
            self._written[row['id']] = (
                life.host, f'{life.host} makes the row of {row["volume_id"]} lead to {to}; '
                f'it may lead to {" or ".join(sorted(allowed))}', around.loop.current)

    def forget(self, host):
        """Its journal is that of yesterday by now."""
        self._decided[host] = {}

    def cut_short(self, around, method):
        """Nova was killed or failed in an operation that is no live migration."""
        self.plain.append(Breach('nova', f'{method} was cut short', around.loop.now))

    def rebooted(self, around, where):
        """It runs on its own volumes after a reboot."""

    # -- after each step ------------------------------------------------------

    def after(self, around):
        """Between two steps."""
        # Who has not been told yet may write; as long as the instance is busy nobody reads it.
        usable = around.instance['task_state'] != 'migrating'
        for key, (host, text, task) in tuple(self._written.items()):
            if task.dead and usable:
                del self._written[key]
                row = around.db.bdms.get(key)
                if row and led_to(around, row) not in leaders(around):
                    self.breaches.append(Breach('row', text, around.loop.now, host))
        for name, one in around.hosts.items():
            if one.store.touched:
                one.store.touched = False
                self._verdicts(around, name, journals.decided(one.store))
        running = around.guests.where(world.INSTANCE)
        if len(running) > 1:
            self.breaches.append(Breach('copies', f'it runs on {running}', around.loop.now))
        if self.breaches or self.plain:
            raise Stop

    def _verdicts(self, around, name, now):
        """A verdict stands; and no two hosts have two of one migration."""
        before = self._decided[name]
        self._decided[name] = now
        for key, verdict in now.items():
            if before.get(key, verdict) != verdict:
                self.breaches.append(Breach(
                    'verdict', f'{name} turns {before[key]} of {key} into {verdict}',
                    around.loop.now, name))
            for other, found in self._decided.items():
                for (uuid, role), theirs in found.items():
                    if uuid == key[0] and (other, role) != (name, key[1]) and theirs != verdict \
                            and before.get(key) != verdict:
                        self.breaches.append(Breach(
                            'verdict', f'{name} has {verdict} of {key}, {other} has {theirs} '
                            f'as {role}', around.loop.now, name))

    # -- at moments of rest ---------------------------------------------------

    def residue(self, around):
        """What is left though every journal says settled."""
        if any(journals.unsettled(one.store, world.INSTANCE) for one in around.hosts.values()):
            return []
        return list(residue(around))


def led_to(around, row):
    """The host whose LUN a row leads to, by its attachment; None for a reserved one."""
    found = around.cinder.rows.get(row['attachment_id'])
    return ((found or {}).get('connector') or {}).get('host')


def leaders(around):
    """Hosts that rows may lead to now: the instance's, and that of the newest operation on it
    while that is going on and has not been decided against it."""
    row = around.instance
    found = {row['host'], *around.guests.where(world.INSTANCE)}
    moves = [one for one in around.db.migrations.values()
             if one['instance_uuid'] == world.INSTANCE]
    if moves:
        newest = moves[-1]
        if newest['status'] not in OVER and 'ABORT' not in verdicts(around, newest['uuid']):
            found.add(newest['dest_compute'])
        if 'COMMIT' in verdicts(around, newest['uuid']):
            found.add(newest['dest_compute'])
    return found


def verdicts(around, uuid):
    """What the journals of the two hosts of a migration say of it."""
    row = around.db.migrations[uuid]
    return {found[0] for name in (row['source_compute'], row['dest_compute'])
            for found in around.hosts[name].store.sql(
                'SELECT verdict FROM migsafe_transactions WHERE uuid = ?', (uuid,))}


def residue(around):
    """R1 to R12, by the world itself."""
    row = around.instance
    if row.get('deleted'):
        if around.cinder.rows:
            yield f'R3 {sorted(around.cinder.rows)} of a deleted instance'
        return
    host = row['host']
    for bdm in around.rows():
        attachment = around.cinder.rows.get(bdm['attachment_id'])
        if attachment is None:
            yield f'R2 row of {bdm["volume_id"]} names {bdm["attachment_id"]}, which is gone'
        elif led_to(around, bdm) != host:
            yield (f'R2 row of {bdm["volume_id"]} names an attachment of '
                   f'{led_to(around, bdm)}; the instance is on {host}')
        lun = records.lun_of(bdm['connection_info'])
        if lun is not None and around.array.leads_to(host, lun) != bdm['volume_id']:
            yield (f'R1 row of {bdm["volume_id"]} has LUN {lun}, which on {host} is '
                   f'{around.array.leads_to(host, lun)}')
    for port, bound in around.neutron.of(world.INSTANCE).items():
        hosts = {name: status for name, status in bound.items() if not (
            status == 'INACTIVE' and _never_begun(around, name))}
        if hosts != {host: 'ACTIVE'}:
            yield f'R8 {port} is bound to {hosts}; the instance is on {host}'
    yield from _devices(around, host)
    running = around.guests.where(world.INSTANCE)
    if running and running != [host]:
        yield f'R5 instance.host is {host}, it runs on {running}'
    if row['task_state'] == 'migrating':
        yield 'R6 stuck in migrating'
    for one in around.db.migrations.values():
        if one['migration_type'] == 'live-migration' and not _unheard_of(around, one):
            if one['status'] not in OVER:
                yield f'R12 migration {one["uuid"]} is {one["status"]}'
            if around.placement.held.get(one['uuid']):
                yield f'R7 migration {one["uuid"]} holds allocations'
    held = around.placement.held.get(world.INSTANCE, set())
    if held != {f'rp-{host}'}:
        yield f'R7 the instance holds {sorted(held)}, it is on {host}'


def _unheard_of(around, migration):
    """A migration that no host had begun when its instance was evacuated: Nova leaves it as it
    is, and nobody else knows of it."""
    return around.instance['launched_by'] == 'evacuation' and not verdicts(
        around, migration['uuid'])


def _never_begun(around, host):
    return any(one['dest_compute'] == host and _unheard_of(around, one)
               for one in around.db.migrations.values())


def _devices(around, host):
    """R3, R4 and R11: what other hosts have of it."""
    named = {bdm['attachment_id'] for bdm in around.rows()}
    for one in around.hosts.values():
        named |= journals.named_attachments(one.store)
    for attachment in around.cinder.rows.values():
        where = (attachment['connector'] or {}).get('host')
        if attachment['id'] not in named:
            yield f'R3 attachment {attachment["id"]} of {attachment["volume_id"]} on {where}'
    for name in world.HOSTS:
        if name == host:
            continue
        for lun, device in around.array.devices[name].items():
            if device.owner == world.INSTANCE:
                yield f'R4 LUN {lun} of {name} is still connected ({device.volume})'
        if around.directories.get((name, world.INSTANCE)) \
                and around.instance['launched_by'] != 'evacuation' \
                and not journals.named_a_directory(around.hosts[name].store):
            yield f'R11 instance directory on {name}'
