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
"""One guest on one host, as libvirt's QEMU driver behaves in a live migration.

Nova's fake lets migrateToURI3 return when a migration fails, has no incoming domain and forgets
the <serial> of a disk; real libvirt does none of that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lxml import etree
from nova.tests.fixtures import libvirt as fakelibvirt

from migsafe.replay.lab import job as lab_job
from migsafe.replay.lab.job import error


def _serials(tree: Any) -> dict[str, str]:
    found = {}
    for disk in tree.iter('disk'):
        target = disk.find('target')
        if target is not None and disk.findtext('serial'):
            found[target.get('dev')] = disk.findtext('serial')
    return found


class Domain(fakelibvirt.Domain):
    """One guest on one host."""

    def __init__(self, connection: Any, xml: str, running: bool = False,
                 transient: bool = False) -> None:
        super().__init__(connection, xml, running=False, transient=transient)
        self._reason = 0
        self._job: lab_job.Job | None = None
        #: this is the receiving half of a job that the other host knows of
        self._receives = False
        self._opened: dict[str, str] = {}
        self._copies: dict[str, str] = {}
        self._config_gone: set[str | None] = set()
        if running:
            self._boot()

    # -- XML: Nova's fake forgets <serial>, by which Nova finds a disk of the destination -------

    def _parse_definition(self, xml: str) -> dict[str, Any]:
        definition: dict[str, Any] = super()._parse_definition(xml)
        serials = _serials(etree.fromstring(xml))
        for disk in definition['devices'].get('disks', []):
            disk['serial'] = serials.get(disk.get('target_dev'))
        return definition

    def attachDevice(self, xml: str) -> bool:
        done: bool = super().attachDevice(xml)
        tree = etree.fromstring(xml)
        if tree.tag == 'disk':
            self._def['devices']['disks'][-1]['serial'] = tree.findtext('serial')
        return done

    def XMLDesc(self, flags: int) -> str:
        tree = etree.fromstring(super().XMLDesc(flags))
        known = {d.get('target_dev'): d.get('serial') for d in self._def['devices']['disks']}
        inactive = flags & fakelibvirt.VIR_DOMAIN_XML_INACTIVE
        for disk in tree.findall('./devices/disk'):
            name = disk.find('target').get('dev')
            if inactive and name in self._config_gone:
                disk.getparent().remove(disk)
                continue
            serial = known.get(name)
            if serial:
                etree.SubElement(disk, 'serial').text = serial
        return str(etree.tostring(tree, encoding='unicode'))

    # -- looking --------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """The host it is on."""
        name: str = self._connection.hostname
        return name

    @property
    def runs(self) -> bool:
        """Whether the guest executes here, or is paused here by its owner."""
        states = (fakelibvirt.VIR_DOMAIN_RUNNING, fakelibvirt.VIR_DOMAIN_PAUSED)
        return self._state in states and not self.incoming

    @property
    def incoming(self) -> bool:
        """Whether this is the receiving half of a migration, or what one left behind."""
        return bool(self._state == fakelibvirt.VIR_DOMAIN_PAUSED and self._job is None
                    and self._reason == lab_job.PAUSED_MIGRATION)

    @property
    def stopped(self) -> bool:
        """Whether it is paused, by whomever."""
        return bool(self._state == fakelibvirt.VIR_DOMAIN_PAUSED)

    def state(self, flags: int = 0) -> list[int]:
        """[state, reason]"""
        return [self._state, self._reason]

    def isActive(self) -> int:
        return int(self._state != fakelibvirt.VIR_DOMAIN_SHUTOFF)

    def isPersistent(self) -> bool:
        return not self._transient

    def disks(self) -> list[str]:
        """The device paths in its XML."""
        found = [d.get('source') or '' for d in self._def['devices'].get('disks', [])]
        return [path for path in found if path.startswith('/dev/')]

    def opened(self, path: str) -> bool:
        """Whether QEMU has this device open."""
        return path in self._opened and self.isActive() == 1

    def exchange(self, one: str, other: str) -> None:
        """Cinder has exchanged the ids of two volumes."""
        ids = {one: other, other: one}
        self._opened = {path: ids.get(volume, volume) for path, volume in self._opened.items()}

    # -- changing -------------------------------------------------------------------------

    def _effect(self, name: str, call: Callable[[], Any]) -> Any:
        return self._connection.world.effect('libvirt', name, None, call)

    def _open_disks(self) -> None:
        kernel, world = self._connection.kernel, self._connection.world
        opened = {}
        for path in self.disks():
            device = kernel.devices.get(path)
            if device is None:
                raise error(f"Cannot access storage file '{path}': No such file or directory",
                            fakelibvirt.VIR_ERR_INTERNAL_ERROR)
            if device.stranger:
                world.harm('foreign_open', self.host, f'{path} is {device.volume_id}')
            opened[path] = device.volume_id
        self._opened = opened

    def _boot(self) -> None:
        self._open_disks()
        others = [d for d in self._connection.copies(self.UUIDString())
                  if d is not self and d.runs]
        if others:
            self._connection.world.harm(
                'double_run', self.host, f'{self.UUIDString()} also runs on {others[0].host}')
        self._state = fakelibvirt.VIR_DOMAIN_RUNNING
        self._reason = lab_job.RUNNING_BOOTED
        self._connection._mark_running(self)

    def createWithFlags(self, flags: int) -> None:
        self._effect('createWithFlags', self._boot)

    def destroy(self) -> None:
        self._effect('destroy', lambda: self._die(lab_job.SHUTOFF_DESTROYED))

    def _die(self, reason: int) -> None:
        if not self.isActive():
            raise error('Requested operation is not valid: domain is not running',
                        fakelibvirt.VIR_ERR_OPERATION_INVALID)
        others = [d for d in self._connection.copies(self.UUIDString())
                  if d is not self and d.runs]
        if self.runs and not others:
            self._connection.ended.append(self.UUIDString())
        self._state, self._reason, self._opened = fakelibvirt.VIR_DOMAIN_SHUTOFF, reason, {}
        self._connection._mark_not_running(self)
        if self._transient:
            self._connection.drop(self)

    def shutdown(self) -> None:
        self._effect('shutdown', lambda: self._die(lab_job.SHUTOFF_SHUTDOWN))

    def undefine(self) -> None:
        def forget() -> None:
            if self.isActive():
                self._transient = True
            else:
                self._connection._undefine(self)
        self._effect('undefine', forget)

    def suspend(self) -> None:
        """libvirt knows one in the middle of a migration for a part of that."""
        def pause() -> None:
            migrates = self._job is not None and not self._job.over
            self._state = fakelibvirt.VIR_DOMAIN_PAUSED
            self._reason = lab_job.PAUSED_MIGRATION if migrates else lab_job.PAUSED_USER
        self._effect('suspend', pause)

    def resume(self) -> None:
        def run() -> None:
            self._state, self._reason = fakelibvirt.VIR_DOMAIN_RUNNING, lab_job.RUNNING_BOOTED
        self._effect('resume', run)

    def _restore(self, before: int) -> None:
        """What libvirt does when a migration has failed: a guest that ran before it runs again.

        :param before: its state when the migration began
        """
        if (before, self._state) == (fakelibvirt.VIR_DOMAIN_RUNNING,
                                     fakelibvirt.VIR_DOMAIN_PAUSED):
            self._state, self._reason = (
                (fakelibvirt.VIR_DOMAIN_PAUSED, lab_job.PAUSED_API_ERROR)
                if self._connection.cannot_resume else
                (fakelibvirt.VIR_DOMAIN_RUNNING, lab_job.RUNNING_MIGRATION_CANCELED))

    def attachDeviceFlags(self, xml: str, flags: int) -> None:
        def attach() -> None:
            # the name of the class it derives from leads here, see Stack.setUp()
            super(Domain, self).attachDeviceFlags(xml, flags)
            if self.isActive():
                self._open_disks()
        self._effect('attachDevice', attach)

    def detachDeviceFlags(self, xml: str, flags: int) -> None:
        self._effect('detachDevice', lambda: self._detach(xml, flags))

    def _detach(self, xml: str, flags: int) -> None:
        target = etree.fromstring(xml).find('target')
        name = None if target is None else target.get('dev')
        if self.isActive() and not flags & fakelibvirt.VIR_DOMAIN_AFFECT_LIVE:
            self._config_gone.add(name)
            return
        gone = [d for d in self._def['devices']['disks'] if d['target_dev'] == name]
        self.detachDevice(xml)
        self._opened = {p: v for p, v in self._opened.items() if p in self.disks()}
        for disk in gone:
            # Nova 31's fake gives none, so that Nova waits for an event without one.
            self._connection.on_removed(self.UUIDString(), disk.get('alias'))

    # -- copying a disk -------------------------------------------------------------------

    def blockCopy(self, disk: str, xml: str, flags: int = 0) -> None:
        """It is complete at once, as blockJobInfo() of Nova's fake says."""
        def copy() -> None:
            self._copies[disk] = xml
        self._effect('blockCopy', copy)

    def blockJobAbort(self, disk: str, flags: int) -> None:
        """With VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT the guest is on the copy from now on."""
        def end() -> None:
            xml = self._copies.pop(disk, None)
            if xml is not None and flags & fakelibvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT:
                source = etree.fromstring(xml).find('source')
                entry, = (d for d in self._def['devices']['disks'] if d['target_dev'] == disk)
                entry['source'] = source.get('dev')
                self._open_disks()
        self._effect('blockJobAbort', end)

    # -- migrating ------------------------------------------------------------------------

    def migrateToURI3(self, dconnuri: str, params: dict[str, Any], flags: int) -> None:
        """Peer to peer: it ends as the hypervisors decide, whoever still watches."""
        self._effect('migrateToURI3', lambda: self._migrate(dconnuri, params, flags))

    def _migrate(self, dconnuri: str, params: dict[str, Any], flags: int) -> None:
        peer = self._connection.peer(dconnuri)
        incoming = peer.receive(params['destination_xml'])
        before, job = self._state, self._connection.new_job()
        self._job = job
        try:
            verdict = job.wait()
            if verdict == 'complete':
                self._hand_over(incoming, flags)
                return
            if verdict in lab_job.ENDS:
                self._die(lab_job.ENDS[verdict])
            self._restore(before)
            if verdict != lab_job.OUTLIVED:
                peer.drop(incoming)
        finally:
            job.end()
            self._connection.jobs.remove(job)
        if verdict == 'cancel':
            raise error('operation aborted: migration out: canceled by client',
                        lab_job.VIR_ERR_OPERATION_ABORTED)
        raise error('operation failed: migration job: unexpectedly failed',
                    fakelibvirt.VIR_ERR_INTERNAL_ERROR)

    def _hand_over(self, incoming: Domain, flags: int) -> None:
        self._state, self._reason = fakelibvirt.VIR_DOMAIN_PAUSED, lab_job.PAUSED_MIGRATION
        # libvirt makes it persistent only now: what never arrived is not defined there
        incoming._transient = not flags & lab_job.VIR_MIGRATE_PERSIST_DEST
        incoming._state = fakelibvirt.VIR_DOMAIN_RUNNING
        incoming._reason = lab_job.RUNNING_MIGRATED
        incoming._receives = False
        self._state, self._opened = fakelibvirt.VIR_DOMAIN_SHUTOFF, {}
        self._reason = lab_job.SHUTOFF_MIGRATED
        self._connection.drop(self)

    def _gone(self) -> bool:
        return self._connection._vms.get(self.name()) is not self

    def jobStats(self, flags: int = 0) -> dict[str, Any]:
        """Running at the first look, over at the next; then libvirt knows of no job.

        :raises libvirtError: of a domain that is gone, shut off, or coming in, as libvirt does
        """
        self._connection.world.check()
        job = self._job
        if job is not None and not job.over and job.polls > 0:
            job.polls -= 1
            running: dict[str, Any] = self._effect('jobStats', lambda: {
                'type': fakelibvirt.VIR_DOMAIN_JOB_UNBOUNDED, 'time_elapsed': job.elapsed,
                'operation': lab_job.MIGRATION_OUT,
                'memory_total': 1 << 30, 'memory_processed': 1 << 29,
                'memory_remaining': 1 << 29})
            return running
        if job is not None:
            job.release()
            job.join()
        if self._gone():
            raise error('Domain not found: no domain with matching uuid',
                        fakelibvirt.VIR_ERR_NO_DOMAIN)
        if not self.isActive():
            raise error('Requested operation is not valid: domain is not running',
                        fakelibvirt.VIR_ERR_OPERATION_INVALID)
        if self._receives:
            raise error('Operation not supported: migration statistics are available only on '
                        'the source host', fakelibvirt.VIR_ERR_OPERATION_UNSUPPORTED)
        return {'type': fakelibvirt.VIR_DOMAIN_JOB_NONE}

    def abortJob(self) -> None:
        """:raises libvirtError: if there is no job to abort."""
        def abort() -> None:
            job = self._job
            if job is None or job.over:
                raise error('Requested operation is not valid: no job is active on the domain',
                            fakelibvirt.VIR_ERR_OPERATION_INVALID)
            job.verdict = 'cancel'
            job.release()
            job.join()
        self._effect('abortJob', abort)

    def migrateSetMaxDowntime(self, downtime: int, flags: int = 0) -> None:
        pass
