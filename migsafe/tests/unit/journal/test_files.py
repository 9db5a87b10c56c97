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
"""Who may get at the journal, and what happens to one that others can get at."""

import datetime
import os
import sqlite3
import stat
from unittest import mock

from oslo_db import exception as db_exc
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.journal import files, opening, rights, store
from migsafe.tests.unit.journal import base


class TestModes(base.JournalTestCase):
    """Permissions at creation and at each opening."""

    def modes(self):
        self.begin(self.open())
        names = [self.state, *(os.path.join(self.state, n) for n in os.listdir(self.state))]
        self.assertIn(self.path + '-wal', names)
        return {name: stat.S_IMODE(os.stat(name).st_mode) for name in names}

    def test_a_careless_umask_changes_nothing(self):
        self.addCleanup(os.umask, os.umask(0))
        found = self.modes()
        self.assertEqual(0o700, found.pop(self.state))
        self.assertEqual({0o600}, set(found.values()))

    def test_a_severe_umask_changes_nothing(self):
        self.addCleanup(os.umask, os.umask(0o377))
        found = self.modes()
        self.assertEqual(0o700, found.pop(self.state))
        self.assertEqual({0o600}, set(found.values()))

    def test_nothing_is_ever_looser_in_between(self):
        self.addCleanup(os.umask, os.umask(0))
        seen = {}
        real_open, real_mkdir = os.open, os.mkdir

        def watch_open(path, flags, mode=0o777, **kwargs):
            handle = real_open(path, flags, mode, **kwargs)
            if str(path).startswith(self.state):
                seen[path] = stat.S_IMODE(os.fstat(handle).st_mode)
            return handle

        def watch_mkdir(path, mode=0o777, **kwargs):
            real_mkdir(path, mode, **kwargs)
            seen[path] = stat.S_IMODE(os.stat(path).st_mode)
        with mock.patch('os.open', watch_open), mock.patch('os.mkdir', watch_mkdir):
            self.open()
        self.assertIn(self.state, seen)
        self.assertEqual([], [path for path, mode in seen.items() if mode & 0o077])

    def test_looser_modes_are_refused_with_the_cure(self):
        self.open().close()
        for path, mode, cure in ((self.path, 0o640, 'chmod 0600'), (self.path, 0o604, '0600'),
                                 (self.state, 0o750, 'chmod 0700'), (self.state, 0o701, '0700')):
            before = stat.S_IMODE(os.stat(path).st_mode)
            os.chmod(path, mode)
            exc = self.assertRaises(exceptions.JournalInsecure, self.open)
            self.assertIn(f'{mode:04o}', str(exc))
            self.assertIn(f'{cure} {path}' if cure.startswith('chmod') else cure, str(exc))
            os.chmod(path, before)
        self.open().check_writable()

    def test_loose_companions_are_refused(self):
        opened = self.open()
        self.begin(opened)
        for suffix in ('-wal', '-shm'):
            os.chmod(self.path + suffix, 0o644)
            exc = self.assertRaises(exceptions.JournalInsecure, self.open)
            self.assertIn(f'chmod 0600 {self.path}{suffix}', str(exc))
            self.assertRaises(exceptions.JournalInsecure, opened.check_writable)
            os.chmod(self.path + suffix, 0o600)
        opened.check_writable()

    def test_modes_loosened_later_stop_migrations(self):
        opened = self.open()
        os.chmod(self.path, 0o666)
        exc = self.assertRaises(exceptions.JournalUnavailable, opened.check_writable)
        self.assertIn('0666', str(exc))

    def test_a_foreign_owner_is_refused(self):
        self.open().close()
        with mock.patch('os.geteuid', return_value=54321):
            exc = self.assertRaises(exceptions.JournalInsecure, self.open)
        self.assertIn('not to 54321', str(exc))
        self.assertIn(f'chown 54321 {self.state}', str(exc))

    def test_a_foreign_owner_of_one_file_is_refused(self):
        opened = self.open()
        self.begin(opened)
        for path in (self.path, self.path + '-wal', self.path + '-shm'):
            real = os.lstat

            def fake(name, path=path, real=real):
                found = list(real(name))
                if name == path:
                    found[4] = 54321
                return os.stat_result(found)
            with mock.patch('os.lstat', fake):
                exc = self.assertRaises(exceptions.JournalInsecure, self.open)
            self.assertIn(f'{path}: it belongs to 54321', str(exc))

    def test_root_does_not_open_what_another_can_replace(self):
        self.open().close()
        with mock.patch('os.geteuid', return_value=0), \
                mock.patch.object(rights, 'owner', return_value=54321):
            exc = self.assertRaises(exceptions.JournalInsecure, self.open, create=False)
            versions = self.assertRaises(exceptions.JournalInsecure, opening.versions, self.conf,
                                         self.host)
        for found in (exc, versions):
            self.assertIn('sudo -u 54321 migsafe', str(found))

    def test_a_rollback_journal_is_refused(self):
        self.open().close()
        with open(self.path + '-journal', 'wb'):
            os.chmod(self.path + '-journal', 0o600)
        exc = self.assertRaises(exceptions.JournalInsecure, self.open)
        self.assertIn(f'{self.path}-journal: a database in WAL mode never has one', str(exc))

    def test_a_link_is_refused(self):
        self.open().close()
        os.rename(self.path, self.path + '.elsewhere')
        os.symlink(self.path + '.elsewhere', self.path)
        exc = self.assertRaises(exceptions.JournalInsecure, self.open)
        self.assertIn('not a regular file', str(exc))

    def test_a_dangling_link_does_not_make_a_file_elsewhere(self):
        os.mkdir(self.state, 0o700)
        target = os.path.join(self.state, 'made-by-attacker')
        os.symlink(target, self.path)
        self.assertRaises(exceptions.JournalInsecure, self.open)
        self.assertFalse(os.path.exists(target))

    def test_a_file_in_the_place_of_the_directory(self):
        with open(self.state, 'w'):
            pass
        exc = self.assertRaises(exceptions.JournalUnavailable, self.open)
        self.assertIn(self.state, str(exc))

    def test_a_file_that_has_vanished_is_not_made_anew(self):
        opened = self.open()
        self.begin(opened)
        os.rename(self.path, self.path + '.away')
        exc = self.assertRaises(exceptions.JournalUnavailable, opened.get, 'm-1')
        self.assertIn('removed or replaced', str(exc))
        # nor by a connection that is made between the two
        self.assertRaises(db_exc.DBError, opened._store.engine.connect)
        self.assertFalse(os.path.exists(self.path))

    def test_a_log_that_this_process_has_removed_itself_is_none(self):
        """As when a green thread is ended in a write, and no other connection is open."""
        opened = self.open()
        tx = self.begin(opened)
        opened._store._writer.invalidate()
        opened._store.engine.dispose()
        self.assertFalse(os.path.exists(self.path + '-wal'))
        opened.note(tx, 'x')
        opened.check_writable()
        os.rename(self.path + '-wal', self.path + '-wal.away')
        self.assertRaises(exceptions.JournalUnavailable, opened.note, tx, 'y')

    def test_a_read_after_the_file_was_removed_makes_none(self):
        opened = self.open()
        tx = self.begin(opened)
        for suffix in ('', '-wal', '-shm'):
            os.unlink(self.path + suffix)
        opened._store.engine.dispose()
        for call in (lambda: opened.records(tx), opened.unsettled, opened.statuses):
            exc = self.assertRaises(exceptions.JournalUnavailable, call)
            self.assertIn('removed or replaced', str(exc))
            self.assertNotIn('db sync', str(exc))
        with mock.patch.object(store.Store, 'check_identity'):
            exc = self.assertRaises(exceptions.JournalUnavailable, opened.unsettled)
        self.assertFalse(os.path.lexists(self.path))

    def test_none_is_made_under_the_log_of_another(self):
        """Its transactions would come back in it, or it would be refused for good."""
        opened = self.open()
        self.begin(opened)
        kept = {}
        for suffix in ('', '-wal'):
            with open(self.path + suffix, 'rb') as handle:
                kept[suffix] = handle.read()
        opened.close()
        os.unlink(self.path)
        files.create_empty(self.path + '-wal')
        with open(self.path + '-wal', 'wb') as handle:
            handle.write(kept['-wal'])
        for create in (True, False):
            exc = self.assertRaises(exceptions.JournalUnavailable, self.open, create=create)
            self.assertIn(f'{self.path}-wal', str(exc))
        self.assertFalse(os.path.lexists(self.path))
        # NOTE: both cures that the message names.
        os.rename(self.path + '-wal', self.path + '-wal.old')
        self.open().close()
        os.unlink(self.path)
        os.rename(self.path + '-wal.old', self.path + '-wal')
        files.create_empty(self.path)
        with open(self.path, 'wb') as handle:
            handle.write(kept[''])
        self.assertEqual(['m-1'], [tx.uuid for tx in self.open().list()])

    def test_too_little_room_stops_migrations(self):
        opened = self.open()
        with mock.patch.object(files, 'free_bytes', return_value=4096):
            exc = self.assertRaises(exceptions.JournalUnavailable, opened.check_writable)
        self.assertIn('4 KiB left', str(exc))
        self.assertIn(self.path, str(exc))


