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
"""Repairs killed at every step: ``python -m migsafe.tests.repair_killed [--every N]``.

On MariaDB and PostgreSQL with Nova's real schema, each instance of a synthetic cloud that can be
repaired is repaired by a process that is killed before a statement that writes, or a commit, of
Nova's database, of the journal, or of Placement and of what stands in for Cinder, which are in
that process as well, and then by one that is not. After that all rows of all tables are what they
are after a repair that nobody has killed, the instance is unlocked, and nothing is open in the
journal. Exit code 1 if that is not so once, or if a kill did not happen.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile

import sqlalchemy as sa

from migsafe.journal import opening
from migsafe.tests import servers
from migsafe.tests.unit.journal import base
from migsafe.tests.unit.repair import clouds

KINDS = {'mariadb': servers.MariaDB, 'postgresql': servers.PostgreSQL}


class Run:
    """One server with one cloud.

    :param every: each so many of the steps is one at which it is killed
    """

    def __init__(self, url, every, seed):
        self.cloud = clouds.Cloud(sa.create_engine(url, poolclass=sa.NullPool), seed)
        self.before, self.every = self.cloud.rows(), every
        self.kills, self.wrong = 0, []

    def repair(self, state, instance):
        """Repair one instance, as the command does."""
        journal = opening.open_journal(base.make_conf(state), 'repair@controller')
        try:
            repair = self.cloud.repair(journal)
            repair.recover()
            plan = repair.plan(instance)
            if plan is not None and plan.changes:
                repair.carry_out(plan)
            return bool(plan and plan.changes), journal.unsettled()
        finally:
            journal.close()

    def killed(self, state, instance, number):
        """The same in a process of its own that is killed; whether it was."""
        child = os.fork()
        if not child:
            with clouds.killed_before(number):
                self.repair(state, instance)
            os._exit(0)
        _pid, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL

    def instance(self, instance):
        """Kill it at its steps; return how many there are."""
        with tempfile.TemporaryDirectory() as above:
            state = os.path.join(above, 'state')
            with clouds.killed_before(0) as seen:
                done, _open = self.repair(state, instance)
            whole = clouds.without_times(self.cloud.rows())
            self.cloud.restore(self.before)
            for number in range(1, len(seen) + 1, self.every) if done else ():
                shutil.rmtree(state)
                if not self.killed(state, instance, number):
                    self.wrong.append((instance, number, 'was not killed'))
                self.kills += 1
                _done, left = self.repair(state, instance)
                if left or clouds.without_times(self.cloud.rows()) != whole:
                    self.wrong.append((instance, number, 'is not as after a whole repair'))
                self.cloud.restore(self.before)
        return len(seen) if done else 0


def main():
    """Run on each server."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--every', type=int, default=1, help='kill at each so many steps')
    parser.add_argument('--seed', default='8')
    parser.add_argument('--servers', nargs='+', choices=list(KINDS), default=list(KINDS))
    given, wrong = parser.parse_args(), []
    for name in given.servers:
        with KINDS[name]() as server:
            run = Run(server.url, given.every, given.seed)
            for kind, instance in run.cloud.planted.items():
                if steps := run.instance(instance):
                    print(f'{name}: {kind}: {steps} steps; so far {run.kills} kills, '
                          f'{len(run.wrong)} of them wrong', flush=True)
            print(f'{name}: {run.kills} kills, {len(run.wrong)} of them wrong', flush=True)
            wrong += [(name, *one) for one in run.wrong]
    print(*wrong, sep='\n')
    return 1 if wrong or not run.kills else 0


if __name__ == '__main__':
    sys.exit(main())
