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
"""Findings of one kind that this process records, and that stay in the journal.

A journal that cannot be read at start is read as soon as it can be; what was found meanwhile is
added to what is there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from oslo_log import log as logging

from migsafe import exceptions
from migsafe.journal.api import Journal
from migsafe.text import masked

LOG = logging.getLogger(__name__)

#: (instance uuid, volume id)
Attached = tuple[str, str]


class Noted:
    """What is known, whether the journal can be written or not.

    :param kind: of the findings
    :param journal: of this host
    :param known: called with each one that is read from the journal
    """

    def __init__(self, kind: str, journal: Journal,
                 known: Callable[[Attached, str], None] = lambda attached, text: None) -> None:
        self._kind, self._journal, self._known = kind, journal, known
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._found: dict[Attached, str] = {}
        self._read = False
        self.all()

    def all(self) -> dict[Attached, str]:
        """Everything that is noted now, as far as it is known."""
        if not self._read:
            self._load()
        with self._lock:
            return dict(self._found)

    def _load(self) -> None:
        try:
            there = {(one.instance_uuid, one.key): one.text
                     for one in self._journal.findings(kind=self._kind)
                     if one.kind == self._kind}
        except exceptions.JournalAway as error:
            LOG.warning('What was noted as %s is not known yet: %s', self._kind, masked(error))
            return
        with self._lock:
            if self._read:
                return
            self._read, mine = True, bool(self._found)
            new = {attached: text for attached, text in there.items()
                   if attached not in self._found}
            self._found.update(new)
        for attached, text in new.items():
            self._known(attached, text)
        if mine:
            self._write()

    def of_volume(self, volume: str) -> list[Attached]:
        """What is noted of a volume, for whichever instance."""
        return [attached for attached in self.all() if attached[1] == volume]

    def put(self, attached: Attached, text: str) -> None:
        """Note it, or why it is so by now."""
        with self._lock:
            self._found[attached] = text
        self._write()

    def drop(self, attached: Attached) -> None:
        """It is over."""
        with self._lock:
            if self._found.pop(attached, None) is not None:
                LOG.info('%s of instance %s, volume %s is over', self._kind, *attached)
        self._write()

    def _write(self) -> None:
        found = self.all()
        if not self._read:
            # It would be written over what is there. Once that is read, both are written.
            return
        try:
            # what is written later is not older
            with self._writing:
                found = self.all()
                self._journal.set_findings(self._kind, found)
        except (exceptions.JournalError, OSError) as error:
            LOG.error('%s; what is noted as %s is known to this process alone until that works: '
                      '%s', masked(error), self._kind, sorted(found))
