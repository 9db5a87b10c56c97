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
"""Whether a live migration is stuck.

What is asked is only what this host sees by itself: its own libvirt, its journal, the threads of
its nova-compute; and Nova's records last.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

from migsafe.text import shell
from migsafe.watch.migration import Migration, Progress, State


class Act(enum.Enum):
    """What may be done about a reason, by ``[migsafe] stuck_policy``."""

    NOTHING = 'nothing'
    #: end the transfer through Nova; the guest stays where it is
    ABORT = 'abort'
    #: have recovery try at once
    SETTLE = 'settle'


@dataclasses.dataclass(frozen=True)
class Look:
    """What one look at a migration has found.

    :param status: of Nova's record; empty if there is none
    :param live: whether nova-compute here is at it, or has it in its line
    :param unsettled: whether this host's journal has it as not settled
    :param tried: whether recovery has tried that already
    :param held: why it is not settled
    :param peer: the other host; empty if none is chosen yet
    :param peer_down: whether Nova's record of the other nova-compute says that it is down
    :param still: seconds for which nothing has moved
    :param allowed: seconds that Nova's time-outs allow for what it is at; None is no limit
    :param busy: seconds for which it has been at that
    """

    migration: str
    instance: str
    role: str
    source: str
    destination: str
    age: float
    phase: str
    status: str = ''
    live: bool = False
    unsettled: bool = False
    tried: bool = False
    held: str = ''
    peer_down: bool = False
    still: float = 0.0
    busy: float = 0.0
    allowed: float | None = None
    progress: Progress | None = None

    @property
    def peer(self) -> str:
        """The other host."""
        return self.destination if self.role == 'source' else self.source


@dataclasses.dataclass(frozen=True)
class Row:
    """A row of the table.

    :param when: column -> its value; what is not named may be anything
    :param why: what was found; names of :class:`Look`, ``after`` and ``host`` stand in braces
    :param cure: the option or command that helps
    """

    when: dict[str, Any]
    state: State
    why: str = ''
    cure: str = ''
    act: Act = Act.NOTHING


S, A = State, Act
_END = ('"openstack server migration abort {instance} ID" ends it, and the guest stays where it '
        'is; ID is that of "openstack server migration list --server {instance}"')
_HELD = '"migsafe journal show {migration}" on {host} says what it waits for'
#: The first row that fits decides.
TABLE: tuple[Row, ...] = (
    Row({'live': True, 'transfer': True, 'still': True}, S.STUCK,
        'nothing of the guest has been sent for {still:.0f} seconds ([migsafe] stuck_after = '
        '{after})', f'Look at the network between {{source}} and {{destination}}. {_END}',
        A.ABORT),
    Row({'live': True, 'transfer': True, 'overdue': True}, S.STUCK,
        'it has been sent for {busy:.0f} seconds, and [libvirt] live_migration_completion_timeout '
        'allows {allowed:.0f}', _END, A.ABORT),
    Row({'live': True, 'peer_down': True}, S.STUCK,
        "nova-compute on {peer} is down by Nova's record, and the end of the migration needs it",
        'Start it; "openstack compute service list --host {peer}" shows its state'),
    Row({'live': True, 'still': True}, S.STUCK,
        'no step was taken for {still:.0f} seconds ([migsafe] stuck_after = {after})',
        'Look at the log of nova-compute on {source} and on {destination} for what it waits for'),
    Row({'live': True, 'overdue': True}, S.STUCK,
        'it has lasted {busy:.0f} seconds without a transfer, and [DEFAULT] long_rpc_timeout and '
        'vif_plugging_timeout allow {allowed:.0f}',
        'Look at the log of nova-compute on {source} and on {destination} for what it waits for'),
    Row({'live': True}, S.RUNNING),
    Row({'unsettled': True, 'peer_down': True}, S.UNSETTLED,
        "nova-compute on {peer} is down by Nova's record. {held}",
        f'Start it, or "migsafe settle --help" if it is dead for good. {_HELD}', A.SETTLE),
    Row({'unsettled': True, 'tried': True}, S.UNSETTLED, '{held}', _HELD, A.SETTLE),
    Row({'unsettled': True, 'role': 'destination'}, S.UNSETTLED,
        'it is left to {source}, which leads; {host} follows'),
    Row({'unsettled': True}, S.UNSETTLED, 'it is about to be settled'),
    Row({'still': True}, S.STUCK,
        "Nova's record of it is {status}, and nothing on {host} is at it, for {still:.0f} seconds",
        'Recovery takes it up [migsafe] adopt_after seconds after the record was written last; '
        'the log of nova-compute on {host} says what is in the way', A.SETTLE),
    Row({}, S.RUNNING),
)


def judge(found: Look, host: str, after: float) -> tuple[Migration, Row]:
    """How it stands.

    :param host: who looks
    :param after: seconds without a step after which it is stuck; 0 is never
    :returns: the migration, and the row that it is judged by
    """
    columns = {
        'role': found.role, 'live': found.live, 'unsettled': found.unsettled, 'tried': found.tried,
        'transfer': found.progress is not None, 'peer_down': found.peer_down,
        'still': bool(after) and found.still >= after,
        'overdue': found.allowed is not None and found.busy > found.allowed}
    row = next(row for row in TABLE if all(
        columns[name] == value for name, value in row.when.items()))
    return Migration(
        row.state.value, found.migration, found.instance, host, found.role, found.source,
        found.destination, found.age, found.phase,
        found.progress.percent if found.progress else None, _said(row, found, host, after)
    ), row


def _said(row: Row, found: Look, host: str, after: float) -> str:
    """The reason in words; what stands in a command is one word of it."""
    named: dict[str, Any] = {
        **vars(found), 'peer': found.peer, 'host': host, 'after': f'{after:g}'}
    why = row.why.format(**named).strip().rstrip('.')
    cure = row.cure.format(**{name: shell(value) if isinstance(value, str) else value
                              for name, value in named.items()})
    return '. '.join(filter(None, (why, cure))) + ('.' if why else '')
