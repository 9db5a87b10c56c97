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
"""libvirtd of one host, on top of Nova's own fake of it."""

from __future__ import annotations

import urllib.parse
import uuid
from collections.abc import Callable
from typing import Any

from lxml import etree
from nova.tests.fixtures import libvirt as fakelibvirt

from migsafe.replay.lab import brick
from migsafe.replay.lab import domain as lab_domain
from migsafe.replay.lab import job as lab_job
from migsafe.replay.lab import world as lab_world
from migsafe.replay.lab.job import error


class Connection(fakelibvirt.Connection):
    """libvirtd of one host; it survives the nova-compute above it."""

    def __init__(self, host: str, kernel: brick.Kernel, world: lab_world.World,
                 **kwargs: Any) -> None:
        super().__init__('qemu:///system', hostname=host, **kwargs)
        self.kernel = kernel
        self.world = world
        self.others: list[Connection] = []
        self.jobs: list[lab_job.Job] = []
        self.ended: list[str] = []
        self.next_verdict = 'complete'
        #: whether a guest cannot be let run again after a migration that has failed
        self.cannot_resume = False
        self.on_removed: Callable[[str, str | None], None] = lambda guest, alias: None
        kernel.opened = self._opened

    def _opened(self, path: str) -> bool:
        return any(d.opened(path) for d in self._vms.values())

    def peer(self, uri: str) -> Connection:
        """The host that a migration URI leads to.

        :raises libvirtError: if it leads to none.
        """
        name = urllib.parse.urlsplit(uri).hostname
        for other in self.others:
            if other.hostname == name:
                return other
        raise error(f"unable to connect to server at '{name}:16509': Name or service not known",
                    fakelibvirt.VIR_ERR_INTERNAL_ERROR)

    def copies(self, guest: str) -> list[lab_domain.Domain]:
        """This guest's domains on all hosts."""
        return [d for c in (self, *self.others) for d in list(c._vms.values())
                if d.UUIDString() == guest]

    def new_job(self) -> lab_job.Job:
        """A migration job that will end as ``next_verdict`` says."""
        job = lab_job.Job()
        job.verdict = self.next_verdict
        self.jobs.append(job)
        return job

    def receive(self, xml: str) -> lab_domain.Domain:
        """Start the receiving half of a migration: paused, with its disks open.

        :raises libvirtError: if a device is missing or the domain is here already.
        """
        incoming = lab_domain.Domain(self, xml, transient=True)
        incoming._receives = True
        if incoming.name() in self._vms:
            raise error(f"operation failed: domain '{incoming.name()}' already exists",
                        fakelibvirt.VIR_ERR_INTERNAL_ERROR)
        incoming._open_disks()
        incoming._state = fakelibvirt.VIR_DOMAIN_PAUSED
        incoming._reason = lab_job.PAUSED_MIGRATION
        self._vms[incoming.name()] = incoming
        return incoming

    def drop(self, domain: lab_domain.Domain) -> None:
        """Remove a domain that a migration made or left."""
        domain._state, domain._opened = fakelibvirt.VIR_DOMAIN_SHUTOFF, {}
        self._vms.pop(domain.name(), None)
        for number, running in list(self._running_vms.items()):
            if running is domain:
                del self._running_vms[number]

    def defineXML(self, xml: str) -> lab_domain.Domain:
        def define() -> lab_domain.Domain:
            name = etree.fromstring(xml).findtext('./name')
            known: lab_domain.Domain | None = self._vms.get(name)
            if known is None:
                known = self._vms[name] = lab_domain.Domain(self, xml)
            else:
                known._transient = False
                if not known.isActive():
                    known._def = known._parse_definition(xml)
            return known
        return self.world.effect('libvirt', 'defineXML', None, define)

    def createXML(self, xml: str, flags: int) -> lab_domain.Domain:
        def create() -> lab_domain.Domain:
            made = lab_domain.Domain(self, xml, running=True, transient=True)
            self._vms[made.name()] = made
            return made
        return self.world.effect('libvirt', 'createXML', None, create)

    def secretDefineXML(self, xml: str) -> Any:
        """Define a secret; like libvirt, give it a UUID if it has none."""
        tree = etree.fromstring(xml)
        if tree.find('uuid') is None:
            etree.SubElement(tree, 'uuid').text = str(uuid.uuid4())
        whole = etree.tostring(tree, encoding='unicode')
        return self.world.effect('libvirt', 'secretDefineXML', None,
                                 lambda: fakelibvirt.Connection.secretDefineXML(self, whole))

    def power_cycle(self) -> None:
        """The host was rebooted: no guest runs, and transient ones are gone."""
        for domain in list(self._vms.values()):
            domain._state, domain._opened = fakelibvirt.VIR_DOMAIN_SHUTOFF, {}
            domain._reason = lab_job.SHUTOFF_UNKNOWN
            if domain._transient:
                del self._vms[domain.name()]
        self._running_vms.clear()
