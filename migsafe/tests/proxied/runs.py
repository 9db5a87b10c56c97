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
"""Runs of whole migrations, and how they end."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Iterator, Mapping
from unittest import mock

from nova.compute import resource_tracker
from nova.conf import CONF

from migsafe.replay.lab import lab as lab_lab
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE
from migsafe.tests.proxied import bridge

COMMITTED, ABORTED, LEFT, STUCK = 'committed', 'aborted', 'left', 'stuck'
#: How a migration ends that nobody has to look after.
GOOD = (COMMITTED, ABORTED)
#: Passes of recovery after a migration.
PASSES = 3


@dataclasses.dataclass
class Ended:
    """How one migration has ended.

    :param twice: calls that were done more than once and may not be
    :param waited: calls that wait for ever
    :param fired: which faults took place, and how often
    :param names: of the calls, in their order
    """

    how: str
    left: list[str]
    twice: list[str]
    harms: list[str]
    waited: list[str]
    fired: Mapping[str, int]
    names: list[str]

    @property
    def good(self) -> bool:
        """Whether nobody has to look after it, and no harm was done."""
        return self.how in GOOD and not self.twice and not self.harms


class Runs:
    """A laboratory behind haproxy.

    :param lab: armed or plain
    """

    def __init__(self, lab: lab_lab.Lab, through: bridge.Bridge) -> None:
        self._lab, self._bridge = lab, through

    def run(self, plan: Callable[[int], list[str]]) -> Ended:
        """One migration, and what recovery makes of it."""
        lab, through = self._lab, self._bridge
        lab.clean()
        lab.forget()
        server = lab.new_server()
        lab.world.reset()
        through.begin(plan)
        lab.world.rule = through
        lab.migrate(server)
        lab.world.rule = None
        for _ in range(PASSES if lab.armed else 0):
            lab.recover()
        observer = lab.observer(server)
        left, running = [str(one) for one in observer.look()], observer.running_on()
        how = {(DESTINATION,): COMMITTED, (SOURCE,): ABORTED}.get(tuple(running), LEFT)
        status = lab.show(server)
        if left or status['status'] not in ('ACTIVE', 'ERROR'):
            how = LEFT
        if through.stuck or status['OS-EXT-STS:task_state']:
            how = STUCK
        return Ended(how, left, through.twice(), [str(one) for one in lab.world.harms],
                     through.stuck, through.fired, [one.name for one in through.calls.values()])


@contextlib.contextmanager
def started(armed: bool) -> Iterator[Runs]:
    """A laboratory, its haproxy, and clients that wait for nobody longer than needed."""
    with contextlib.ExitStack() as stack:
        lab = lab_lab.Lab(armed=armed)
        lab.start()
        stack.callback(lab.stop)
        through = bridge.Bridge(stack.enter_context(tempfile.TemporaryDirectory()),
                                (SOURCE, DESTINATION))
        stack.callback(through.close)
        stack.enter_context(mock.patch('keystoneauth1.session.time', bridge.quick([])))
        audit = resource_tracker.ResourceTracker.update_available_resource
        stack.enter_context(mock.patch.object(
            resource_tracker.ResourceTracker, 'update_available_resource', bridge.aside(audit)))
        if armed:
            CONF.set_override('call_timeout', 1, 'migsafe')
            stack.callback(CONF.clear_override, 'call_timeout', 'migsafe')
        yield Runs(lab, through)
