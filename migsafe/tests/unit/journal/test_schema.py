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
"""Which revisions there are, told without alembic."""

import os
import pathlib

import fixtures
from alembic import config, script
from oslotest import base as oslo_base

from migsafe.journal import schema
from migsafe.ledger import opening


class TestRevisions(oslo_base.BaseTestCase):
    """What the files say, and what alembic makes of them."""

    def test_alembic_says_the_same(self):
        for chain in (schema.JOURNAL, opening.CHAIN):
            made = config.Config()
            made.set_main_option('script_location', chain.location)
            found = script.ScriptDirectory.from_config(made)
            self.assertEqual(found.get_current_head(), schema.head(chain))
            self.assertEqual({one.revision for one in found.walk_revisions()},
                             schema.known(chain))

    def test_a_revision_that_says_nothing_is_no_revision(self):
        base = self.useFixture(fixtures.TempDir()).path
        os.makedirs(os.path.join(base, 'm', 'versions'))
        with open(os.path.join(base, 'm', 'versions', 'r001.py'), 'w') as handle:
            handle.write("revision = '001'\n")
        self.useFixture(fixtures.MonkeyPatch('importlib.resources.files',
                                             lambda name: pathlib.Path(base)))
        chain = schema.Chain('broken_migrations:m', 'x')
        self.assertRaises(ValueError, schema.head, chain)
