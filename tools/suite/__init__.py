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
"""Runs every tier of tests: one queue, a sample of the slow tiers, and honest counts.

``table`` says what there is, ``migsafe.tests.sampling`` draws what of it a run takes, ``work`` has
the queue, ``worker`` is the process that runs tests and ``workers`` its handle, ``steps`` are
commands that count as they are, ``run`` is the run as a whole, ``again`` says what becomes of
failures, and ``results`` has the counts.
"""
