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
"""Finds secrets in a text: by the name before them, by shape, or by position in a URL."""

from __future__ import annotations

import re

from oslo_utils import strutils

MASK = '***'
#: Characters of a text that are looked at, and shown at all.
MOST = 1 << 20
#: What a terminal obeys, shows in another order or not at all (category Cf of Unicode, in which
#: two names look alike), no database keeps (NUL, lone surrogates), or a log takes for the end of
#: a line; \t and \n are left to whoever makes one line of a text.
CONTROL = re.compile(
    '[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e'
    '\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000110bd\U000110cd'
    '\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f]')
# NOTE: strutils knows auth_password and its like, but neither Ceph's keyring, nor NVMe's in-band
# authentication (dhchap_*), nor the names that a driver of another vendor may choose. What merely
# looks like a secret is masked too: nobody misses it in a message or a table.
_PARTS = ('passw|passphrase|secret|token|keyring|credential|private|authorization|chap_|dhchap|'
          'auth_key|api_?key|access_key|master_key|luks_key|hostkey|encryption_key|session_?key|'
          'cephx|psk|provider_auth|passcode|cookie|pwd|pass(?![a-z])|_pw(?![a-z])|hmac|signature')
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
# NOTE: the part is looked for once, and the name is taken whole: a word may be "password" 8,000
# times, and trying again from each of them would take the square of its length.
_NAME = rf'(?P<name>(?<![\w.-])(?=[\w.-]*?(?:{_PARTS}))[\w.-]++)'
_NAMED = (
    # name: value, "name": "value", name='value', <name>value, name -v value (of iscsiadm)
    rf'(?P<before>{_NAME}(?:(?:{_QUOTE})?\s*[:=]\s*|>'
    rf'|(?:{_QUOTE})?[\s,]+(?:{_QUOTE})?--?[a-z]+(?:{_QUOTE})?[\s,=]+))',
    # --name value, ['--name', 'value']
    rf'(?P<before>(?<![\w-])--(?P<name>(?=[\w-]*?(?:{_PARTS})|(?:{_WHOLE})(?![\w-]))[\w-]++)'
    rf'(?:{_QUOTE})?[\s,=]+)',
    # ('name', 'value'), of a list of pairs
    rf'(?P<before>(?<=[\'"]){_NAME}{_QUOTE}\s*,\s*(?={_QUOTE}))',
    # Words of any text as well, so these need an equals sign or quotes.
    rf'(?P<before>(?:(?<![\w.-])|(?<=\\[nrt]))(?P<name>{_WHOLE})(?:\s*=|{_QUOTE}\s*:)\s*)',
)
#: A word with a URL in it, taken whole.
_URL = re.compile(r'(?<![^\s"])(?=[^\s":]*+:)[^\s"]*+')
#: What ends the user in a URL.
_MARK = re.compile('[:@/]')
_BY_NAME = tuple(re.compile(before + _VALUE, re.IGNORECASE | re.DOTALL) for before in _NAMED)
#: What has nothing in it that could part a name from a value: a UUID, a host, a kind of resource.
_PLAIN = re.compile(r'[a-z0-9_.-]{1,64}')
_BY_SHAPE = (
    (re.compile(r'\b(bearer\s+)[^\s"\',;]++', re.IGNORECASE), rf'\1{MASK}'),
    # Cinder's column: a method, a user and the secret.
    (re.compile(r'(provider_auth(?:\\*["\'])?\s*[:=]\s*)\w+[ ]\S+[ ][^\s"\']++', re.IGNORECASE),
     rf'\1{MASK}'),
    # Its value has spaces.
    (re.compile(r'\b((?:set-)?cookie\s*:\s*)[^\n"\']++', re.IGNORECASE), rf'\1{MASK}'),
    # CREATE USER, of SQL
    (re.compile(r'(\bidentified\s+by\s+)(?:"[^"]*+"?|\'[^\']*+\'?|\S++)', re.IGNORECASE),
     rf'\1{MASK}'),
    # NVMe: TP 8006 (DH-HMAC-CHAP), TP 8011 (TLS)
    (re.compile(r'(?:DHHC-1|NVMeTLSkey-1):\w\w:[\w+/=]+:?'), MASK),
    # Ceph's CryptoKey: type 1, a time, the length 16, 16 bytes, in base64
    (re.compile(r'AQ[A-Za-z0-9+/]{36}=='), MASK),
    (re.compile(r'-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*-----|\Z)', re.DOTALL),
     MASK),
)


def mask(text: str) -> str:
    """Return ``text`` without the values of the secrets in it, and without control characters.

    What is longer than MOST is cut there: it takes a second per megabyte, and more for odd ones.
    """
    if _PLAIN.fullmatch(text):
        return text
    if len(text) > MOST:
        text = f'{text[:MOST]}... ({len(text) - MOST} characters more)'
    text = _URL.sub(_address, text)
    for pattern, instead in _BY_SHAPE:
        text = pattern.sub(instead, text)
    for pattern in _BY_NAME:
        text = pattern.sub(_hide, text)
    masked: str = strutils.mask_password(text, MASK)
    return CONTROL.sub('?', masked)


def one_line(value: object) -> str:
    """Return text of others as part of one line: with nothing that a terminal or a log obeys."""
    return CONTROL.sub('?', str(value)).translate({9: ' ', 10: ' '})


def _address(found: re.Match[str]) -> str:
    """A word without the password, or the token in the place of the user, of each URL in it.

    The last @ ends the password: it may hold one, and a transport URL has several.
    """
    word, done, at = found[0], 0, 0
    pieces: list[str] = []
    last = word.rfind('@')
    while (begin := word.find('://', at)) != -1 and begin + 3 <= last:
        at = begin + 3
        mark = _MARK.search(word, at)
        if mark is None:
            break
        end = mark.start()
        if word[end] == ':':
            return ''.join((*pieces, word[done:end], ':', MASK, word[last:]))
        if word[end] == '@' and end > at:
            pieces += word[done:at], MASK
            done = at = end
    return ''.join((*pieces, word[done:]))


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
