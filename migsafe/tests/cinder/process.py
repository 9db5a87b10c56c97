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
"""A real cinder-volume on a real Ceph, for tests of Nova, which cannot be loaded beside Cinder.

A process of its own. It says on standard output where its cluster is and which image its volume
has, and then answers each line of its standard input, ``[NAME, ARGUMENT ...]``, with one of its
own: ``{"said": ...}`` or ``{"error": TEXT}``. It ends with its standard input.
"""

import contextlib
import json
import os
import subprocess
import sys
import unittest

import fixtures

#: What is asked of it, as the API service of Cinder and Nova would ask it.
CALLS = ('reserve', 'attach', 'detach')


class Cinder(fixtures.Fixture):
    """Runs it, and asks it."""

    def _setUp(self):
        # NOTE: whoever runs tests may limit the time of each, and this one lasts as long as they.
        self._process = subprocess.Popen(
            [sys.executable, '-W', 'ignore', '-m', __name__], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1,
            env=os.environ | {'OS_TEST_TIMEOUT': '0'})
        self.addCleanup(self._end)
        self.conf, self.image = self._answer()

    def ask(self, *words):
        """Ask for something; return what was said.

        :raises AssertionError: it has ended
        :raises RuntimeError: it was refused, with the reason
        """
        self._process.stdin.write(f'{json.dumps(words)}\n')
        return self._answer()

    def _answer(self):
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError('The process of Cinder has ended')
        answer = json.loads(line)
        if 'error' in answer:
            raise RuntimeError(answer['error'])
        return answer['said']

    def _end(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def main():
    """Answer until standard input ends."""
    from migsafe.tests.cinder import test_ceph
    answers = os.fdopen(os.dup(1), 'w', buffering=1)
    os.dup2(2, 1)

    def say(**answer):
        answers.write(f'{json.dumps(answer)}\n')

    class Served(test_ceph.CephWorld):

        def runTest(self):
            say(said=[self.ceph.conf, self.volume.name])
            for line in sys.stdin:
                name, *arguments = json.loads(line)
                try:
                    done = getattr(self, name)(*arguments) if name in CALLS else None
                    say(said=done if name == 'reserve' else None)
                except Exception as error:
                    say(error=str(error))
    with contextlib.redirect_stdout(sys.stderr):
        unittest.TextTestRunner().run(unittest.TestLoader().suiteClass([Served()]))


if __name__ == '__main__':
    main()