class TestCreation(base.JournalTestCase):
    """A journal is there as a whole or not at all."""

    def test_a_kill_while_it_is_made_leaves_none(self):
        class Killed(BaseException):
            pass
        for step in ('migsafe.journal.files.publish', 'migsafe.journal.schema.upgrade',
                     'os.link'):
            with mock.patch(step, side_effect=Killed):
                self.assertRaises(Killed, self.open)
            self.assertFalse(os.path.exists(self.path), step)
        self.open().check_writable()
        self.assertEqual([], [n for n in os.listdir(self.state) if '.new' in n])

    def test_the_names_above_are_there_after_a_power_cut(self):
        """The first commit is durable in a file; so must be the way to it."""
        top, synced, fsync = os.path.dirname(self.state), set(), os.fsync
        path = os.path.join(top, 'lib', 'nova', 'state')
        wanted = {top, *(os.path.join(top, name) for name in ('lib', 'lib/nova', path))}
        unsynced_then, link = [], os.link

        def watch(handle):
            synced.add(os.readlink(f'/proc/self/fd/{handle}'))
            fsync(handle)

        def linked(*names):
            unsynced_then.append(wanted - synced)
            link(*names)
        self.conf.set_override('state_path', path, 'migsafe')
        with mock.patch('os.link', side_effect=OSError('killed')):
            self.assertRaises(exceptions.JournalUnavailable, self.open)
        with mock.patch('os.fsync', watch), mock.patch('os.link', linked):
            self.open().check_writable()
        self.assertEqual([set()], unsynced_then, 'what was killed has made some of them')

    def test_what_was_made_and_cannot_be_read_back(self):
        """It is no journal that was damaged, and there is nothing to restore or to move away."""
        connect = sqlite3.connect

        def fail(name, *given, **named):
            if 'immutable' in name:
                raise sqlite3.DatabaseError('database disk image is malformed')
            return connect(name, *given, **named)
        with mock.patch('sqlite3.connect', fail):
            exc = self.assertRaises(exceptions.JournalUnavailable, self.open)
        self.assertNotIsInstance(exc, exceptions.JournalFileCorrupt)
        self.assertIn(f'{self.path} is not available: what was just written is not read back',
                      str(exc))
        self.assertNotIn('.new', str(exc))
        self.open().check_writable()

    def test_reading_commands_make_nothing(self):
        exc = self.assertRaises(exceptions.JournalUnavailable, self.open, create=False)
        self.assertIn('--config-file', str(exc))
        self.assertFalse(os.path.exists(self.state))
        self.open().close()
        self.assertEqual([], self.open(create=False).list())

    def test_hosts_share_a_directory(self):
        for host in ('node11', 'node13.example.org', 'cell1@node-7'):
            self.begin(self.open(host))
        self.assertEqual(
            ['cell1@node-7.sqlite', 'node11.sqlite', 'node13.example.org.sqlite'],
            sorted(n for n in os.listdir(self.state) if n.endswith('.sqlite')))

    def test_a_host_that_is_no_file_name_is_refused(self):
        for host in ('../../etc/passwd', 'a/b', '', '.', '.hidden', 'x\x00y', 'x' * 300, 'a b'):
            exc = self.assertRaises(exceptions.ConfigError, self.open, host or ' ')
            self.assertIn('[DEFAULT] host', str(exc))

    def test_urls_that_cannot_work_are_refused_without_their_password(self):
        for url in ('sqlite://', 'sqlite:///:memory:', 'sqlite:///x?mode=memory',
                    'nonsense', 'oracle+nodriver://a:hush@b/c', 'mysql+nosuch://u:hush@h/d'):
            self.conf.set_override('connection', url, 'migsafe')
            exc = self.assertRaises(exceptions.ConfigError, self.open)
            self.assertIn('[migsafe] connection', str(exc))
            self.assertNotIn('hush', str(exc))

    def test_a_sqlite_url_may_be_given(self):
        path = os.path.join(self.state, 'other.sqlite')
        self.conf.set_override('connection', f'sqlite:///{path}', 'migsafe')
        self.assertEqual(path, self.open().database)
        self.assertEqual(path, opening.journal_url(self.conf, 'x').database)

    def test_a_lock_that_is_never_released_is_named(self):
        os.mkdir(self.state, 0o700)
        with files.exclusive(self.state, 'node13.sqlite'), \
                mock.patch.object(files, 'LOCK_SECONDS', 0.1):
            exc = self.assertRaises(exceptions.JournalUnavailable, self.open)
        self.assertIn('fuser', str(exc))
        self.open().check_writable()


class TestTraces(base.JournalTestCase):
    """What is forgotten is nowhere in the files."""

    def anywhere(self):
        found = b''
        for name in (self.path, self.path + '-wal'):
            with open(name, 'rb') as handle:
                found += handle.read()
        return base.SECRET.encode() in found

    def test_of_secrets(self):
        for forget in ('blank', 'purge'):
            opened = self.open()
            later = timeutils.utcnow() + datetime.timedelta(days=1)
            tx = self.begin(opened, f'm-{forget}', captures=[
                ('volume_connection', 'v', {'connection_info': base.CONNECTION})])
            opened.finish(tx)
            self.assertTrue(self.anywhere())
            getattr(opened, forget)(later)
            self.assertFalse(self.anywhere(), forget)
