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
"""How many examples of each function are tried.

In CI few, the same each time; ``MIGSAFE_EXAMPLES`` asks for more, new ones each time.
"""

import os

import hypothesis

FEW = 60


def wanted():
    """How many were asked for; 0 for few."""
    return int(os.environ.get('MIGSAFE_EXAMPLES') or 0)


def settings(few=FEW):
    """Settings of a test; ``few`` without the variable, for what costs more than others."""
    number = wanted()
    return hypothesis.settings(
        max_examples=number or few, derandomize=not number, deadline=None, database=None,
        suppress_health_check=list(hypothesis.HealthCheck))
