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
"""Faults in which a nova-compute, or a whole host, dies."""

from __future__ import annotations

from migsafe.replay.entry import DESTINATION, SOURCE, TRANSFER_FAILS, Entry, Spec, on


def _kill(host: str, kind: str, name: str, when: str = 'after', nth: int = 1) -> Spec:
    return on(host, kind, name, 'kill', when=when, nth=nth)


_LAST_STATS = ('libvirt', 'jobStats', 'before')

_SOURCE = tuple(Entry(name, 'Source killed', text, faults)
                for name, text, faults in (
    ('kill-source-pre', 'nova-compute on the source dies when the destination is ready.',
     (_kill(SOURCE, 'rpc', 'pre_live_migration'),)),
    ('kill-source-transfer', 'nova-compute on the source dies in the transfer; the guest '
     'arrives without it.',
     (_kill(SOURCE, *_LAST_STATS),)),
    ('kill-source-rollback', 'nova-compute on the source dies in the rollback, after the '
     'first attachment_delete.',
     (TRANSFER_FAILS, _kill(SOURCE, 'cinder', 'attachments.delete'))),
    ('kill-source-post', 'nova-compute on the source dies after the switch-over, with one '
     'device removed.',
     (_kill(SOURCE, 'brick', 'disconnect_volume'),)),
))

_DESTINATION = tuple(Entry(name, 'Destination killed', text, faults,
                           dies=dies)
                     for name, text, faults, dies in (
    ('kill-destination-pre', 'nova-compute on the destination dies between attachment_create '
     'and connect_volume.',
     (_kill(DESTINATION, 'cinder', 'attachments.create', nth=2),), None),
    ('kill-destination-incoming', 'nova-compute on the destination dies while the guest is '
     'coming in; the guest arrives.',
     (), (DESTINATION, 'libvirt', 'migrateToURI3')),
    ('kill-destination-rollback', 'nova-compute on the destination dies while the guest is '
     'coming in; the transfer fails.',
     (TRANSFER_FAILS,), (DESTINATION, 'libvirt', 'migrateToURI3')),
    ('kill-destination-post', 'nova-compute on the destination dies with the guest running, '
     'before instance.host is saved.',
     (_kill(DESTINATION, 'db', 'instance.save', 'before'),), None),
))

_WORSE = (
    Entry('kill-both', 'Worse', 'Both nova-computes die during the transfer.',
          (_kill(SOURCE, *_LAST_STATS),), dies=(DESTINATION, 'libvirt', 'jobStats')),
    Entry('destination-rebooted', 'Worse',
          'nova-compute on the destination dies while it connects; the operator reboots the '
          'whole host.',
          (_kill(DESTINATION, 'brick', 'connect_volume'),), reboot=(DESTINATION,)),
    Entry('destination-stays-down', 'Worse',
          'The transfer fails, and nova-compute on the destination is dead and stays dead '
          'for a long time.',
          (TRANSFER_FAILS,), dies=(DESTINATION, 'libvirt', 'migrateToURI3'),
          stays_down=(DESTINATION,)),
    Entry('source-stays-down', 'Worse',
          'The guest arrives, but nova-compute on the source is dead and stays dead for a '
          'long time.',
          (_kill(SOURCE, *_LAST_STATS),), stays_down=(SOURCE,)),
)

ENTRIES = (*_SOURCE, *_DESTINATION, *_WORSE)
