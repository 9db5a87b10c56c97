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
"""A few cases with migsafe on one of the two hosts, which must not go worse than on plain Nova.

MIGSAFE_SEED says which host and which cases; ``tox -e functional-halves`` runs all of both.
"""

import os
import unittest

from migsafe.tests.functional.matrix import client, compare, halves
from migsafe.tests.functional.matrix.report import Report

#: Cases that have to say something.
COUNT = 2


class TestCompare(unittest.TestCase):

    def compare(self, plain, half, **given):
        found = compare.compare(Report(running=['a'], **plain), Report(running=['a'], **half),
                                **given)
        return found.worse, found.held, found.better

    def test_residue(self):
        one, two = ('R3', 'b', 0), ('R4', 'b', None)
        self.assertEqual(([], [], []), self.compare({'pieces': [one]}, {'pieces': [one]}))
        self.assertEqual((['R3 b volume 0'], [], ['R4 b']),
                         self.compare({'pieces': [two]}, {'pieces': [one]}))
        self.assertEqual((['R4 b'], [], []),
                         self.compare({'pieces': [two]}, {'pieces': [two] * 2}))

    def test_of_another_volume(self):
        """The first of two volumes in one laboratory may be the second one in the other."""
        one = [('R3', 'b', 0), ('R4', 'b', 0)]
        other = [('R3', 'b', 1), ('R4', 'b', 1)]
        self.assertEqual(([], [], []), self.compare({'pieces': one}, {'pieces': other}))
        self.assertEqual((['R4 b volume 1'], [], []), self.compare(
            {'pieces': one}, {'pieces': [*one, other[1]]}))
        self.assertEqual(1, len(self.compare(
            {'pieces': one}, {'pieces': [one[0], other[1]]})[0]))

    def test_damage(self):
        harm = ('foreign_open', 'b')
        self.assertEqual((['harm foreign_open on b'], [], []), self.compare({}, {'harms': [harm]}))
        self.assertEqual(([], [], ['harm foreign_open on b']),
                         self.compare({'harms': [harm]}, {}))

    def test_who_was_not_heard(self):
        lost = 'transfer-fails,timeout:after:node13:rpc:remove_volume_connection:1'
        other = 'transfer-fails,timeout:after:node13:rpc:migsafe.describe:1'
        for half, name, host in (('source', lost, 'node11'), ('destination', lost, ''),
                                 ('source', other, '')):
            self.assertEqual(host, halves.unheard(halves.named(half, name)), (half, name))

    def test_held_instead(self):
        left = {'pieces': [('R3', 'b', 0), ('R11', 'b', None)]}
        for plain, given in (({'harms': [('export_yank', 'b')]}, {}), ({}, {'unheard': 'b'})):
            worse, held, _better = self.compare(plain, left, **given)
            self.assertEqual((['R11 b'], ['R3 b volume 0']), (worse, held))
        self.assertEqual([], self.compare({}, left, unheard='c')[1])

    def test_held_where_the_guest_is_elsewhere(self):
        lost, busy = ('R5', 'a', None), [('R6', '', None), ('R12', '', None)]
        half = {'pieces': [lost, *busy], 'refused': 'reboot: migrating'}
        self.assertEqual(([], ['R6', 'R12'], []), self.compare({'pieces': [lost]}, half))
        self.assertEqual(['R5 a', 'R6', 'R12', 'not done: reboot: migrating'],
                         self.compare({}, half)[0])
        self.assertEqual(['R3 b volume 0'], self.compare(
            {'pieces': [lost]}, {'pieces': [lost, ('R3', 'b', 0)]})[0])

    def test_next_step(self):
        refused = {'refused': 'detach: ERROR'}
        self.assertEqual((['not done: detach: ERROR'], [], []), self.compare({}, refused))
        self.assertEqual([], self.compare(refused, refused)[0])
        self.assertEqual(['not done: detach: ERROR'], self.compare({}, refused, unheard='b')[0])

    def test_guest(self):
        self.assertEqual(["the guest runs on ['a', 'b']"], compare.compare(
            Report(running=['a']), Report(running=['a', 'b'])).worse)


#: What went worse before it was mended: a journal that cannot be written in the rollback, or a
#: question that the bus does not carry, while the other host has no migsafe; an error of os-brick
#: that does not say whether the device is gone; and a copy that outlives its migration.
MENDED = (('source', 'transfer-fails,os-error:before:node13:journal:the+verdict:1:0'),
          ('source', 'transfer-fails,os-error:before:node13:journal:a+note:1'),
          ('destination', 'transfer-fails,os-error:before:node11:journal:the+verdict:1:0'),
          ('destination', 'prepare-fails,os-error:before:node11:journal:the+verdict:1:0'),
          ('source', 'prepare-fails,os-error:before:node13:journal:the+outcome+of+intent+N:1:0'),
          ('source', 'transfer-fails,bus-down:before:node13:rpc:migsafe.describe:1:0'),
          ('source', 'transfer-fails,brick-timeout:after:node11:brick:disconnect_volume:2'),
          ('destination', 'healthy,job-outlived:before:node13:libvirt:migrateToURI3:1'),
          ('destination', 'transfer-fails,os-error:before:node11:journal:the+intent+of+'
                          'disconnect_volume:2:0'))


class TestMended(unittest.TestCase):

    def test_not_worse_than_plain_nova(self):
        examiner = halves.Examiner()
        self.addCleanup(examiner.stop)
        for half, name in MENDED:
            with self.subTest(f'{half} {name}'):
                result = examiner.examine(halves.named(half, name))
                self.assertEqual('', result.broken)
                self.assertEqual([], result.difference.worse,
                                 f'{halves.text(result)}\n{result.log}')


class TestSample(unittest.TestCase):

    def test_not_worse_than_plain_nova(self):
        seed = int(os.environ.get('MIGSAFE_SEED', '0'))
        examiner = halves.Examiner()
        self.addCleanup(examiner.stop)
        found = []
        cases = halves.of_catalogue(client.HALVES[seed % len(client.HALVES)])
        for case in halves.drawn(cases, len(cases), seed):
            result = examiner.examine(case)
            self.assertEqual([], result.difference.worse if not result.broken else [],
                             f'{halves.text(result)}\n{result.log}')
            found += [] if result.broken else [case]
            if len(found) == COUNT:
                return
        self.fail(f'only {found} of {len(cases)} cases say something')


if __name__ == '__main__':
    unittest.main()
