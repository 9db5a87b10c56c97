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
"""Whether an inspector keeps to its interface: what is checked at start.

What an inspector gets wrong is believed: a mapping that it cannot name is never found again, and
counts as gone. So one that fails the check is refused before anything is asked of it.
"""

from __future__ import annotations

import itertools
import uuid
from typing import Any

from cinder import objects
from oslo_log import log as logging

from migsafe import exceptions
from migsafe.cinder.inspectors.base import Inspector, Mapping, Writer
from migsafe.text import masked

LOG = logging.getLogger(__name__)

FLAGS = ('can_tell', 'maps', 'tells_initiators', 'tells_hosts')
#: Mappings of the whole array that are looked at.
SAMPLE = 20
#: More than that nobody could wait for.
MOST_LAG = 600.0


class NotConforming(exceptions.MigsafeError):
    """It must not be used."""

    message = ('it does not keep to the interface of an inspector: %(what)s. See "Writing an '
               'inspector" in the documentation, and the tests in '
               'migsafe.cinder.inspector_tests')


def check(inspector: Inspector) -> None:
    """Check what can be checked without changing anything in the array.

    :raises NotConforming: it is not to be believed
    """
    for name in FLAGS:
        if not isinstance(getattr(inspector, name, None), bool):
            raise NotConforming(what=f'{name} is neither True nor False')
    lag = inspector.lag
    if isinstance(lag, bool) or not isinstance(lag, int | float) or not 0 <= lag <= MOST_LAG:
        raise NotConforming(what=f'lag is not a number of seconds up to {MOST_LAG:.0f}')
    try:
        _ask(inspector)
    except NotConforming:
        raise
    except Exception as error:
        # NOTE: an array that does not answer is no fault of its inspector.
        LOG.warning('What the inspector %s answers could not be checked: %s',
                    type(inspector).__name__, masked(error))


def _ask(inspector: Inspector) -> None:
    nothing = nowhere(inspector)
    for name, kind in (('list_exports', Mapping), ('writers', Writer)):
        found = getattr(inspector, name)(nothing)
        if found is not None and not isinstance(found, list):
            raise NotConforming(what=f'{name} gives a {type(found).__name__}, which is neither a '
                                     'list nor None')
        if any(not isinstance(one, kind) for one in found or ()):
            raise NotConforming(what=f'{name} gives something else than a {kind.__name__}')
        if found:
            raise NotConforming(what=f'{name} gives {found[0]} for a volume that is not there')
    for mapping in itertools.islice(inspector.list_all() or (), SAMPLE):
        if not isinstance(mapping, Mapping):
            raise NotConforming(what='list_all gives something else than a Mapping')
        if inspector.tells_initiators and inspector.tells_hosts and not mapping.initiators \
                and mapping.host:
            raise NotConforming(what='it says that it names all initiators and names hosts as '
                                     'connectors do, and gives a host without any')


def nowhere(inspector: Inspector) -> Any:
    """A volume that no array has."""
    return objects.Volume(
        id=str(uuid.uuid4()), _name_id=None, provider_location=None, provider_id=None,
        provider_auth=None, multiattach=False, status='available', cluster_name=None,
        host=str(getattr(inspector.driver, 'host', '') or 'nowhere@nowhere') + '#nowhere')
