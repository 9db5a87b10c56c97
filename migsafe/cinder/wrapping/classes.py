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
"""Makes a guarded subclass of a driver's class.

The class of a driver that is there already is exchanged for a subclass. A subclass alone would
not do: NetApp's driver is a factory, whose ``__new__`` gives an instance of another class.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

from cinder.volume import driver as cinder_driver
from oslo_log import log as logging
from oslo_utils import importutils

from migsafe import exceptions
from migsafe.cinder.wrapping.guard import Guard
from migsafe.cinder.wrapping.steps import STEPS, Step
from migsafe.text import masked

LOG = logging.getLogger(__name__)

OPTION = 'migsafe_wrapped_driver'
GUARD = 'migsafe.cinder.driver.GuardedDriver'
#: What a class must be to be a driver for Cinder.
BASES = (cinder_driver.BaseVD, cinder_driver.ProxyVD)


class Guarded:
    """Marks the classes that are made here. It has no methods that a driver could have."""

    migsafe_guard: Guard


def find(configuration: Any) -> Callable[..., Any]:
    """Import the driver that a backend's section names.

    :param configuration: of the backend, with the options of ``migsafe.conf.cinder``
    :raises ConfigError: it names none that can be guarded
    """
    name = configuration.safe_get(OPTION)
    if not name:
        raise _refused(configuration, 'it is not set. Put there what volume_driver said before')
    name = _current_name(name)
    if name == GUARD:
        raise _refused(configuration, 'it names the guard itself. Put the driver of the array '
                       'there, and the guard into volume_driver')
    try:
        found = importutils.import_class(name)
    except Exception as error:
        # NOTE: a module of a driver may raise anything when it is imported.
        # NOTE: oslo.utils puts a traceback into the text.
        why = masked(error).partition(" (['Traceback")[0]
        raise _refused(configuration, f'{ascii(name)} cannot be imported ({why}). '
                       'Correct it, or install what the driver needs') from error
    if not isinstance(found, type) or not issubclass(found, BASES):
        raise _refused(configuration, f'{ascii(name)} is no driver of Cinder. Put there what '
                       'volume_driver said before')
    return found


def _current_name(name: str) -> str:
    from cinder.volume import manager
    if name in manager.MAPPING:
        LOG.warning('The driver %s of %s has a new name, %s: update the configuration.',
                    name, OPTION, manager.MAPPING[name])
    return str(manager.MAPPING.get(name, name))


def _refused(configuration: Any, reason: str) -> exceptions.ConfigError:
    return exceptions.ConfigError(
        group=configuration.config_group, option=OPTION, reason=f'{reason}; this backend stays '
        'down until then')


def guard(driver: Any, host: str = '', cluster: str | None = None) -> Any:
    """Guard a driver that Cinder could use as it is.

    :param host: of the service, node@backend
    :param cluster: name of its cluster, None if it has none
    :returns: the same object, now of a subclass of the class that it had
    """
    if isinstance(driver, Guarded):
        return driver
    kind: Any = type(driver)
    driver.__class__ = subclass(kind)
    driver.migsafe_guard = Guard(driver, host, cluster)
    return driver


@functools.cache
def subclass(cls: Any) -> Any:
    """The guarded subclass of a driver's class.

    It has the name of the class: some drivers write it into what Cinder keeps of a volume, and
    compare it later.
    """
    def fill(namespace: dict[str, Any]) -> None:
        namespace.update(__doc__=cls.__doc__, __module__=cls.__module__,
                         __qualname__=cls.__qualname__)
        for name, step in STEPS.items():
            if inspect.isfunction(getattr(cls, name, None)):
                namespace[name] = _method(cls, name, step)
    return types.new_class(cls.__name__, (Guarded, cls), {}, fill)


def _method(cls: type, name: str, step: Step) -> Callable[..., Any]:
    @functools.wraps(getattr(cls, name))
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        # NOTE: looked up now, as Python would: somebody may have replaced it since.
        wrapped = functools.partial(getattr(cls, name), self)
        return step(self.migsafe_guard, name, wrapped, args, kwargs)
    return method
