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
"""Switches a host off over its BMC, whatever that speaks."""

from __future__ import annotations

import abc
import os
from typing import Any, ClassVar

from oslo_log import log as logging

from migsafe import exceptions
from migsafe.fencing import beats, bmc, machines, power
from migsafe.fencing.fence_log import FenceLog
from migsafe.fencing.fences.base import Fence
from migsafe.fencing.machines import Machines
from migsafe.text import masked

LOG = logging.getLogger(__name__)
#: States in which a machine was seen with power.
LIT = (power.ON, 'PoweringOn')


class NoBmc(exceptions.MigsafeError):
    """Which machine a host is, is not known."""

    message = ('[migsafe] bmc_file has no BMC of host %(host)s that speaks %(protocol)s, so that '
               'it was not switched off. Add it there, or switch the host off by hand.')


class NotSwitched(exceptions.MigsafeError):
    """The BMC does not do it."""

    message = ('Host %(host)s was not switched off over its BMC %(address)s: %(reason)s. Check '
               'the address, user, password and ca_file in [migsafe] bmc_file, or switch the host '
               'off by hand.')


class OtherMachine(exceptions.MigsafeError):
    """The file of BMCs and the host do not agree."""

    message = ('Host %(host)s was not switched off: it has said itself that it is machine '
               '%(said)s (%(where)s), and [migsafe] bmc_file says that it is %(wanted)s. Find out '
               'which of them is right, and correct the file, or remove what is old.')


class OtherHost(exceptions.MigsafeError):
    """Names are given again: to a machine that is another host by now."""

    message = ('Host %(host)s was not switched off: [migsafe] bmc_file says that it is machine '
               '%(wanted)s, and host %(others)s has said itself that this is its own '
               '(%(where)s). Find out whose it is. If it is %(host)s, and the other name is one '
               'of before, remove that from the file; else correct bmc_file. "migsafe host list" '
               'forgets an old name once the machine says the new one.')


class NotConfirmed(exceptions.MigsafeError):
    """A file that was filled from the BMCs proves nothing, if their cables or addresses are
    mixed up."""

    message = ('Host %(host)s was not switched off: which machine it is was never heard from '
               'itself, here. "migsafe host list" on this machine hears it from all hosts that '
               'live. For one that does not, compare /sys/class/dmi/id/product_uuid of the host, '
               'from an inventory or its label, with %(wanted)s, and write uuid_confirmed = yes '
               'into its section of [migsafe] bmc_file.')


class NeverCut(exceptions.MigsafeError):
    """What a BMC says that was not seen to switch anything is no proof."""

    message = ('The BMC %(address)s says that host %(host)s is off, and %(done)s: it was not seen '
               'within the last hour, from this machine, to say that it is on and then to be '
               'told to switch it off, and one that is wrong, or restarts, says the same. Look '
               'at its console; if it is off, say so with "openstack compute service set --down '
               '%(shell:host)s nova-compute".')


class PowerOff(Fence):
    """Power off by force.

    It counts only if the same BMC has said, within the hour before, that the power was on, was
    told after that to cut it, and says several times in a row that it is off: then it does see
    this power. That is kept in the log of fences, so that a fence whose answer was lost can be
    asked for again.
    """

    #: as :attr:`migsafe.fencing.bmc.Bmc.protocol`
    PROTOCOL: ClassVar[str]

    def __init__(self, conf: Any, name: str) -> None:
        super().__init__(conf, name)
        self._bmcs = bmc.read(conf.bmc_file)

    @abc.abstractmethod
    def machine(self, known: bmc.Bmc) -> power.Machine:
        """The machine behind a BMC."""

    def fence(self, host: str) -> str:
        """Switch it off, and read back that it is."""
        known = self._bmcs.get(host)
        if known is None or known.protocol != self.PROTOCOL:
            raise NoBmc(host=host, protocol=self.PROTOCOL)
        self._check(known)
        log = FenceLog(self.conf.state_path, self.conf.fence_limit)
        machine = self.machine(known)
        try:
            state = machine.power()
        except exceptions.MigsafeError:
            raise
        except Exception as error:
            raise NotSwitched(host=host, address=known.address, reason=masked(error)) from None
        if state in LIT:
            log.add(host, 'on', fence=self.name, machine=str(known.uuid))
        if state != power.OFF:
            self._cut(machine, log)
        if not log.was_cut(host, str(known.uuid)):
            raise NeverCut(host=host, address=known.address, done=(
                'nothing was switched' if state == power.OFF else
                f'it was told to switch it off when it said {state or "nothing"}'))
        self._see(machine, log)
        return (f'{known.address} says {self.conf.verdict_samples} times in a row that the power '
                f'of machine {known.uuid} is off')

    def _check(self, known: bmc.Bmc) -> None:
        """See that the host has said itself which machine it is, and that it is this one.

        A heartbeat, which more can forge, speaks only against that.

        :raises OtherMachine: it has said something else
        :raises OtherHost: another host has said that this machine is it
        :raises NotConfirmed: it was not heard to say it
        """
        conf, host = self.conf, known.host
        all_heard = Machines(conf.state_path).heard()
        heard = all_heard.pop(host, None)
        for said, where in (
                (heard, os.path.join(conf.state_path, machines.NAME)),
                (beats.machine_of(conf.heartbeat_directory, host, conf.probe_timeout),
                 'its heartbeat in [migsafe] heartbeat_directory')):
            if said is not None and not bmc.same(known.uuid, said):
                raise OtherMachine(host=host, said=said, wanted=known.uuid, where=where)
        if others := [other for other, said in all_heard.items() if bmc.same(known.uuid, said)]:
            raise OtherHost(host=host, others=', '.join(others), wanted=known.uuid,
                            where=os.path.join(conf.state_path, machines.NAME))
        if heard is None and not known.confirmed:
            raise NotConfirmed(host=host, wanted=known.uuid)

    def _cut(self, machine: power.Machine, log: FenceLog) -> None:
        """Tell it once, and log that it was told, whatever comes of that."""
        told = True
        try:
            machine.cut()
        except power.WrongMachine:
            told = False
            raise
        except Exception as error:
            # It may have done it all the same; what it says from now on tells.
            LOG.warning('The BMC %s of host %s was told to switch it off: %s',
                        machine.bmc.address, machine.bmc.host, masked(error))
        finally:
            if told:
                log.add(machine.bmc.host, 'cut', fence=self.name,
                        machine=str(machine.bmc.uuid))

    def _see(self, machine: power.Machine, log: FenceLog) -> None:
        try:
            machine.seen_off(self.conf.verdict_samples, self.conf.verdict_interval,
                             self.conf.fence_timeout)
        finally:
            if machine.last in LIT:
                # It did not do it, and what it says later was not brought about by this.
                log.add(machine.bmc.host, 'on', fence=self.name,
                        machine=str(machine.bmc.uuid))
