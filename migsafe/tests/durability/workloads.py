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
"""What is asked of a journal and a ledger: a migration, attaching and detaching.

A call is done when it has returned. What was done is asked again of a new file, and the content of
that is what must be found.
"""

import datetime
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from oslo_utils import timeutils

from migsafe import journal
from migsafe.journal import models as journal_models
from migsafe.ledger import api, models, records
from migsafe.ledger import opening as ledger_opening
from migsafe.tests.unit.journal import base

HOST = 'node13'
#: Below the directory that is there; the rest is made by the first start.
STATE = 'lib/nova/state'
FILE = f'{HOST}.sqlite'
FILL = {'fill': 'x' * 3000}


class NotTried(Exception):
    """A call needs what an earlier one would have returned, and that one failed."""


class Memory(dict[str, Any]):
    """What calls have returned."""

    def __missing__(self, name: str) -> Any:
        raise NotTried(name)

    def must_have(self, name: str) -> None:
        """Do not try a call that comes after one that has failed."""
        self[name]


Call = Callable[[Any, Memory], Any]


class Subject:
    """A kind of database and its calls.

    :param metadata: its tables
    :param calls: in turn; each gets what was opened, and what the others have returned
    :param partly: those of more than one commit: if they fail, some of it may be there
    :param touch: a write that changes no row but in its times
    """

    def __init__(self, name: str, metadata: sa.MetaData, opens: Callable[[str], Any],
                 calls: Sequence[Call], partly: Sequence[Call], touch: Call) -> None:
        self.name, self.calls, self.partly = name, tuple(calls), tuple(partly)
        self._touch = touch
        self._tables, self._open = metadata.sorted_tables, opens
        self._expected: dict[tuple[int, ...], dict[str, list[dict[str, Any]]]] = {}

    def open(self, top: str) -> Any:
        """Open it as its service does when it starts.

        :param top: the directory of the test
        """
        return self._open(os.path.join(top, STATE))

    def touch(self, opened: Any) -> None:
        """Write something that :meth:`content` does not show."""
        self._touch(opened, Memory())

    def content(self, opened: Any) -> dict[str, list[dict[str, Any]]]:
        """All rows but for tests of writing, times and what is drawn anew by each process."""
        def work(connection: sa.Connection) -> dict[str, list[dict[str, Any]]]:
            return {table.name: [
                {name: value for name, value in row.items()
                 if not name.endswith('_at') and name != 'incarnation'}
                for row in connection.execute(sa.select(table)).mappings()]
                for table in self._tables if table.name != 'migsafe_probes'}
        return opened._store.read('reading all', work)

    def expected(self, done: tuple[int, ...]) -> dict[str, list[dict[str, Any]]]:
        """What is there when these calls were done and no other."""
        if done not in self._expected:
            self._ask_again(done)
        return self._expected[done]

    def _ask_again(self, done: tuple[int, ...]) -> None:
        with tempfile.TemporaryDirectory() as top:
            opened, memory = self.open(top), Memory()
            try:
                self._expected[()] = self.content(opened)
                for count, number in enumerate(done, 1):
                    self.calls[number](opened, memory)
                    self._expected[done[:count]] = self.content(opened)
            finally:
                opened.close()


def _journal(directory: str) -> journal.Journal:
    return journal.open_journal(base.make_conf(directory), HOST)


def _ledger(directory: str) -> api.Ledger:
    return ledger_opening.open_ledger(base.make_conf('/nonexistent', ledger_path=directory), HOST)


def _after(hours: int = 24) -> datetime.datetime:
    return timeutils.utcnow() + datetime.timedelta(hours=hours)


def _begin(name: str) -> Call:
    def call(opened: journal.Journal, memory: Memory) -> None:
        memory[name] = opened.begin(
            name, 'source', f'instance-{name}', HOST, 'node11', source_boot_id='boot',
            captures=[('volume_connection', f'{name}-{volume}', {
                'connection_info': base.CONNECTION, **FILL}) for volume in 'ab'])
    return call


def _on(name: str, method: str, *given: Any, keep: str = '', **named: Any) -> Call:
    def call(opened: journal.Journal, memory: Memory) -> None:
        result = getattr(opened, method)(memory[name], *given, **named)
        if keep:
            memory[keep] = result
    return call


def _outcome(name: str, intent: str, status: str) -> Call:
    return lambda opened, memory: opened.outcome(memory[name], memory[intent], status, FILL)


def _purge(opened: journal.Journal, _memory: Memory) -> None:
    opened.purge(_after())


def _blank(opened: journal.Journal, _memory: Memory) -> None:
    opened.blank(_after())


def _migration(name: str, verdict: str) -> list[Call]:
    """Two volumes are disconnected, whatever the verdict."""
    calls = [_begin(name)]
    for volume in 'ab':
        intent = f'{name}-{volume}'
        calls += [
            _on(name, 'intent', 'host_device', 'connect_volume', intent, FILL, keep=intent),
            _outcome(name, intent, 'ok')]
    calls += [_on(name, 'request', 'peer_is_dead', {'host': 'node11'}),
              _on(name, 'postpone', 60.0, 'the peer does not answer'),
              _on(name, 'verdict', verdict, f'because of {name}'),
              _on(name, 'hold', 'host_device', f'R4 {name}-a', 'somebody has it open'),
              _on(name, 'settled', 'host_device', f'R4 {name}-a'),
              _on(name, 'finish', 'done')]
    return calls


