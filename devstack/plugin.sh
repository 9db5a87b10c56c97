# DevStack plugin: installs migsafe into the environment of nova-compute and
# switches it on in the configuration of nova-compute on this host.

function install_migsafe {
    setup_develop "$MIGSAFE_DIR"
}

function configure_migsafe {
    # The journal holds CHAP secrets; migsafe refuses a directory that others
    # can enter, so it is made with the right mode in one step.
    sudo install -d -m 0700 -o "$STACK_USER" "$MIGSAFE_STATE_DIR"
    # Nova's rootwrap must let the privsep daemon of the device guards start.
    sudo install -D -m 0644 -o root -g root \
        "$MIGSAFE_DIR/etc/nova/rootwrap.d/migsafe.filters" \
        "$NOVA_CONF_DIR/rootwrap.d/migsafe.filters"
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
    sudo rm -f "$NOVA_CONF_DIR/rootwrap.d/migsafe.filters"
    for conf in "$NOVA_CONF" "${NOVA_CPU_CONF:-}"; do
        [[ -n "$conf" && -e "$conf" ]] || continue
        inidelete "$conf" migsafe enabled
        inidelete "$conf" migsafe enforce
        inidelete "$conf" migsafe state_path
    done
}

if is_service_enabled n-cpu; then
    if [[ "$1" == "stack" && "$2" == "install" ]]; then
        echo_summary "Installing migsafe"
        install_migsafe
    elif [[ "$1" == "stack" && "$2" == "post-config" ]]; then
        echo_summary "Configuring migsafe"
        configure_migsafe
    fi

    if [[ "$1" == "unstack" ]]; then
        unconfigure_migsafe
    fi

    if [[ "$1" == "clean" ]]; then
        sudo rm -rf "$MIGSAFE_STATE_DIR"
    fi
fi
