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
"""Probes look at one host (stevedore: ``migsafe.probes``)."""

from __future__ import annotations

import importlib.metadata

import stevedore

from migsafe import exceptions
from migsafe.fencing.probes.base import Probe, Site
from migsafe.text import masked

NAMESPACE = 'migsafe.probes'


def names() -> str:
    """The names of those that are installed, for messages."""
    return ', '.join(sorted(importlib.metadata.entry_points(group=NAMESPACE).names))


def load(site: Site) -> list[Probe]:
    """Make the probes that ``[migsafe] probes`` names.

    :raises ConfigError: it names none, or one that cannot be used
    """
    if not site.conf.probes:
        raise _refused('it names none, and then nothing could prove that a host lives')
    return [_one(name, site) for name in dict.fromkeys(site.conf.probes)]


def _one(name: str, site: Site) -> Probe:
    try:
        made = stevedore.DriverManager(NAMESPACE, name, invoke_on_load=True,
                                       invoke_args=(site,), invoke_kwds={'name': name}).driver
    except exceptions.MigsafeError:
        raise
    except Exception as error:
        raise _refused(f'the probe {ascii(name)[:80]} cannot be used: {masked(error)}') from error
    if not isinstance(made, Probe):
        raise _refused(f'{ascii(name)[:80]} is no probe')
    return made


def _refused(why: str) -> exceptions.ConfigError:
    return exceptions.ConfigError(group='migsafe', option='probes',
                                  reason=f'{why}. It may name {names()}')