JOURNAL = Subject(
    'journal', journal_models.Base.metadata, _journal,
    [lambda opened, _memory: opened.check_writable(),
     lambda opened, _memory: opened.set_status(
         armed=True, pid=1, boot_id='boot', plugin_version='1', nova_version='34',
         concurrency='eventlet', seams=['a']),
     *_migration('m-1', 'COMMIT'), _blank, _begin('m-2'),
     lambda opened, _memory: opened.set_findings('R9', {('i-1', 'v-1'): 'found'}),
     _purge, _on('m-2', 'note', 'after the log was emptied', FILL),
     *_migration('m-3', 'ABORT'),
     lambda opened, _memory: opened.unsettled(limit=100),
     _on('m-2', 'verdict', 'HOLD', 'nobody knows')],
    [_purge, _blank], lambda opened, _memory: opened.check_writable())


def _thing(name: str) -> records.Thing:
    return records.Thing.of('volume', name)


def _peer(host: str) -> records.Peer:
    return records.Peer.of({'host': host, 'initiator': f'iqn.1994-05.com.redhat:{host}', **FILL})


def _intend(volume: str, host: str, state: str) -> Call:
    def call(opened: api.Ledger, memory: Memory) -> None:
        peers = [_peer(host)] if state == 'unmapping' else [records.Peer(), _peer(host)]
        opened.intend(_thing(volume), peers, state, attachment=f'{volume}-{host}')
        memory[f'{volume}-{host}-{state}'] = True
    return call


def _settle(volume: str, host: str, state: str, intent: str) -> Call:
    def call(opened: api.Ledger, memory: Memory) -> None:
        memory.must_have(f'{volume}-{host}-{intent}')
        keys = [_peer(host).key] + ([''] if intent == 'mapping' else [])
        opened.settle(_thing(volume), keys, state, intent=intent,
                      **({'target': 'iqn.of.target', 'lun': '4', 'identity': ['a', 'b']}
                         if state == 'mapped' else {}))
    return call


def _of(volume: str, host: str, method: str, *given: Any) -> Call:
    return lambda opened, memory: getattr(opened, method)(
        _thing(volume), [_peer(host).key], *given)


def _attached(volume: str, host: str) -> list[Call]:
    return [_intend(volume, host, 'mapping'), _settle(volume, host, 'mapped', 'mapping')]


def _detached(volume: str, host: str) -> list[Call]:
    return [_intend(volume, host, 'unmapping'),
            lambda opened, memory: opened.renew(_thing(volume), [_peer(host).key]),
            _settle(volume, host, 'removed', 'unmapping')]


def _gone(volume: str, host: str) -> Call:
    def call(opened: api.Ledger, _memory: Memory) -> None:
        found = [row for row in opened.of(_thing(volume)) if row.peer == _peer(host).key]
        for row in found:
            opened.settle(_thing(volume), [row.peer], 'gone', read=row)
    return call


def _claim(opened: api.Ledger, _memory: Memory) -> None:
    for row in opened.of(_thing('v-2')):
        if row.host == 'node11':
            opened.claim(row)


def _ledger_purge(opened: api.Ledger, _memory: Memory) -> None:
    opened.purge(_after())


LEDGER = Subject(
    'ledger', models.Base.metadata, _ledger,
    [*_attached('v-1', 'node11'), *_attached('v-2', 'node11'), *_attached('v-1', 'node12'),
     *_detached('v-1', 'node11'), _gone('v-1', 'node11'),
     _intend('v-3', 'node12', 'mapping'), _of('v-3', 'node12', 'fail', 'the array said no'),
     lambda opened, _memory: opened.mark_target(_thing('v-1'), 'mark'),
     lambda opened, _memory: opened.look_at_target(_thing('v-1')),
     lambda opened, _memory: opened.fence('node11', 'an operator at noon'),
     _claim, lambda opened, _memory: list(opened.exports()),
     lambda opened, _memory: opened.revived('node11'),
     lambda opened, _memory: opened.swap(_thing('v-1'), _thing('v-2')),
     lambda opened, _memory: opened.adopt(_thing('v-3'), _thing('v-4')),
     *_attached('v-5', 'node14'), *_detached('v-5', 'node14'), _gone('v-5', 'node14'),
     _ledger_purge, *_attached('v-5', 'node15')],
    [_ledger_purge], lambda opened, _memory: opened.fence('no such host', 'nobody'))

def _revived(opened: api.Ledger, memory: Memory) -> None:
    # NOTE: as a command does it beside the service. It is not closed, see killed.
    memory['command'] = _ledger(os.path.dirname(opened.database))
    memory['command'].revived('node11')


#: What may have been written is taken back before it was seen: that changes no row then.
TAKEN_BACK = Subject(
    'ledger, taken back', models.Base.metadata, _ledger,
    [*_attached('v-1', 'node11'),
     lambda opened, _memory: opened.fence('node11', 'an operator at noon'), _revived],
    (), lambda opened, _memory: opened.of(_thing('v-1')))

SUBJECTS = (JOURNAL, LEDGER)
