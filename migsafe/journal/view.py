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
"""From records to plain values for people: without secrets, and harmless to a terminal."""

import datetime
from typing import Any

from migsafe import exceptions
from migsafe.journal.redact import redact
from migsafe.journal.values import prose

UNREADABLE = '<unreadable>'


def cell(row: Any, name: str) -> Any:
    """Return a field of a record for display; an unreadable one never hides the others."""
    try:
        value = getattr(row, name)
    except exceptions.JournalCorrupt:
        return UNREADABLE
    if isinstance(value, datetime.datetime):
        return moment(value)
    return text(value) if isinstance(value, str) else value


def text(value: object) -> str:
    """Return text on one line, masked, with nothing in it that a terminal would obey."""
    return ' '.join(prose(redact(str(value))).split())


def moment(value: datetime.datetime | None) -> str | None:
    """Return a time as UTC to the second, the way logs show it."""
    return value.strftime('%Y-%m-%d %H:%M:%S') if value else None
