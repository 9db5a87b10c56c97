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
"""A driver of Neutron that binds ports without any agent: Nova makes the tap device itself."""

from __future__ import annotations

from typing import Any

from neutron_lib import constants
from neutron_lib.api.definitions import portbindings
from neutron_lib.plugins.ml2 import api

#: Nova's word for it (nova.network.model.VIF_DETAILS_TAP_MAC_ADDRESS).
TAP_MAC = 'mac_address'


class TapDriver(api.MechanismDriver):   # type: ignore[misc]
    """Binds every port that is somewhere."""

    def initialize(self) -> None:
        """Nothing to do."""

    def bind_port(self, context: Any) -> None:
        """Bind it to the first segment there is."""
        context.set_binding(
            context.segments_to_bind[0][api.ID], portbindings.VIF_TYPE_TAP,
            {TAP_MAC: context.current['mac_address']}, status=constants.PORT_STATUS_ACTIVE)
