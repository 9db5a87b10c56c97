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
"""What the scenario tests share: one armed laboratory per class, and short words for it."""

from __future__ import annotations

import collections
import datetime
import json
import os
from collections.abc import Callable
from typing import Any

import testtools
from oslo_utils import timeutils

from migsafe.journal.records import Transaction
from migsafe.nova.host import registry
from migsafe.replay.lab import case, guests, observe, runner, san
from migsafe.replay.lab import faults as lab_faults
from migsafe.replay.lab import lab as lab_lab

SOURCE, DESTINATION, THIRD = 'node13', 'node11', san.THIRD
JOB_FAILS = lab_faults.Fault('libvirt', 'migrateToURI3', 'job-fail')


def kill(host: str, kind: str, name: str, when: str = 'after', nth: int = 1
         ) -> lab_faults.Fault:
    """The nova-compute of a host is killed at one of its effects."""
    return lab_faults.Fault(kind, name, 'kill', host, nth=nth, when=when)


#: The destination dies when it has connected everything.
DESTINATION_DIES = kill(DESTINATION, 'brick', 'connect_volume', nth=2)
#: The source dies when the guest has left it.
SOURCE_DIES = kill(SOURCE, 'libvirt', 'migrateToURI3')
#: The source is stopped when the guest has arrived and all that is left is its last commit.
LAST_COMMIT = kill(SOURCE, 'journal', 'the end', when='before')


class ScenarioTest(testtools.TestCase):
    """One armed laboratory for all tests of a class."""

    lab: lab_lab.Lab
    #: whether there is a third host
    third = False

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.lab = lab_lab.Lab(armed=True, third=cls.third)
        cls.lab.start()
        cls.addClassCleanup(cls.lab.stop)

    def setUp(self) -> None:
        super().setUp()
        self.lab.clean()
        # what the test before left unsettled on purpose
        self.lab.forget()
        self.addOnException(self._log)

    def _log(self, _info: Any) -> None:
        self.addDetail('nova.log', testtools.content.text_content(self.lab.log()))

    # -- what happens -------------------------------------------------------------------------

    def guest(self, **given: Any) -> guests.Server:
        """A new guest on the source."""
        server = self.lab.new_server(**given)
        self.lab.world.reset()
        return server

    def migrate(self, server: guests.Server, *faults: lab_faults.Fault,
                host: str | None = None) -> None:
        """Migrate with faults; each of them must take place.

        :param host: where to; the destination unless told.
        """
        plan = self.lab.arm_faults(case.Case('scenario', faults), 'migrate')
        self.lab.migrate(server, host)
        self.lab.world.rule = None
        for connection in self.lab.parts.connections.values():
            connection.next_verdict = 'complete'
        self.assertEqual(set(faults), {f.fault for f in plan.fired})

    def run_case(self, *faults: lab_faults.Fault, **given: Any) -> case.CaseResult:
        """A whole case; its faults must take place."""
        result = runner.run(self.lab, case.Case(self.id(), faults, **given))
        self.assertTrue(result.all_fired, f'fired only {result.fired}')
        return result

    def recover(self, passes: int = 3) -> None:
        """Some recovery passes on every host that lives."""
        for _ in range(passes):
            self.lab.recover()

    def power_off(self, host: str) -> None:
        """The host is gone with its devices and guests, and does not come back by itself."""
        self.lab.stack.silence_host(host)
        self.lab.stack.reboot_host(host)

    def force_down(self, host: str) -> None:
        """As an operator or masakari does who has fenced a host that is silent since."""
        self.heard(host, datetime.timedelta(days=8))
        self.lab.stack.admin_api.put_service_force_down(
            self.lab.stack.computes[host].service_ref.uuid, True)
        self.addCleanup(self.force_up, host)

    def force_up(self, host: str) -> None:
        """Past the API, which wants to see it restarted before that."""
        from nova import context as nova_context
        from nova import objects
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        with self.lab.world.looking():
            service = objects.Service.get_by_compute_host(context, host)
            service.forced_down = False
            service.last_seen_up = timeutils.utcnow(with_timezone=True)
            service.save()

    def heard(self, host: str, ago: datetime.timedelta) -> None:
        """Set when Nova last heard of a host."""
        from nova import context as nova_context
        from nova import objects
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        with self.lab.world.looking():
            service = objects.Service.get_by_compute_host(context, host)
            service.last_seen_up = timeutils.utcnow(with_timezone=True) - ago
            service.save()

    def do(self, server: guests.Server, operation: str) -> case.NextStep:
        """An operation through the API, for real."""
        return self.lab.what_if(server, operation)

    # -- what is found ------------------------------------------------------------------------

    def residue(self, server: guests.Server) -> list[observe.Residue]:
        """What is left of it."""
        return self.lab.observer(server).look()

    def kinds(self, server: guests.Server) -> set[str]:
        """Which kinds of residue are left."""
        return {r.kind for r in self.residue(server)}

    def transactions(self, host: str) -> list[Transaction]:
        """What is unsettled in a host's journal."""
        found: list[Transaction] = self.participant(host).journal.unsettled()
        return found

    def participant(self, host: str) -> Any:
        """The armed part of a host."""
        return registry.of(self.lab.stack.computes[host].manager)

    def luns(self, server: guests.Server) -> list[int]:
        """The LUN numbers that the BDMs name, root disk first."""
        held = observe.records(self.lab.stack, server.uuid)
        assert held is not None
        named = {b.volume_id: json.loads(b.connection_info)['data'].get('target_lun')
                 for b in held.bdms}
        return [named[volume] for volume in server.volumes]

    def exports(self, server: guests.Server, host: str) -> list[int]:
        """Which volumes of a guest are exported to a host, by number."""
        return [number for number, volume in enumerate(server.volumes)
                if any(e.host == host for e in self.lab.parts.san.exports(volume))]

    def devices(self, server: guests.Server, host: str) -> list[int]:
        """Which volumes of a guest have a device on a host, by number."""
        there = {d.volume_id for d in self.lab.parts.kernels[host].devices.values()}
        return [n for n, volume in enumerate(server.volumes) if volume in there]

    def directory(self, server: guests.Server, host: str) -> bool:
        """Whether a host has the guest's directory."""
        top = self.lab.stack.host_options[host]['instances_path']
        return os.path.exists(os.path.join(top, server.uuid))

    def fault_messages(self, server: guests.Server) -> str:
        """What Nova keeps of failed operations on this guest for its owner and operator."""
        from nova import context as nova_context
        from nova import objects
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        with self.lab.world.looking():
            found = objects.InstanceActionList.get_by_instance_uuid(context, server.uuid)
            events = [event for action in found for event in
                      objects.InstanceActionEventList.get_by_action(context, action.id)]
            fault = objects.InstanceFault.get_latest_for_instance(context, server.uuid)
        return '\n'.join([*(str(e.details) for e in events),
                          f'{fault.message} {fault.details}' if fault else '',
                          self.lab.log()])

    def bdms(self, server: guests.Server) -> Any:
        """The BlockDeviceMappings of a server, as Nova has them now."""
        from nova import context as nova_context
        from nova import objects
        context = nova_context.get_admin_context()
        nova_context.set_target_cell(context, self.lab.stack.cell_mappings['cell1'])
        with self.lab.world.looking():
            return objects.BlockDeviceMappingList.get_by_instance_uuid(context, server.uuid)

    # -- what must hold -----------------------------------------------------------------------

    def assertUnharmed(self, server: guests.Server, host: str) -> None:
        """The guest runs on this host and nowhere else, and no damage was done."""
        self.assertEqual([], self.lab.world.harms)
        self.assertEqual([host], self.lab.observer(server).running_on())

    def assertClean(self, server: guests.Server, host: str) -> None:
        """As assertUnharmed, nothing is left, and nothing is left to do."""
        self.assertUnharmed(server, host)
        self.assertEqual([], [str(r) for r in self.residue(server)])
        alive = set(self.lab.parts.hosts) - set(self.lab.dead())
        self.assertEqual([], [tx for name in alive for tx in self.transactions(name)])

    def assertRefused(self, server: guests.Server, operation: str, *words: str) -> None:
        """The operation is refused, with these words in the reason, and changes nothing."""
        before = self.residue(server)
        step = self.do(server, operation)
        self.assertEqual((), step.harms)
        said = self.fault_messages(server)
        for word in words:
            self.assertIn(word, said)
        self.assertEqual(sorted(map(str, before)), sorted(map(str, self.residue(server))))


