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
"""What a test run found: test id -> outcome, read from its subunit stream."""

import io
from collections import Counter
from collections.abc import Mapping
from typing import Any

import subunit
import testtools

Outcomes = dict[str, str]

# What counts as what in the one line at the end of a run. "inprogress" is a
# test whose process died before it could say anything.
SUMMARY = {
    "success": "passed",
    "xfail": "passed",
    "skip": "skipped",
    "fail": "failed",
    "uxsuccess": "failed",
    "inprogress": "failed",
    "unknown": "failed",
}


def read(stream: bytes) -> Outcomes:
    """Read a subunit v2 stream.

    A test that reports more than once (a failure in a clean-up after a
    success) keeps the worst of what it said.
    """
    found: Outcomes = {}

    def on_test(test: dict[str, Any]) -> None:
        name, status = test["id"], test["status"]
        if name is None or status == "exists":
            return
        if _rank(status) >= _rank(found.get(name, "success")):
            found[name] = status

    result = testtools.StreamToDict(on_test)
    result.startTestRun()
    subunit.ByteStreamToStreamResult(io.BytesIO(stream)).run(result)
    result.stopTestRun()
    return found


def _rank(status: str) -> int:
    return ["success", "xfail", "skip", "uxsuccess", "fail", "unknown", "inprogress"].index(status)


def summary(outcomes: Mapping[str, str]) -> Counter[str]:
    """How many passed, failed and were skipped."""
    return Counter({"passed": 0, "failed": 0, "skipped": 0}) + Counter(
        SUMMARY[status] for status in outcomes.values()
    )
