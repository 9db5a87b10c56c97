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
"""Makes a schedule that breaks an invariant as short as it can be made."""

from migsafe.tests.search import run, script


def same(one, other):
    """Whether two results are of the same kind: the same invariant first."""
    return bool(one.breaches and other.breaches
                and one.breaches[0].kind == other.breaches[0].kind)


def shrink(found, result, **options):
    """Leave out lines, and round numbers, as long as the same invariant breaks.

    :param found: the schedule
    :param result: what came of it
    :param options: of :func:`run.run`
    """
    lines = list(found.lines)

    def breaks(candidate):
        try:
            return same(run.run(script.Script(tuple(candidate)), **options), result)
        except script.BadScript:
            return False
    size = max(1, len(lines) // 2)
    while size:
        start = 0
        while start < len(lines):
            candidate = lines[:start] + lines[start + size:]
            if breaks(candidate):
                lines = candidate
            else:
                start += size
        size //= 2
    return script.Script(tuple(lines))
