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
"""Probes look at one host (stevedore: ``migsafe.probes``)."""

from __future__ import annotations

from migsafe.fencing import plugins
from migsafe.fencing.probes.base import Probe, Site

KIND = plugins.Kind('probes', 'probe', Probe,  # type: ignore[type-abstract]
                    ', and then nothing could prove that a host lives')


def load(site: Site) -> list[Probe]:
    """Make the probes that ``[migsafe] probes`` names.

    :raises ConfigError: it names none, or one that cannot be used
    """
    return KIND.load(site.conf.probes, site)
