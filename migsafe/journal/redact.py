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

import re
from typing import Any

from oslo_utils import strutils

MASK = '***'
# NOTE: strutils knows auth_password and its like, but neither Ceph's keyring nor the names that
# a driver of another vendor may choose. A key that merely looks like a secret is masked too:
# nobody misses it in a table.
_SECRET = re.compile(
    'passw|passphrase|secret|token|keyring|credential|private|chap_|auth_key|api_key|access_key|'
    'master_key|luks_key|hostkey|encryption_key(?!_id)|^psk|psk$|^key$|^cephx|^auth$',
    re.IGNORECASE)
# Identifiers that only sound like secrets, and that an operator needs.
_PUBLIC = frozenset({'secret_uuid', 'secret_type', 'auth_method', 'discovery_auth_method',
                     'auth_enabled', 'discovery_auth_enabled', 'encryption_key_id'})
_URL = re.compile(r'(://[^/\s:@]*):[^/\s@]*@')
_HEADER = re.compile(
    r'((?:x-[a-z-]*token|authorization|keyring|secret_key)["\']?\s*[:=]\s*)'
    r'(?:Bearer )?["\']?[^\s"\',}]+',
    re.IGNORECASE)
_DHCHAP = re.compile('dhchap', re.IGNORECASE)
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
        return MASK
    if isinstance(value, dict):
        return {_text(str(key)): MASK if _is_secret(str(key), item) else _walk(item, depth + 1)
                for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_walk(item, depth + 1) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _text(str(value))


def _text(value: str) -> str:
    shown = _HEADER.sub(rf'\1{MASK}', _URL.sub(rf'\1:{MASK}@', value))
    masked: str = strutils.mask_password(shown, MASK)
    return masked


def _is_secret(key: str, value: Any) -> bool:
    if key in _PUBLIC or value in (None, '') or isinstance(value, bool):
        return False
    if _SECRET.search(key) or _DHCHAP.search(key):
        return True
    known: bool = strutils.mask_dict_password({key: 'x'}, MASK)[key] == MASK
    return known
