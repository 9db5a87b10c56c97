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
"""The command ``migsafe-replay``, which runs from a source tree.

The replay brings its own laboratory and needs Nova's test fixtures, so that it is not installed
where nova-compute runs.
"""

import importlib
import importlib.util
import sys

REPLAY = 'migsafe.replay.main'
USAGE = 2


def main() -> int:
    """Run the replay of this source tree; return its exit code, or 2 where there is none."""
    if importlib.util.find_spec(REPLAY.rpartition('.')[0]) is None:
        print('migsafe-replay: the replay is not part of what is installed here. It runs from a '
              'checkout of the project, which installs what it needs into a virtual environment '
              'of its own: ./tools/replay.sh', file=sys.stderr)
        return USAGE
    found: int = importlib.import_module(REPLAY).main()
    return found


if __name__ == '__main__':
    sys.exit(main())
