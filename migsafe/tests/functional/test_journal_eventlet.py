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
"""The journal among green threads.

While SQLite waits for a lock no green thread runs, so that a holder of the lock that has
yielded would never let go of it.
"""

import json
import subprocess
import sys
import time

import fixtures
from oslotest import base as oslo_base

SCRIPT = """
import eventlet
eventlet.monkey_patch()
import json, sys, threading, time
from migsafe import journal
from migsafe.tests.unit.journal import base
conf = base.make_conf(sys.argv[1])
opened = []
threads = [eventlet.spawn(lambda: opened.append(journal.open_journal(conf, 'node13')))
           for number in range(4)]
[thread.wait() for thread in threads]
ticks = 0

def tick():
    global ticks
    while True:
        time.sleep(0.001)
        ticks += 1

def write(number):
    mine = opened[number % 4]
    tx = mine.begin('m-1', 'source', 'i-1', 'node13', 'node11')
    for turn in range(10):
        mine.outcome(tx, mine.intent(tx, 'r', 'e', f'{number}-{turn}'), 'ok')

def yielding():
    def work(session):
        from migsafe.journal import writes
        row = writes.locked(session, opened[0].get('m-1'), 'x')
        time.sleep(0.3)
        return writes.add(session, row, 'note', text='slow')
    opened[0]._commit('slow', work)

write(0)
eventlet.spawn(tick)
threads = [eventlet.spawn(write, number) for number in range(1, 21)] + [eventlet.spawn(yielding)]
[thread.wait() for thread in threads]
tx = opened[3].get('m-1')
print(json.dumps({'lines': len(opened[3].records(tx)), 'ticks': ticks}))
"""


class TestEventlet(oslo_base.BaseTestCase):
    """A process that eventlet has patched."""

    def test_green_threads_share_a_journal(self):
        where = self.useFixture(fixtures.TempDir()).path
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', SCRIPT, f'{where}/state'],
            capture_output=True, text=True, timeout=600)
        self.assertEqual(0, done.returncode, done.stderr)
        found = json.loads(done.stdout)
        self.assertEqual(21 * 20 + 1, found['lines'])
        self.assertGreater(found['ticks'], 20, 'the other green threads were starved')
        self.assertLess(time.monotonic() - started, 60)
