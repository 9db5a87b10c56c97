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
"""The seams: what of Nova is wrapped, and how it must look.

A seam is only used if it is there and begins with the parameters it is known
to have; the table holds for Nova 31 (2025.1) to 34 (2026.2). One that does
not fit means that nothing at all is wrapped.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import wrapt

from migsafe import exceptions
from migsafe.nova.seams import (
    at_start,
    calls,
    dangling,
    deferred,
    deletion,
    departure,
    destination,
    effects,
    evacuation,
    gates,
    identity,
    kept_guests,
    precheck,
    preflight,
    preparation,
    refusals,
    rows_read,
    service,
    source,
    stale_guests,
    swap,
    unarmed_destination,
    volume_rows,
)

MANAGER = 'nova.compute.manager'
DRIVER = 'nova.virt.libvirt.driver'
CINDER = 'nova.volume.cinder'
NEUTRON = 'nova.network.neutron'
REPORT = 'nova.scheduler.client.report'
_CM, _LD = 'ComputeManager', 'LibvirtDriver'

Wrapper = Callable[[Any, Any, Any, Any], Any]


@dataclasses.dataclass(frozen=True)
class Seam:
    """One function of Nova.

    :param module: dotted name
    :param attribute: ``Class.method``
    :param parameters: its leading parameters, without ``self``
    :param wrapper: a wrapt wrapper
    """

    module: str
    attribute: str
    parameters: Sequence[str]
    wrapper: Wrapper

    def __str__(self) -> str:
        return f'{self.module}.{self.attribute}'


def _seam(module: str, attribute: str, parameters: str,
          wrapper: Wrapper) -> Seam:
    return Seam(module, attribute, tuple(parameters.split()), wrapper)


def _manager(method: str, parameters: str, wrapper: Wrapper) -> Seam:
    return _seam(MANAGER, f'{_CM}.{method}', parameters, wrapper)


SEAMS: tuple[Seam, ...] = (
    # life of the service
    _manager('init_host', 'service_ref', service.init_host),
    _manager('cleanup_host', '', service.cleanup_host),
    # the source
    _manager('_do_live_migration', 'context dest instance block_migration '
             'migration migrate_data', source.do_live_migration),
    _manager('_do_pre_live_migration_from_source',
             'context dest instance block_migration migration migrate_data '
             'source_bdms', source.do_pre_live_migration_from_source),
    _manager('_rollback_volume_bdms', 'context bdms original_bdms instance',
             source.rollback_volume_bdms),
    _manager('_remove_remote_volume_connections',
             'context dest bdms instance',
             source.remove_remote_volume_connections),
    _manager('_post_live_migration_update_host', 'ctxt instance dest',
             departure.post_live_migration_update_host),
    _manager('_post_live_migration', 'ctxt instance dest', departure.post_live_migration),
    _manager('_post_live_migration_remove_source_vol_connections',
             'context instance source_bdms',
             departure.post_live_migration_remove_source_vol_connections),
    _seam('nova.compute.rpcapi', 'ComputeAPI.pre_live_migration',
          'ctxt instance block_migration disk host migrate_data',
          unarmed_destination.pre_live_migration),
    # the destination
    _manager('pre_live_migration', 'context instance disk migrate_data',
             destination.pre_live_migration),
    _manager('post_live_migration_at_destination',
             'context instance block_migration',
             destination.post_live_migration_at_destination),
    _manager('rollback_live_migration_at_destination',
             'context instance destroy_disks migrate_data',
             destination.rollback_live_migration_at_destination),
    _manager('remove_volume_connection', 'context volume_id instance',
             destination.remove_volume_connection),
    # operations that must not meet residue
    _manager('check_can_live_migrate_destination', 'ctxt instance',
             precheck.precheck),
    _manager('check_can_live_migrate_source', 'ctxt instance',
             precheck.precheck),
    *(_manager(method, parameters, gate)
      for method, (parameters, gate) in refusals.GATES.items()),
    _manager('_detach_volume', 'context bdm instance', gates.detach),
    _manager('_delete_instance', 'context instance bdms', gates.delete),
    _manager('_get_instance_block_device_info', 'context instance', rows_read.block_device_info),
    _manager('_delete_dangling_bdms', 'context instance bdms', dangling.delete_dangling_bdms),
    _manager('_init_volume_connection', 'context new_volume old_volume_id connector bdm '
             'new_attachment_id mountpoint', swap.init_volume_connection),
    _manager('_init_instance', 'context instance', at_start.init_instance),
    _manager('_reset_live_migration', 'context instance',
             at_start.reset_live_migration),
    _manager('_resume_guests_state', 'context instance net_info', at_start.resume),
    # guests that are not this host's any more
    _manager('_destroy_evacuated_instances', 'context node_cache',
             stale_guests.destroy_evacuated),
    _seam('nova.objects.migration', 'MigrationList.get_by_filters', 'context filters',
          kept_guests.evacuations),
    _manager('_shutdown_instance', 'context instance bdms', stale_guests.shut_down),
    _seam(DRIVER, f'{_LD}.destroy', 'context instance network_info block_device_info',
          stale_guests.destroy),
    # what a destination writes into Nova's database
    _seam('nova.objects.block_device', 'BlockDeviceMapping.save', '', volume_rows.saved),
    # external effects
    _seam(CINDER, 'API.attachment_create', 'ctx volume_id',
          effects.journalled(effects.CREATE)),
    _seam(CINDER, 'API.attachment_delete', 'ctx attachment_id',
          deferred.attachment_delete(effects.journalled(effects.DELETE))),
    _seam(CINDER, 'API.initialize_connection', 'ctx volume_id',
          effects.journalled(effects.INITIALIZE)),
    _seam(CINDER, 'API.terminate_connection', 'ctx volume_id',
          deferred.terminate_connection(effects.journalled(effects.TERMINATE))),
    _seam(CINDER, 'API.detach', 'ctx volume_id', deferred.detach),
    _seam(CINDER, 'API.delete', 'ctx volume_id', deferred.delete),
    _seam(CINDER, 'API.migrate_volume_completion',
          'context old_volume_id new_volume_id error',
          deferred.migrate_volume_completion),
    _seam(DRIVER, f'{_LD}.check_can_live_migrate_source',
          'context instance dest_check_data', preflight.check_source),
    _seam(DRIVER, f'{_LD}.pre_live_migration', 'context instance block_device_info',
          preparation.driver_pre_live_migration),
    _seam(DRIVER, f'{_LD}._connect_volume',
          'context connection_info instance',
          identity.named(effects.journalled(effects.CONNECT))),
    _seam(DRIVER, f'{_LD}._disconnect_volume',
          'context connection_info instance',
          stale_guests.disconnect(deletion.noted(swap.disconnect(identity.named(
              effects.journalled(effects.DISCONNECT)))))),
    _seam(DRIVER, f'{_LD}._create_guest', 'context xml instance', evacuation.create_guest),
    _seam(DRIVER, f'{_LD}.swap_volume', 'context old_connection_info '
          'new_connection_info instance mountpoint resize_to',
          swap.swap_volume),
    _seam('nova.virt.block_device',
          'DriverVolumeBlockDevice._preserve_multipath_id', 'connection_info',
          identity.preserve),
    _seam(DRIVER, f'{_LD}._should_disconnect_target',
          'context instance multiattach vol_driver volume_id',
          effects.should_disconnect_target),
    # calls whose failure Nova swallows
    _seam(NEUTRON, 'API.setup_networks_on_host', 'context instance',
          effects.observed('setup_networks_on_host')),
    _seam(NEUTRON, 'API.migrate_instance_start', 'context instance migration',
          effects.observed('migrate_instance_start')),
    _seam(REPORT, 'SchedulerReportClient.delete_allocation_for_instance',
          'context uuid', effects.observed('delete_allocation_for_instance')),
    _seam(DRIVER, f'{_LD}.delete_instance_files', 'instance',
          effects.observed('delete_instance_files')),
    # every request to another service
    _seam('keystoneauth1.session', 'Session.request', 'url method', calls.request),
)


def find(seam: Seam) -> Any:
    """The function behind a seam.

    :raises SeamMismatch: it is missing or has other parameters
    """
    try:
        target: Any = importlib.import_module(seam.module)
    except ImportError:
        target = None
    for name in seam.attribute.split('.'):
        target = getattr(target, name, None)
    if not callable(target):
        raise exceptions.SeamMismatch(seam=str(seam), reason='is missing')
    found = tuple(effects.signature(target).parameters)[1:]
    if found[:len(seam.parameters)] != tuple(seam.parameters):
        raise exceptions.SeamMismatch(
            seam=str(seam), reason=f'has parameters ({", ".join(found)}), '
            f'expected ({", ".join(seam.parameters)}, ...)')
    return target


def apply(seams: Sequence[Seam] = SEAMS) -> None:
    """Wrap all seams, or none; again is harmless.

    :raises SeamMismatch: the first one that does not fit
    """
    todo = [seam for seam in seams if not _wrapped(find(seam))]
    for seam in todo:
        wrapt.wrap_function_wrapper(seam.module, seam.attribute, seam.wrapper)


def _wrapped(target: Any) -> bool:
    return isinstance(target, (wrapt.FunctionWrapper,
                               wrapt.BoundFunctionWrapper))
