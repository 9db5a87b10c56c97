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
"""When a process began."""

import os
import subprocess
import sys
import unittest

from migsafe import process

#: A name that looks like the fields behind it.
NAMED = "open('/proc/self/comm', 'w').write('a) 1 (b 2'); print(flush=True); input()"


class TestStarted(unittest.TestCase):
    def test_of_this_one(self):
        self.assertGreater(process.started(os.getpid()), 0)
        self.assertEqual(process.started(os.getpid()), process.started(os.getpid()))

    def test_of_one_that_came_later_under_an_odd_name(self):
        with subprocess.Popen([sys.executable, '-c', NAMED], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            with open(f'/proc/{child.pid}/stat') as stat:
                self.assertIn('(a) 1 (b 2)', stat.read())
            self.assertGreaterEqual(process.started(child.pid), process.started(os.getpid()))
            child.communicate(b'\n')
        self.assertIsNone(process.started(child.pid))

    def test_of_none(self):
        self.assertIsNone(process.started(2 ** 30))


if __name__ == '__main__':
    unittest.main()
