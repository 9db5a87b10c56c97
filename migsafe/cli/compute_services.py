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
"""Nova's own records of its compute hosts, as its database has them."""

import datetime
from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from oslo_config import cfg
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.cli import database, deadline, show
from migsafe.fencing.probes.base import Record, of_late
from migsafe.journal import engine, errors
from migsafe.watch.migration import GOING_ON, Migration, State

WHERE = ('Name the configuration of the nova-conductor of their cell, which has its [database] '
         'connection and transport_url, with --config-file. Only with --fleet, and by "migsafe '
         'migrations", hosts can be named instead: --fleet HOST HOST ...')
#: Nova's own options, with its defaults (nova/conf/service.py and servicegroup.py).
OPTS = (cfg.IntOpt('service_down_time', default=60),
        cfg.StrOpt('servicegroup_driver', default='db'))
TABLE = sa.table(
    'services', *map(sa.column, ('host', 'binary', 'deleted', 'forced_down', 'report_count')),
    sa.column('last_seen_up', sa.DateTime), sa.column('created_at', sa.DateTime),
    sa.column('updated_at', sa.DateTime))
_RUNS = sa.table('migrations', *map(sa.column, (
    'id', 'uuid', 'instance_uuid', 'status', 'source_compute', 'dest_compute', 'migration_type',
    'deleted')), sa.column('created_at', sa.DateTime))
_OF = sa.table('instances', *map(sa.column, ('uuid', 'host', 'deleted')))
_DISKS = sa.table('block_device_mapping', *map(sa.column, (
    'instance_uuid', 'destination_type', 'deleted')))


def _has(kind: str) -> Any:
    """Whether an instance has a disk of a kind; Nova's are volume and local."""
    return sa.exists().where(_DISKS.c.instance_uuid == _OF.c.uuid, _DISKS.c.deleted == 0,
                             _DISKS.c.destination_type == kind)


#: More live migrations than go on in a cell at the same time.
MOST = 1000
#: Live migrations that have not ended by their record, of instances that are where they began.
_GOING_ON = sa.select(_RUNS).join(_OF, _OF.c.uuid == _RUNS.c.instance_uuid).where(
    _RUNS.c.migration_type == 'live-migration', _RUNS.c.status.in_(GOING_ON),
    _RUNS.c.deleted == 0, _OF.c.deleted == 0, _OF.c.host == _RUNS.c.source_compute,
).order_by(_RUNS.c.id.desc()).limit(MOST)
T = TypeVar('T')


class NoHosts(exceptions.MigsafeError):
    """It is not known whom to ask."""

    message = 'Which compute hosts there are is not known: %(reason)s. ' + WHERE


class NoSuchHost(exceptions.MigsafeError):
    """Nothing is said of a host that was mistyped."""

    message = ("Nova's database has no nova-compute of host %(host)s. Name it as \"openstack "
               'compute service list" does, and the configuration of the nova-conductor of its '
               'cell with --config-file.')


class Services:
    """The table of services of one cell.

    :param conf: Nova's configuration; [database] connection is the cell's
    :param seconds: to wait for the database
    :raises NoHosts: it names no database, or one of an unknown kind
    """

    def __init__(self, conf: cfg.ConfigOpts, seconds: float = database.SECONDS) -> None:
        conf.register_opts([cfg.StrOpt('connection', secret=True)], 'database')
        conf.register_opts(OPTS)
        self._conf, self._seconds = conf, seconds
        if not conf.database.connection:
            raise NoHosts(reason='the configuration has no [database] connection')
        self._engine = self._safely(
            lambda: engine.create(sa.make_url(conf.database.connection)))

    def names(self) -> list[str]:
        """The compute hosts.

        :raises NoHosts: they cannot be read, or there are none
        """
        return [row.host for row in self._rows()]

    def records(self) -> dict[str, Record]:
        """Host -> Nova's record of its nova-compute.

        :raises NoHosts: they cannot be read, or there are none
        :raises ConfigError: heartbeats are somewhere else
        """
        self._check_heartbeats()
        return {row.host: self._record(row) for row in self._rows()}

    def record(self, host: str) -> Record | None:
        """Nova's record of the nova-compute of one host; None if there is none.

        :raises NoHosts: the database cannot be read
        :raises ConfigError: heartbeats are somewhere else
        """
        self._check_heartbeats()
        rows = self._read(TABLE.c.host == host)
        return self._record(rows[0]) if rows else None

    def going_on(self) -> list[Migration]:
        """The live migrations that go on by Nova's records.

        :raises NoHosts: the database cannot be read
        """
        return [Migration(
            State.UNKNOWN.value, show.text(row.uuid), show.text(row.instance_uuid), '', 'source',
            show.text(row.source_compute), show.text(row.dest_compute or ''),
            max(0.0, _since(row.created_at, timeutils.utcnow()) or 0.0), show.text(row.status))
            for row in self._rows_of(_GOING_ON)]

    def with_other_disks(self, host: str) -> list[str]:
        """The servers of a host that have a disk which is no volume of Cinder.

        :raises NoHosts: the database cannot be read
        """
        return [show.text(row.uuid) for row in self._rows_of(sa.select(_OF.c.uuid).where(
            _OF.c.host == host, _OF.c.deleted == 0,
            sa.or_(_has('local'), sa.not_(_has('volume')))).order_by(_OF.c.uuid))]

    def _check_heartbeats(self) -> None:
        driver = self._conf.servicegroup_driver
        if driver != 'db':
            raise exceptions.ConfigError(
                group='DEFAULT', option='servicegroup_driver', reason=f'with {driver} the '
                "heartbeats of hosts are not in Nova's database, and nothing else is read here. "
                'nova-compute itself reads them, and judges hosts when it is asked to evacuate')

    def _record(self, row: Any) -> Record:
        """As Nova judges it, see nova/servicegroup/drivers/db.py."""
        now, heard = timeutils.utcnow(), row.last_seen_up
        since = _since(heard or row.created_at, now)
        forced, seconds = bool(row.forced_down), self._conf.service_down_time
        return Record(
            forced_down=forced, age=_since(heard, now), reports=int(row.report_count or 0),
            up=not forced and since is not None and abs(since) <= seconds,
            heard=of_late(since, seconds), changed=_since(row.updated_at, now))

    def _rows(self) -> list[Any]:
        found = self._read()
        if not found:
            raise NoHosts(reason="there is no nova-compute in Nova's database ([database] "
                          'connection), as in that of cell0')
        return found

    def _read(self, *where: Any) -> list[Any]:
        return self._rows_of(sa.select(TABLE).where(
            TABLE.c.binary == 'nova-compute', TABLE.c.deleted == 0, TABLE.c.host > '', *where))

    def _rows_of(self, query: sa.Select[Any]) -> list[Any]:
        def read() -> list[Any]:
            with self._engine.connect() as connection:
                return list(connection.execute(query))
        return self._safely(lambda: deadline.run(read, self._seconds))

    def _safely(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except deadline.Overdue:
            raise NoHosts(reason="Nova's database ([database] connection) did not answer within "
                          f'{self._seconds:g} seconds') from None
        except (*errors.OUTSIDE, ImportError) as error:
            raise NoHosts(reason="Nova's database ([database] connection) cannot be read: "
                          f'{show.text(errors.first_line(error))}') from None


def _since(moment: datetime.datetime | None, now: datetime.datetime) -> float | None:
    return None if moment is None else timeutils.delta_seconds(moment, now)
