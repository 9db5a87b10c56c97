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
"""Tries again what was busy, and finds out what became of a COMMIT without an answer."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from oslo_log import log as logging

from migsafe import exceptions
from migsafe.journal import errors, tokens

LOG = logging.getLogger(__name__)
T = TypeVar('T')
BUSY_SECONDS = 30.0
#: How long a server is asked again whether it has a write whose answer was lost.
ANSWER_SECONDS = 20.0


class UnansweredError(Exception):
    """A COMMIT failed in a way that leaves open whether it was carried out.

    :param token: of the write, see :class:`tokens.Tokens`
    :param result: of the work, if the write is there
    """

    def __init__(self, error: BaseException, token: str, result: object) -> None:
        super().__init__()
        self.error, self.token, self.result = error, token, result


def patiently(call: Callable[[], T], whatever: tuple[type[BaseException], ...] = (),
              seconds: float | None = None) -> T:
    """Call again while the database is busy, or fails with ``whatever``.

    :param seconds: how long; ``BUSY_SECONDS`` if not given
    """
    deadline = time.monotonic() + (BUSY_SECONDS if seconds is None else seconds)
    while True:
        try:
            return call()
        except errors.OUTSIDE as exc:
            again = errors.is_busy(exc) or isinstance(exc, whatever)
            if not again or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.005, 0.05))


def find_out(database: str, engine: sa.Engine, marks: tokens.Tokens | None, what: str,
             lost: UnansweredError, overwrite: Callable[[], object]) -> None:
    """Return if a write is there whose COMMIT was not answered; else raise its error.

    :param marks: None for a SQLite file
    :param overwrite: makes another commit, which takes the place of this one in a file's log
    :raises JournalWriteUnknown: nobody says whether it is there
    """
    doubt = errors.FAILED_DISK.search(errors.first_line(lost.error)) is not None
    if marks is not None:
        try:
            there = patiently(lambda: marks.is_there(engine, lost.token), errors.OUTSIDE,
                              ANSWER_SECONDS)
        except errors.OUTSIDE:
            doubt = True
        else:
            if there:
                marks.answered(lost.token)
                LOG.info('The answer to the COMMIT of %s was lost; %s has it.', what, database)
                return
            doubt = False
    elif doubt:
        # NOTE: SQLite has undone it in this process. What a disk that failed has of it would be
        # found by who opens the file after a kill, until something is written over it.
        doubt = not _done(overwrite)
    if doubt:
        raise exceptions.JournalWriteUnknown(
            database=database, what=what, reason=errors.first_line(lost.error))
    raise lost.error


def _done(call: Callable[[], object]) -> bool:
    try:
        call()
    except (UnansweredError, *errors.OUTSIDE) as exc:
        LOG.debug('The disk does not go on yet: %s', errors.first_line(exc))
        return False
    return True
