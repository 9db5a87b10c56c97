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
"""Bounds on what may be written, checked before the database sees it."""

from typing import Any

from oslo_serialization import jsonutils

from migsafe import exceptions, masking

PAYLOAD_LIMIT = 4 * 1024 * 1024
TEXT_LIMIT = 16 * 1024
#: MariaDB's TEXT has 65,535 bytes, of which a character may take four.
TEXT_BYTES = 65_000


def dump(what: str, payload: Any) -> str | None:
    """Return ``payload`` as JSON text.

    :param what: names the write in an error; the payload itself is never shown
    :param payload: dict, list or None
    :raises JournalBadValue: it is of another type or cannot be expressed in JSON
    :raises JournalPayloadTooLarge: the text is over ``PAYLOAD_LIMIT`` bytes
    """
    if payload is None:
        return None
    if not isinstance(payload, dict | list):
        raise exceptions.JournalBadValue(
            what=what, reason=f'its payload is a {type(payload).__name__}, not a dict or list')
    try:
        text: str = jsonutils.dumps(payload)
    except (TypeError, ValueError, RecursionError) as exc:
        kind = type(exc).__name__
        raise exceptions.JournalBadValue(
            what=what, reason=f'its payload cannot be expressed in JSON ({kind})') from None
    if len(text) > PAYLOAD_LIMIT:
        raise exceptions.JournalPayloadTooLarge(what=what, size=len(text), limit=PAYLOAD_LIMIT)
    return text


def prose(text: object) -> str:
    """Return free text made harmless and cut to ``TEXT_LIMIT`` characters; it never fails."""
    clean = masking.CONTROL.sub('?', str(text))
    part = clean[:TEXT_LIMIT].encode('utf-8', 'replace')[:TEXT_BYTES].decode('utf-8', 'ignore')
    return clean if len(part) == len(clean) else f'{part}... ({len(clean)} characters)'


def word(what: str, name: str, value: object, limit: int, *, empty: bool = True) -> str:
    """Return an identifier unchanged, or refuse it; a cut identifier would be another one.

    :raises JournalBadValue: no text, too long, empty, or with control characters
    """
    if not isinstance(value, str) or len(value) > limit or not (value or empty) \
            or masking.CONTROL.search(value) or '\n' in value or '\t' in value:
        raise exceptions.JournalBadValue(
            what=what, reason=f'{name} must be printable text of {0 if empty else 1} to {limit} '
            f'characters, got {ascii(value)[:60]}')
    return value


def number(what: str, name: str, value: object, largest: int) -> int:
    """Return a number from 0 to ``largest`` unchanged, or refuse it.

    :raises JournalBadValue: it is something else, a bool too
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= largest:
        raise exceptions.JournalBadValue(
            what=what, reason=f'{name} must be a number from 0 to {largest}, got '
            f'{ascii(value)[:60]}')
    return value


def choice(what: str, name: str, value: object, words: tuple[str, ...]) -> str:
    """Return ``value`` if it is one of ``words``.

    :raises JournalBadValue: it is not
    """
    if not isinstance(value, str) or value not in words:
        raise exceptions.JournalBadValue(
            what=what, reason=f'{name} must be one of {", ".join(words)}, got '
            f'{ascii(value)[:60]}')
    return value
