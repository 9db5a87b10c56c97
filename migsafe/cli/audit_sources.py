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
"""Which databases an audit reads: a URL, a file of SQLite, or the configuration that names one."""

import argparse
from collections.abc import Sequence

import sqlalchemy as sa
from oslo_config import cfg

from migsafe import exceptions
from migsafe.audit.opening import Sources
from migsafe.cli import audit_cells, show

#: How each file of SQLite begins: https://www.sqlite.org/fileformat.html, section 1.3.
MAGIC = b'SQLite format 3\x00'
#: Option -> sections of a configuration whose ``connection`` it means, the first that is there.
SECTIONS = {
    '--nova-database': ('database',),
    '--nova-api-database': ('api_database',),
    '--cinder-database': ('database',),
    '--placement-database': ('placement_database', 'api_database', 'database'),
    '--neutron-database': ('database',),
}
DUMP = 'A dump has to be loaded into a database first, which may be an empty one made for it.'


class BadArgument(exceptions.MigsafeError):
    """What was given cannot be used."""

    message = '%(option)s: %(reason)s'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the databases."""
    parser.add_argument(
        '--nova-database', action='append', default=[], metavar='URL|FILE',
        help='database of a cell of Nova: a URL (mysql+pymysql://USER:PASSWORD@HOST/nova), a file '
        'of SQLite, or a configuration file with [database] connection, which keeps the password '
        'out of the list of processes; once for each cell. Default: [database] connection of the '
        'configuration that is read')
    parser.add_argument(
        '--nova-api-database', metavar='URL|FILE',
        help='API database of Nova, or a nova.conf with [api_database] connection: every cell '
        'that it has a mapping of is read. A mapping that is a template is filled from [database] '
        'connection of the configuration, as Nova does')
    parser.add_argument(
        '--cinder-database', metavar='URL|FILE', help='database of Cinder, or its cinder.conf')
    parser.add_argument(
        '--placement-database', metavar='URL|FILE',
        help='database with the tables of Placement: until Stein the API database of Nova; or a '
        'configuration file with [placement_database] or [api_database] connection')
    parser.add_argument(
        '--neutron-database', metavar='URL|FILE', help='database of Neutron, or its neutron.conf')


def chosen(given: argparse.Namespace, config_files: Sequence[str]) -> Sources:
    """The databases.

    :param config_files: where none of Nova is given, that of these files
    :raises BadArgument: one of them is none
    """
    api = url_of(given.nova_api_database, '--nova-api-database') \
        if given.nova_api_database else None
    cells = _cells(given, config_files, api)
    cinder, placement, neutron = (url_of(text, option) if text else None for text, option in (
        (given.cinder_database, '--cinder-database'),
        (given.placement_database, '--placement-database'),
        (given.neutron_database, '--neutron-database')))
    return Sources(cells, cinder, placement, neutron, nova_api=api)


def _cells(given: argparse.Namespace, config_files: Sequence[str],
           api: sa.URL | None) -> list[sa.URL]:
    nova = [url_of(text, '--nova-database') for text in given.nova_database]
    if api is not None:
        files = [given.nova_api_database] if _is_text(given.nova_api_database) else config_files
        nova += audit_cells.of(api, _configured(files, SECTIONS['--nova-database']))
        return list(dict.fromkeys(nova))
    if not nova:
        found = _configured(config_files, SECTIONS['--nova-database'])
        if found is None:
            raise BadArgument(
                option='--nova-database', reason='it is not given, and no configuration that was '
                'read has [database] connection. Name the database, or the nova.conf of the '
                "cell's nova-conductor")
        nova = [_parsed(found, '--nova-database')]
    return nova


def _is_text(name: str) -> bool:
    """Whether it is a configuration, which url_of() has read by now."""
    if '://' in name:
        return False
    with open(name, 'rb') as handle:
        return handle.read(len(MAGIC)) != MAGIC


def url_of(text: str, option: str) -> sa.URL:
    """The database that a word of the command line means.

    :raises BadArgument: it means none; a password in it is not shown
    """
    if '://' in text:
        return _parsed(text, option)
    try:
        with open(text, 'rb') as handle:
            begin = handle.read(len(MAGIC))
    except OSError as error:
        raise BadArgument(option=option, reason=f'{show.text(text)} cannot be read: '
                          f'{error.strerror}') from None
    if begin == MAGIC:
        return sa.URL.create('sqlite', database=text)
    found = _configured([text], SECTIONS[option])
    if found is None:
        raise BadArgument(
            option=option, reason=f'{show.text(text)} is neither a file of SQLite nor a '
            'configuration with '
            + ' or '.join(f'[{section}] connection' for section in SECTIONS[option])
            + f'. {DUMP}')
    return _parsed(found, option)


def _parsed(text: str, option: str) -> sa.URL:
    try:
        url = sa.make_url(text)
        url.get_dialect()
        known = url.get_backend_name() in ('mysql', 'postgresql', 'sqlite')
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError, ValueError):
        known = False
    if not known:
        raise BadArgument(
            option=option, reason='it is no URL of a database that can be read here. It begins '
            'with mysql+pymysql://, postgresql+psycopg2:// or sqlite:///')
    return url


def _configured(files: Sequence[str], sections: Sequence[str]) -> str | None:
    """The ``connection`` of the first of these sections that has one."""
    conf = cfg.ConfigOpts()
    try:
        conf([], project='migsafe', default_config_files=list(files), default_config_dirs=[],
             use_env=False)
    except (cfg.Error, OSError, UnicodeDecodeError):
        return None
    for section in sections:
        conf.register_opts([cfg.StrOpt('connection', secret=True)], section)
        if found := conf[section].connection:
            return str(found)
    return None