class Meanwhile:
    """A fault plan: something happens, once, before one effect of a host."""

    def __init__(self, host: str, kind: str, name: str, what: Callable[[], Any]) -> None:
        self._where, self._what = (host, kind, name), what
        self.done = False

    def around(self, effect: Any, call: Callable[[], Any], later: Any) -> Any:
        """Perform an effect, and before it that."""
        if (effect.host, effect.kind, effect.name) == self._where and not self.done:
            self.done = True
            self._what()
        return call()


class ThirdHostTest(ScenarioTest):
    """An older transaction of the guest is open while other things happen to it."""

    third = True

    def arrived(self) -> guests.Server:
        """A guest on the second host; the first is down with its transaction still open."""
        server = self.guest()
        self.migrate(server, LAST_COMMIT)
        self.assertEqual([SOURCE], self.lab.dead())
        self.assertEqual([DESTINATION], self.lab.observer(server).running_on())
        return server

    def back(self, meanwhile: bool = False) -> None:
        """The first host starts with that transaction open, and takes it up once.

        :param meanwhile: in the middle of other work
        """
        self.assertTrue(self.lab.restart(SOURCE, meanwhile=meanwhile))
        self.assertEqual(1, len(self.transactions(SOURCE)))
        self.lab.recover_one(SOURCE)

    def back_before(self, host: str, kind: str, name: str) -> Meanwhile:
        """The same before the next such effect."""
        def happens() -> None:
            rule, self.lab.world.rule = self.lab.world.rule, None
            try:
                self.back(meanwhile=True)
            finally:
                self.lab.world.rule = rule
        meanwhile = self.lab.world.rule = Meanwhile(host, kind, name, happens)
        return meanwhile


def writes(trace: list[Any], is_read: Callable[[Any], bool]) -> collections.Counter[str]:
    """The effects that change something, journal apart."""
    return collections.Counter(str((e.host, e.kind, e.name)) for e in trace
                               if e.kind != 'journal' and not is_read(e))
