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
"""A real file system that is full, and one that is read-only."""

import os
import subprocess
import sys

import fixtures
from oslotest import base as oslo_base

# NOTE: mounting needs root; anyone else becomes root of a namespace of their own.
#: Fills the file system, in both scripts.
BALLAST = """
def ballast():
    with open(f'{where}/ballast', 'wb', buffering=0) as ballast:
        try:
            while ballast.write(b'x' * 4096):
                pass
        except OSError:
            pass
"""
SCRIPT = BALLAST + r"""
import os, subprocess, sys
from unittest import mock
from migsafe import exceptions, journal
from migsafe.journal import files
from migsafe.tests.unit.journal import base
where, what = sys.argv[1:]

def mount(*options):
    subprocess.run(['mount', *options, where], check=True)

def refused(call, *words):
    try:
        call()
    except exceptions.JournalUnavailable as exc:
        text = str(exc)
    else:
        raise AssertionError('it was not refused')
    for word in (path, *words):
        assert word in text, text
    assert base.SECRET not in text, text

mount('-t', 'tmpfs', '-o', 'size=1m,mode=0700', 'tmpfs')
path = f'{where}/node13.sqlite'
conf = base.make_conf(where)
opened = journal.open_journal(conf, 'node13')
tx = opened.begin('m-1', 'source', 'i-1', 'node13', 'node11')
intent = opened.intent(tx, 'host_device', 'connect', 'v-1', base.CONNECTION)
if what == 'full':
    refused(opened.check_writable, 'KiB left')
    with mock.patch.object(files, 'free_bytes', return_value=2 ** 30):
        opened.check_writable()
        ballast()
        for turn in range(3):
            refused(lambda: opened.intent(
                tx, 'r', 'e', 'v-2', base.CONNECTION | {'fill': 'x' * 10 ** 5}), 'disk is full')
            refused(lambda: [opened.check_writable() for turn in range(100)], 'disk is full')
    assert ['intent'] == [r.kind for r in opened.records(tx)]
    path = f'{where}/node14.sqlite'
    refused(lambda: journal.open_journal(conf, 'node14'), 'disk is full')
    os.unlink(f'{where}/ballast')
else:
    # NOTE: the kernel does not make a file system read-only while a file is open for writing.
    opened.close()
    mount('-o', 'remount,ro')
    refused(lambda: journal.open_journal(conf, 'node13'), 'read-only')
    refused(lambda: journal.open_journal(conf, 'node13', create=False), 'read-only')
    mount('-o', 'remount,rw')
    opened = journal.open_journal(conf, 'node13')
opened.outcome(tx, intent, 'ok')
again = journal.open_journal(conf, 'node13')
assert ['intent', 'outcome'] == [r.kind for r in again.records(tx)]
print('fine')
"""


FILLING = r"""
import os, shutil, subprocess, sys, traceback
from migsafe import exceptions, journal, ledger
from migsafe.journal import schema
from migsafe.ledger import opening
from migsafe.tests.unit.journal import base
where, kind, step = sys.argv[1], sys.argv[2], int(sys.argv[3])
subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=2m,mode=0700', 'tmpfs', where], check=True)
conf = base.make_conf(where, ledger_path=where)
name = f'{where}/node13.sqlite'

def opened():
    return (journal.open_journal(conf, 'node13') if kind == 'journal'
            else ledger.open_ledger(conf, 'node13'))

def room(pages):
    with open(f'{where}/ballast', 'wb', buffering=0) as ballast:
        try:
            while ballast.write(b'x' * 4096):
                pass
        except OSError:
            pass
        ballast.truncate(max(ballast.tell() // 4096 - pages, 0) * 4096)

failed, pages = 0, 0
while True:
    room(pages)
    try:
        opened().close()
        whole = True
    except exceptions.JournalError as exc:
        whole, failed = False, failed + 1
        assert 'restore' not in str(exc), (pages, str(exc))
    if not whole:
        left = set(os.listdir(where)) - {'ballast', '.node13.sqlite.lock'}
        assert not left, (pages, left)
    os.unlink(f'{where}/ballast')
    # NOTE: there is room again, and it works.
    opened().close()
    for left in os.listdir(where):
        os.unlink(f'{where}/{left}')
    if whole:
        break
    pages += step
print('fine', failed)
"""


