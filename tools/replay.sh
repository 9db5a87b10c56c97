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
# Install real Nova beside the project and replay: ./tools/replay.sh [OPTION ...]
# MIGSAFE_NOVA chooses the Nova release; the options are those of migsafe-replay.
# Without --html the page is written to replay.html beside this project's README.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
. "$ROOT/tools/lib.sh"

release=${MIGSAFE_NOVA:-2026.2}
if [ ! -f "$ROOT/constraints/nova-$release.txt" ]; then
    say "MIGSAFE_NOVA=$release is none of:" \
        "$(cd "$ROOT/constraints" && ls nova-* | sed 's/nova-\(.*\).txt/\1/' | xargs)"
    exit 2
fi
if ! find_python >/dev/null && command -v apt-get >/dev/null; then
    apt_install ca-certificates python3 python3-venv
fi
prepare_git
[ -e "$ROOT/.venv-replay-$release/made-from" ] ||
    say "The first run installs Nova and some 150 libraries below $ROOT, for some minutes."
make_venv "$ROOT/.venv-replay-$release" -c "constraints/nova-$release.txt" \
    -r requirements.txt -e '.[replay]'
page=(--html "$ROOT/replay.html")
case " $* " in
    *" --html"* | *" --list "* | *" --help "* | *" -h "*) page=() ;;
esac
exec "$ROOT/.venv-replay-$release/bin/migsafe-replay" ${page[@]+"${page[@]}"} "$@"
