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
"""``migsafe export adopt``: Cinder's attachments, and a former ledger, as the truth."""

import argparse
from typing import Any

from migsafe.cli import base, codes, export_backend, show

COLUMNS = ('Volume', 'Step')


class ExportAdopt(export_backend.BackendCommand):
    """Bring the ledger of a backend up to Cinder's attachments; shows the plan, unless --yes.

    For a backend that was renamed or made a cluster, that another host has served with a ledger
    of its own, or whose guard was off for a while. What is in a ledger of a former name is taken
    over; what has an attachment is recorded; an export whose attachment is gone is recorded as
    gone, unless the array says that it is there. Nothing is mapped or unmapped by this. The exit
    code is 3 if there is anything to do, and 4 if all of it was done.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add whether to do it."""
        parser = super().get_parser(prog_name)
        parser.add_argument('--yes', action='store_true', help='carry the plan out')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return one row per step."""
        backend = self.backend(parsed_args)
        rows, left = self._walk(backend, parsed_args.yes)
        if parsed_args.yes:
            # NOTE: what was done is seen to be done.
            again, left = self._walk(backend, False)
            rows += [row for row in again if row not in rows]
        self.exit_code = codes.CLEAN if not rows else codes.FOUND if (
            left or not parsed_args.yes) else codes.REPAIRED
        if rows and not parsed_args.yes:
            self.say('Nothing was done yet. If this is right, give --yes.')
        return COLUMNS, [tuple(map(show.text, row)) for row in rows]

    @staticmethod
    def _walk(backend: export_backend.Backend,
              carry_out: bool) -> tuple[list[tuple[str, str]], int]:
        rows, left, after = list[tuple[str, str]](), 0, ''
        while True:
            page = backend.call('export_adopt', since='1.4', after=after, carry_out=carry_out,
                                user=base.operator()[:100])
            rows += [(volume, what) for volume, what in page['steps']]
            left += page['left'] if not carry_out else 0
            after = page['after']
            if not after:
                return rows, left
