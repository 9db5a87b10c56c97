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
"""Whether the backends of a cinder.conf could be guarded; nothing of them is started.

For ``migsafe-status``, in a process that is no cinder-volume.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import stevedore
from cinder import objects
from cinder.common import config as cinder_config
from cinder.volume import configuration
from oslo_config import cfg

from migsafe import exceptions
from migsafe.cinder import inspectors
from migsafe.cinder.inspectors import base
from migsafe.conf.cinder import OPTS
from migsafe.text import masked

_HOST = cfg.StrOpt('backend_host')


@dataclasses.dataclass(frozen=True)
class Backend:
    """What one enabled backend would be.

    :param host: as its cinder-volume would call itself, node@backend
    :param cluster: with the backend's name, None if it has none
    :param guarded: whether volume_driver names the guard
    :param driver: why the driver cannot be guarded; empty if it can
    :param inspector: why the inspector cannot be loaded; empty if it can
    """

    name: str
    host: str
    cluster: str | None
    guarded: bool
    driver: str = ''
    inspector: str = ''


def backends(files: Sequence[str]) -> list[Backend]:
    """Read a cinder.conf as cinder-volume does, and look at each enabled backend.

    :param files: in the order in which they are read
    """
    # NOTE: what is imported below looks at these while it is imported, as cinder-volume's own
    # modules do.
    objects.register_all()
    conf = cinder_config.CONF
    conf([], project='cinder', default_config_files=list(files), default_config_dirs=[],
         use_env=False)
    conf.register_opts([cfg.StrOpt('cluster')])
    return [_backend(conf, name) for name in filter(None, conf.enabled_backends or ())]


def _backend(conf: Any, name: str) -> Backend:
    from cinder.volume import manager

    from migsafe.cinder.wrapping import classes
    section = configuration.Configuration([*manager.volume_backend_opts, *OPTS, _HOST],
                                          config_group=name)
    cluster = (conf.cluster or '').strip()
    place = (name, f'{section.safe_get("backend_host") or conf.host}@{name}',
             f'{cluster}@{name}' if cluster else None)
    if section.safe_get('volume_driver') != classes.GUARD:
        return Backend(*place, guarded=False)
    return Backend(*place, guarded=True, driver=_driver(section), inspector=_inspector(section))


def _driver(section: Any) -> str:
    from migsafe.cinder.wrapping import classes
    try:
        # NOTE: the guarded class is made as at the start, with every method that is wrapped.
        classes.subclass(classes.find(section))
    except exceptions.MigsafeError as error:
        return str(error)
    except Exception as error:
        return f'the driver of [{section.config_group}] cannot be guarded: {masked(error)}'
    return ''


def _inspector(section: Any) -> str:
    name = str(section.safe_get(inspectors.OPTION))
    try:
        found = stevedore.DriverManager(inspectors.NAMESPACE, name).driver
        if not issubclass(found, base.Inspector):
            raise TypeError(f'{name} is no inspector')
    except Exception as error:
        return (f'Option [{section.config_group}] {inspectors.OPTION} is refused: the inspector '
                f'{ascii(name)[:80]} cannot be used: {masked(error)}. It may be '
                f'one of {inspectors.names()}')
    return ''
