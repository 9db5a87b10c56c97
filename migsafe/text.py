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
"""Makes text for operators from the errors of other libraries."""

from __future__ import annotations

import re
import shlex

from migsafe import masking

#: Longer texts (an HTML body, an oversized reply) are cut.
LIMIT = 400
#: A list of what others can make as long as they like, such as the logical volumes of a guest.
LISTED = 5 * LIMIT
#: Masking takes a second per megabyte, so it gets no more than this.
SCANNED = 20 * LIMIT
#: What stands in front of the program in a command line.
_WRAPPER = re.compile(r'(\S*/)?(sudo|env|nice|ionice|timeout|prlimit|\S*rootwrap(-daemon)?)\Z|-|'
                      r'\S+\.conf\Z|\w+=|\d+\Z')
_CUT_WORD = re.compile(r'\S{0,1000}\Z')


def masked(error: BaseException) -> str:
    """An exception as one short line without secrets.

    :param error: any exception; its text may hold a connection_info
    :returns: class name and text, secrets masked, at most LIMIT characters
    """
    text = ' '.join(masking.mask(_start(_said(error))).split())
    cut = text if len(text) <= LIMIT else text[:LIMIT] + '...'
    return f'{type(error).__name__}: {cut}' if cut else type(error).__name__


#: Programs that say on stdout what is wrong, and print nothing there that is secret.
_TELLS = frozenset(('multipath',))


def _said(error: BaseException) -> str:
    """What an error says, without a command line or a statement of others: in these a secret is
    known by its place alone, such as that of CHAP in cinder-rtstool's.

    See ProcessExecutionError of oslo.concurrency, StatementError of SQLAlchemy, and DBError of
    oslo.db, which has the text of such a one.
    """
    if hasattr(error, 'cmd') and hasattr(error, 'stderr'):
        words = error.cmd if isinstance(error.cmd, list | tuple) else str(error.cmd).split()
        code = getattr(error, 'exit_code', getattr(error, 'returncode', '-'))
        program = next((str(word) for word in words if not _WRAPPER.match(str(word))), '?')
        said = error.stderr or (getattr(error, 'stdout', '') if program in _TELLS else '')
        return f'{program}: exit code {code}: {said or ""}'
    inner = getattr(error, 'inner_exception', None) or error
    return str(getattr(inner, 'orig', None) or inner)


def cut(words: str) -> str:
    """A list for a message, cut where it is longer than a person reads."""
    left = len(words) - LISTED
    return words if left <= 0 else f'{words[:LISTED]}... (and {left} characters more)'


def shell(word: object) -> str:
    """A word of a command that a message tells to type: one word to a shell, text to a terminal.

    :param word: as its bearer chose it; what cannot be printed cannot be typed either
    """
    return shlex.quote(''.join(char if char.isprintable() else '?' for char in str(word)))


def _start(text: str) -> str:
    """What is looked at; a word that was cut could be half of a secret that is not known as one.
    """
    return text if len(text) <= SCANNED else _CUT_WORD.sub('', text[:SCANNED])
