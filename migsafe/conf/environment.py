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
"""Options of migsafe are read from files: a variable of the environment is seen by one process.

oslo.config takes OS_GROUP__OPTION from the environment before any file. A nova-compute would be
switched off by a line of its unit that no command and no upgrade check ever reads, and a command
would look into another journal than the service writes.
"""

import os
import re

from migsafe import exceptions

#: Groups of migsafe itself, and its options in the section of a backend.
_OURS = re.compile(r'OS_(MIGSAFE(_PRIVILEGED)?__.+|.+__MIGSAFE_.+)', re.ASCII | re.DOTALL)


class EnvironmentSet(exceptions.ConfigError):
    """An option of migsafe is set in the environment of the service."""

    message = ('%(names)s of the environment would be taken before the configuration files, and '
               'is seen by this process alone. Take it out of the unit of the service, and set '
               'the option in its configuration file.')


def variables() -> list[str]:
    """The variables of this process that oslo.config would take an option of migsafe from."""
    return sorted(name for name in os.environ if _OURS.fullmatch(name))


def refuse() -> None:
    """Go on only if there are none.

    :raises EnvironmentSet: naming them, without their values
    """
    found = variables()
    if found:
        raise EnvironmentSet(names=', '.join(found))
