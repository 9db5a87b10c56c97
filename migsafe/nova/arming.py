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
"""Arms a nova-compute: wraps the seams of Nova, and guards os-brick's connectors."""

from __future__ import annotations

import sys
from typing import Any

import wrapt
from oslo_log import log as logging

from migsafe import conf as migsafe_conf
from migsafe import exceptions
from migsafe.conf import environment
from migsafe.text import masked

LOG = logging.getLogger(__name__)

_MANAGER = 'nova.compute.manager'
NOT_GUARDED = 'devices of guests are not guarded: [migsafe] device_guards = false'


def arm(conf: Any, probe: bool = False) -> None:
    """Wrap the seams of Nova in this process, if [migsafe] enabled says so.

    Called before nova.compute.manager is imported, it waits for that import;
    called later, it wraps at once. Calling it again is harmless.

    :param conf: Nova's configuration, already read
    :param probe: find out first whether what the device guards need of root
        can be had
    :raises SeamMismatch: a seam does not fit this Nova, and [migsafe] enforce
        is true; raised from the import when that comes later
    :raises ShimError: the same for os-brick
    :raises ConfigError: the same for a configuration of Nova or Cinder that
        cannot tell which volume groups are the host's own
    :raises EnvironmentSet: an option is set in the environment
    """
    migsafe_conf.register_opts(conf)
    _by_files_alone(conf)
    if not conf.migsafe.enabled:
        _unarmed(conf, '[migsafe] enabled is false')
        return
    if conf.migsafe.device_guards:
        _guard(conf, probe)
    else:
        _gap(NOT_GUARDED)

    def when_imported(_module: Any) -> None:
        _apply(conf)

    if _MANAGER in sys.modules:
        _apply(conf)
    else:
        wrapt.register_post_import_hook(when_imported, _MANAGER)


def _by_files_alone(conf: Any) -> None:
    """Let no variable of the environment say what is protected, or whether that is enforced.

    :raises EnvironmentSet: one does, unless the file says enabled = false, or enforce = false
    """
    found = environment.variables()
    if not found:
        return
    switches = {f'OS_MIGSAFE__{name}' for name in ('ENABLED', 'ENFORCE')}
    if not switches & set(found) and not (conf.migsafe.enabled and conf.migsafe.enforce):
        LOG.error('%s', environment.EnvironmentSet(names=', '.join(found)))
        return
    environment.refuse()


def _guard(conf: Any, probe: bool) -> None:
    """Guard os-brick's connectors; libvirt's volume drivers make theirs later."""
    from migsafe.brick.connectors import shim
    from migsafe.conf import files
    from migsafe.lvm import services
    try:
        named = {group.vg_name: group.who
                 for group in services.both(files.read_by(conf))}
        policy = shim.policy(conf.migsafe.holder_policy, conf.host,
                             conf.migsafe.identity_policy, named)
        if probe:
            shim.check_root(policy)
        shim.install(policy)
    except exceptions.MigsafeError as error:
        if conf.migsafe.enforce:
            raise
        why = f'Devices of guests are NOT guarded: {masked(error)}'
        LOG.error(why)
        _gap(why)


def _gap(why: str) -> None:
    from migsafe.nova.host import status
    status.gap(why)


def _apply(conf: Any) -> None:
    from migsafe.nova.host import status
    from migsafe.nova.seams import table
    try:
        table.apply()
        status.wrapped([str(seam) for seam in table.SEAMS])
    except exceptions.SeamMismatch as error:
        if conf.migsafe.enforce:
            raise
        why = masked(error)
        LOG.error('Live migrations are NOT protected: %s', why)
        _unarmed(conf, why, create=True)


def _unarmed(conf: Any, why: str, create: bool = False) -> None:
    from migsafe.nova.host import status
    status.unarmed(conf, conf.host, why, create)


def recover_once(manager: Any) -> None:
    """One recovery pass for one ComputeManager: everything unsettled.

    :param manager: a ComputeManager; nothing is done for one that is not
        armed
    """
    from migsafe.nova.host import registry
    participant = registry.of(manager)
    if participant is not None:
        participant.recovery.once()
