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
"""Tests that start no service and need no rights."""

from hypothesis import HealthCheck, settings

# a machine that is slow, or busy with something else, is no fault of what is tested
settings.register_profile(__name__, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(__name__)
