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
"""The journal's file and directory belong to one user alone.

Nothing here opens the database file of a running journal: closing any descriptor of it would
drop the POSIX locks that SQLite holds in this process (sqlite.org/howtocorrupt.html, 2.2).
"""

import contextlib
import fcntl
import os
import pwd
import stat
import time
from collections.abc import Iterator

from migsafe import exceptions
from migsafe.text import shell

#: The write-ahead log and its index, which are there as long as somebody has the file open.
LOG = ('-wal', '-shm')
COMPANIONS = (*LOG, '-journal')
# NOTE: room for a few payloads of the largest size. A migration that starts with less might
# not get its verdict written.
MIN_FREE_BYTES = 16 * 1024 * 1024
LOCK_SECONDS = 60.0


def user_name(uid: int) -> str:
    """Return the name of a user, or its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def ensure_directory(path: str) -> None:
    """Create ``path`` with mode 0700 whatever the umask says; never looser in between."""
    os.makedirs(os.path.dirname(path) or '/', exist_ok=True)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    # NOTE: a umask such as 0277 takes bits away that the owner needs.
    os.chmod(path, 0o700)


def create_empty(path: str) -> None:
    """Create an empty file with mode 0600; it must not be there yet."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
                     0o600)
    try:
        os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def remove(path: str) -> None:
    """Take away a database that has not been published, with what is beside it."""
    for name in (path, *(path + suffix for suffix in COMPANIONS)):
        if os.path.lexists(name):
            os.unlink(name)


def check_merged(prepared: str, path: str) -> None:
    """Refuse to go on while what was written to a prepared journal is in its log.

    SQLite puts it into the file when the last connection is closed, and says nothing if that
    fails. The file would get its name, and its content stay in a log of another name.

    :param path: what it is to be called
    """
    log = f'{prepared}-wal'
    if os.path.lexists(log) and os.lstat(log).st_size:
        raise exceptions.JournalAway(
            database=path, reason='what was written cannot be put into the file: somebody else '
            'has it open', cure='It is tried again at the next start or with the next command.')


def publish(prepared: str, path: str) -> None:
    """Give a finished journal its name in one step that survives a power cut.

    So do the names of the directories on the way to it, whichever start has made them.

    :raises JournalUnavailable: see :func:`check_merged`
    """
    check_merged(prepared, path)
    handle = os.open(prepared, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    _sync_way_to(os.path.dirname(path))
    # NOTE: link, not rename: it fails instead of replacing a journal that is there.
    os.link(prepared, path)
    os.unlink(prepared)
    _sync_directory(os.path.dirname(path))


def check(path: str, owner: int) -> None:
    """Refuse a journal that others could read, change or replace.

    :param path: of the database file; its directory and companions are checked too
    :param owner: uid that everything must belong to
    :raises JournalInsecure: with the command that cures it
    """
    directory = os.path.dirname(path)
    _check_one(directory, os.stat(directory), owner, stat.S_ISDIR, 'a directory', '0700')
    for name in (path, *(path + suffix for suffix in COMPANIONS)):
        try:
            found = os.lstat(name)
        except FileNotFoundError:
            continue
        _check_one(name, found, owner, stat.S_ISREG, 'a regular file', '0600')
        if name.endswith('-journal'):
            raise exceptions.JournalInsecure(
                path=name, reason='a database in WAL mode never has one, and SQLite would undo '
                'changes by it and delete the file that it names',
                cure='Find out who put it there and move it away.')


def check_log_alone(path: str) -> None:
    """Refuse to make a database where the log of one that is gone lies, to become its own.

    :param path: of the database file, which is not there
    :raises JournalUnavailable: the log may be the only copy of what was written last
    """
    log = f'{path}-wal'
    if os.path.lexists(log) and os.lstat(log).st_size:
        raise exceptions.JournalUnavailable(
            database=path, reason=f'it is gone, and its log {log} is there, perhaps with what '
            'was written last',
            cure='Put the file back that the log belongs to. To begin with an empty one (what the '
            f'old one held is then settled only by evidence): mv {shell(log)} '
            f'{shell(f"{log}.old")}')


def check_maker(path: str) -> None:
    """Refuse to let a command of root's make a directory that its service cannot use then.

    :param path: of the database file
    :raises JournalUnavailable: there is no directory yet
    """
    directory = os.path.dirname(path)
    if os.geteuid() == 0 and not os.path.isdir(directory):
        raise exceptions.JournalUnavailable(
            database=path, reason=f'there is no directory {directory}, and what root makes is '
            'of no use to the service',
            cure='The service makes both when it starts with migsafe enabled; or the command '
            'reads another configuration: see --config-file.')


def _check_one(path: str, found: os.stat_result, owner: int, is_kind: object, kind: str,
               mode: str) -> None:
    if not callable(is_kind) or not is_kind(found.st_mode):
        raise exceptions.JournalInsecure(
            path=path, reason=f'it is not {kind}',
            cure='Find out who put it there and move it away.')
    if found.st_uid != owner:
        have, want = user_name(found.st_uid), user_name(owner)
        raise exceptions.JournalInsecure(
            path=path, reason=f'it belongs to {have}, not to {want}',
            cure=f'If it is the right one: chown {shell(want)} {shell(path)}. A command of the '
            f'operator is run as its owner: sudo -u {shell(have)} migsafe ...')
    loose = stat.S_IMODE(found.st_mode)
    if loose & 0o077:
        raise exceptions.JournalInsecure(
            path=path, reason=f'its mode is {loose:04o}, others could get at it',
            cure=f'Run: chmod {mode} {shell(path)}')


def check_mount(path: str) -> None:
    """Refuse a file system that is mounted read-only; SQLite would name no reason.

    :raises JournalUnavailable: it is, perhaps because the kernel found an error on it
    """
    if os.statvfs(os.path.dirname(path)).f_flag & os.ST_RDONLY:
        raise exceptions.JournalAway(
            database=path, reason='its file system is mounted read-only',
            cure='See dmesg for the reason, and remount it: mount -o remount,rw ...')


def free_bytes(path: str) -> int:
    """Return how many bytes an ordinary user may still write to the file system of ``path``."""
    found = os.statvfs(os.path.dirname(path))
    return found.f_bavail * found.f_frsize


@contextlib.contextmanager
def exclusive(directory: str, name: str) -> Iterator[None]:
    """Let one process at a time create or upgrade a journal.

    The lock is polled: a blocking flock would stop every green thread of the process, the
    holder of the lock among them.

    :raises JournalUnavailable: another process held the lock for ``LOCK_SECONDS``
    """
    path = os.path.join(directory, f'.{name}.lock')
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(handle, 0o600)
        deadline = time.monotonic() + LOCK_SECONDS
        while not _try_lock(handle):
            if time.monotonic() > deadline:
                raise exceptions.JournalAway(
                    database=path, reason='another process is creating or upgrading it',
                    cure=f'Look for it with: fuser {shell(path)}')
            time.sleep(0.02)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_way_to(path: str) -> None:
    """Sync a directory and all above it in which this process could have made a name."""
    _sync_directory(path)
    above = os.path.dirname(path)
    if above != path and os.access(above, os.R_OK | os.W_OK):
        _sync_way_to(above)


def _sync_directory(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
