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
"""The process that runs the tests of one tier: ``python -m tools.suite.worker DIRECTORY``.

Requests come as lines of JSON on standard input, and each is answered with one line once it is
done. Tests are imported once, and are run group by group, whichever comes.
"""

import faulthandler
import json
import os
import pathlib
import signal
import sys
import unittest
from collections.abc import Iterator
from typing import Any

import subunit
import testtools
from subunit.test_results import AutoTimingTestResultDecorator

ROOT = pathlib.Path(__file__).resolve().parents[2]


def discover(start: pathlib.Path) -> dict[str, list[unittest.TestCase]]:
    """Group -> its tests. A module that cannot be imported is a test that fails."""
    top = ROOT if start.is_relative_to(ROOT) else start
    found: dict[str, list[unittest.TestCase]] = {}
    for test in _each(unittest.TestLoader().discover(str(start), top_level_dir=str(top))):
        found.setdefault(group_of(test), []).append(test)
    return found


def group_of(test: unittest.TestCase) -> str:
    """Tests of a class with a set-up of its own share that, and stay together."""
    cls = type(test)
    if getattr(cls.setUpClass, "__func__", None) is unittest.TestCase.setUpClass.__func__:  # type: ignore[attr-defined]
        return test.id()
    return f"{cls.__module__}.{cls.__qualname__}"


def _each(suite: Any) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from _each(test)
        else:
            yield test


def run(tests: list[unittest.TestCase], out: pathlib.Path) -> None:
    """Run some tests, with a subunit stream of what became of each."""
    # not buffered: what ends this process keeps nothing back of what was found before
    with out.open("wb", buffering=0) as stream:
        result = AutoTimingTestResultDecorator(
            testtools.ExtendedToStreamDecorator(subunit.StreamResultToBytes(stream))
        )
        result.startTestRun()
        try:
            unittest.TestSuite(tests).run(result)
        finally:
            result.stopTestRun()


def answer(
    request: dict[str, Any], tests: dict[str, list[unittest.TestCase]], out: pathlib.Path
) -> None:
    """Do what was asked, and leave what came of it in a file."""
    if "group" not in request:
        ids = {group: [test.id() for test in members] for group, members in tests.items()}
        out.write_text(json.dumps(ids), encoding="utf-8")
        return
    # a test that has run is not kept: its fixtures would be
    members = tests.pop(request["group"])
    wanted = request.get("tests")
    run([test for test in members if not wanted or test.id() in wanted], out)


def main() -> None:
    """Keep standard input and output for the requests; tests find neither."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    # asked where it is, before it is ended
    faulthandler.register(signal.SIGUSR1, file=2, all_threads=True)
    start, sys.argv = pathlib.Path(sys.argv[1]), sys.argv[:1]
    tests = discover(start)
    while line := requests.readline():
        request = json.loads(line)
        answer(request, tests, pathlib.Path(request["out"]))
        replies.write(b"done\n")


if __name__ == "__main__":
    main()
