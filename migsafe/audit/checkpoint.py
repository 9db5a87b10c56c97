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
"""How far the first look at a cloud has come, in a file from which the next audit goes on.

Only what the second look needs is kept: which findings there were. It reads them anew, so that
nothing in the file is ever told without having been seen again.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import hashlib
import json
import os
import time
from typing import Any

from migsafe import exceptions
from migsafe.audit import beside
from migsafe.audit.activity import Spans
from migsafe.audit.facts import Moment
from migsafe.text import shell

FORMAT = 2
#: Seconds between two writes.
EVERY = 5.0
Identity = tuple[str, ...]


class Unusable(exceptions.MigsafeError):
    """A file that an audit cannot go on from."""

    message = ('%(shell:path)s is no checkpoint of this audit: %(reason)s. Remove it, or name '
               'another file with --checkpoint.')


@dataclasses.dataclass
class Progress:
    """What the first look has done.

    :ivar after: database of a cell -> the last of its instances that was judged
    :ivar found: identities of findings
    :ivar counts: of the report
    :ivar notes: of what could not be judged: what -> how many, and examples
    :ivar begun: the time of the cloud when it was begun
    """

    after: dict[str, int] = dataclasses.field(default_factory=dict)
    found: set[Identity] = dataclasses.field(default_factory=set)
    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    notes: dict[str, tuple[int, list[str]]] = dataclasses.field(default_factory=dict)
    begun: Moment = None


@dataclasses.dataclass
class Checkpoint:
    """The file.

    :ivar asked: all that the findings depend on; another audit has another
    """

    path: str
    asked: str
    written: float = 0.0

    def read(self) -> Progress:
        """What an audit that was interrupted has done; nothing if there is no file.

        :raises Unusable: it is of another audit, or none
        """
        try:
            # NOTE: others can write where it may be kept, such as /var/tmp.
            handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW)
            with open(handle, encoding='utf-8') as stream:
                if os.fstat(handle).st_uid != os.geteuid():
                    raise Unusable(path=self.path, reason='it is of another user')
                kept = json.load(stream)
            if kept['format'] != FORMAT or kept['asked'] != self._digest():
                raise Unusable(path=self.path, reason='it was begun with other arguments or by '
                               'another release')
            return Progress(
                {str(cell): int(key) for cell, key in kept['after'].items()},
                {tuple(map(str, one)) for one in kept['found']},
                collections.Counter({str(name): int(count)
                                     for name, count in kept['counts'].items()}),
                {str(what): (int(count), list(map(str, names)))
                 for what, (count, names) in kept['notes'].items()},
                datetime.datetime.fromisoformat(kept['begun']))
        except FileNotFoundError:
            return Progress()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unusable(path=self.path, reason=f'{type(error).__name__}') from None

    def check(self, done: Progress, now: datetime.datetime, spans: Spans) -> None:
        """See that what was read can still be believed.

        :param now: the time of the cloud
        :raises Unusable: it is of another copy of the databases, or was read too long ago
        """
        if done.begun is None:
            return
        if now < done.begun - spans.grace:
            raise Unusable(path=self.path, reason=f'it was begun at {done.begun} UTC, and the '
                           f'databases are of {now} UTC: of an earlier copy')
        if now > done.begun + spans.stuck:
            raise Unusable(path=self.path, reason=f'it was begun at {done.begun} UTC, and it is '
                           f'{now} UTC there now: what has come about since (--stuck) in what it '
                           'has read would not be told')

    def write(self, done: Progress) -> None:
        """Keep it, if the last time is not just now; the file is whole at any moment.

        :raises Unusable: it cannot be written
        """
        if time.monotonic() - self.written < EVERY:
            return
        kept: dict[str, Any] = {
            'format': FORMAT, 'asked': self._digest(), 'after': done.after,
            'found': sorted(done.found), 'counts': dict(done.counts), 'notes': done.notes,
            'begun': done.begun and done.begun.isoformat()}
        try:
            # NOTE: ids of instances and volumes are not for everybody on this machine: 0600.
            with beside.replaced(self.path) as stream:
                json.dump(kept, stream)
        except OSError as error:
            raise Unusable(path=self.path, reason=f'it cannot be written '
                           f'({shell(error.strerror)})') from None
        self.written = time.monotonic()

    def end(self) -> None:
        """The audit has come to its end, and nothing is to go on from."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def _digest(self) -> str:
        return hashlib.sha256(self.asked.encode()).hexdigest()