LATE = BALLAST + r"""
import os, subprocess, sys
from migsafe import exceptions, journal
from migsafe.nova.host import journal as host_journal
from migsafe.tests.unit.journal import base
where, what, end = sys.argv[1:]

def mount(*options):
    subprocess.run(['mount', *options, where], check=True)

def fails(call):
    try:
        call()
    except exceptions.JournalAway as error:
        return str(error)
    raise AssertionError('it did not fail')

BREAK = {'full': ballast, 'read-only': lambda: mount('-o', 'remount,ro'),
         'not writable': lambda: os.chmod(where, 0o500)}
HEAL = {'full': lambda: os.unlink(f'{where}/ballast'),
        'read-only': lambda: mount('-o', 'remount,rw'),
        'not writable': lambda: os.chmod(where, 0o700)}
if what != 'not writable':
    mount('-t', 'tmpfs', '-o', 'size=32m,mode=0700', 'tmpfs')
conf = base.make_conf(where)
if not os.fork():
    before = journal.open_journal(conf, 'node13')
    before.begin('m-1', 'source', 'i-1', 'node13', 'node11')
    if end == 'stopped':
        before.close()
    # else it was killed, with the log as the only place where that is
    os._exit(0)
os.wait()
assert os.path.lexists(f'{where}/node13.sqlite-wal') == (end == 'killed')
BREAK[what]()

class Nova:
    def moves(self, instance):
        raise AssertionError('the journal can be read')

opened = []
late = host_journal.of_host(conf, 'node13', Nova())

def arms():
    late.open(opened.append)
    # a log that is there has some room
    for number in range(3000):
        late.set_status(armed=True, pid=1, boot_id='', plugin_version='', nova_version='',
                        concurrency='', detail=f'{number} ' * 1000)
said = fails(arms)
tx, = late.unsettled_for_instance('i-1')
assert tx.uuid == 'm-1'
assert [] == late.unsettled_for_instance('i-2')
assert [tx.uuid] == [one.uuid for one in late.list()]
fails(late.check_writable)
HEAL[what]()
late.note(tx, 'there is room')
late.check_writable()
assert opened == [late], opened
assert 1 == len(late.records(tx))
print('fine', said)
"""


RIGHTS = r"""
import os, re, subprocess, sys
from migsafe import exceptions, journal
from migsafe.tests.unit.journal import base
where = sys.argv[1]
conf, path = base.make_conf(where), f'{where}/node13.sqlite'
opened = journal.open_journal(conf, 'node13')
tx = opened.begin('m-1', 'source', 'i-1', 'node13', 'node11')
opened.close()

def use():
    opened = journal.open_journal(conf, 'node13')
    try:
        opened.note(tx, 'x')
    finally:
        opened.close()

for name, mode, words, back in ((path, 0o400, 'it is read-only', 0o600),
                                (path, 0, 'it cannot be opened', 0o600),
                                (where, 0o500, 'it is read-only', 0o700)):
    os.chmod(name, mode)
    try:
        use()
    except exceptions.JournalAway as exc:
        said = str(exc)
    assert words in said, (name, said)
    command = re.search('chmod 0700 .*; done', said)
    if command:
        assert words == 'it is read-only', said
        subprocess.run(['sh', '-euc', command[0]], check=True)
    else:
        assert 'can be read and written' in said, said
        os.chmod(name, back)
    use()
assert 3 == len(journal.open_journal(conf, 'node13').records(tx))
print('fine')
"""


class TestDisk(oslo_base.BaseTestCase):
    """The journal on a small tmpfs."""

    def run_on_tmpfs(self, *what, script=SCRIPT):
        where = self.useFixture(fixtures.TempDir()).path
        command = ['unshare', '--mount', *(() if os.geteuid() == 0 else ('--map-root-user',)),
                   sys.executable, '-W', 'ignore', '-c', script, where, *what]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        self.assertEqual('fine', done.stdout.split()[0] if done.stdout else '', done.stderr)
        return done.stdout

    def test_a_disk_that_is_full_while_the_file_is_made(self):
        """With each number of pages left: nothing half made stays, and it can be made later."""
        for kind in ('journal', 'ledger'):
            found = self.run_on_tmpfs(kind, '1', script=FILLING)
            self.assertGreater(int(found.split()[1]), 10, found)

    def test_a_start_without_it(self):
        """What is there is read, however it was left, and it comes back by itself."""
        for what, word in (('full', 'full'), ('read-only', 'read-only')):
            for end in ('stopped', 'killed'):
                with self.subTest(f'{what} {end}'):
                    self.assertIn(word, self.run_on_tmpfs(what, end, script=LATE))
        done = self.run_rightless(LATE, 'not writable', 'stopped')
        self.assertRegex(done.stdout, 'fine .*(Permission denied|readonly)', done.stderr)

    def run_rightless(self, script, *what):
        """As a root that has to ask, as any other user."""
        rightless = ['setpriv', '--bounding-set=-all', '--inh-caps=-all']
        return subprocess.run(
            [*(rightless if os.geteuid() == 0 else ()), sys.executable, '-W', 'ignore', '-c',
             script, self.useFixture(fixtures.TempDir()).path, *what],
            capture_output=True, text=True, timeout=600)

    def test_what_may_not_be_written_or_opened(self):
        """Each is put right as its message says."""
        done = self.run_rightless(RIGHTS)
        self.assertEqual('fine\n', done.stdout, done.stderr)

    def test_full(self):
        self.run_on_tmpfs('full')

    def test_read_only(self):
        self.run_on_tmpfs('read-only')
