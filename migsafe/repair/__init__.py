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
"""Mends what ``migsafe audit`` has found, where the hosts themselves say what is right.

``word`` is what a host says of a guest, ``plan`` makes changes of rows out of findings and words,
``acts`` makes them, each row only if it is as it was read, and ``transaction`` journals them.
Records alone never lead to a change: what no host has said stays as it is.
"""
