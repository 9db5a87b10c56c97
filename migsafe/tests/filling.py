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
"""Journals and ledgers that have been kept for long."""

import contextlib
import datetime
import itertools
from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from oslo_serialization import jsonutils

from migsafe.journal import models
from migsafe.journal.store import Store
from migsafe.ledger import models as ledger_models
from migsafe.tests.unit.journal import base

CHUNK = 10_000
SECOND = datetime.timedelta(seconds=1)
PAYLOAD = jsonutils.dumps({'connection_info': base.CONNECTION, 'attachment': 'a' * 36})


def transactions(store: Store, hosts: Sequence[str], count: int, lines: int,
                 last: datetime.datetime) -> None:
    """Write transactions that were settled, one each second.

    :param hosts: in turn
    :param lines: of each one's log
    :param last: naive UTC; when the last one was settled
    """
    for first in range(1, count + 1, CHUNK):
        numbers = range(first, min(first + CHUNK, count + 1))
        with store.engine.begin() as connection:
            connection.execute(sa.insert(models.TRANSACTIONS), [
                _transaction(number, hosts[number % len(hosts)], last - (count - number) * SECOND)
                for number in numbers])
            connection.execute(sa.insert(models.RECORDS), [
                _line(number, hosts[number % len(hosts)], kind, last)
                for number in numbers for kind in range(lines)])


def _transaction(number: int, host: str, when: datetime.datetime) -> dict[str, object]:
    return {'id': number, 'uuid': f'{number:036}', 'host': host, 'role': 'source',
            'instance_uuid': f'{number % 1000:036}', 'source_host': host, 'dest_host': 'node11',
            'source_boot_id': 'b' * 36, 'dest_boot_id': 'b' * 36, 'migration_id': number,
            'state': 'settled', 'verdict': 'COMMIT', 'reason': 'the guest runs there',
            'attempts': 1, 'next_attempt_at': when, 'created_at': when, 'updated_at': when,
            'settled_at': when}


def _line(number: int, host: str, kind: int, when: datetime.datetime) -> dict[str, object]:
    return {'transaction_id': number, 'host': host, 'kind': 'capture', 'resource': 'volume',
            'key': f'{kind}', 'effect': '', 'status': '', 'text': '', 'payload': PAYLOAD,
            'ref': None, 'created_at': when}


def exports(store: Store, backend: str, whens: Iterator[tuple[str, datetime.datetime]]) -> None:
    """Write rows of volumes.

    :param whens: state and time of each
    """
    numbered = enumerate(whens)
    while chunk := list(itertools.islice(numbered, CHUNK)):
        with store.engine.begin() as connection:
            connection.execute(sa.insert(ledger_models.EXPORTS), [{
                'backend': backend, 'kind': 'volume', 'resource': f'{number:036}',
                'peer': 'p' * 64, 'host': 'node13', 'initiators': '["iqn.13"]',
                'connector': PAYLOAD, 'attachment': 'a' * 36, 'state': state, 'before': 'mapped',
                'target': 't', 'lun': '4', 'identity': '[]', 'service': backend,
                'incarnation': 'i', 'error': '', 'attempts': 0, 'due_at': None,
                'created_at': when, 'updated_at': when} for number, (state, when) in chunk])


@contextlib.contextmanager
def steps(store: Store) -> Iterator[list[int]]:
    """Count what SQLite does for a store meanwhile: instructions of its machine, by 100."""
    counted = [0]

    def count() -> int:
        counted[0] += 1
        return 0

    def watch(connection, _record):
        connection.set_progress_handler(count, 100)
    writer = store._writer.connection.driver_connection
    sa.event.listen(store.engine, 'connect', watch)
    watch(writer, None)
    try:
        yield counted
    finally:
        writer.set_progress_handler(None, 0)
        sa.event.remove(store.engine, 'connect', watch)
