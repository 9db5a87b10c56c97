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
"""What is odd about the place of a journal, and is no reason to refuse it."""

import contextlib
import glob
import os
import sqlite3
import urllib.parse
from collections.abc import Sequence

import sqlalchemy as sa

from migsafe import process
from migsafe.journal import models
from migsafe.journal.records import ServiceStatus
from migsafe.text import shell

MOUNTS = '/proc/self/mountinfo'
#: Types of file systems -> what becomes of a file there.
VOLATILE = {
    'tmpfs': 'is gone when the host boots', 'ramfs': 'is gone when the host boots',
    'overlay': 'is gone when the container is made anew'}
SUFFIX = '.sqlite'
_COUNT = sa.select(sa.func.count()).select_from(models.TRANSACTIONS).where(
    sa.text(models.UNSETTLED))


def oddities(path: str | None, statuses: Sequence[ServiceStatus]) -> list[str]:
    """Return what an operator should know, in sentences; nothing is refused for it.

    :param path: of the file, None for a journal on a server
    :param statuses: what services of this host have said of themselves in this journal
    """
    found = [*_another_service(statuses)]
    if path is not None:
        found += [*_volatile(path), *_former_names(path)]
    return found


def _volatile(path: str) -> list[str]:
    device = os.stat(os.path.dirname(path)).st_dev
    wanted = f'{os.major(device)}:{os.minor(device)}'
    with open(MOUNTS, encoding='utf-8', errors='replace') as lines:
        for line in lines:
            # NOTE: what is before the hyphen has optional fields (proc_pid_mountinfo(5)).
            before, _hyphen, after = line.partition(' - ')
            kind = after.split(' ', 1)[0]
            if before.split()[2] == wanted and kind in VOLATILE:
                return [f'the journal {path} is on {kind} and {VOLATILE[kind]}, with all that is '
                        'not settled: set [migsafe] state_path to a directory on a local disk']
    return []


def _former_names(path: str) -> list[str]:
    """Journals beside that have something unsettled, as after a change of [DEFAULT] host."""
    found = []
    for other in sorted(glob.glob(os.path.join(
            glob.escape(os.path.dirname(path)), f'*{SUFFIX}'))):
        if other != path and (count := _unsettled(other)) != 0:
            name = os.path.basename(other).removesuffix(SUFFIX)
            what = 'cannot be read' if count is None else f'has {count} unsettled transactions'
            found.append(
                f'{other} {what}. If this host was {name} once, nobody settles them: see '
                f'migsafe --host {shell(name)} status, and give the host its name back until '
                'they are settled')
    return found


def _unsettled(path: str) -> int | None:
    """How many transactions of a file are not settled; None if it cannot be read."""
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(f'file:{urllib.parse.quote(path)}?mode=ro', uri=True)
        with contextlib.closing(connection):
            if not connection.execute('SELECT 1 FROM sqlite_master WHERE name = ?',
                                      (models.TRANSACTIONS.name,)).fetchone():
                return 0
            count, = connection.execute(str(_COUNT)).fetchone()
            return int(count)
    return None


def _another_service(statuses: Sequence[ServiceStatus]) -> list[str]:
    """A process of this boot that reports here and still runs."""
    return [
        f'process {one.pid} reports to the same journal as nova-compute of {one.host}, and runs '
        'still: two services with one [DEFAULT] host settle what the other one has begun. Stop '
        'one of them, or give it another name'
        for one in statuses
        if not {'pid', 'boot_id', 'started'} & set(one.problems())
        and one.boot_id and one.boot_id == process.boot_id() and one.pid != os.getpid()
        and one.started is not None and process.started(one.pid) == one.started]
