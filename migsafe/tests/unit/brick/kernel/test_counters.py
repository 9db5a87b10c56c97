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
from unittest import mock

import testtools

from migsafe.brick.kernel import counters
from migsafe.tests.unit.brick import trees

#: Reads, writes, in flight, discards and flushes of the 17 fields; the others are times and sizes.
QUIET = '7 0 56 3 5 0 40 2 {under_way} 5 5 {discards} 0 0 0 {flushes} 0'


class WatchTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.tree = self.useFixture(trees.Tree())
        self.tree.disk('sda')
        self.clock = 100.0
        patcher = mock.patch('time.monotonic', lambda: self.clock)
        patcher.start()
        self.addCleanup(patcher.stop)
        self.stat()

    def stat(self, name='sda', under_way=0, discards=0, flushes=0):
        (self.tree.top / name / 'stat').write_text(
            QUIET.format(under_way=under_way, discards=discards, flushes=flushes))

    def watch(self, *names):
        return counters.Watch(self.tree.sysfs, names or ['sda'])

    def after(self, watch, seconds=0.6):
        self.clock += seconds
        return watch.restless(0.5)

    def test_quiet(self):
        self.assertEqual([], self.after(self.watch()))

    def test_too_early_to_tell(self):
        self.assertEqual(['sda'], self.after(self.watch(), 0.1))

    def test_what_moves(self):
        watch = self.watch()
        for discards in range(1, 5):
            self.stat(discards=discards)
            self.assertEqual(['sda'], self.after(watch))
        self.assertEqual([], self.after(watch))

    def test_what_is_under_way(self):
        watch = self.watch()
        self.stat(under_way=1)
        self.assertEqual(['sda'], self.after(watch))
        self.assertEqual(['sda'], self.after(watch))

    def test_commands_past_the_block_layer(self):
        (self.tree.top / 'sda' / 'device').mkdir()
        count = self.tree.top / 'sda' / 'device' / 'iorequest_cnt'
        count.write_text('0x10\n')
        watch = self.watch()
        count.write_text('0x11\n')
        self.assertEqual(['sda'], self.after(watch))

    def test_what_the_kernels_multipath_counts(self):
        self.tree.disk('nvme0n1')
        self.tree.disk('nvme0c1n1')
        self.stat('nvme0n1')
        self.stat('nvme0c1n1')
        watch = self.watch('nvme0n1')
        self.stat('nvme0c1n1', flushes=1)
        self.assertEqual(['nvme0c1n1'], self.after(watch))

    def test_what_has_no_counters_or_goes_away(self):
        self.tree.disk('sdb')
        self.assertEqual([], self.after(self.watch('sdb', 'sdz'), 0.1))
