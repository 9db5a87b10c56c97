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
"""From database rows to records: one table says what each column may hold."""

import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any

from migsafe.journal import models, records

ROLES = ('source', 'destination', 'repair')
STATES = ('open', 'settled')
VERDICTS = ('COMMIT', 'ABORT', 'HOLD')
STATUSES = ('ok', 'error', 'unknown')
KINDS = ('capture', 'intent', 'outcome', 'verdict', 'settled', 'hold', 'request', 'note')

Check = Callable[[Any], Any]


def is_(kind: type, *, optional: bool = False) -> Check:
    def check(value: Any) -> Any:
        if value is None and optional:
            return None
        if isinstance(value, bool) or not isinstance(value, kind):
            raise ValueError(f'is not a {kind.__name__}')
        return value
    return check


def one_of(words: tuple[str, ...], *, optional: bool = False) -> Check:
    def check(value: Any) -> Any:
        if (value is None and optional) or value in words:
            return value
        raise ValueError(f'is {str(value)[:40]!r}, which is none of {", ".join(words)}')
    return check


def json_of(*kinds: type) -> Check:
    def check(value: Any) -> Any:
        if value is None and dict in kinds:
            return None
        # NOTE: the message must not quote the content; it may be a CHAP secret.
        try:
            found = json.loads(value)
        except (TypeError, ValueError, RecursionError):
            raise ValueError(f'holds {len(str(value))} characters that are not JSON') from None
        if not isinstance(found, kinds):
            raise ValueError(f'holds a JSON {type(found).__name__}')
        return found
    return check


def _flag(value: Any) -> bool:
    if value not in (0, 1):
        raise ValueError('is not a boolean')
    return bool(value)


TEXT = is_(str)
TEXT_OR_NONE = is_(str, optional=True)
NUMBER = is_(int)
NUMBER_OR_NONE = is_(int, optional=True)
TIME = is_(datetime.datetime)
TIME_OR_NONE = is_(datetime.datetime, optional=True)

TRANSACTION: dict[str, Check] = {
    'id': NUMBER, 'uuid': TEXT, 'host': TEXT, 'role': one_of(ROLES), 'instance_uuid': TEXT,
    'source_host': TEXT, 'dest_host': TEXT, 'source_boot_id': TEXT_OR_NONE,
    'dest_boot_id': TEXT_OR_NONE, 'migration_id': NUMBER_OR_NONE, 'state': one_of(STATES),
    'verdict': one_of(VERDICTS, optional=True), 'reason': TEXT, 'attempts': NUMBER,
    'next_attempt_at': TIME, 'created_at': TIME, 'updated_at': TIME, 'settled_at': TIME_OR_NONE,
}
RECORD: dict[str, Check] = {
    'id': NUMBER, 'transaction_id': NUMBER, 'kind': one_of(KINDS), 'resource': TEXT,
    'key': TEXT, 'effect': TEXT, 'status': TEXT, 'payload': json_of(dict, list),
    'ref': NUMBER_OR_NONE, 'created_at': TIME, 'text': TEXT,
}
SERVICE: dict[str, Check] = {
    'host': TEXT, 'armed': _flag, 'pid': NUMBER, 'started': NUMBER_OR_NONE, 'boot_id': TEXT,
    'plugin_version': TEXT,
    'nova_version': TEXT, 'concurrency': TEXT, 'seams': json_of(list), 'detail': TEXT,
    'updated_at': TIME,
}
FINDING: dict[str, Check] = {
    'id': NUMBER, 'host': TEXT, 'kind': TEXT, 'instance_uuid': TEXT, 'key': TEXT, 'text': TEXT,
    'created_at': TIME, 'updated_at': TIME,
}


def read(checks: Mapping[str, Check], row: Any, database: str, table: str) -> dict[str, Any]:
    """Return the columns of a row, those that cannot be read as ``records.Corrupt``."""
    found: dict[str, Any] = {}
    for column, check in checks.items():
        try:
            found[column] = check(getattr(row, column))
        except ValueError as exc:
            where = getattr(row, 'id', None) or getattr(row, 'host', None)
            found[column] = records.Corrupt(
                database, table, where, column, str(exc))
    return found


def transaction(row: Any, database: str) -> records.Transaction:
    """Return the record of a row of the table of transactions."""
    return records.Transaction(**read(TRANSACTION, row, database, models.TRANSACTIONS.name))


def record(row: Any, database: str) -> records.Record:
    """Return the record of a row of the log."""
    return records.Record(**read(RECORD, row, database, models.RECORDS.name))


def service(row: Any, database: str) -> records.ServiceStatus:
    """Return the record of a row of the table of services."""
    return records.ServiceStatus(**read(SERVICE, row, database, models.SERVICES.name))


def finding(row: Any, database: str) -> records.Finding:
    """Return the record of a row of the table of findings."""
    return records.Finding(**read(FINDING, row, database, models.FINDINGS.name))
