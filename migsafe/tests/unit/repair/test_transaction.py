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
"""Repairs of a synthetic cloud on the real schema, whole and killed at every step."""

import os
import random
import signal

import fixtures
import sqlalchemy as sa

from migsafe.journal import opening
from migsafe.repair import word
from migsafe.tests import sampling
from migsafe.tests.unit.journal import base
from migsafe.tests.unit.repair import clouds
from tools.suite import steps

JOURNAL = 'repair@controller'
#: Steps of a repair at which CI kills it.
SAMPLE = 3


class TestRepair(base.JournalTestCase):
    """On files of SQLite; the environment repair-killed of tox has MariaDB and PostgreSQL, and
    every step.
    """

    def setUp(self):
        super().setUp()
        self.make()
        self.before = self.cloud.rows()

    def make(self):
        """A cloud in a file."""
        self.database = os.path.join(self.useFixture(fixtures.TempDir()).path, 'cloud.sqlite')
        self.engine = sa.create_engine(f'sqlite:///{self.database}', poolclass=sa.NullPool)
        # NOTE: nothing here is about what a power cut leaves of it.
        sa.event.listen(self.engine, 'connect',
                        lambda made, _record: made.execute('PRAGMA synchronous = OFF'))
        self.cloud = clouds.Cloud(self.engine, '8')

    def opened(self):
        found = opening.open_journal(self.conf, JOURNAL)
        self.addCleanup(found.close)
        return found

    def all(self, repair, instances=None):
        """Repair all that is found; return what became of each."""
        done = [what for _uuid, _well, what in repair.recover()]
        for instance in instances or self.cloud.instances():
            plan = repair.plan(instance)
            if plan is not None and plan.changes:
                done.append(repair.carry_out(plan)[0].value)
        return done

    def killed(self, number, instances):
        """Repair in a process that is killed at a step; whether it was."""
        child = os.fork()
        if not child:
            with clouds.killed_before(number):
                self.all(self.cloud.repair(opening.open_journal(self.conf, JOURNAL)), instances)
            os._exit(0)
        _pid, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL

    def test_killed_at_a_step_and_run_again(self):
        instances = [self.cloud.planted[name] for name in ('wrong_number', 'on_the_other_host')]
        journal = self.opened()
        with clouds.killed_before(0) as seen:
            self.all(self.cloud.repair(journal), instances)
        whole = self.cloud.rows()
        self.assertNotEqual(self.before, whole)
        chosen = random.Random(sampling.seed_of(steps.ROOT)).sample(range(1, len(seen)), SAMPLE)
        for number in chosen:
            self.cloud.restore(self.before)
            self.assertTrue(self.killed(number, instances), number)
            self.all(self.cloud.repair(journal), instances)
            found = self.cloud.rows()
            self.assertEqual(clouds.without_times(whole), clouds.without_times(found), number)
            self.assertEqual([], journal.unsettled(), number)

    def test_what_the_hosts_show_and_nothing_else(self):
        journal = self.opened()
        done = self.all(self.cloud.repair(journal))
        self.assertEqual(['repaired'] * 12, done)
        self.assertEqual([], self.cloud.differences(self.before, self.cloud.rows()))
        self.assertEqual([], journal.unsettled())
        self.assertEqual([], self.all(self.cloud.repair(journal)))

    def test_an_instance_costs_what_it_has_and_not_what_the_cloud_has(self):
        """Cinder has no index by instance; its volumes are known from the audit."""
        instance, asked = self.cloud.planted['wrong_number'], []
        repair = self.cloud.repair(self.opened())

        def statement(_connection, _cursor, text, *_more):
            asked.append(' '.join(text.split()))
        sa.event.listen(sa.Engine, 'before_cursor_execute', statement)
        self.addCleanup(sa.event.remove, sa.Engine, 'before_cursor_execute', statement)

        def scans():
            """Questions about the whole of Cinder."""
            asked.clear()
            plan = repair.plan(instance)
            return plan, [one for one in asked if (
                'FROM volume_attachment' in one and 'volume_attachment.volume_id IN' not in one
                and 'volume_attachment.id IN' not in one) or (
                    'FROM volumes' in one and 'volumes.id IN' not in one)]
        plan, all_of_it = scans()
        self.assertNotEqual([], all_of_it)
        repair.volumes[instance] = frozenset()
        found, some = scans()
        self.assertEqual([], some)
        self.assertEqual((plan.acts, plan.requests, plan.mended, plan.left),
                         (found.acts, found.requests, found.mended, found.left))

    def test_no_host_says_anything(self):
        repair = self.cloud.repair(self.opened(), lambda host, *_what: word.silent(host, 'away'))
        self.assertEqual([], self.all(repair))
        self.assertEqual(self.before, self.cloud.rows())
        plan = repair.plan(self.cloud.planted['stuck'])
        self.assertIn('has not said what it has of the guest (away)', plan.left[0].why)
