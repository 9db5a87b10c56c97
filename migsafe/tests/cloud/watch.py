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
"""What Nova's database says of a guest while a scenario goes on, change by change."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import sqlalchemy as sa

from migsafe.tests.cloud import facts

#: Seconds between two looks.
PAUSE = 1.0
STATEMENT = ("SELECT i.host, i.vm_state, i.task_state, (SELECT m.status FROM migrations m WHERE "
             "m.instance_uuid = i.uuid ORDER BY m.id DESC LIMIT 1) AS migration FROM instances i "
             "WHERE i.uuid = '{}'")


@contextlib.contextmanager
def watching(uuid: str, say: Callable[[str], None]) -> Iterator[None]:
    """Tell of each change while the block runs: what an operator's alarms would see.

    :param say: called in another thread
    """
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(uuid, say, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _watch(uuid: str, say: Callable[[str], None], ended: threading.Event) -> None:
    before = None
    while not ended.wait(PAUSE):
        try:
            rows = facts.rows('nova_cell1', STATEMENT.format(uuid))
        except sa.exc.OperationalError:     # a scenario restarts the database
            continue
        now = rows[0] if rows else None
        if now and now != before:
            say('record: host {host}, vm_state {vm_state}, task_state {task_state}, '
                'migration {migration}'.format(**now))
        before = now
