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
"""The services that an audit asks beside the databases: nova-compute and cinder-volume."""

import argparse
import collections
import dataclasses
import os
from collections.abc import Iterator

import sqlalchemy as sa
from oslo_config import cfg

from migsafe import exceptions
from migsafe.audit.facts import ARRAY, Export
from migsafe.audit.opening import Sources
from migsafe.audit.readers import database
from migsafe.audit.told import NOBODY, Ask, Told
from migsafe.cli import bus, config, export_backend, fleet, show
from migsafe.text import masked

#: The version of nova-compute's endpoint that says which guests it runs.
GUESTS = '1.5'
#: Guests of a host, and volumes of a page, that are believed at most.
MOST = 10_000
#: Volumes of which the array is asked one by one, each by a request of its own.
ONE_BY_ONE = 1000
#: The view that hosts are.
HOSTS = frozenset(('hosts',))
#: How a difference begins that only the array shows: export_verify of cinder-volume's endpoint.
MAPS = 'the array maps it'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name services."""
    fleet.add_argument(parser)
    parser.add_argument(
        '--exports', nargs='*', metavar='BACKEND', help='ask cinder-volume of these backends '
        '(node@backend) over the message bus what its ledger and its array have exported, or of '
        "all that Cinder's database knows; one that does not answer is unknown")
    parser.add_argument(
        '--cinder-config', metavar='FILE', help='cinder.conf with the transport_url for '
        '--exports; default: the file of --cinder-database, or else the configuration that is '
        'read')


def asking(conf: cfg.ConfigOpts, given: argparse.Namespace, sources: Sources) -> Ask | None:
    """What asks the services that are named; None if none is."""
    if given.fleet is None and given.exports is None:
        return None

    def ask() -> Told:
        hosts = _hosts(conf, given.fleet) if given.fleet is not None \
            else Told(unseen=NOBODY.unseen[:1])
        backends = _backends(conf, given, sources) if given.exports is not None \
            else Told(unseen=NOBODY.unseen[1:])
        return dataclasses.replace(
            hosts, exports=backends.exports, unseen=(*hosts.unseen, *backends.unseen),
            lost=hosts.lost | backends.lost)
    return ask


@dataclasses.dataclass(frozen=True)
class _Host:
    """One host: what it has left, and its guests; None if it does not say."""

    overview: fleet.Overview
    guests: tuple[str, ...] | None = None


def _hosts(conf: cfg.ConfigOpts, named: list[str]) -> Told:
    try:
        heard = fleet.each(
            bus.Bus(conf), sorted(set(named or fleet.hosts(conf))), _host, lambda name, error:
            _Host(fleet.Overview(show.text(name), 'unknown', masked(error))))
    except exceptions.MigsafeError as error:
        return Told(unseen=(f'No host could be asked: {error}',), lost=HOSTS)
    runs: dict[str, tuple[str, ...]] = collections.defaultdict(tuple)
    for one in heard:
        for guest in one.guests or ():
            runs[guest] = (*runs[guest], one.overview.host)
    silent = [f'Host {one.overview.host}, of which not all is known: {why}'
              for one in heard if (why := _unknown(one))]
    return Told(tuple(piece for one in heard for piece in one.overview.residue), dict(runs),
                (), tuple(silent), HOSTS if silent else frozenset())


def _unknown(one: _Host) -> str:
    """Why not all of a host is known; empty if it is."""
    if one.overview.state != 'armed':
        return one.overview.detail or one.overview.state
    if one.overview.more:
        return 'it has more residue than it gave; run migsafe residue list there'
    return 'it does not say which guests it runs' if one.guests is None else ''


def _host(transport: bus.Bus, host: str) -> _Host:
    found = fleet.overview(transport, host)
    if found.state != 'armed':
        return _Host(found)
    try:
        said = transport.call(fleet.service_of(host), 'guests', GUESTS).get('guests')
    except bus.Unreachable:
        raise
    except bus.NoAnswer:
        return _Host(found)
    if not isinstance(said, list) or len(said) > MOST or not all(
            isinstance(one, str) and len(one) <= fleet.MAX_ITEMS for one in said):
        return _Host(found)
    return _Host(found, tuple(said))


def _backends(conf: cfg.ConfigOpts, given: argparse.Namespace, sources: Sources) -> Told:
    found: list[Export] = []
    unseen: list[str] = []
    names: list[str] = []
    try:
        names = given.exports or _known(sources.cinder)
        conf = _of_cinder(conf, given)
        if not names:
            unseen.append('No backend could be asked: the database of Cinder was not given, or '
                          'has no cinder-volume. Name them after --exports.')
    except exceptions.MigsafeError as error:
        unseen.append(f'No backend could be asked: {error}')
    for name in names if not unseen else ():
        try:
            found += _exports(export_backend.Backend(conf, name), name, unseen)
        except (exceptions.MigsafeError, KeyError, TypeError, AttributeError) as error:
            unseen.append(f'Backend {show.text(name)}: {masked(error)}')
    return Told(exports=tuple(found), unseen=tuple(unseen),
                lost=frozenset(('exports',)) if unseen else frozenset())


def _of_cinder(conf: cfg.ConfigOpts, given: argparse.Namespace) -> cfg.ConfigOpts:
    name = given.cinder_config
    if not name and str(given.cinder_database or '').endswith('.conf') \
            and os.path.exists(given.cinder_database):
        name = given.cinder_database
    return config.load([name]) if name else conf


def _known(cinder: sa.URL | None) -> list[str]:
    """The backends that Cinder's database has.

    :raises Unreadable: it does not say
    """
    if cinder is None:
        return []
    with database.opened(cinder) as snapshot:
        table = snapshot.must('services')
        return sorted({str(one.host) for one in snapshot.rows(sa.select(
            *database.columns(table, 'host')).where(
                database.live(table), table.c.binary == export_backend.TOPIC))})


def _exports(backend: export_backend.Backend, name: str, unseen: list[str]) -> Iterator[Export]:
    """What the ledger has, and what only the array has; nothing of the answers is trusted."""
    for row in backend.exports():
        if row['kind'] == 'volume':
            volume, host, state, attachment, lun = (show.text(row.get(field) or '') for field in (
                'resource', 'host', 'state', 'attachment', 'lun'))
            yield Export(show.text(name), volume, host, state, attachment, lun,
                         bool(row.get('fenced')))
    suspected: dict[str, None] = {}
    for page in backend.search():
        if not page['array']:
            unseen.append(f'Backend {show.text(name)} cannot ask its array (migsafe_inspector): '
                          'what that has beside the ledger is not known.')
        suspected |= dict.fromkeys(page['volumes'])
        for volume, text in page['differences']:
            yield _of_array(name, volume, text)
    if len(suspected) > ONE_BY_ONE:
        unseen.append(f'Backend {show.text(name)}: {len(suspected) - ONE_BY_ONE} more volumes '
                      'with a mapping that is not explained; see migsafe export verify.')
    for volume in list(suspected)[:ONE_BY_ONE]:
        for text in backend.call('export_verify', volume=volume)['differences']:
            if text.startswith(MAPS):
                yield _of_array(name, volume, text)


def _of_array(name: str, volume: str, text: str) -> Export:
    return Export(show.text(name), show.text(volume), '', ARRAY, detail=show.text(text))
