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
import threading
from unittest import mock

import testtools

from migsafe.brick.kernel import bounded


class BoundedTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.answers, self.begun, self.unwanted = threading.Event(), threading.Event(), []
        self.addCleanup(self.answers.set)

    def hangs(self):
        self.begun.set()
        self.answers.wait()
        return 'late'

    def test_answers(self):
        found = bounded.ask({1: lambda: 'one', 2: lambda: os.stat('/nowhere')}, 60)
        self.assertEqual('one', found[1])
        self.assertIsInstance(found[2], FileNotFoundError)

    def test_one_that_hangs_keeps_nobody(self):
        # a loaded machine may take its time to start the other's thread, by a clock of the test
        with mock.patch.object(bounded, 'time', mock.Mock(**{
                'monotonic.side_effect': [0, 0, 0, 59.99, 0]})):
            found = bounded.ask({1: self.hangs, 2: lambda: 'two'}, 60)
        self.assertIsInstance(found[1], bounded.Silent)
        self.assertEqual('two', found[2])

    def test_who_joins_waits_no_longer_than_one_that_has_asked(self):
        """A question that is open for so long already is not waited for again by each."""
        with mock.patch.object(bounded, 'time', mock.Mock(monotonic=lambda: 0)):
            self.assertRaises(bounded.Silent, bounded.one, 'old', self.hangs, 0)
        for now, waits in ((59, True), (60, False)):
            asked = bounded._OPEN['old']
            with mock.patch.object(bounded, 'time', mock.Mock(monotonic=lambda now=now: now)), \
                    mock.patch.object(asked, 'answer', side_effect=bounded.Silent) as answer:
                self.assertRaises(bounded.Silent, bounded.one, 'old', self.hangs, 60, join=True)
                self.assertIs(waits, answer.called)

    def test_it_is_not_asked_twice(self):
        asked = []

        def hangs():
            asked.append(1)
            return self.hangs()
        for _ in range(3):
            self.assertRaises(bounded.Silent, bounded.one, 'twice', hangs, 0.01)
            self.begun.wait()
        self.assertEqual([1], asked)

    def test_a_thread_that_cannot_be_started(self):
        """The others are heard, and it can be asked again."""
        start, started = threading.Thread.start, []

        def starts(thread):
            started.append(thread)
            if len(started) == 2:
                raise RuntimeError("can't start new thread")
            start(thread)
        with mock.patch.object(threading.Thread, 'start', starts):
            found = bounded.ask({1: lambda: 'one', 2: lambda: 'two', 3: lambda: 'three'}, 60)
        self.assertEqual(['one', 'three'], [found[1], found[3]])
        self.assertIsInstance(found[2], RuntimeError)
        self.assertEqual('two', bounded.one(2, lambda: 'two', 60))

    def test_what_comes_too_late_is_not_kept(self):
        thread = []

        def hangs():
            thread.append(threading.current_thread())
            return self.hangs()
        self.assertRaises(bounded.Silent, bounded.one, 'late', hangs, 0.01, self.unwanted.append)
        self.begun.wait()
        self.answers.set()
        thread[0].join()
        self.assertEqual(['late'], self.unwanted)
        self.assertEqual('again', bounded.one('late', lambda: 'again', 60))

    def test_an_error_is_raised(self):
        self.assertRaises(FileNotFoundError, bounded.one, 'error', lambda: os.stat('/nowhere'), 60)
