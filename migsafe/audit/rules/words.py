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
"""Words that the rules share."""

from __future__ import annotations

import datetime

from migsafe.audit.facts import Case, Life, Migration
from migsafe.masking import one_line


def where(case: Case) -> str:
    """Where the records have the instance, in words."""
    if case.instance.life is Life.DELETED:
        return 'no host: it is deleted'
    if case.instance.life is Life.PURGED:
        return 'no host: no database has it any more'
    return case.instance.host or 'no host'


def hosts_of(case: Case, *more: str | None) -> tuple[str, ...]:
    """The hosts that a finding is about, the instance's own first."""
    return tuple(dict.fromkeys(host for host in (case.instance.host, *more) if host))


def shown(**evidence: object) -> tuple[tuple[str, str], ...]:
    """Evidence as text, without what is not known."""
    return tuple((name, _text(value)) for name, value in evidence.items()
                 if value is not None and value != '')


def _text(value: object) -> str:
    if isinstance(value, datetime.datetime):
        return value.isoformat(' ', 'seconds')
    return one_line(value)


def told(migration: Migration | None) -> str:
    """A migration in one phrase."""
    if migration is None:
        return 'none'
    return (f'{migration.number} ({migration.kind or "migration"} {migration.source} -> '
            f'{migration.dest}, {migration.status})')
