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
"""RPC endpoint for the plugin on other hosts.

It rides on nova-compute's own RPC server; see the ``additional_endpoints`` of
nova.manager.Manager. Arguments come from the bus and are not trusted: nothing
is torn down on what a message says, only on this host's own journal and its
own libvirt.
"""

from __future__ import annotations

import itertools
from typing import Any

import oslo_messaging as messaging
from oslo_log import log as logging
from oslo_utils import uuidutils

import migsafe.version
from migsafe import masking
from migsafe.discreet import discreet
from migsafe.journal import residue, view
from migsafe.journal.records import ServiceStatus
from migsafe.nova.bus import peer
from migsafe.nova.clients import way
from migsafe.nova.host.participant import SOURCE, Participant
from migsafe.preflight.report import payload
from migsafe.text import masked
from migsafe.transaction import answers, evidence
from migsafe.transaction.verdict import Verdict

LOG = logging.getLogger(__name__)
VERSION = '1.6'
MAX_UUID = 36
#: Pieces of residue in one overview.
MAX_PIECES = 100
MAX_GUESTS = 5000
Answer = dict[str, Any]


class Endpoint:
    """RPC namespace ``migsafe``, version 1.6: 1.0 for other hosts; ``overview`` (1.1),
    ``preflight`` (1.2), ``path``, ``inbound`` and ``migrations`` (1.3) ``guest_facts`` (1.4),
    ``guests`` (1.5) and ``surroundings`` (1.6) for the command ``migsafe``.

    :param participant: this host's participant
    """

    target = messaging.Target(namespace=peer.NAMESPACE, version=VERSION)

    def __init__(self, participant: Participant) -> None:
        self._participant = participant
        self.host = participant.host

    @discreet
    def describe(self, context: Any, uuid: Any,
                 **_later: Any) -> Answer:
        """This host's view of a transaction."""
        _check(uuid=uuid)
        p = self._participant
        # The source's own word, whatever a stray release has left beside it.
        tx = p.journal.get(uuid, SOURCE) or p.journal.get(uuid)
        found: dict[str, Any] = {
            'known': tx is not None, 'live': p.attempts.live(uuid),
            'state': '', 'verdict': '', 'host': p.host, 'attachments': {},
            'version': migsafe.version.version()}
        if tx is not None:
            history = p.engine.history(tx)
            found.update(
                state=tx.state, verdict=tx.verdict or '', attachments=history.attachments,
                unsure=history.unsure())
        p.journal.check_answered()
        return found

    @discreet
    def guest_evidence(self, context: Any, uuid: Any, instance_uuid: Any,
                       **_later: Any) -> Answer:
        """What this host's libvirt says of a guest, and which machine the host is."""
        _check(uuid=uuid, instance_uuid=instance_uuid)
        p = self._participant
        found = p.clients.guests.evidence(instance_uuid).as_payload()
        found['rebooted'] = evidence.rebooted(p.journal.get(uuid), found['boot_id'])
        found['machine'] = p.machine()
        # The source drives a migration from another thread of this process.
        found['job'] = found['job'] or instance_uuid in p.evacuating or (
            p.attempts.live(uuid)
            and p.journal.get(uuid, SOURCE) is not None)
        p.journal.check_answered()
        return found

    @discreet
    def release(self, context: Any, uuid: Any, instance_uuid: Any,
                verdict: Any, **_later: Any) -> Answer:
        """Let go of this host's devices and directory of a guest."""
        _check(uuid=uuid, instance_uuid=instance_uuid)
        if verdict not in ('COMMIT', 'ABORT'):
            raise ValueError('verdict is neither COMMIT nor ABORT')
        try:
            answer = self._participant.release(uuid, instance_uuid, Verdict(verdict))
            self._participant.journal.check_answered()
            return answer
        except Exception as error:
            why = masked(error)
            LOG.error('Release of instance %s for migration %s failed: %s',
                      instance_uuid, uuid, why)
            return {'state': 'refused', 'reason': why}

    @discreet
    def inspect(self, context: Any, uuid: Any,
                **_later: Any) -> Answer:
        """What this host's journal holds of a transaction; no payloads."""
        _check(uuid=uuid)
        p = self._participant
        tx = p.journal.get(uuid)
        p.journal.check_answered()
        if tx is None:
            return {'known': False, 'records': []}
        return {'known': True, 'state': tx.state, 'verdict': tx.verdict or '',
                'reason': masking.mask(tx.reason), 'records': [
                    {'kind': r.kind, 'resource': r.resource, 'key': r.key,
                     'effect': r.effect, 'status': r.status}
                    for r in p.journal.records(tx)[-peer.MAX_ITEMS:]]}

    @discreet
    def overview(self, context: Any, **_later: Any) -> Answer:
        """What ``migsafe status`` and ``migsafe residue list`` show of this host, bounded; it
        takes nothing from the bus, and changes nothing."""
        journal = self._participant.journal
        total, held = journal.count_unsettled().get(self.host, (0, 0))
        found = list(itertools.islice(residue.listed(journal), MAX_PIECES + 1))
        return {
            'host': self.host, 'version': migsafe.version.version(), 'unsettled': total,
            'held': held, 'status': _status(journal.statuses()), 'more': len(found) > MAX_PIECES,
            'residue': [{name: _cut(value) for name, value in piece._asdict().items()}
                        for piece in found[:MAX_PIECES]]}

    @discreet
    def preflight(self, context: Any, instance_uuid: Any, **_later: Any) -> Answer:
        """What ``migsafe preflight`` asks this host; it changes nothing."""
        _check(instance_uuid=instance_uuid)
        found = self._participant.survey(instance_uuid)
        self._participant.journal.check_answered()
        return payload(found)

    @discreet
    def surroundings(self, context: Any, instance_uuid: Any, **_later: Any) -> Answer:
        """What ``migsafe preflight`` asks beside that, which takes longer: whether this host
        reaches the arrays by Nova's rows, for example. It sends nothing there."""
        _check(instance_uuid=instance_uuid)
        return payload(self._participant.surroundings(instance_uuid))

    @discreet
    def guest_facts(self, context: Any, instance_uuid: Any, leads: Any = None,
                    **_later: Any) -> Answer:
        """What ``migsafe repair`` asks this host of a guest, and of disks that lead where an
        attachment for it leads (pairs of a target and a LUN); it changes nothing."""
        _check(instance_uuid=instance_uuid)
        found = self._participant.guest_facts(instance_uuid, _leads(leads))
        self._participant.journal.check_answered()
        return found

    @discreet
    def guests(self, context: Any, **_later: Any) -> Answer:
        """Which guests run here, for ``migsafe audit``."""
        return {'host': self.host, 'guests': self._participant.guests()[:MAX_GUESTS]}

    @discreet
    def inbound(self, context: Any, **_later: Any) -> Answer:
        """At which address, and which ports, this host expects guests."""
        return {'host': self.host, 'inbound': way.inbound(),
                'qemu_ports': self._participant.qemu_ports()}

    @discreet
    def path(self, context: Any, instance_uuid: Any, destination: Any, **_later: Any) -> Answer:
        """What ``migsafe preflight`` asks a source of the way to its destination; it connects to
        ports of that, and sends nothing."""
        _check(instance_uuid=instance_uuid)
        if not isinstance(destination, str) or not 0 < len(destination) <= peer.MAX_ADDRESS:
            raise ValueError('destination is not the name of a host')
        return payload(self._participant.way(instance_uuid, destination))

    @discreet
    def migrations(self, context: Any, **_later: Any) -> Answer:
        """What ``migsafe migrations`` shows of this host: what was found at the last look, so that
        a libvirt that hangs keeps nobody waiting."""
        found, ago = self._participant.watch.latest()
        return {'host': self.host, 'ago': ago, 'migrations': [payload(one) for one in found]}


