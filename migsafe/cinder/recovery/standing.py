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
"""Whether the ledger that a backend has is the one that was used last.

It belongs to the name of the backend, and a file of it to one host. After ``cinder-manage volume
update_host``, with a cluster that is switched on, or where another controller has served the
backend with a file of its own, what is in doubt is in another one.
"""

from __future__ import annotations

import datetime
import threading
from typing import Any

from oslo_log import log as logging
from oslo_utils import timeutils

from migsafe import exceptions
from migsafe.cinder.facts import backend_volumes, services
from migsafe.ledger import former
from migsafe.text import masked

LOG = logging.getLogger(__name__)

#: Until then a service of a former name may look as if it still ran.
AGAIN = datetime.timedelta(minutes=5)


class NotTheLast(exceptions.MigsafeError):
    """Nothing is mapped or unmapped."""

    message = ('Backend %(backend)s maps and unmaps nothing, since its ledger, %(database)s, is '
               'not the one that was used last: %(what)s. Guests keep running. Look at the plan '
               'of: migsafe --config-file /etc/cinder/cinder.conf export adopt --backend '
               '%(shell:backend)s; with --yes it is carried out, and the backend goes on. '
               'If several hosts run cinder-volume under this name in turn, they need one ledger: '
               'see [migsafe] ledger_connection.')


class NotKnown(exceptions.MigsafeError):
    """Whether it is cannot be found out."""

    message = ('Backend %(backend)s maps and unmaps nothing as long as it is not known whether '
               'its ledger is the one that was used last: %(reason)s. Move a file that is not '
               'a ledger of this backend out of [migsafe] ledger_path.')


class Standing:
    """What is known of it in this process.

    :param guard: of the backend
    """

    def __init__(self, guard: Any) -> None:
        self._guard = guard
        self._lock = threading.Lock()
        self._good = False
        self._again: datetime.datetime | None = None

    def require(self) -> None:
        """Find it out, once.

        :raises NotTheLast: it is not
        :raises NotKnown: that cannot be found out now
        """
        with self._lock:
            if self._good:
                return
            try:
                what = self._look()
            except Exception as error:
                raise NotKnown(backend=self._guard.backend, reason=masked(error)) from error
            if what:
                raise NotTheLast(backend=self._guard.backend, what=what,
                                 database=self._guard.ledger.database)
            self._good, self._again = True, self._again or timeutils.utcnow() + AGAIN

    def is_good(self) -> bool:
        """The same for what nobody waits for: the reason goes to the log."""
        with self._lock:
            if self._good and self._again and timeutils.utcnow() > self._again:
                self._good, self._again = False, datetime.datetime.max
        try:
            self.require()
        except exceptions.MigsafeError as error:
            LOG.error('%s', error)
            return False
        return True

    def reconsider(self) -> None:
        """Something was done about it."""
        with self._lock:
            self._good = False

    def _look(self) -> str:
        """What says that it is not; empty if nothing does."""
        guard = self._guard
        with former.ledgers(guard.conf, guard.ledger, services.is_served) as found:
            for one in found:
                for row in backend_volumes.here(guard, one.rows.exports()):
                    return f'{row} is {row.state} in {one}'
        for page in backend_volumes.pages(guard):
            for missing in backend_volumes.missing(guard.ledger, page, guarded=True):
                return (f'attachment {missing.id} of volume {missing.volume_id} was made with a '
                        'ledger, and this one has never had it')
        return ''
