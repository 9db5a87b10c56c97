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
"""What ``volume_driver`` in a backend's section of cinder.conf names."""

from __future__ import annotations

from typing import Any

from migsafe.cinder.wrapping import classes
from migsafe.conf.cinder import OPTS


class GuardedDriver:
    """Makes the driver of ``migsafe_wrapped_driver``, and guards it.

    cinder-volume gets an instance of a subclass of that driver's own class: it is what Cinder
    would have made, with every attribute, option and optional interface.
    """

    def __new__(cls, *args: Any, configuration: Any = None, **kwargs: Any) -> Any:
        """Make the driver.

        :param configuration: of the backend, from the manager; the other arguments are the
            driver's
        :raises ConfigError: there is no driver to be guarded
        """
        configuration.append_config_values(OPTS)
        wrapped = classes.find(configuration)
        driver = wrapped(*args, configuration=configuration, **kwargs)
        return classes.guard(driver, str(kwargs.get('host') or ''), kwargs.get('cluster_name'))

    @staticmethod
    def get_driver_options() -> list[Any]:
        """Return the options that the guard adds; the driver's own stay the driver's."""
        return list(OPTS)
