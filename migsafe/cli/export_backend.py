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
"""What each ``migsafe export`` command asks of the cinder-volume of a backend, and shows of it."""

import argparse
from collections.abc import Iterator
from typing import Any

from oslo_config import cfg

from migsafe.cli import base, bus, show

TOPIC = 'cinder-volume'
COLUMNS = ('Volume', 'Kind', 'Host', 'State', 'Initiators', 'LUN', 'Attachment', 'Fenced',
           'Attempts', 'Error')
FIELDS = ('resource', 'kind', 'host', 'state', 'initiators', 'lun', 'attachment', 'fenced',
          'attempts', 'error')


class Backend:
    """Asks one cinder-volume.

    :param conf: with the transport_url of Cinder
    :param host: node@backend
    """

    def __init__(self, conf: cfg.ConfigOpts, host: str) -> None:
        self._bus = bus.Bus(conf)
        name = show.text(host)
        # NOTE: the server that Cinder keeps beside that for its topic, see its service.py.
        self._service = bus.Service(
            f'cinder-volume {name}', f'{TOPIC}.{host}', host.partition('@')[0],
            armed=f'Set volume_driver = migsafe.cinder.driver.GuardedDriver in the section of '
            f'{name} in its cinder.conf, and restart it.',
            check=f'Check that it runs, and that {name} is its host as "openstack volume service '
            'list" shows it (--backend).')

    def call(self, method: str, *, since: str = bus.FIRST, **arguments: Any) -> dict[str, Any]:
        """Make one call, see :meth:`migsafe.cli.bus.Bus.call`."""
        return self._bus.call(self._service, method, since, **arguments)

    def exports(self, volume: str = '', host: str = '') -> Iterator[dict[str, Any]]:
        """All that is not gone, of one host if it is named, or what is known of one volume."""
        after = 0
        while True:
            page = self.call('export_list', after_id=after, volume=volume, host=host)
            # NOTE: a service of before 1.1 gives those of all hosts.
            yield from (row for row in page['exports']
                        if not host or row['peer'] and row['host'] == host)
            if not page['next']:
                return
            after = page['next']

    def search(self) -> Iterator[dict[str, Any]]:
        """All pages of what the array has, see the service's export_search."""
        walk = ''
        while True:
            page = self.call('export_search', since='1.2', walk=walk)
            yield page
            walk = page['walk']
            if not walk:
                return


class BackendCommand(base.Command):
    """Has a backend."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the backend."""
        parser = super().get_parser(prog_name)
        parser.add_argument('--backend', required=True, metavar='HOST',
                            help='host of the cinder-volume, node@backend')
        return parser

    def backend(self, args: argparse.Namespace) -> Backend:
        """Return the service."""
        return Backend(self.conf, args.backend)


def row(export: dict[str, Any]) -> tuple[Any, ...]:
    """The cells of an export."""
    cells = []
    for name in FIELDS:
        value = export.get(name)
        if isinstance(value, list):
            value = ', '.join(map(str, value))
        cells.append(value if isinstance(value, int) else show.text(value or ''))
    return tuple(cells)
