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
"""Findings of one kind that this process records, and that stay in the journal."""

from __future__ import annotations

import threading

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
    """

    def __init__(self, kind: str, journal: Journal) -> None:
        self._kind, self._journal = kind, journal
        self._lock = threading.Lock()
        self._found: dict[Attached, str] = {
            (one.instance_uuid, one.key): one.text for one in journal.findings()
            if one.kind == kind}

    def all(self) -> dict[Attached, str]:
        """Everything that is noted now."""
        with self._lock:
            return dict(self._found)

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
        try:
            self._journal.set_findings(self._kind, found)
        except (exceptions.JournalError, OSError) as error:
            LOG.error('%s; what is noted as %s is known to this process alone until that works: '
                      '%s', masked(error), self._kind, sorted(found))
