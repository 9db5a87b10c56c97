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
import json
import os
import textwrap
from unittest import mock

import fixtures
from oslotest import base

from migsafe.replay import catalogue, child, run
from migsafe.tests.unit.replay import samples

NAME = 'user-abort'


class RunTest(base.BaseTestCase):
    """Both children are a script that plays a part."""

    def script(self, *lines, after='exit 0'):
        """Make a child that says these lines on its file descriptor, and then does that."""
        top = self.useFixture(fixtures.TempDir()).path
        path, said = os.path.join(top, 'python'), os.path.join(top, 'said')
        with open(said, 'w') as file:
            file.writelines(f'{line}\n' for line in lines)
        with open(path, 'w') as file:
            file.write(textwrap.dedent(f'''\
                #!/bin/bash
                while [ "$1" != --fd ]; do shift; done
                cat {said} >&$2
                {after}
                '''))
        os.chmod(path, 0o755)
        self.useFixture(fixtures.MonkeyPatch('migsafe.replay.child.sys.executable', path))

    def replay(self):
        work = run.Run([catalogue.find(NAME)])
        heard = list(work)
        return heard, work.report()

    def good_lines(self):
        ready = {'event': 'ready', 'nova': '34.0.0', 'concurrency': 'eventlet'}
        control = {'event': 'control', 'outcome': samples.clean('no-fault').as_dict(),
                   'luns': [7, 8]}
        found = {'event': 'outcome', 'outcome': samples.clean(NAME).as_dict()}
        return [json.dumps(line) for line in (
            ready, control, {'event': 'begin', 'name': NAME}, found, {'event': 'end'})]

    def test_what_both_sides_say_becomes_a_report(self):
        self.script(*self.good_lines())
        heard, report = self.replay()
        self.assertEqual({child.PLAIN, child.ARMED}, {said.side for said in heard})
        self.assertTrue(report.good, report.problems)
        self.assertEqual((7, 8), report.luns)
        self.assertEqual('34.0.0', report.about['nova'])

    def test_what_there_was_without_a_mending_stands_beside_it(self):
        name = 'false-word'
        lines = [line.replace(NAME, name) for line in self.good_lines()]
        again = {'event': 'before', 'outcome': samples.dirty(name, True).as_dict()}
        self.script(*lines[:-1], json.dumps(again), lines[-1])
        work = run.Run([catalogue.find(name)])
        list(work)
        self.assertEqual({child.PLAIN: 1, child.ARMED: 2}, work.totals)
        (pair,) = work.report().pairs
        self.assertEqual((True, True, False),
                         (pair.plain.clean, pair.armed.clean, pair.before.clean))

    def test_a_child_that_dies_early_is_a_problem_with_its_last_words(self):
        self.script(*self.good_lines()[:2], after='echo "no room: password=hunter2" >&2; exit 1')
        _, report = self.replay()
        self.assertFalse(report.good)
        self.assertEqual(2, len(report.problems))
        self.assertIn('ended too early', report.problems[0])
        self.assertIn('no room', report.problems[0])
        self.assertNotIn('hunter2', report.problems[0])

    def test_a_child_that_says_nonsense_is_a_problem(self):
        self.script('{"event": "ready"')
        _, report = self.replay()
        self.assertIn('not JSON', ' '.join(report.problems))
        self.assertFalse(report.good)

    def test_children_that_say_nothing_are_given_up_and_ended(self):
        self.script(after='exec sleep 600')
        with mock.patch.object(run, 'SILENCE', 0.2):
            _, report = self.replay()
        self.assertEqual(2, len(report.problems))
        self.assertIn('given up', report.problems[0])