def _status(reports: list[ServiceStatus]) -> Answer:
    """This host's own report; a field that cannot be read is left out."""
    if not reports:
        return {}
    report, seams = reports[0], view.cell(reports[0], 'seams')
    return {'armed': view.cell(report, 'armed'), 'pid': view.cell(report, 'pid'),
            'nova': _cut(view.cell(report, 'nova_version')),
            'concurrency': _cut(view.cell(report, 'concurrency')),
            'seams': len(seams) if isinstance(seams, list) else None,
            'detail': _cut(view.cell(report, 'detail')),
            'updated': view.cell(report, 'updated_at')}


def _cut(value: Any) -> Any:
    return value[:answers.MAX_TEXT] if isinstance(value, str) else value


def _leads(given: Any) -> list[tuple[str, int]] | None:
    """Pairs as a repair sends them.

    :raises ValueError: they are none
    """
    if given is None:
        return None
    if not isinstance(given, list) or len(given) > peer.MAX_ITEMS:
        raise ValueError('leads is no list of a few pairs')
    return [_lead(one) for one in given]


def _lead(given: Any) -> tuple[str, int]:
    if isinstance(given, list | tuple) and len(given) == 2:
        target, lun = given
        if isinstance(target, str) and 0 < len(target) <= answers.MAX_TEXT \
                and isinstance(lun, int) and not isinstance(lun, bool):
            return target, lun
    raise ValueError('leads has something else than pairs of a target and a LUN')


def _check(**uuids: Any) -> None:
    """Refuse what is no uuid before it reaches a query or a log.

    :raises ValueError: names the argument
    """
    for name, value in uuids.items():
        # is_uuid_like() takes any number of dashes and of "urn:".
        if not isinstance(value, str) or len(value) > MAX_UUID \
                or not uuidutils.is_uuid_like(value):
            raise ValueError(f'{name} is not a uuid')
