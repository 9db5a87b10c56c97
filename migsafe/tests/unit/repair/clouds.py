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
"""A cloud with one of each kind of residue, what its hosts say, and what a repair may do to it."""

import contextlib
import datetime
import json
import os
import signal

import sqlalchemy as sa

from migsafe.audit import activity, opening, report, scan
from migsafe.repair import transaction, word
from migsafe.tests.unit.repair import services
from tools.clouds import addresses, builder, fill, guests, healthy, residue, rows, schema

#: After the newest heartbeat, which is the time of the cloud.
LOCAL = rows.NOW + datetime.timedelta(minutes=1)
#: When a row was changed, or marked as deleted.
TIMES = ('updated_at', 'deleted_at')
#: What tells allocations apart, which Placement writes anew when it is given those that stay.
ALLOCATION = ('consumer_id', 'resource_provider_id', 'resource_class_id')
#: What it counts and notes by itself in all that it has written.
OF_PLACEMENT = {
    'allocations': ('id', 'created_at', 'updated_at'),
    'consumers': ('generation', 'updated_at'),
    'resource_providers': ('generation', 'updated_at'),
}
#: Types of connections of which it can be told that a host has nothing there.
ASKED_FOR = ('iscsi', 'fibre_channel', 'rbd')


class Cloud:
    """Databases with the real schema, on one engine.

    :param engine: of an empty database
    """

    def __init__(self, engine, seed='7'):
        self.engine, self.url = engine, engine.url
        self.made = builder.Builder(seed, 4)
        self.planted = {}
        for plant in residue.RESIDUE:
            known = {one['uuid'] for one in self.made.rows['instances']}
            plant(self.made)
            new = {one['uuid'] for one in self.made.rows['instances']} - known
            self.planted[plant.__name__] = sorted(new)[0]
        for usual in list(healthy.HEALTHY)[:4]:
            usual(self.made)
        tables = {}
        for found in (schema.nova(), schema.kept(), schema.placement()):
            found.create_all(engine)
            tables |= {name: (engine, table) for name, table in found.tables.items()
                       if name not in tables}
        fill.write(self.made, tables)
        services.complete(engine)
        self.services = services.Services(engine)
        self.known = sa.MetaData()
        with engine.connect() as connection:
            self.known.reflect(connection)

    def ask(self, host, instance, leads):
        """The word of a host."""
        return word.parse(host, json.loads(json.dumps(
            guests.facts(self.made, host, instance, leads))))

    def repair(self, journal, ask=None, **asked):
        """What carries out."""
        return transaction.Repair(
            opening.Sources([self.url], self.url, self.url), report.Asked(**asked),
            activity.Spans(), ask or self.ask, lambda: LOCAL, self.services, journal=journal)

    def instances(self):
        """Those of which something is found."""
        found = scan.audit(opening.Sources([self.url], self.url, self.url), report.Asked(),
                           activity.Spans(), LOCAL, lambda _done, _total: None)
        return list(dict.fromkeys(one.instance for one in found.findings))

    def rows(self):
        """(table, primary key) -> the row, of every table that has any."""
        found = {}
        with self.engine.connect() as connection:
            for table in self.known.sorted_tables:
                for row in connection.execute(sa.select(table)).mappings():
                    key = tuple(row[name] for name in self._key(table)) or tuple(row.values())
                    found[table.name, key] = {
                        name: value for name, value in row.items()
                        if name not in OF_PLACEMENT.get(table.name, ())}
        return found

    @staticmethod
    def _key(table):
        """The columns that tell rows apart; Placement writes allocations that stay anew."""
        return ALLOCATION if table.name == 'allocations' else tuple(
            one.name for one in table.primary_key)

    def restore(self, before):
        """Make the rows what they were."""
        now = self.rows()
        with self.engine.begin() as connection:
            for (name, key), row in now.items():
                table = self.known.tables[name]
                this = [table.c[column] == value for column, value in zip(
                    self._key(table), key, strict=True)]
                if (name, key) not in before:
                    connection.execute(sa.delete(table).where(*this))
                elif before[name, key] != row:
                    connection.execute(sa.update(table).where(*this).values(before[name, key]))
            for name, key in before.keys() - now.keys():
                # NOTE: Placement compares when rows were made.
                connection.execute(sa.insert(self.known.tables[name]).values(
                    {'created_at': rows.NOW} | before[name, key]))

    def expected(self, before):
        """The rows after a repair, by what was planted, and not by what repairs."""
        after = {key: dict(row) for key, row in before.items()}

        def change(table, column, value, **values):
            for (name, _key), row in after.items():
                if name == table and row[column] == value and not row.get('deleted'):
                    row.update(values)
        names, truth = self.planted, self.made
        for kind in ('wrong_number', 'not_rolled_back_before_pike'):
            disk = truth.disks[names[kind]][0]
            if kind != 'wrong_number' and disk.kind.type != 'iscsi':
                # What Fibre Channel needs besides, only Cinder knows.
                continue
            change('block_device_mapping', 'volume_id', disk.uuid, connection_info=(
                truth.guests[names[kind]], disk))
        again = truth.disks[names['replaced']][0].uuid
        good = next(row['id'] for (name, _key), row in before.items()
                    if name == 'volume_attachment' and row['volume_id'] == again
                    and not row['deleted'])
        change('block_device_mapping', 'volume_id', again, attachment_id=good)
        second = max(row['id'] for (name, _key), row in before.items()
                     if name == 'block_device_mapping'
                     and row['instance_uuid'] == names['twice'])
        change('block_device_mapping', 'id', second, deleted=second)
        there = truth.guests[names['on_the_other_host']]
        node = next(row['id'] for (name, _key), row in before.items()
                    if name == 'compute_nodes' and row['host'] == there)
        change('instances', 'uuid', names['on_the_other_host'], host=there, node=there,
               compute_id=node)
        change('instances', 'uuid', names['stuck'], task_state=None)
        change('instances', 'uuid', names['in_error'], vm_state='active')
        for kind in ('left_there', 'of_the_deleted'):
            for (name, _key), row in before.items():
                if name == 'volume_attachment' and row['instance_uuid'] == names[kind] \
                        and row['attached_host'] != truth.guests.get(names[kind]) and json.loads(
                            row['connection_info'])['driver_volume_type'] in ASKED_FOR:
                    change(name, 'id', row['id'], deleted=True, attach_status='detached')
        self._not_charged(before, after)
        for kind in ('unended', 'unended_of_the_deleted'):
            change('migrations', 'instance_uuid', names[kind], status='error')
        return after

    def _not_charged(self, before, after):
        """Only the host of the guest is charged for it, and for no migration of it."""
        instance = self.planted['charged']
        node = self.made.index[self.made.guests[instance]] + 1
        (move,) = (row['uuid'] for (name, _key), row in before.items()
                   if name == 'migrations' and row['instance_uuid'] == instance)
        for name, key in before:
            if name == 'allocations' and key[0] in (instance, move) and key[1] != node:
                del after[name, key]
            if name == 'consumers' and before[name, key]['uuid'] == move:
                del after[name, key]

    def differences(self, before, after):
        """What is not as expected, row by row; empty if all is."""
        wanted, found = self.expected(before), []
        for key in sorted(wanted.keys() | after.keys()):
            one, other = wanted.get(key), after.get(key)
            if one is None or other is None:
                found.append((key, 'made' if one is None else 'gone'))
                continue
            changed = before.get(key) != one
            found += [(key, column, other[column]) for column in one
                      if not (changed and column in TIMES)
                      and not self._agrees(one[column], other[column])]
        return found

    def _agrees(self, wanted, found):
        if not isinstance(wanted, tuple):
            return wanted == found
        host, disk = wanted
        given = addresses.data(disk.uuid, disk.kind, self.made.index[host])
        info = json.loads(found)
        return (info['data']['target_lun'] == given['target_lun']
                and set(info['data'].get('target_luns', ())) <= {given['target_lun']}
                and info['data']['device_path'] == '/dev/dm-9' and info['serial'] == disk.uuid
                and info.get('connector', {'host': host})['host'] == host)


def without_times(found):
    """Rows without when they were changed."""
    return {key: {name: value for name, value in row.items() if name not in TIMES}
            for key, row in found.items()}


#: How statements begin that change something.
WRITES = ('INSERT', 'UPDATE', 'DELETE')


@contextlib.contextmanager
def killed_before(number):
    """Kill this process before a statement that writes, or a commit, of any database.

    :param number: of it; 0 only counts them
    :returns: a list with one item for each
    """
    seen = []

    def count():
        seen.append(None)
        if len(seen) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def statement(_connection, _cursor, text, *_more):
        if text.lstrip().upper().startswith(WRITES):
            count()

    def commit(_connection):
        count()
    events = {'before_cursor_execute': statement, 'commit': commit}
    for name, heard in events.items():
        sa.event.listen(sa.Engine, name, heard)
    try:
        yield seen
    finally:
        for name, heard in events.items():
            sa.event.remove(sa.Engine, name, heard)
