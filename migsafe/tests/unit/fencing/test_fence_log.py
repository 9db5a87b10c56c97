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
"""What limits how many hosts are fenced."""

import json
import os
import tempfile
import unittest
from unittest import mock

from migsafe.fencing import fence_log


class TestFenceLog(unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.directory = os.path.join(self.enterContext(tempfile.TemporaryDirectory()), 'state')
        self.now = 1_000_000.0
        self.enterContext(mock.patch.object(fence_log.time, 'time', lambda: self.now))

    def log(self, limit=2):
        return fence_log.FenceLog(self.directory, limit)

    def fence(self, host, limit=2):
        with self.log(limit).turn(host, 'root') as log:
            log.add(host, 'done', fence='x')

    def lines(self):
        with open(os.path.join(self.directory, fence_log.NAME)) as handle:
            return [json.loads(line) for line in handle]

    def test_limit_within_an_hour(self):
        self.fence('cn1')
        self.fence('cn2')
        with self.assertRaises(fence_log.TooMany) as caught:
            self.fence('cn3')
        for word in ('cn1, cn2', 'fence_limit', 'cn3 is not fenced'):
            self.assertIn(word, str(caught.exception))
        self.fence('cn2')  # again, as after a failure
        self.now += fence_log.CYCLE + 1
        self.fence('cn3')
        self.assertEqual(['cn1', 'cn2', 'cn2', 'cn3'], [
            line['host'] for line in self.lines() if line['what'] == 'intent'])

    def test_intent_counts_whatever_became_of_it(self):
        with self.assertRaises(OSError), self.log(1).turn('cn1', 'root'):
            raise OSError
        self.assertRaises(fence_log.TooMany, self.fence, 'cn2', 1)

    def test_clock_that_was_ahead(self):
        self.now += 9 * fence_log.CYCLE
        self.fence('cn1')
        self.now -= 9 * fence_log.CYCLE
        self.assertRaises(fence_log.TooMany, self.fence, 'cn2', 1)

    def test_power_that_was_cut(self):
        """Only what was said on before, of late, and not since."""
        for lines, cut in ((['on', 'cut'], True), (['cut', 'on'], False), (['cut'], False),
                           (['on', 'cut', 'on'], False), (['on', 'cut', 'done', 'intent'], True),
                           (['on', 'cut', 'on', 'cut'], True)):
            host = '-'.join(lines)
            for what in lines:
                self.log().add(host, what, machine='m')
            self.assertIs(cut, self.log().was_cut(host, 'm'), lines)
        self.now += fence_log.CYCLE + 1
        self.assertFalse(self.log().was_cut('on-cut', 'm'))

    def test_another_machine_of_that_name(self):
        """The file of BMCs was put right, or the host was rebuilt."""
        for machine in ('other', None):
            for what in ('on', 'cut'):
                self.log().add('cn1', what, **({'machine': machine} if machine else {}))
            self.assertFalse(self.log().was_cut('cn1', 'm'))
        for what in ('on', 'cut'):
            self.log().add('cn1', what, machine='m')
        self.log().add('cn1', 'on', machine='other')
        self.assertTrue(self.log().was_cut('cn1', 'm'))

    def test_lines_of_later_than_now_prove_nothing(self):
        for ahead, cut in ((['on', 'cut'], False), (['cut'], False), (['on'], False)):
            host = '-'.join(ahead)
            for what in ('on', 'cut'):
                self.now += 86400 * (what in ahead)
                self.log().add(host, what, machine='m')
                self.now -= 86400 * (what in ahead)
            self.assertIs(cut, self.log().was_cut(host, 'm'), ahead)
        for what in ('on', 'cut'):
            self.log().add('cn1', what, machine='m')
        self.assertTrue(self.log().was_cut('cn1', 'm'))
        self.now += 86400
        self.log().add('cn1', 'on', machine='m')
        self.now -= 86400
        self.assertFalse(self.log().was_cut('cn1', 'm'))

    def test_damaged_lines_hide_no_other(self):
        self.fence('cn1')
        path = os.path.join(self.directory, fence_log.NAME)
        with open(path, 'ab') as handle:
            handle.write(b'\xff\n{"what": "intent"}\n[]\n{"what": "intent", "at": "x"}\n')
        self.assertRaises(fence_log.TooMany, self.fence, 'cn2', 1)

    def test_one_at_a_time(self):
        with self.log().turn('cn1', 'root'):
            self.assertRaises(fence_log.Busy, self.fence, 'cn2')
        self.fence('cn2')

    def test_only_its_owner_reads_it(self):
        self.fence('cn1')
        for name, mode in (('', 0o700), (fence_log.NAME, 0o600)):
            self.assertEqual(mode, os.stat(os.path.join(self.directory, name)).st_mode & 0o777)


if __name__ == '__main__':
    unittest.main()
