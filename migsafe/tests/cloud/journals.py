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
"""Whether migsafe has something to do still. It is no judge of what is left: see judge."""

from __future__ import annotations

import time

from migsafe.tests.cloud import machines, places

#: Seconds in which what is settled by both hosts one after the other is settled.
PATIENCE = 180.0
#: Reads a journal as it is, without a service and without a lock.
_PROGRAM = """
import glob, sqlite3
print(sum(sqlite3.connect(f'file:{path}?mode=ro', uri=True).execute(
    "select count(*) from migsafe_transactions where state <> 'settled'").fetchone()[0]
    for path in glob.glob('/var/lib/nova/migsafe/*.sqlite')))
"""


def unsettled() -> int:
    """How many transactions of both compute hosts are not settled."""
    return sum(int(machines.python(host, _PROGRAM)) for host in places.COMPUTES)


def settled() -> int:
    """Wait until there are none, if it does not take too long: the next migration of the guest
    is refused until then.

    :returns: how many are left
    """
    end = time.monotonic() + PATIENCE
    while (left := unsettled()) and time.monotonic() < end:
        time.sleep(3)
    return left
