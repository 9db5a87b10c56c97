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
"""How long a server that has lost a write is refused."""

import time
from unittest import mock

import sqlalchemy as sa
from oslotest import base as oslo_base

from migsafe import exceptions
from migsafe.journal import tokens


class TestTokens(oslo_base.BaseTestCase):
    """A table of tokens that nothing else writes to."""

    def setUp(self):
        super().setUp()
        self.engine = sa.create_engine('sqlite://')
        self.addCleanup(self.engine.dispose)
        metadata = sa.MetaData()
        self.table = sa.Table(
            'tokens', metadata, sa.Column('token', sa.String(32), primary_key=True),
            sa.Column('host', sa.String(255)), sa.Column('written_at', sa.DateTime))
        metadata.create_all(self.engine)
        self.tokens = tokens.Tokens('tokens', 'node13')

    def write(self):
        with self.engine.begin() as connection:
            token = self.tokens.put(connection)
        self.tokens.answered(token)

    def lose(self):
        with self.engine.begin() as connection:
            connection.execute(sa.delete(self.table))

    def later(self):
        """More than the time for which the last write is remembered."""
        then = time.monotonic() + 2 * tokens.REMEMBERED
        return mock.patch.object(tokens.time, 'monotonic', return_value=then)

    def test_what_was_refused_is_refused_when_time_has_passed(self):
        self.write()
        self.lose()
        self.assertRaises(exceptions.JournalRewound, self.write)
        with self.later():
            self.assertRaises(exceptions.JournalRewound, self.write)

    def test_what_was_not_noticed_in_time_is_not_known(self):
        """The control: what another process may have tidied is not taken for lost."""
        self.write()
        self.lose()
        with self.later():
            self.write()
