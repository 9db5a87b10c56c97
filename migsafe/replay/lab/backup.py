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
"""A host's journal, copied while it is written, and put back later."""

from __future__ import annotations

import contextlib
import os
import sqlite3

from nova.conf import CONF


class Backup:
    """A copy of the journal of one host, as it is now.

    :param host: which host
    """

    def __init__(self, host: str) -> None:
        self._path = os.path.join(CONF.migsafe.state_path, f'{host}.sqlite')
        # taken in one thread of the laboratory and put back in another
        self._copy = sqlite3.connect(':memory:', check_same_thread=False)
        with contextlib.closing(sqlite3.connect(self._path)) as journal:
            journal.backup(self._copy)

    def put_back(self) -> None:
        """Make it the journal again; nothing may be writing into that."""
        with contextlib.closing(sqlite3.connect(self._path)) as journal:
            self._copy.backup(journal)
        self._copy.close()
