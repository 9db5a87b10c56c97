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
"""What multipathd does with writes when the last path of a disk is gone."""

from __future__ import annotations

import re

#: "queue" and 0 or "fail" are words of multipath.conf(5); a number is of checks.
QUEUE = 'queue'
_SETTING = re.compile(r'\s*(no_path_retry|features|polling_interval)\s+"?([^"\n]*?)"?\s*')
#: multipath.conf(5): seconds between two checks of a path, as it comes.
INTERVAL = 5


def longest(config: str) -> float:
    """For how many seconds writes wait at the most without a path, by any section of a config.

    :param config: what ``multipathd show config local`` prints: the built-in table for the
        devices of this host, with what the file says
    :returns: infinity for ever
    """
    found = [(match[1], match[2]) for line in config.splitlines()
             if (match := _SETTING.fullmatch(line))]
    interval = max((int(value) for name, value in found
                    if name == 'polling_interval' and value.isdecimal()), default=INTERVAL)
    retries = [value for name, value in found if name == 'no_path_retry']
    if QUEUE in retries:
        return float('inf')
    # NOTE: "features" queues only where no no_path_retry says otherwise.
    if not retries and any('queue_if_no_path' in value for name, value in found
                           if name == 'features'):
        return float('inf')
    return float(interval * max((int(value) for value in retries if value.isdecimal()),
                                default=0))
