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
"""Whether what was asked for is there at all: of what is not, nothing can be found."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from migsafe.audit.cases import Look
from migsafe.audit.report import Asked


def nowhere(look: Look, hosts: Collection[str], asked: Asked) -> Mapping[str, list[str]]:
    """Option -> what was named with it, and no record has.

    :param hosts: those that have a compute node
    :raises Unreadable: a database cannot be read
    """
    instances, volumes = set(asked.instances), set(asked.volumes)
    left = set(asked.hosts) - set(hosts)
    for nova in look.cells:
        instances -= {one.uuid for page in nova.instances(sorted(instances)) for one in page}
        instances -= set(nova.deleted(sorted(instances)))
        volumes -= {volume for volume in volumes if nova.users([volume])}
        left -= {host for host in left if nova.has(host)}
    if look.cinder is not None:
        volumes -= look.cinder.known(sorted(volumes))
        instances -= {one.instance for one in look.cinder.of(sorted(instances), [])
                      if one.instance}
    return {option: sorted(names) for option, names in (
        ('--instance', instances), ('--volume', volumes), ('--host', left)) if names}
