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
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
from unittest import mock

import fixtures
import testtools

from migsafe.tests.nova_armed import watch

# Its arguments make it look like a test process of stestr's; on eventlet the alarm of a test's
# limit of time is lost in just this way.
HANGS = """
import pathlib, sys, types
from migsafe.tests.nova_armed import watch

class TestCase:
    def id(self):
        return "nova.tests.test_that_hangs"
    def setUp(self):
        print("set up", flush=True)

module = types.ModuleType("nova.test")
module.TestCase = TestCase
watch.report(pathlib.Path(sys.argv[1]), module)

def wait_for_what_never_comes():
    import threading
    while True:
        threading.Event().wait(1)

TestCase().setUp()
wait_for_what_never_comes()
"""


class WatchTest(testtools.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.state = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.useFixture(fixtures.MockPatchObject(watch, "PAUSE", 0.05))
        self.useFixture(fixtures.MockPatchObject(watch, "LAST_WORDS", 1.0))

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", HANGS, str(self.state), name], stdout=subprocess.PIPE
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        assert process.stdout is not None
        self.addCleanup(process.stdout.close)
        self.assertEqual(b"set up\n", process.stdout.readline())
        return process

    def test_a_test_that_hangs_is_ended_and_says_where_it_was(self) -> None:
        process = self._start("subunit")
        with watch.Watch(self.state, 0.5) as seen:
            self.assertEqual(-signal.SIGKILL, process.wait(20))
            time.sleep(0.2)
        self.assertEqual(["nova.tests.test_that_hangs"], list(seen.hung))
        self.assertIn("wait_for_what_never_comes", seen.hung["nova.tests.test_that_hangs"])

    def test_one_that_takes_its_time_is_left_alone(self) -> None:
        process = self._start("subunit")
        with watch.Watch(self.state, 60) as seen:
            time.sleep(0.5)
        self.assertEqual(({}, None), (seen.hung, process.poll()))

    def test_another_process_of_that_number_is_left_alone(self) -> None:
        process = self._start("something-else")
        with watch.Watch(self.state, 0.2) as seen:
            time.sleep(1)
        self.assertEqual(({}, None), (seen.hung, process.poll()))

    def test_a_process_that_has_ended(self) -> None:
        process = self._start("subunit")
        process.kill()
        process.wait()
        with watch.Watch(self.state, 0.2) as seen:
            time.sleep(1)
        self.assertEqual({}, seen.hung)

    def test_greenlets_are_shown_where_there_are_some(self) -> None:
        frame = sys._getframe()

        class Greenlet:
            gr_frame = frame

        module = types.ModuleType("greenlet")
        module.greenlet = Greenlet  # type: ignore[attr-defined]
        one = Greenlet()
        with mock.patch.dict(sys.modules, greenlet=module):
            watch._dump(self.state, 0, None)
        self.assertIs(frame, one.gr_frame)
        shown = (self.state / f"{watch.STACKS}.{os.getpid()}").read_text("utf-8")
        self.assertGreaterEqual(shown.count("test_greenlets_are_shown"), 2)
