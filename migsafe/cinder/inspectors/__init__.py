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
"""Inspectors ask an array what is really mapped (stevedore: migsafe.inspectors)."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import stevedore
from oslo_log import log as logging

from migsafe import exceptions
from migsafe.cinder.inspectors import conformance
from migsafe.cinder.inspectors.base import Inspector, Mapping, Reach, Writer
from migsafe.text import masked

__all__ = ('Inspector', 'Mapping', 'Reach', 'Writer', 'load', 'names')

LOG = logging.getLogger(__name__)

NAMESPACE = 'migsafe.inspectors'
OPTION = 'migsafe_inspector'


def names() -> str:
    """The names of those that are installed, for messages."""
    return ', '.join(sorted(importlib.metadata.entry_points(group=NAMESPACE).names))


def load(driver: Any) -> Inspector:
    """Make the inspector of a backend.

    :param driver: with its configuration
    :raises ConfigError: the option names none that can be used
    """
    name = driver.configuration.safe_get(OPTION)
    name = name if isinstance(name, str) else 'ledger'
    try:
        made = stevedore.DriverManager(NAMESPACE, name, invoke_on_load=True,
                                       invoke_args=(driver,)).driver
    except Exception as error:
        raise exceptions.ConfigError(
            group=str(driver.configuration.config_group), option=OPTION,
            reason=f'the inspector {ascii(name)[:80]} cannot be used: {masked(error)}. It may be '
            f'one of {names()}') from error
    if not isinstance(made, Inspector):
        raise exceptions.ConfigError(
            group=str(driver.configuration.config_group), option=OPTION,
            reason=f'{ascii(name)[:80]} is no inspector')
    try:
        conformance.check(made)
    except conformance.NotConforming as error:
        raise exceptions.ConfigError(
            group=str(driver.configuration.config_group), option=OPTION,
            reason=f'{ascii(name)[:80]} is refused, since {error}') from error
    return made
