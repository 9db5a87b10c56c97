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
"""What may be concluded from a clock that may have been set, or that chrony has yet to step."""

import datetime
import time

#: How long a clock must have gone evenly before anything is deleted by its age.
PROBATION = datetime.timedelta(days=1)
#: What counts as a step; a clock that is slewed gains or loses some seconds a day.
STEP = datetime.timedelta(hours=1)


class Steady:
    """Compares the time of day with the time since boot, which nobody can set.

    :param probation: see ``PROBATION``
    """

    def __init__(self, probation: datetime.timedelta = PROBATION) -> None:
        self._probation = probation
        self._since: tuple[datetime.datetime, float] | None = None

    def is_steady(self, now: datetime.datetime) -> bool:
        """Tell whether ``now`` has followed from what it was a day ago, in this process.

        A host whose clock is wrong when it boots is set right within that time, or never.

        :param now: naive UTC
        """
        booted = time.clock_gettime(time.CLOCK_BOOTTIME)
        if self._since is None:
            self._since = now, booted
        before, then = self._since
        passed = datetime.timedelta(seconds=booted - then)
        if abs(now - before - passed) > STEP:
            self._since = now, booted
            return False
        return passed >= self._probation
