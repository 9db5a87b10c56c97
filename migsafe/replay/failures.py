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
"""Faults without a crash: something around nova-compute fails or is too slow."""

from __future__ import annotations

from migsafe.replay.entry import DESTINATION, SOURCE, TRANSFER_FAILS, Entry, on

_ALL = {'times': 0}
_AFTER = {'when': 'after'}

_INCIDENT = (
    Entry('incident-000', 'The incident',
          'The transfer fails, and Cinder answers 500 to each attachment_delete of the '
          'rollback. Later the owner stops the VM and starts it again.',
          (TRANSFER_FAILS, on(SOURCE, 'cinder', 'attachments.delete', 'cinder-500', **_ALL)),
          next_step='stop_start'),
)

_PREPARE = tuple(Entry(name, 'Preparing', text, faults)
                 for name, text, *faults_ in (
    ('connect-first', 'os-brick cannot connect the first volume on the destination.',
     on(DESTINATION, 'brick', 'connect_volume', 'brick-timeout')),
    ('connect-second', 'os-brick cannot connect the second volume; the first is connected.',
     on(DESTINATION, 'brick', 'connect_volume', 'brick-timeout', nth=2)),
    ('attachment-create-503', 'Cinder answers 503 to the first attachment_create.',
     on(DESTINATION, 'cinder', 'attachments.create', 'cinder-503')),
    ('attachment-create-lost', 'Cinder creates the second attachment, but its reply is lost.',
     on(DESTINATION, 'cinder', 'attachments.create', 'connect-timeout', nth=2, **_AFTER)),
    ('attachment-complete-500', 'Cinder answers 500 to attachment_complete.',
     on(DESTINATION, 'cinder', 'attachments.complete', 'cinder-500')),
    ('pre-reply-lost', 'The destination prepares everything, but its reply gets lost.',
     on(SOURCE, 'rpc', 'pre_live_migration', 'timeout', **_AFTER)),
    ('pre-finishes-late', 'The source stops waiting for pre_live_migration and rolls back; '
     'the destination carries on and finishes after that.',
     on(SOURCE, 'rpc', 'pre_live_migration', 'late')),
    ('vif-plug-timeout', 'Neutron never says that the VIF is plugged on the destination.',
     on(SOURCE, 'event', 'network-vif-plugged', 'vif-timeout')),
) for faults in (tuple(faults_),))

_TRANSFER = tuple(Entry(name, 'Transfer', text, (fault,)) for name, text, fault in (
    ('libvirt-failure', 'libvirt gives the transfer up. Nothing else goes wrong.',
     TRANSFER_FAILS),
    ('user-abort', 'The user aborts the running migration. Nothing else goes wrong.',
     on(SOURCE, 'libvirt', 'migrateToURI3', 'job-cancel')),
    ('progress-timeout', 'One save of the progress gets a MessagingTimeout; the transfer is '
     'healthy.',
     on(SOURCE, 'db', 'migration.save', 'timeout', nth=4)),
    ('job-stats-error', 'One libvirt jobStats call fails; the transfer is healthy.',
     on(SOURCE, 'libvirt', 'jobStats', 'libvirt-error')),
))

_ROLLBACK = tuple(
    Entry(name, 'Rollback', text, (TRANSFER_FAILS, fault),
          (TRANSFER_FAILS, other) if other else None)
    for name, text, fault, other in (
        ('rollback-cinder-401', 'Cinder answers 401 to one attachment_delete of the rollback.',
         on(SOURCE, 'cinder', 'attachments.delete', 'cinder-401'), None),
        ('rollback-cinder-503', 'Cinder answers 503 to one attachment_delete of the rollback.',
         on(SOURCE, 'cinder', 'attachments.delete', 'cinder-503'), None),
        ('rollback-cinder-down', 'Cinder cannot be reached once in the rollback (ConnectFailure).',
         on(SOURCE, 'cinder', 'attachments.delete', 'connect-failure'), None),
        ('rollback-cinder-timeout', 'The rollback deletes an attachment, but the reply is lost.',
         on(SOURCE, 'cinder', 'attachments.delete', 'connect-timeout', **_AFTER), None),
        ('rollback-placement-503', 'Placement answers the rollback 503 with an HTML page.',
         on(SOURCE, 'placement', 'POST /allocations', 'placement-503'), None),
        ('rollback-bdm-save', 'The conductor does not answer when the rollback saves a BDM.',
         on(SOURCE, 'db', 'bdm.save', 'timeout'), None),
        ('rollback-disconnect-lost', 'The request to disconnect the destination is lost.',
         on(SOURCE, 'rpc', 'remove_volume_connection', 'timeout'),
         on(SOURCE, 'rpc', 'migsafe.release', 'timeout')),
        ('rollback-disconnect-late', 'The request to disconnect the destination arrives late, '
         'when the source has given up.',
         on(SOURCE, 'rpc', 'remove_volume_connection', 'late'),
         on(SOURCE, 'rpc', 'migsafe.release', 'late')),
    ))

_POST = tuple(
    Entry(name, 'After the switch-over', text, faults, hold=hold)
    for name, text, faults, hold in (
        ('binding-activation', 'Neutron answers 503 when the port binding is activated.',
         (on(SOURCE, 'neutron', 'activate_port_binding', 'neutron-503'),), ()),
        ('post-reply-lost', 'The destination takes the guest over, but its reply gets lost.',
         (on(SOURCE, 'rpc', 'post_live_migration_at_destination', 'timeout', **_AFTER),), ()),
        ('source-device-held', "LVM of the source holds the guest's data disk (incident 001); "
         'the holder goes away later.', (),
         ((SOURCE, 1, "the guest's LV, activated by the host"),)),
        ('source-disconnect-fails', 'os-brick fails once to remove a device of the source.',
         (on(SOURCE, 'brick', 'disconnect_volume', 'brick-busy'),), ()),
        ('source-attachment-hiccup', 'Cinder answers 500 once when an attachment of the '
         'source is deleted.', (on(SOURCE, 'cinder', 'attachments.delete', 'cinder-500'),), ()),
        ('source-attachment-500', 'Cinder answers 500 whenever an attachment of the source is '
         'deleted.', (on(SOURCE, 'cinder', 'attachments.delete', 'cinder-500', **_ALL),), ()),
    ))

ENTRIES = (*_INCIDENT, *_PREPARE, *_TRANSFER, *_ROLLBACK, *_POST)
