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
# What tools/test.sh and tools/replay.sh have in common; bash, with set -eu.

say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "This needs root or sudo: $*"
        return 1
    fi
}

# Names of the packages of bindep.txt for the given profile ("" or "test").
debian_packages() {
    sed -n 's/ *#.*//; /\[platform:dpkg\]/p; '"${1:+/ $1\\]/p}" "$ROOT/bindep.txt" | sed 's/ .*//'
}

# Install what is missing of the named Debian packages, and start none of
# their services: the tests start their own on loopback.
apt_install() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    say "Installing Debian packages: ${missing[*]}"
    without_services apt_install_now "${missing[@]}"
}

apt_install_now() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y \
            --no-install-recommends "$@" >/dev/null
}

POLICY=/usr/sbin/policy-rc.d
POLICY_MARK='# of tools/lib.sh of migsafe: no service is started meanwhile'

# without_services COMMAND...: no package starts a service while it runs. A
# policy-rc.d that the machine already has is put back, however this ends; what
# a run that was killed outright has left is put back by the next one.
without_services() (
    restore_policy
    trap restore_policy EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    [ ! -e "$POLICY" ] || as_root mv "$POLICY" "$POLICY.migsafe"
    printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" | as_root tee "$POLICY" >/dev/null
    as_root chmod 755 "$POLICY"
    "$@"
)

restore_policy() {
    if grep -qsxF "$POLICY_MARK" "$POLICY"; then as_root rm -f "$POLICY"; fi
    if [ -e "$POLICY.migsafe" ]; then as_root mv "$POLICY.migsafe" "$POLICY"; fi
}

# A Python that can make virtual environments, 3.11 or newer.
find_python() {
    local python
    for python in "${PYTHON:-python3}" python3.13 python3.12 python3.11 /usr/bin/python3; do
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
            2>/dev/null; then
            printf '%s\n' "$python"
            return 0
        fi
    done
    return 1
}

# make_venv DIR ARG...: a virtual environment with these arguments of pip
# install. It is made again when the arguments or any list of requirements
# has changed, and otherwise left as it is.
make_venv() {
    local where=$1 python want
    shift
    want=$(cat "$ROOT"/constraints/* "$ROOT"/*requirements.txt "$ROOT"/doc/requirements.txt \
        "$ROOT"/setup.cfg <(printf '%s\n' "$ROOT" "$@") | sha256sum)
    [ "$(cat "$where/made-from" 2>/dev/null)" = "$want" ] && return 0
    python=$(find_python) || {
        say "No Python >= 3.11 with venv here; on Debian: apt-get install python3-venv"
        return 1
    }
    say "Making $where with $("$python" -V)"
    rm -rf "$where"
    "$python" -m venv "$where"
    (cd "$ROOT" && "$where/bin/python" -m pip install -q --disable-pip-version-check "$@")
    printf '%s\n' "$want" >"$where/made-from"
}

# pbr and reno ask git. Git may be absent, or refuse a tree of another user.
prepare_git() {
    export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=$ROOT
    if [ "$(git -C "$ROOT" rev-list --count HEAD 2>/dev/null || echo 0)" -lt 2 ]; then
        PBR_VERSION=$(sed -n 's/^version = //p' "$ROOT/setup.cfg")
        export PBR_VERSION
    fi
}
