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
"""Masks secrets in what the journal holds, for every display of it."""

from typing import Any

from migsafe import masking

_DEEP = 32


def redact(payload: Any) -> Any:
    """Return a copy of ``payload`` in which no value of a secret is left; JSON can hold it.

    Text is searched for ``password=...`` and the like as well, because connection_info may be
    nested as JSON text, and errors quote URLs.

    :param payload: anything made of dicts, lists and plain values
    """
    return _walk(payload, 0)


def _walk(value: Any, depth: int) -> Any:
    if depth > _DEEP or isinstance(value, bytes):
        return masking.MASK
    if isinstance(value, dict):
        return {masking.mask(str(key)):
                masking.MASK if _is_secret(str(key), item) else _walk(item, depth + 1)
                for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_walk(item, depth + 1) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return masking.mask(str(value))


def forget(payload: Any) -> Any:
    """Return a copy of ``payload`` without connections and secrets: None stands in their place.

    Nothing is masked in it, so that no mask can be taken for a value.
    """
    if isinstance(payload, dict):
        return {key: None if key == 'connection_info' or _is_secret(str(key), item)
                else forget(item) for key, item in payload.items()}
    if isinstance(payload, list):
        return [forget(item) for item in payload]
    return None if isinstance(payload, str) and masking.mask(payload) != payload else payload


def _is_secret(key: str, value: Any) -> bool:
    if value in (None, '') or isinstance(value, bool):
        return False
    return masking.is_secret_name(key)
