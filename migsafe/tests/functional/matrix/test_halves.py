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

from migsafe.tests.functional.matrix import client, halves

#: Cases that have to say something.
COUNT = 2


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
