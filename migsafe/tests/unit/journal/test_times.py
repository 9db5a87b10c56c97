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
"""Times as a SQLite file has them."""

import datetime

from oslotest import base as oslo_base

from migsafe.journal import models


class TestTime(oslo_base.BaseTestCase):
    def test_only_the_form_that_is_written_is_a_time(self):
        """The others would be aware, or another moment than they say."""
        kind = models.UtcDateTime()
        self.assertEqual(datetime.datetime(2026, 11, 29, 4, 5, 6, 7),
                         kind.process_result_value('2026-11-29 04:05:06.000007', None))
        for other in ('2026-11-29', '2026-11-29T04:05:06.000007', '2026-11-29 04:05:06',
                      '2026-11-29 04:05:06.000007+02:00', '20261129T040506', 'soon', ''):
            self.assertEqual(other, kind.process_result_value(other, None))
