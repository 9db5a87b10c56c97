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
"""What a check of ``migsafe-status`` can find."""

from collections.abc import Callable, Iterable
from typing import Any

from oslo_upgradecheck import upgradecheck

from migsafe.lvm import facts

#: Title and function, as oslo.upgradecheck takes them.
Check = tuple[str, Callable[[Any], upgradecheck.Result]]


def good(detail: str | None = None) -> upgradecheck.Result:
    """Nothing is to be done."""
    return upgradecheck.Result(upgradecheck.Code.SUCCESS, detail)


def doubt(detail: str) -> upgradecheck.Result:
    """A person should look at it."""
    return upgradecheck.Result(upgradecheck.Code.WARNING, detail)


def bad(detail: str) -> upgradecheck.Result:
    """It has to be mended before the service is started."""
    return upgradecheck.Result(upgradecheck.Code.FAILURE, detail)


def own_groups(named: Iterable[facts.Named]) -> upgradecheck.Result:
    """Which volume groups are never released, because the services are configured to use them."""
    return good("The host's own by configuration: " + (
        '; '.join(f'{group.vg_name} ({group.who})' for group in named)
        or 'none is named'))
