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
"""``migsafe residue list``: what is unsettled or held, piece by piece."""

import argparse
from collections.abc import Iterable
from typing import Any

from oslo_config import cfg

from migsafe.cli import base, config, fleet, show
from migsafe.journal import residue

COLUMNS = ('Kind', 'State', 'Resource', 'Host', 'Key', 'Since', 'Transaction', 'Instance',
           'Reason')


class Reason(show.Short):
    """Without what the other cells say; once, where the piece above has the same.

    :param above: that piece, if there is one
    """

    def __init__(self, piece: residue.Piece, above: residue.Piece | None) -> None:
        super().__init__(piece.reason)
        self._bare = _bare(piece)
        self._again = above is not None and _bare(above) == self._bare

    def human_readable(self) -> str:
        """Return as much as stays readable in a cell."""
        return 'as above' if self._again else show.brief(self._bare)


def _bare(piece: residue.Piece) -> str:
    """The reason without the kind, resource and key that begin it."""
    begin = ' '.join(word for word in (piece.kind, piece.resource, piece.key) if word)
    return piece.reason.removeprefix(f'{begin} ')


class ResidueList(base.Command):
    """List what is unsettled or held, with the reason; exit code 3 if there is anything.

    It is 3 as well where nothing can be known: nova-compute has never reported, or, with --fleet,
    a host does not answer. For people a reason is cut to its beginning and the command that it
    names; the whole is in -f json, and in "migsafe journal show" of the transaction.
    """

    SHORT = ('Kind', 'State', 'Key', 'Host', 'Transaction', 'Reason')

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the filters."""
        parser = super().get_parser(prog_name)
        parser.add_argument('--instance', metavar='UUID', help='only those of one instance')
        fleet.add_argument(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return one row per piece, and one per transaction that has none to show."""
        conf, instance = self.conf, parsed_args.instance
        if parsed_args.fleet is None:
            found = self._here(conf, instance)
        else:
            found = [piece for one in fleet.asked(conf, parsed_args.fleet)
                     for piece in self._of(one) if instance in (None, piece.instance)]
        self._say(found)
        return COLUMNS, [(*piece[:-1], Reason(piece, above))
                         for piece, above in zip(found, [None, *found], strict=False)]

    def _here(self, conf: cfg.ConfigOpts, instance: str | None) -> list[residue.Piece]:
        with config.opened(conf) as journal:
            found = list(residue.listed(journal, instance, all_hosts=True,
                                        damaged=self._damaged))
            hosts = {str(show.cell(one, 'host')) for one in journal.statuses(all_hosts=True)}
        self.one_host(conf, hosts)
        if conf.host not in hosts and (not hosts or self.app_args.compute_host):
            self.found([f'nova-compute of {show.text(conf.host)} has never reported, so that '
                        'nothing is known of it. See "migsafe status".'])
        return found

    def _of(self, one: fleet.Overview) -> Iterable[residue.Piece]:
        if one.state == 'unknown' or one.state == 'unarmed':
            self.found([f'{one.host}: nothing is known: {one.detail}'])
        if one.more:
            self.found([f'{one.host} has more than is shown here; run "migsafe residue list" '
                        'there.'])
        return one.residue

    def _damaged(self, rows: Iterable[Any]) -> None:
        self.found(show.problems(rows))

    def _say(self, found: list[residue.Piece]) -> None:
        by_hand = sum(piece.state == 'found' for piece in found)
        if len(found) > by_hand:
            self.found([f'{len(found) - by_hand} found. nova-compute tries again by itself; '
                        '"migsafe settle" asks for it now.'])
        if by_hand:
            self.found([f'{by_hand} found that a person has to see to; the reason says how.'])
