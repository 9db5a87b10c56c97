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
"""Tells whoever asked for a server's end that one of its volumes stays in-use.

The server is gone, the volume is not, and log and journal are the operator's. What the owner
of both sees is the action of the server, which ``openstack server event show`` shows after it is
deleted, too, with the names of its events. An event that has failed would mark the whole action as
failed, which it is not: the server is deleted, and the rest follows by itself.
"""

from __future__ import annotations

from typing import Any

from nova.compute import utils as compute_utils
from oslo_log import log as logging

from migsafe.text import masked

LOG = logging.getLogger(__name__)

EVENT = 'migsafe_volume_{}_stays_in_use'


def tell(context: Any, host: str, instance: str, volume: str) -> None:
    """Add an event to the action that the request of this context is.

    A request that is no action of this server has nobody to tell, and that nobody could be told is
    no reason to stop.
    """
    try:
        with compute_utils.EventReporter(context, EVENT.format(volume), host, instance):
            pass
    except Exception as error:
        LOG.info('That volume %s of instance %s stays in-use is no part of an action of it: %s',
                 volume, instance, masked(error))
