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
"""A probe that waits in the kernel, in a process that eventlet has patched.

What is a thread elsewhere is a green one there, and as long as one of them is in a call of the
kernel none of the others runs: the heartbeat of nova-compute itself, for example.
"""

import json
import os
import subprocess
import sys

import fixtures
from oslotest import base as oslo_base

from migsafe.fencing import beats

SCRIPT = """
import eventlet
eventlet.monkey_patch()
import json, os, sys, time, types
from migsafe.brick.kernel import bounded
from migsafe.fencing import beats, probes
how, directory = sys.argv[1:]
ticks = 0

def tick():
    global ticks
    while True:
        time.sleep(0.001)
        ticks += 1

def look():
    before = ticks
    if how == 'here':
        os.close(os.open(beats.path_of(directory, 'node13'), os.O_RDONLY))
        return ticks - before, ''
    conf = types.SimpleNamespace(
        probes=['heartbeat'], heartbeat_directory=directory, probe_timeout=1.0)
    one, = probes.load(types.SimpleNamespace(conf=conf))
    found, = one.look('node13', '')
    return ticks - before, found.detail

eventlet.spawn(tick)
print(json.dumps(bounded.one('x', look, 600)))
os._exit(0)
"""


class TestEventlet(oslo_base.BaseTestCase):

    def look(self, how):
        """How often others ran meanwhile, and what was seen, of a pipe nobody writes to: storage
        that is away."""
        directory = self.useFixture(fixtures.TempDir()).path
        os.mkfifo(beats.path_of(directory, 'node13'))
        with subprocess.Popen(
                [sys.executable, '-W', 'ignore', '-c', SCRIPT, how, directory],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            if how == 'here':
                # It is opened here as soon as it is there, and both go on.
                with open(beats.path_of(directory, 'node13'), 'w'):
                    pass
            out, err = process.communicate(timeout=600)
        self.assertEqual(0, process.returncode, err)
        return json.loads(out)

    def test_control_a_call_of_its_own_holds_up_all_others(self):
        self.assertEqual([0, ''], self.look('here'))

    def test_others_go_on(self):
        ticks, detail = self.look('probe')
        self.assertGreater(ticks, 20)
        self.assertIn('in time', detail)
