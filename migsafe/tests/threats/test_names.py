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

import fixtures
from hypothesis import given, strategies
from oslotest import base

import migsafe
from migsafe import exceptions, masking, text
from migsafe.ledger import api, records
from migsafe.tests.threats import examples

ROOT = pathlib.Path(migsafe.__file__).parent
#: What a message could tell to run. Any of them begins a command wherever it stands.
PROGRAMS = (
    'blkid blockdev ceph chattr chgrp chmod chown cinder-manage cryptsetup dmsetup dracut fsck '
    'fuser getfacl iscsiadm journalctl losetup lsblk lsof lvchange lvremove lvs mariadb mdadm '
    'migsafe-manage migsafe-replay migsafe-status mkdir modprobe multipathd mv mysql nova-manage '
    'pip psql pvs rados rbd rmdir setfacl setpriv sg_inq sg_vpd sqlite3 sudo swapoff systemctl '
    'targetcli truncate umount vgchange vgexport vgrename vgs virsh wipefs').split()
#: The same of what is a word of a sentence too: it is meant where an option, a path or a value
#: follows, or one of its own words.
ALSO_WORDS = (
    'cat cp echo find grep kill ln mount multipath ping ps rm ssh su sync tail touch').split()
OWN_WORDS = ('migsafe (?:settle|status|journal|export|residue|lvm|host|evacuate)|lvm (?:lv|vg|pv)|'
             'openstack (?:server|volume|compute|port)|cinder (?:reset-state|attachment|migrate)|'
             'nova (?:reset|evacuate|host)|nvme (?:connect|disconnect|list)|'
             'export (?:revert|fence|unfence|verify)')
COMMAND = re.compile(
    rf'(?<![\w-])(?:(?:{"|".join(PROGRAMS)}) |(?:{"|".join(ALSO_WORDS)}) (?=[-/{{%\d])|'
    rf'{OWN_WORDS}|--config-file \S+ export|\{{(?:REVERT|revert)\}})')
#: What ends it: the end of the sentence, or the quotation mark that closes it.
END = re.compile(r'[;`"]|\.(?:\s|$)|, |: |\)(?![sdr]\b)|$')
#: Each of them has a value in a command that nothing quotes.
UNQUOTED = (
    "f'Run: sudo -u {name} migsafe status'", "f'umount {name}'",
    "f'Restart it with systemctl restart {name}.'", "f'It hangs; then kill -9 {name}'",
    "f'Take it out: echo 1 > /sys/block/{name}/device/delete'",
    "f'see `virsh dumpxml {name}`'", "f'openstack server show {name}'",
    "LOG.error('It is held: migsafe settle %s', name)",
    "CURE = 'Run: rm -f {name}'", "CURE = 'Run: dmsetup remove %s' % name",
    "message = 'Run: nvme disconnect -d %(name)s'", "x = ('chown nova ' f'{name}')",
    "f'for example migsafe export verify --backend {name}'",
)
PLACE = re.compile(r'\{(?P<number>\d+)\}|%\((?P<name>[a-z:_]+)\)[sdr]|(?P<other>\{\w*\}|%[sdr])')
#: Templates that str.format or % fill in later, and who quotes their values there.
FILLED = {
    ('cinder/facts/writers.py', '{revert}'): 'the command itself',
    ('cinder/facts/writers.py', '{backend}'): 'writers._cure quotes it',
    ('cinder/facts/writers.py', '{volume}'): 'writers._cure quotes it',
    ('cinder/facts/writers.py', '{host}'): 'writers._cure quotes it',
    ('cinder/facts/writers.py', '{initiator}'): 'writers._cure quotes it',
    ('cli/installed.py', '{names}'): 'problems() quotes each',
    ('watch/reasons.py', '{instance}'): 'reasons._said quotes what stands in a cure',
    ('watch/reasons.py', '{migration}'): 'reasons._said quotes what stands in a cure',
    ('watch/reasons.py', '{peer}'): 'reasons._said quotes what stands in a cure',
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
        if is_logged(node):
            # its values are arguments
            inside.add(id(node.args[0]))
            first, *others = re.split('%[a-z]', node.args[0].value)
            yield node.lineno, first + ''.join(
                f'{{{number}}}{words}' for number, words in enumerate(others)), node.args[1:]
        elif isinstance(node, ast.JoinedStr):
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


def is_logged(node):
    """Whether a node is a call of a logger with a text for %."""
    return (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == 'LOG' and len(node.args) > 1
            and isinstance(node.args[0], ast.Constant))


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
            if not name.startswith(('tests/', 'replay/')):
                yield from self.places_in(path, name)

    @staticmethod
    def places_in(path, name):
        for line, words, places in messages(path):
            seen = {}
            for found in COMMAND.finditer(words):
                until = END.search(words, found.end()).start()
                seen |= {place.start(): place
                         for place in PLACE.finditer(words, found.start(), until)}
            for place in seen.values():
                if places and place['number']:
                    node = places[int(place['number'])]
                    yield name, line, ast.unparse(node), is_quoted(node)
                else:
                    later = place['name'] or place[0]
                    yield (name, line, later, later.startswith('shell:')
                           or (name, later) in FILLED)

    def test_each_value_is_one_word(self):
        found = list(self.places())
        self.assertEqual([], [place for place in found if not place[3]])
        self.assertGreater(len(found), 20)

    def test_the_search_finds_what_is_not_quoted(self):
        """The control: messages as somebody may write them tomorrow, in each way to write one."""
        path = pathlib.Path(self.useFixture(fixtures.TempDir()).path) / 'module.py'
        for line in UNQUOTED:
            path.write_text(line)
            with self.subTest(line):
                self.assertEqual([False], [place[3] for place in self.places_in(path, 'm.py')])
                path.write_text(line.replace('name', 'shell(name)'))
                if line.startswith(("f'", 'LOG')):
                    self.assertEqual([True], [
                        place[3] for place in self.places_in(path, 'm.py')])

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
