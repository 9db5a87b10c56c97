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
"""The cinder-volume services that Cinder's database knows."""

from __future__ import annotations

from cinder import context, exception, objects


def is_up(service: str) -> bool:
    """Whether the cinder-volume of this name has reported lately.

    :param service: its host
    """
    try:
        found = objects.Service.get_by_args(context.get_admin_context(), service, 'cinder-volume')
    except exception.NotFound:
        return False
    return bool(found.is_up)


def is_served(name: str) -> bool:
    """Whether a cinder-volume that has reported lately serves the backend of this name."""
    found = objects.ServiceList.get_all_by_binary(context.get_admin_context(), 'cinder-volume')
    return any(one.is_up and (one.cluster_name or one.host) == name for one in found)
