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
"""Why a device is not removed, or not handed out."""

from __future__ import annotations

from migsafe import exceptions


class DeviceError(exceptions.MigsafeError):
    """Base of what is wrong with a block device."""


class Unsure(DeviceError):
    """The kernel did not give a whole answer, so that nothing may be concluded from it."""

    message = '%(device)s on %(host)s cannot be judged: %(reason)s'


class BadPage(DeviceError):
    """A device answered an identity command with something that is no answer."""

    message = 'the answer of the device is malformed: %(reason)s'
