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
"""What in a text is secret: by the name before it, by its shape, or by its place in a URL."""

from __future__ import annotations

import re

from oslo_utils import strutils

MASK = '***'
# NOTE: strutils knows auth_password and its like, but neither Ceph's keyring, nor NVMe's in-band
# authentication (dhchap_*), nor the names that a driver of another vendor may choose. What merely
# looks like a secret is masked too: nobody misses it in a message or a table.
_PARTS = ('passw|passphrase|secret|token|keyring|credential|private|authorization|chap_|dhchap|'
          'auth_key|api_key|access_key|master_key|luks_key|hostkey|encryption_key|cephx|psk')
_WHOLE = 'key|auth'
#: Identifiers that only sound like secrets, and that an operator needs.
PUBLIC = frozenset({'secret_uuid', 'secret_type', 'auth_method', 'discovery_auth_method',
                    'auth_enabled', 'discovery_auth_enabled', 'encryption_key_id'})
_SECRET = re.compile(rf'{_PARTS}|^(?:{_WHOLE})$', re.IGNORECASE)

# NOTE: quotes may be escaped, for JSON is nested in JSON and repr() in repr(), where a name may
# follow the two characters of a "\n". A value without a closing quote was cut off. Possessive,
# because an error is as long and as odd as whoever sends it likes.
_QUOTE = r'\\*["\']'
_VALUE = (rf'(?:[bu](?=["\']))?(?:(?P<quote>{_QUOTE})(?:(?!(?P=quote))(?:\\.|.))*+(?:(?P=quote))?'
          r'|[\[{(][^][{}()]*+[\]})]?'
          r'|(?!(?:none|null|true|false)\b)(?:(?:bearer|basic|digest)\s+)?[^\s"\']++)')
_NAME = rf'(?P<name>(?<![\w.-])[\w.-]*?(?:{_PARTS})[\w.-]*+)'
_NAMED = (
    # name: value, "name": "value", name='value', <name>value, name -v value (of iscsiadm)
    rf'(?P<before>{_NAME}(?:(?:{_QUOTE})?\s*[:=]\s*|>'
    rf'|(?:{_QUOTE})?[\s,]+(?:{_QUOTE})?--?[a-z]+(?:{_QUOTE})?[\s,=]+))',
    # --name value, ['--name', 'value']
    rf'(?P<before>(?<![\w-])--(?P<name>[\w-]*?(?:{_PARTS})[\w-]*+)(?:{_QUOTE})?[\s,=]+)',
    # Words of any text as well, so these need an equals sign or quotes.
    rf'(?P<before>(?:(?<![\w.-])|(?<=\\[nrt]))(?P<name>{_WHOLE})(?:\s*=|{_QUOTE}\s*:)\s*)',
)
_BY_NAME = tuple(re.compile(before + _VALUE, re.IGNORECASE | re.DOTALL) for before in _NAMED)
_BY_SHAPE = (
    # The last @ of a word ends the password: it may hold one, and a transport URL has several.
    (re.compile(r'(://[^\s:@"/]*):[^\s"]{0,1000}@'), rf'\1:{MASK}@'),
    # NVMe: TP 8006 (DH-HMAC-CHAP), TP 8011 (TLS)
    (re.compile(r'(?:DHHC-1|NVMeTLSkey-1):\w\w:[\w+/=]+:?'), MASK),
    # Ceph's CryptoKey: type 1, a time, the length 16, 16 bytes, in base64
    (re.compile(r'AQ[A-Za-z0-9+/]{36}=='), MASK),
    (re.compile(r'-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)', re.DOTALL),
     MASK),
)


def mask(text: str) -> str:
    """Return ``text`` without the values of the secrets in it."""
    for pattern, instead in _BY_SHAPE:
        text = pattern.sub(instead, text)
    for pattern in _BY_NAME:
        text = pattern.sub(_hide, text)
    masked: str = strutils.mask_password(text, MASK)
    return masked


def _hide(found: re.Match[str]) -> str:
    if found['name'].lower() in PUBLIC:
        return found[0]
    quote = found['quote'] or ''
    return f'{found["before"]}{quote}{MASK}{quote}'


def is_secret_name(name: str) -> bool:
    """Tell whether what has this name is a secret."""
    if name in PUBLIC:
        return False
    known: bool = strutils.mask_dict_password({name: 'x'}, MASK)[name] == MASK
    return known or bool(_SECRET.search(name))
