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
"""One volume after the other, and none of them for ever."""

from __future__ import annotations

import threading
from collections.abc import Callable

from oslo_log import log as logging

from migsafe.ledger.records import Thing

LOG = logging.getLogger(__name__)

#: Seconds until the next volume's turn, whatever a driver or an array does with this one.
SECONDS = 60.0
#: Volumes that may hang at a time. Each of them has a thread that nobody can end.
MOST = 32


class Bounded:
    """Works on volumes in threads, and leaves one behind that hangs."""

    def __init__(self) -> None:
        self._hanging: dict[Thing, threading.Thread] = {}

    def run(self, thing: Thing, work: Callable[[], object]) -> bool:
        """Work on a volume, for a while.

        :returns: whether that has ended; it is not begun if it hangs since an earlier time
        """
        self._hanging = {one: thread for one, thread in self._hanging.items()
                         if thread.is_alive()}
        if thing in self._hanging:
            return False
        if len(self._hanging) >= MOST:
            LOG.error('%d volumes hang in the driver or the array, so that recovery waits: %s',
                      MOST, ', '.join(one.id for one in self._hanging))
            return False
        thread = threading.Thread(target=work, name=f'migsafe-export-{thing.id}', daemon=True)
        thread.start()
        thread.join(SECONDS)
        if thread.is_alive():
            self._hanging[thing] = thread
            LOG.warning('%s %s hangs in the driver or the array for over %d seconds; recovery '
                        'goes on with others', thing.kind, thing.id, int(SECONDS))
            return False
        return True
