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
"""``migsafe export``: what a backend of Cinder has mapped, asked from its cinder-volume."""

import argparse
from typing import Any

from migsafe import exceptions
from migsafe.cli import base, bus, codes, export_backend, show

#: Volumes of unknown mappings that are looked at one by one.
LIMIT = 1000
WARNING = """\
You are about to declare that {host} is fenced: powered off, or cut off from the storage, and that
it stays so until nothing is mapped to it any more. migsafe will take away {count} export(s) that
it has in {backend}, also where the array says that it has them in use, and lets other hosts have
those volumes even while the array cannot take them away.
If {host} does run a guest with one of them, two copies of it will write to the same disks, and
they will be destroyed. Power it off or fence it FIRST, and look at its console, not at the state
of its service.
Type the name of the host to go on: """


class ExportList(export_backend.BackendCommand):
    """Show what the ledger of a backend holds; the exit code is 3 if an export is in doubt."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the volume."""
        parser = super().get_parser(prog_name)
        parser.add_argument('--volume', default='', metavar='UUID',
                            help='of one volume or snapshot, with what is gone')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return one row per export."""
        rows = list(self.backend(parsed_args).exports(parsed_args.volume))
        if any(row['state'] not in ('mapped', 'gone') for row in rows):
            self.exit_code = codes.FOUND
        return export_backend.COLUMNS, [export_backend.row(row) for row in rows]


class ExportShow(ExportList):
    """Show what the ledger holds of one volume, with what is gone."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Take the volume as an argument."""
        parser = export_backend.BackendCommand.get_parser(self, prog_name)
        parser.add_argument('volume', metavar='UUID', help='of a volume or snapshot')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return one row per export; nothing at all is more likely a wrong uuid or backend."""
        columns, rows = super().take_action(parsed_args)
        if not rows:
            raise exceptions.MigsafeError(
                f'The ledger of {show.text(parsed_args.backend)} has never had an export of '
                f'{show.text(parsed_args.volume)}. See "migsafe export list --backend HOST", and '
                'os-vol-host-attr:host in "openstack volume show" for the backend that it is in.')
        return columns, rows


class ExportVerify(export_backend.BackendCommand):
    """Compare ledger, array and Cinder's attachments.

    The exit code is 3 if they differ. It is 1 if nothing was found, but the array was not asked,
    because the backend has no inspector that can.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the volumes."""
        parser = super().get_parser(prog_name)
        parser.add_argument('volume', nargs='*', metavar='UUID',
                            help='volumes; default: all in the ledger, and all that the array has')
        parser.add_argument('--limit', type=int, default=LIMIT, metavar='NUMBER',
                            help='of the volumes with a mapping that neither the ledger nor '
                            'an attachment explains, at most so many are looked at one by one, '
                            'which is a request to the array for each; the others are counted '
                            '(default: %(default)d)')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return one row per difference."""
        backend = self.backend(parsed_args)
        rows, blind, others, more = list[tuple[str, str]](), False, 0, 0
        volumes = dict.fromkeys(parsed_args.volume)
        if not volumes:
            suspected: dict[str, None] = {}
            for page in backend.search():
                blind = blind or not page['array']
                suspected |= dict.fromkeys(page['volumes'])
                rows += page['differences']
                others += page['others']
            volumes = dict.fromkeys(
                row['resource'] for row in backend.exports() if row['kind'] == 'volume')
            new = [volume for volume in suspected if volume not in volumes]
            volumes |= dict.fromkeys(new[:parsed_args.limit])
            more = len(new[parsed_args.limit:])
        for volume in volumes:
            found = backend.call('export_verify', volume=volume)
            blind = blind or not found['array']
            rows += [(volume, text) for text in found['differences']]
        if more:
            self.say(f'{more} more volume(s) have a mapping that was not explained when the array '
                     'was gone through; they were not looked at one by one. Name volumes, or give '
                     'a higher --limit.')
        if others:
            self.say(f'{others} mapping(s) in the array are not named as Cinder names volumes '
                     'and snapshots; they were left out.')
        if blind:
            self.say('The array was NOT asked, or not of everything: the inspector of this '
                     'backend cannot (migsafe_inspector). What it maps beside the ledger and the '
                     'attachments is not known.')
        self.exit_code = codes.FOUND if rows or more else codes.ERROR if blind else codes.CLEAN
        return ('Volume', 'Difference'), [tuple(map(show.text, row)) for row in rows]


