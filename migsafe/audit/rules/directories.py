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
"""R11: the directory of an instance was left on a host.

The next migration to that host is refused because of it (DestinationDiskExists).
"""

from __future__ import annotations

from collections.abc import Iterator

from migsafe.audit.activity import Clock
from migsafe.audit.facts import Case
from migsafe.audit.findings import Finding, Severity
from migsafe.audit.rules import said


def judge(case: Case, clock: Clock) -> Iterator[Finding]:
    """Each directory that a host says it has."""
    yield from said.judge('R11', Severity.MINOR, case, clock)
