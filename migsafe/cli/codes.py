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
"""Exit codes of ``migsafe`` and ``migsafe-manage``, for scripts and monitoring."""

CLEAN = 0
ERROR = 1
USAGE = 2
FOUND = 3
REPAIRED = 4
UNSURE = 5
#: Wrong arguments of ``migsafe audit``, as Nova's own tools say it.
ARGUMENTS = 127

HELP = """\
exit codes:
  0  clean: nothing to report
  1  error: the command could not do its work
  2  usage: wrong arguments
  3  found: unarmed or unknown hosts, unsettled or damaged rows, residue, exports, LVM, harm, stuck
  4  repaired: everything that was asked for is settled now
"""

#: Of ``migsafe host explain``, for what evacuates: only 0 permits it.
VERDICTS = """\
exit codes:
  0  DEAD: its guests may be started elsewhere
  1  error: nothing could be judged
  2  usage: wrong arguments
  3  ALIVE: they must not be
  5  UNKNOWN: they must not be, as long as nothing more is known
"""
