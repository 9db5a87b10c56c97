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
"""Every cell of Nova, by the mappings in its API database."""

import urllib.parse

import sqlalchemy as sa

from migsafe.audit.readers import database
from migsafe.cli import show

#: Parts of a URL that a mapping may leave to [database] connection of the configuration, since
#: Rocky: CellMapping._format_url() of nova/objects/cell_mapping.py.
PARTS = ('username', 'password', 'hostname', 'port', 'scheme', 'query', 'fragment')


class BadMapping(database.Unreadable):
    """A mapping that leads to no database."""

    message = (
        'Cell %(cell)s cannot be read: its database_connection in the API database is no URL that '
        'can be used here%(why)s. Name the databases of the cells with --nova-database instead.')


def of(api: sa.URL, like: str | None) -> list[sa.URL]:
    """The databases of all cells, disabled ones and cell0 too.

    :param api: the API database of Nova
    :param like: fills mappings that are templates
    :raises Unreadable: it cannot be read, or a mapping leads nowhere
    """
    with database.opened(api) as snapshot:
        table = snapshot.must('cell_mappings')
        found = snapshot.rows(sa.select(
            *database.columns(table, 'uuid', 'name', 'database_connection')).order_by(table.c.id))
    return [_url(show.text(one.name or one.uuid), str(one.database_connection), like)
            for one in found]


def _url(cell: str, mapping: str, like: str | None) -> sa.URL:
    """What a mapping means; neither it nor its error is shown, for it has a password."""
    why = ''
    if '{' in mapping:
        if like is None:
            why = ' (it is a template, and no configuration has [database] connection)'
        else:
            mapping = _filled(mapping, like)
    try:
        return sa.make_url(mapping)
    except (sa.exc.ArgumentError, ValueError):
        raise BadMapping(cell=cell, why=why) from None


def _filled(mapping: str, like: str) -> str:
    """A template with the parts of a URL; as it is, if it is none, as Nova takes it then."""
    parts = urllib.parse.urlparse(like)
    try:
        return mapping.format(path=parts.path.lstrip('/'),
                              **{name: getattr(parts, name) for name in PARTS})
    except (ValueError, KeyError, IndexError, AttributeError):
        return mapping
