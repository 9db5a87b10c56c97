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
"""A synthetic cloud on the real schema: all that is planted is found, and nothing else."""

import os

import fixtures
import sqlalchemy as sa

from migsafe.audit import activity, opening, report, scan
from migsafe.tests import sampling
from migsafe.tests.unit.audit.cloud import CloudTestCase
from tools.clouds import addresses, builder, fill, healthy, residue, rows, schema, views
from tools.suite import steps


class TestClouds(CloudTestCase):
    """The environment audit-clouds of tox has large ones, on MariaDB and PostgreSQL."""

    def empty(self):
        """A file, as a URL and an engine."""
        path = os.path.join(self.useFixture(fixtures.TempDir()).path, 'cloud.sqlite')
        url = sa.URL.create('sqlite', database=path)
        engine = sa.create_engine(url)
        self.addCleanup(engine.dispose)
        return url, engine

    def made(self, instances, seed, seen=None):
        """A cloud in one file, and what has to be found in it.

        :param seen: gets what its services say, and there are ports
        """
        url, engine = self.empty()
        expected = fill.fill(
            fill.Databases(engine, engine, engine, engine if seen else None), instances, seed,
            of_cinder=schema.kept, seen=seen)
        return url, expected

    def test_all_that_is_planted_and_nothing_else(self):
        seed = sampling.seed_of(steps.ROOT)
        url, expected = self.made(400, seed)
        found = scan.audit(opening.Sources([url], url, url), report.Asked(), activity.Spans(),
                           rows.NOW, lambda _done, _total: None)
        self.assertEqual(expected, {(one.rule, one.instance or '', one.volume or '')
                                    for one in found.findings}, seed)
        self.assertNotIn(addresses.SECRET, repr(found))
        self.assertGreaterEqual(len(expected), len(residue.RESIDUE))
        unbuilt = [one for one in found.findings if 'build that failed' in one.what]
        self.assertEqual({('minor', False)}, {(one.severity.word, one.certain)
                                              for one in unbuilt})
        self.assertEqual({'R1', 'R2', 'R3', 'R5', 'R6', 'R7', 'R10', 'R12'},
                         {rule for rule, _instance, _volume in expected})

    def test_what_neutron_hosts_and_backends_have(self):
        """With them each rule is planted, beside their noise."""
        seed, seen = sampling.seed_of(steps.ROOT), views.Seen()
        url, expected = self.made(400, seed, seen)
        found = scan.audit(opening.Sources([url], url, url, url, seen.told), report.Asked(),
                           activity.Spans(), rows.NOW, lambda _done, _total: None)
        self.assertEqual(expected, {(one.rule, one.instance or '', one.volume or '')
                                    for one in found.findings}, seed)
        self.assertEqual({f'R{number}' for number in range(1, 13)},
                         {rule for rule, _instance, _volume in expected})

    def test_noise_of_each_kind(self):
        """Twenty of each in one cloud, of which nothing is found."""
        url, engine = self.empty()
        seed = sampling.seed_of(steps.ROOT)
        made = builder.Builder(seed, 6)
        for plant in healthy.HEALTHY:
            for _number in range(20):
                plant(made)
        tables = {}
        for metadata in (schema.nova(), schema.kept(), schema.placement()):
            metadata.create_all(engine)
            tables |= {name: (engine, table) for name, table in metadata.tables.items()
                       if name not in tables}
        fill.write(made, tables)
        found = scan.audit(opening.Sources([url], url, url), report.Asked(), activity.Spans(),
                           rows.NOW, lambda _done, _total: None)
        self.assertEqual([], found.findings, seed)
        self.assertIn('of a hypervisor whose connectors', ' '.join(found.unseen))

    def test_the_same_seed_makes_the_same_cloud(self):
        first, second = builder.Builder('7', 4), builder.Builder('7', 4)
        for made in (first, second):
            for plant in residue.RESIDUE:
                plant(made)
        self.assertEqual((first.rows, first.expected), (second.rows, second.expected))
        self.assertNotEqual(first.rows, builder.Builder('8', 4).rows)
