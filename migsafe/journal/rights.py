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
"""Whose rights a service's files are opened with: never more than their owner has.

Whoever owns a SQLite file decides what its opening does: a rollback journal beside it names a file
that SQLite deletes afterwards (super-journal, sqlite.org/atomiccommit.html, 5.2), and what was
looked at can be another file when it is opened. Root therefore becomes the owner before the first
look, in a child process where it has to stay root.
"""

from __future__ import annotations

import json
import os
import pwd
import select
import signal
import stat
import time
from collections.abc import Callable
from typing import Any, NoReturn

from migsafe import exceptions
from migsafe.journal import files
from migsafe.text import shell

LINKS = 40
ANSWER_BYTES = 64 * 1024 * 1024
ANSWER_SECONDS = 120.0


def owner(directory: str) -> int:
    """Return the uid of who decides what ``directory`` is, seen by root: 0 if root alone does.

    That is the owner of the first part of the path that is not root's, for he can put another one
    in its place at any moment. All before it cannot change meanwhile, so that this is no race.

    :raises JournalInsecure: a part can be replaced by more than one user
    """
    done, left, links = '/', _parts(os.path.abspath(directory)), 0
    anybody = False
    while left:
        here = os.path.join(done, left.pop(0))
        try:
            found = os.lstat(here)
        except FileNotFoundError:
            if anybody:
                raise exceptions.JournalInsecure(
                    path=here, reason=f'it is not there, and anybody could make it in {done}',
                    cure='Make it as the user of the service, with mode 0700; or name another '
                    'directory in [migsafe].') from None
            return 0
        if found.st_uid:
            return found.st_uid
        if stat.S_ISLNK(found.st_mode):
            links += 1
            if links > LINKS:
                raise _loose(here, 'too many links lead through it')
            left = [*_parts(os.path.join(done, os.readlink(here))), *left]
            done, anybody = '/', False
            continue
        anybody = bool(found.st_mode & 0o022)
        if anybody and not found.st_mode & stat.S_ISVTX:
            raise _loose(here, f'its mode is {stat.S_IMODE(found.st_mode):04o}, so that others '
                         'than its owner could put something else there')
        done = here
    return 0


def _parts(path: str) -> list[str]:
    return [part for part in os.path.normpath(path).split('/') if part]


def _loose(path: str, why: str) -> exceptions.JournalInsecure:
    return exceptions.JournalInsecure(
        path=path, reason=why, cure=f'Run: chmod go-w {shell(path)}; or name another '
        'directory in [migsafe].')


def require(path: str) -> None:
    """Refuse to open a SQLite file as root that is not root's alone.

    :param path: of the database
    :raises JournalInsecure: with the user that can open it
    """
    if os.geteuid():
        return
    directory = os.path.dirname(path)
    uid = owner(directory)
    if uid:
        name = files.user_name(uid)
        raise exceptions.JournalInsecure(
            path=directory, reason=f'root does not open what {name} can replace',
            cure=f'Run the command as its owner: sudo -u {shell(name)} migsafe ...')


def become_owner(path: str) -> None:
    """Give up root for good if a SQLite file is another user's; the commands do this first.

    :param path: of the database
    :raises JournalInsecure: the owner has no account, or root may not become it
    """
    if os.geteuid() == 0 and (uid := owner(os.path.dirname(path))):
        _become(uid, path)


def _become(uid: int, path: str) -> None:
    try:
        account = pwd.getpwuid(uid)
        os.initgroups(account.pw_name, account.pw_gid)
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(uid, uid, uid)
    except (KeyError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else 'it has no account'
        raise exceptions.JournalInsecure(
            path=path, reason=f'it is for user {uid} to open, and root cannot become it: {why}',
            cure=f'Run the command as its owner: setpriv --reuid {uid} --clear-groups '
            'migsafe ...') from None


def apart(path: str, read: Callable[[], Any]) -> Any:
    """Return what ``read`` returns, from a child process that has become the owner of a file.

    This process stays what it is.

    :param path: of the database
    :param read: returns what JSON can hold
    :raises JournalUnavailable: it raised, or its answer is too long or does not come
    """
    if os.geteuid() or not owner(os.path.dirname(path)):
        return read()
    reader, writer = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if not child:
        _answer(writer, path, read)
    os.close(writer)
    try:
        said = json.loads(_hear(reader, path))
    except ValueError:
        raise _silent(path, 'the process that reads it gave no answer') from None
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if 'error' in said:
        raise exceptions.JournalUnavailable(str(said['error']))
    return said['found']


def _answer(writer: int, path: str, read: Callable[[], Any]) -> NoReturn:
    """The life of the child; it ends here whatever happens."""
    code = 1
    try:
        become_owner(path)
        try:
            said = {'found': read()}
        except exceptions.MigsafeError as error:
            said = {'error': str(error)}
        with os.fdopen(writer, 'w', encoding='utf-8') as handle:
            json.dump(said, handle)
        code = 0
    finally:
        os._exit(code)


def _hear(reader: int, path: str) -> bytes:
    heard: list[bytes] = []
    size = 0
    deadline = time.monotonic() + ANSWER_SECONDS
    while select.select([reader], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(reader, 1 << 20)
        if not part:
            return b''.join(heard)
        size += len(part)
        if size > ANSWER_BYTES:
            raise _silent(path, f'it holds more than {ANSWER_BYTES >> 20} MiB')
        heard.append(part)
    raise _silent(path, f'the process that reads it did not end in {ANSWER_SECONDS:g} s')


def _silent(path: str, why: str) -> exceptions.JournalUnavailable:
    return exceptions.JournalUnavailable(
        database=path, reason=why, cure=f'Look at it as its owner, with: migsafe journal list; '
        f'and for what keeps it busy: fuser -v {shell(path)}')
