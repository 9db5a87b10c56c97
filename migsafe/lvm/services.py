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
"""The volume groups that Nova and Cinder are configured to use on this host."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from migsafe import exceptions
from migsafe.conf import files as conf_files
from migsafe.lvm import facts

CINDER_CONF = '/etc/cinder/cinder.conf'
_LVM_DRIVER = 'cinder.volume.drivers.lvm.LVMVolumeDriver'
_BACKEND = ('volume_driver', 'migsafe_wrapped_driver', 'volume_group')


def nova(files: Sequence[str]) -> list[facts.Named]:
    """Those of ``[libvirt] images_type = lvm``.

    :param files: nova.conf and what is read after it; none if Nova is not on this host
    :raises exceptions.ConfigError: if one is no configuration file
    """
    if not files:
        return []
    conf = _load(files)
    conf.register_opts([cfg.StrOpt('images_type'), cfg.StrOpt('images_volume_group')], 'libvirt')
    group = conf.libvirt.images_volume_group
    if conf.libvirt.images_type != 'lvm' or not group:
        return []
    return [facts.Named(group, f'[libvirt] images_volume_group of {", ".join(files)}')]


def cinder(files: Sequence[str]) -> list[facts.Named]:
    """Those of enabled backends that are LVM, guarded by migsafe or not.

    :param files: cinder.conf; none if Cinder is not on this host
    :raises exceptions.ConfigError: if one is no configuration file
    """
    if not files:
        return []
    conf = _load(files)
    conf.register_opt(cfg.ListOpt('enabled_backends', default=[]))
    conf.register_opts([cfg.StrOpt(name) for name in _BACKEND], 'backend_defaults')
    found = []
    for backend in conf.enabled_backends:
        conf.register_opts([cfg.StrOpt(name) for name in _BACKEND], backend)
        value = {name: getattr(getattr(conf, backend), name)
                 or getattr(conf.backend_defaults, name) for name in _BACKEND}
        drivers = (value['migsafe_wrapped_driver'], value['volume_driver'] or _LVM_DRIVER)
        if _LVM_DRIVER in drivers:
            found.append(facts.Named(value['volume_group'] or 'cinder-volumes',
                                     f'[{backend}] volume_group of {", ".join(files)}'))
    return found


def both(nova_files: Sequence[str], cinder_files: Sequence[str] | None = None
         ) -> list[facts.Named]:
    """Those of Nova and of Cinder.

    :param cinder_files: None for the usual ones, if they are there for this user to read
    :raises exceptions.ConfigError: if one is no configuration file, or cannot be read
    """
    if cinder_files is None:
        volume = os.path.join(os.path.dirname(CINDER_CONF), 'cinder-volume.conf')
        cinder_files = [name for name in conf_files.usual((CINDER_CONF, volume))
                        if os.access(name, os.R_OK)]
    return [*nova(nova_files), *cinder(cinder_files)]


def _load(files: Sequence[str]) -> Any:
    conf = cfg.ConfigOpts()
    for name in files:
        if not os.access(name, os.R_OK):
            raise exceptions.ConfigError(f'{name} cannot be read. Run the command as root, or '
                                         'name another file.')
    try:
        conf([], project='migsafe-lvm', default_config_files=list(files), default_config_dirs=[])
    except (cfg.ConfigFileParseError, cfg.ConfigFileValueError) as error:
        raise exceptions.ConfigError(
            f'{getattr(error, "config_file", files)} is no configuration file.') from None
    return conf
