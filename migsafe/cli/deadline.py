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
"""Runs what may never come back, for no longer than an operator waits."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar('T')


class Overdue(Exception):
    """The time is up, and the work goes on without anybody to wait for it."""


def run(work: Callable[[], T], seconds: float) -> T:
    """Return what ``work`` returns, or raise what it raises.

    It runs in a daemon thread, which ends with the process at the latest: libraries try for ever
    to connect, whatever time-out they are given for an answer.

    :raises Overdue: it has not come back in time; what it does may still happen
    """
    ended: dict[str, Any] = {}

    def follow() -> None:
        try:
            ended['result'] = work()
        except BaseException as error:
            ended['error'] = error
    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise Overdue
    if 'error' in ended:
        raise ended['error']
    result: T = ended['result']
    return result
