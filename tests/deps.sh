#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that are missing, and only those.
#
#	tests/deps.sh build	what building needs
#	tests/deps.sh test	that, and what the tests and the demonstration need
#
# A program that is here already counts, whoever packaged it: vendors' Node, Go and PostgreSQL clash with Debian's.
set -euo pipefail

build=(make gcc libc6-dev pkg-config clang llvm bpftool libbpf-dev libelf-dev zlib1g-dev linux-libc-dev libc-ares-dev
    libidn2-dev libseccomp-dev libjansson-dev)
test_only=(libcmocka-dev libclang-rt-14-dev ca-certificates iproute2 procps util-linux dnsmasq-base bind9-dnsutils
    openssh-client openssh-server netcat-openbsd valgrind python3-requests python3-httpx node-undici node-llhttp
    runc busybox-static musl-tools iptables nftables)
# COMMAND PACKAGE, where a package of another name may bring the command.
by_command=("python3 python3" "openssl openssl" "curl curl" "wget wget" "git git" "node nodejs" "go golang-go" "initdb postgresql"
    "psql postgresql-client" "podman podman" "docker docker.io" "dockerd docker.io" "clang-tidy clang-tidy" "clang-format clang-format")

say() {
    printf 'deps: %s\n' "$*"
}

has_package() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

has_command() {
    local found
    command -v "$1" >/dev/null && return 0
    for found in /usr/lib/postgresql/*/bin/"$1" /usr/sbin/"$1"; do
        [ -x "$found" ] && return 0
    done
    return 1
}

wanted() {
    local package pair
    for package in "${build[@]}"; do
        has_package "$package" || echo "$package"
    done
    [ "$1" = test ] || return 0
    for package in "${test_only[@]}"; do
        has_package "$package" || echo "$package"
    done
    for pair in "${by_command[@]}"; do
        has_command "${pair% *}" || echo "${pair#* }"
    done
}

# Servers that are installed shall not start by themselves. A policy that is there already stays as it is.
policy=/usr/sbin/policy-rc.d
own_policy=
forbid_starting() {
    [ -e "$policy" ] && return 0
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    own_policy=1
}

allow_starting() {
    if [ -n "$own_policy" ]; then
        rm -f "$policy"
    fi
}

main() {
    local group=${1:-build}
    local missing
    case $group in
    build | test) ;;
    *)
        say "which group? build or test" >&2
        exit 2
        ;;
    esac
    if ! command -v apt-get >/dev/null; then
        say "this is not Debian; see README.md for what is needed" >&2
        exit 0
    fi
    mapfile -t missing < <(wanted "$group" | sort -u)
    if [ "${#missing[@]}" -eq 0 ]; then
        exit 0
    fi
    if [ "$(id -u)" -ne 0 ]; then
        say "missing: ${missing[*]}" >&2
        say "run it as root to install them: sudo make deps" >&2
        exit 1
    fi
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    trap allow_starting EXIT
    forbid_starting
    # A cluster that nobody asked for would take a port.
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
        mkdir -p /etc/postgresql-common
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    fi
    apt-get -q update
    apt-get -q -y --no-install-recommends -o Dpkg::Options::=--force-confold install "${missing[@]}"
}

main "$@"
