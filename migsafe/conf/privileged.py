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
"""Options of the privileged helper of the device guards, which oslo.privsep registers."""

import copy
from collections.abc import Sequence

from oslo_config import cfg
from oslo_privsep import capabilities, priv_context

SECTION = 'migsafe_privileged'
#: SYS_ADMIN: NVMe admin commands and device-mapper. SYS_PTRACE and DAC_READ_SEARCH: the open
#: files of processes that belong to other users.
CAPABILITIES = (capabilities.CAP_SYS_ADMIN, capabilities.CAP_SYS_PTRACE,
                capabilities.CAP_DAC_READ_SEARCH)


def list_opts() -> list[tuple[cfg.OptGroup, Sequence[cfg.Opt]]]:
    """Return the options for the sample file (entry point ``oslo.config.opts``)."""
    group = cfg.OptGroup(
        SECTION, help='How the privileged helper of the device guards is started, and what it '
        'may do. None of these has to be set: it starts as the helpers of Nova and Cinder do.')
    opts = copy.deepcopy(priv_context.OPTS)
    names = ','.join(capabilities.CAPS_BYVALUE[number] for number in CAPABILITIES)
    for opt in opts:
        if opt.name == 'capabilities':
            opt.sample_default = names
    return [(group, opts)]
