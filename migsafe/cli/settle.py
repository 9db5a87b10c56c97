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
"""``migsafe settle``: asks nova-compute for an attempt now, or tells it what an operator knows.

That is, that a host is fenced, or that a guest is where a verdict says that it is not.

The command settles nothing by itself. It writes a request into the journal, where the recovery
of nova-compute, which has the evidence and the connections, finds it.
"""

import argparse
import time
from typing import Any

from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.cli import base, codes, config, show
from migsafe.journal import Journal, Transaction, residue
from migsafe.transaction import history

COLUMNS = ('UUID', 'Host', 'Role', 'Instance', 'Result', 'Verdict', 'Reason')
POLL = 0.5
WARNING = """\
You are about to confirm that {host} is dead: that it runs no guest, and that nobody will start it
without looking. Once its nova-compute is forced down in Nova, too, and silent, {count} live
migration(s) will be settled without asking it.
If {host} does run one of these guests, two copies of it will write to the same disks, and they
will be destroyed. Power it off or fence it FIRST, and look at its console, not at the state of
its service.
Type the name of the host to go on: """
WITHDRAWAL = """\
You are about to say that instance {instance} runs on {host}, against what is journalled
of live migration {uuid} here ({verdict}), or was told. If nova-compute sees the guest
there and not on the other host, it will take back a verdict to the contrary, and any word that
{host} is dead, and will bring the instance's records, devices and exports to {host}.
Look for the guest on BOTH hosts first (virsh list --all).
Type the name of the host that it runs on to go on: """


class Settle(base.Command):
    """Ask nova-compute to settle what is left of live migrations, and show what came of it."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add what to settle."""
        parser = super().get_parser(prog_name)
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument('uuid', nargs='?', metavar='UUID', help="Nova's migration uuid")
        which.add_argument('--instance', metavar='UUID', help='all of one instance')
        which.add_argument('--all', action='store_true', help='everything that is unsettled')
        parser.add_argument(
            '--peer-is-dead', metavar='HOST', help='confirm that the other host is powered off '
            'or fenced and runs no guest, as its forced_down in Nova says ("openstack compute '
            'service set --down HOST nova-compute"), which is enough without this if [migsafe] '
            'believe_forced_down is true; asks for the name of the host')
        parser.add_argument(
            '--withdraw', metavar='HOST', help='take back a wrong verdict, or a wrong '
            '--peer-is-dead, of one migration: the guest runs on this host. Done only if '
            'nova-compute sees it there and not on the other one; asks for confirmation')
        parser.add_argument('--yes', action='store_true',
                            help='do not ask; for scripts that have fenced the host')
        parser.add_argument('--wait', type=float, default=60.0, metavar='SECONDS',
                            help='how long to wait for nova-compute (default: %(default)g)')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Write the requests, wait, and return one row per transaction."""
        if parsed_args.withdraw is not None and (
                not parsed_args.uuid or parsed_args.peer_is_dead is not None):
            raise exceptions.MigsafeError(
                '--withdraw is for one migration: give its uuid, and not --peer-is-dead.')
        with config.opened(self.conf) as journal:
            chosen = self._choose(journal, parsed_args)
            if not chosen:
                self.say('Nothing is unsettled.')
                return COLUMNS, []
            if parsed_args.peer_is_dead and not parsed_args.yes:
                dead = parsed_args.peer_is_dead
                self.confirm(WARNING.format(host=show.text(dead), count=len(chosen)), dead)
            if parsed_args.withdraw is not None:
                self._confirm_withdrawal(chosen, parsed_args.withdraw)
            for tx in chosen:
                self._request(journal, tx, parsed_args)
            rows = self._wait(journal, chosen, parsed_args.wait)
        settled = all(row[4] == 'settled' for row in rows)
        self.exit_code = codes.REPAIRED if settled else codes.FOUND
        if not settled:
            self.say('The requests stay in the journal; nova-compute goes on trying. See '
                     '"migsafe status" if it does not.')
        return COLUMNS, rows

    def _choose(self, journal: Journal, args: argparse.Namespace) -> list[Transaction]:
        if args.uuid and journal.get(args.uuid, all_hosts=True) is None:
            raise exceptions.JournalNotFound(
                database=journal.database, uuid=show.text(args.uuid))
        found = [tx for tx in residue.unsettled(journal, args.instance)
                 if args.uuid is None or show.cell(tx, 'uuid') == args.uuid]
        self.found(show.problems(found))
        dead = args.peer_is_dead
        if dead is None:
            return found
        # NOTE: a journal of the dead host itself has nobody left who would read the request.
        fits = [tx for tx in found if show.cell(tx, 'host') != dead
                and dead in (show.cell(tx, 'source_host'), show.cell(tx, 'dest_host'))]
        if found and not fits:
            raise exceptions.JournalBadValue(
                what=f'that {show.text(dead)} is dead',
                reason='it is the peer of none of the unsettled transactions that were chosen; '
                'see "migsafe journal list --state open"')
        return fits

    def _confirm_withdrawal(self, chosen: list[Transaction], host: str) -> None:
        for tx in chosen:
            sides = [show.cell(tx, 'source_host'), show.cell(tx, 'dest_host')]
            if not host or host not in sides:
                raise exceptions.JournalBadValue(
                    what=f'that the guest runs on {show.text(host)}',
                    reason=f'migration {show.cell(tx, "uuid")} was from '
                    f'{show.text(sides[0])} to {show.text(sides[1])}')
            self.confirm(WITHDRAWAL.format(
                instance=show.cell(tx, 'instance_uuid'), uuid=show.cell(tx, 'uuid'),
                verdict=show.cell(tx, 'verdict'), host=show.text(host)), host)

    @staticmethod
    def _request(journal: Journal, tx: Transaction, args: argparse.Namespace) -> None:
        payload = {'user': base.operator(), 'at': timeutils.utcnow().isoformat()}
        try:
            if args.withdraw is not None:
                journal.request(tx, history.WITHDRAW, {'host': args.withdraw, **payload})
            elif args.peer_is_dead is None:
                journal.request(tx, 'settle', payload)
            else:
                journal.request(tx, 'peer_is_dead', {'host': args.peer_is_dead, **payload})
        except (exceptions.JournalTransactionSettled, exceptions.JournalNotFound):
            # NOTE: nova-compute was faster; the result below says so.
            return

    def _wait(self, journal: Journal, chosen: list[Transaction],
              seconds: float) -> list[tuple[Any, ...]]:
        deadline = time.monotonic() + seconds
        waiting = {tx.id: tx for tx in chosen}
        rows: dict[int, tuple[Any, ...]] = {}
        while True:
            for number, tx in list(waiting.items()):
                rows[number] = self._result(journal, tx)
                if rows[number][4] == 'settled':
                    del waiting[number]
            if not waiting or time.monotonic() >= deadline:
                return [rows[tx.id] for tx in chosen]
            time.sleep(POLL)

    @staticmethod
    def _result(journal: Journal, tx: Transaction) -> tuple[Any, ...]:
        now = journal.refresh(tx)
        if now is None:
            return (*(show.cell(tx, n) for n in ('uuid', 'host', 'role', 'instance_uuid')),
                    'settled', None, 'it is settled and was purged since')
        state = show.cell(now, 'state')
        tried = show.cell(now, 'attempts') != show.cell(tx, 'attempts')
        result = state if state == 'settled' else 'held' if tried else 'waiting'
        return (*(show.cell(now, n) for n in ('uuid', 'host', 'role', 'instance_uuid')), result,
                show.cell(now, 'verdict'), show.cell(now, 'reason'))
