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
"""Names that others have chosen, in logs, on terminals and in commands that are to be typed."""

import ast
import pathlib
import re
import shlex

from hypothesis import given, strategies
from oslotest import base

import migsafe
from migsafe import exceptions, masking, text
from migsafe.ledger import api, records
from migsafe.tests.threats import examples

ROOT = pathlib.Path(migsafe.__file__).parent
#: What begins a command in a message.
COMMAND = re.compile(
    r'\b(?:sudo -u|setpriv|chmod|chown|mkdir|touch|mv|fuser|dmsetup|multipath -v|lvm lv|lvchange|'
    r'ceph osd|openstack (?:server|volume)|cinder reset-state|nova (?:reset|evacuate)|'
    r'migsafe (?:settle|journal show|export|lvm|residue)|export revert --|migsafe-manage|'
    r'--config-file \S+ export|\{REVERT\})')
#: What ends it: the end of the sentence, or the quotation mark that closes it.
END = re.compile(r'[;`"]|\.(?:\s|$)|, |: |\)|$')
PLACE = re.compile(r'\{\d+\}|%\((?P<name>[a-z:_]+)\)[sdr]')
#: Templates that str.format or % fill in later, and who quotes their values there.
FILLED = {
    ('cinder/facts/writers.py', '{'): 'writers._cure',
    ('brick/refusals.py', 'device'): 'guard.questions quotes it',
    ('cinder/inspectors/rbd.py', 'word'): 'one of two words',
    ('cinder/inspectors/rbd.py', 'address'): 'a parsed address',
    ('cinder/exports/steps.py', 'kind'): 'one of two words',
}


def messages(path):
    """(line, text with numbered places, the expressions there) of each string of a module."""
    tree = ast.parse(path.read_text())
    inside = {id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
              for value in ast.walk(node) if value is not node}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            words, places = '', []
            for part in node.values:
                if isinstance(part, ast.Constant):
                    words += part.value
                else:
                    words += f'{{{len(places)}}}'
                    places.append(part.value)
            yield node.lineno, words, places
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) \
                and id(node) not in inside:
            yield node.lineno, node.value, []


def is_quoted(node):
    """Whether an expression is a call of what quotes, or has nothing of others in it.

    What one_line() gives stands in a comment for the shell.
    """
    words = ast.unparse(node)
    return words.startswith(('shell(', 'masking.one_line(')) or words in (
        'mode', 'uid', 'change.NEW')


class TestCommands(base.BaseTestCase):
    """Every command that a message tells to type."""

    def places(self):
        """(module, line, what stands there, whether it is quoted) of each value in a command."""
        for path in sorted(ROOT.rglob('*.py')):
            name = str(path.relative_to(ROOT))
            if name.startswith(('tests/', 'replay/')):
                continue
            for line, words, places in messages(path):
                for found in COMMAND.finditer(words):
                    until = END.search(words, found.end()).start()
                    for place in PLACE.finditer(words, found.start(), until):
                        if place['name']:
                            yield (name, line, place['name'],
                                   place['name'].startswith('shell:')
                                   or (name, place['name']) in FILLED)
                        elif places:
                            node = places[int(place[0][1:-1])]
                            yield name, line, ast.unparse(node), is_quoted(node)

    def test_each_value_is_one_word(self):
        found = list(self.places())
        self.assertEqual([], [place for place in found if not place[3]])
        self.assertGreater(len(found), 20)

    def test_the_search_finds_what_is_not_quoted(self):
        """The control."""
        module = ast.parse("f'run: sudo -u {name} migsafe'").body[0].value
        self.assertFalse(is_quoted(module.values[1].value))
        self.assertTrue(COMMAND.search('run: sudo -u {0} migsafe'))

    @examples.settings()
    @given(strategies.text(max_size=60))
    def test_a_word_is_one_word(self, word):
        quoted = text.shell(word)
        self.assertEqual(1, len(shlex.split(quoted)))
        self.assertTrue(quoted.isprintable())


class TestLines(base.BaseTestCase):
    """No name makes a line of its own, or moves the cursor."""

    @examples.settings()
    @given(strategies.text(max_size=200))
    def test_of_messages(self, word):
        found = (str(exceptions.JournalNotFound(database=word, uuid=word)),
                 text.masked(ValueError(word)), masking.one_line(word))
        for line in found:
            self.assertIsNone(masking.CONTROL.search(line))
            self.assertEqual(1, len(line.splitlines() or ['']), ascii(line))

    @examples.settings()
    @given(strategies.text(max_size=200))
    def test_what_is_masked_loses_them(self, word):
        self.assertIsNone(masking.CONTROL.search(masking.mask(word)))

    def test_of_an_initiator(self):
        peer = records.Peer.of({'host': 'node13',
                                'initiator': 'iqn.x\n2026-01-01 INFO all is well\x1b[2J'})
        row = records.Export(**{
            **dict.fromkeys(records.Export.__dataclass_fields__, ''), 'kind': 'volume',
            'resource': 'v', 'peer': peer.key, 'host': peer.host,
            'initiators': list(peer.initiators)})
        self.assertEqual(1, len(str(row).splitlines()))
        self.assertNotIn('\x1b', str(row))
        ledger = api.Ledger(None, 'b', 's', 'i')
        self.assertRaises(exceptions.JournalBadValue, ledger.intend,
                          records.Thing('volume', 'v'), [peer], 'mapping')
