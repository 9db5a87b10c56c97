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

# DevStack plugin: installs migsafe into the environment of nova-compute and of
# cinder-volume, and switches it on in what they read on this host.

function install_migsafe {
    setup_develop "$MIGSAFE_DIR"
}

function configure_migsafe {
    # The journal holds CHAP secrets; migsafe refuses a directory that others
    # can enter, so it is made with the right mode in one step.
    sudo install -d -m 0700 -o "$STACK_USER" "$MIGSAFE_STATE_DIR"
    local conf
    # nova-compute reads nova-cpu.conf, which DevStack copies from nova.conf
    # later; on a host that has it already, both must say the same.
    for conf in "$NOVA_CONF" "${NOVA_CPU_CONF:-}"; do
        [[ -n "$conf" && -e "$conf" ]] || continue
        iniset "$conf" migsafe enabled True
        iniset "$conf" migsafe enforce "$MIGSAFE_ENFORCE"
        iniset "$conf" migsafe state_path "$MIGSAFE_STATE_DIR"
    done
}

function unconfigure_migsafe {
    local conf
    for conf in "$NOVA_CONF" "${NOVA_CPU_CONF:-}"; do
        [[ -n "$conf" && -e "$conf" ]] || continue
        inidelete "$conf" migsafe enabled
        inidelete "$conf" migsafe enforce
        inidelete "$conf" migsafe state_path
    done
}

# Which inspector can ask the array behind a driver.
function migsafe_inspector {
    local section=$1 driver=$2
    case $driver in
        *.lvm.LVMVolumeDriver)
            [[ "$(iniget "$CINDER_CONF" "$section" target_helper)" == lioadm ]] && echo lio ;;
        *.rbd.RBDDriver) echo rbd ;;
        *.netapp.*) echo netapp ;;
    esac
    return 0
}

# Put the guard between Cinder and the driver of each backend that is enabled.
function configure_migsafe_cinder {
    local backend section driver inspector
    sudo install -d -m 0700 -o "$STACK_USER" "$MIGSAFE_LEDGER_DIR"
    iniset "$CINDER_CONF" migsafe enabled True
    iniset "$CINDER_CONF" migsafe enforce "$MIGSAFE_ENFORCE"
    iniset "$CINDER_CONF" migsafe ledger_path "$MIGSAFE_LEDGER_DIR"
    for backend in ${CINDER_ENABLED_BACKENDS//,/ }; do
        section=${backend##*:}
        driver=$(iniget "$CINDER_CONF" "$section" volume_driver)
        [[ -n "$driver" && "$driver" != "$MIGSAFE_DRIVER" ]] || continue
        iniset "$CINDER_CONF" "$section" volume_driver "$MIGSAFE_DRIVER"
        iniset "$CINDER_CONF" "$section" migsafe_wrapped_driver "$driver"
        inspector=$(migsafe_inspector "$section" "$driver")
        [[ -z "$inspector" ]] || iniset "$CINDER_CONF" "$section" migsafe_inspector "$inspector"
    done
}

function unconfigure_migsafe_cinder {
    local backend section driver
    for backend in ${CINDER_ENABLED_BACKENDS//,/ }; do
        section=${backend##*:}
        driver=$(iniget "$CINDER_CONF" "$section" migsafe_wrapped_driver)
        [[ -z "$driver" ]] || iniset "$CINDER_CONF" "$section" volume_driver "$driver"
        inidelete "$CINDER_CONF" "$section" migsafe_wrapped_driver
        inidelete "$CINDER_CONF" "$section" migsafe_inspector
    done
    inidelete "$CINDER_CONF" migsafe enabled
    inidelete "$CINDER_CONF" migsafe enforce
    inidelete "$CINDER_CONF" migsafe ledger_path
}

if is_service_enabled n-cpu || is_service_enabled c-vol; then
    if [[ "$1" == "stack" && "$2" == "install" ]]; then
        echo_summary "Installing migsafe"
        install_migsafe
    fi
fi

if is_service_enabled n-cpu; then
    if [[ "$1" == "stack" && "$2" == "post-config" ]]; then
        echo_summary "Configuring migsafe in nova-compute"
        configure_migsafe
    fi

    if [[ "$1" == "unstack" ]]; then
        unconfigure_migsafe
    fi

    if [[ "$1" == "clean" ]]; then
        sudo rm -rf "$MIGSAFE_STATE_DIR"
    fi
fi

if is_service_enabled c-vol; then
    if [[ "$1" == "stack" && "$2" == "post-config" ]]; then
        echo_summary "Configuring migsafe in cinder-volume"
        configure_migsafe_cinder
    fi

    if [[ "$1" == "unstack" ]]; then
        unconfigure_migsafe_cinder
    fi

    if [[ "$1" == "clean" ]]; then
        sudo rm -rf "$MIGSAFE_LEDGER_DIR"
    fi
fi
