#!/usr/bin/env bash
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
#
# Install what the tests need and run every tier, of the slow ones a sample:
# ./tools/test.sh [--all] [--seed SEED] [TIER ...]
# The last line is "N passed, N failed, N skipped", whatever happens.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/lib.sh"

stage="installing Debian packages"
not_run() {
    say "$stage failed; no tier could run"
    echo "0 passed, 1 failed, 0 skipped"
    exit 1
}
trap not_run EXIT

mapfile -t packages < <(debian_packages test)
apt_install "${packages[@]}"
stage="installing Python packages"
prepare_git
make_venv "$ROOT/.venv-test" -c constraints/nova-2026.2.txt \
    -r requirements.txt -r test-requirements.txt -r doc/requirements.txt -e '.[cinder,replay,test]'
trap - EXIT
cd "$ROOT"
exec "$ROOT/.venv-test/bin/python" -m tools.tiers "$@"