class ExportRevert(export_backend.BackendCommand):
    """Take stale exports away. Make sure first that the host does not use the volumes.

    An export that an attachment of Cinder has stays, and one that the array says is in use, unless
    its host is fenced.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the exports."""
        parser = super().get_parser(prog_name)
        parser.add_argument('volume', nargs='*', metavar='UUID',
                            help='volumes; only with --host-is-fenced they may be left out, for '
                            'all that the host has')
        parser.add_argument('--from-host', required=True, metavar='HOST',
                            help='the host whose exports they are')
        parser.add_argument(
            '--host-is-fenced', action='store_true', help='the host is powered off or cut off '
            'from the storage, and stays so, as its forced_down in Nova says; asks for '
            'confirmation')
        parser.add_argument(
            '--initiator', metavar='NAME', help='an initiator of HOST: also what the array maps '
            'one volume to there and nobody has recorded; the volume must be attached nowhere')
        parser.add_argument(
            '--not-mapped', action='store_true', help='you have looked in the array, and it does '
            'not map the volumes to HOST: for drivers that fail to unmap what is not mapped, '
            'where the inspector cannot ask the array')
        parser.add_argument('--yes', action='store_true',
                            help='do not ask; for scripts that have fenced the host')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Revert, and return what is known afterwards."""
        backend, volumes = self.backend(parsed_args), parsed_args.volume
        if parsed_args.initiator and len(volumes) != 1:
            raise exceptions.MigsafeError('Name one volume with --initiator.')
        if parsed_args.host_is_fenced:
            volumes = self._fence(backend, parsed_args)
        elif not volumes:
            raise exceptions.MigsafeError(
                'Name the volumes. All exports of a host are only taken away with '
                '--host-is-fenced.')
        else:
            self._take_up(backend, parsed_args)
        rows = self._revert(backend, volumes, parsed_args)
        gone = all(row['state'] == 'gone' for row in rows)
        self.exit_code = codes.REPAIRED if gone else codes.FOUND
        if parsed_args.host_is_fenced and not gone:
            self.say('What is not gone is tried again until it is; leave the host powered off '
                     'until then. Other hosts can have these volumes now, except where an '
                     'attachment is still there: evacuate its instance.')
        return export_backend.COLUMNS, [export_backend.row(row) for row in rows]

    def _revert(self, backend: export_backend.Backend, volumes: list[str],
                args: argparse.Namespace) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        answers = True
        word = {'since': '1.4', 'not_mapped': base.operator()[:100]} if args.not_mapped else {}
        for volume in volumes:
            try:
                if answers:
                    rows += backend.call('export_revert', volume=volume, host=args.from_host,
                                         **word)['exports']
            except bus.NoAnswer as error:
                if not args.host_is_fenced:
                    raise
                # NOTE: an array that hangs; the marks are there, and the service goes on.
                self.say(str(error))
                answers = False
            if not answers:
                rows += (row for row in backend.exports(volume) if row['host'] == args.from_host)
        return rows

    @staticmethod
    def _take_up(backend: export_backend.Backend, args: argparse.Namespace) -> None:
        """Let the service record what it is about, if only the array knows it."""
        if args.initiator:
            backend.call('export_take_up', since='1.2', volume=args.volume[0],
                         host=args.from_host, initiator=args.initiator)

    def _fence(self, backend: export_backend.Backend, args: argparse.Namespace) -> list[str]:
        """Put the mark on the exports; give their volumes."""
        host = args.from_host
        found = [row for row in backend.exports(host=host)
                 if not args.volume or row['resource'] in args.volume]
        if args.initiator and not found:
            found = [{'resource': args.volume[0], 'kind': 'volume'}]
        for volume in sorted({*args.volume} - {row['resource'] for row in found}):
            self.say(f'{show.text(host)} has no export of volume {show.text(volume)}.')
        if found and not args.yes:
            self.confirm(WARNING.format(host=show.text(host), count=len(found),
                                        backend=show.text(args.backend)), host)
        self._take_up(backend, args)
        backend.call('export_fence', since='1.1', host=host, user=base.operator()[:100],
                     volumes=args.volume)
        return list(dict.fromkeys(row['resource'] for row in found if row['kind'] == 'volume'))


class ExportUnfence(export_backend.BackendCommand):
    """Take back that a host is fenced: it may have volumes again, and what it has counts."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the host."""
        parser = super().get_parser(prog_name)
        parser.add_argument('fenced_host', metavar='HOST',
                            help='the host that was declared fenced')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Take it back, and return what the host has."""
        backend, host = self.backend(parsed_args), parsed_args.fenced_host
        backend.call('export_unfence', since='1.3', host=host, user=base.operator()[:100])
        rows = backend.exports(host=host)
        return export_backend.COLUMNS, [export_backend.row(row) for row in rows]
