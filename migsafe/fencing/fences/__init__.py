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
"""Ways to fence a host; what has no entry point ``migsafe.fences`` is none."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import stevedore

from migsafe import exceptions
from migsafe.fencing.fences.base import Fence
from migsafe.text import masked

NAMESPACE = 'migsafe.fences'


def load(conf: Any) -> list[Fence]:
    """Make the fences that ``[migsafe] fences`` names, in that order.

    :raises ConfigError: it names none, or one that cannot be used
    """
    if not conf.fences:
        raise _refused('it names none')
    return [_one(name, conf) for name in dict.fromkeys(conf.fences)]


def _one(name: str, conf: Any) -> Fence:
    try:
        made = stevedore.DriverManager(NAMESPACE, name, invoke_on_load=True, invoke_args=(conf,),
                                       invoke_kwds={'name': name}).driver
    except exceptions.MigsafeError:
        raise
    except Exception as error:
        raise _refused(f'the fence {ascii(name)[:80]} cannot be used: {masked(error)}') from error
    if not isinstance(made, Fence):
        raise _refused(f'{ascii(name)[:80]} is no fence')
    return made


def _refused(why: str) -> exceptions.ConfigError:
    found = ', '.join(sorted(importlib.metadata.entry_points(group=NAMESPACE).names))
    return exceptions.ConfigError(group='migsafe', option='fences',
                                  reason=f'{why}. It may name {found}')
