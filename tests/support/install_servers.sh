#!/usr/bin/env bash
# Makes sure that what the tests start is installed: RabbitMQ (with Erlang), PostgreSQL, ClamAV,
# and the programs curl, strace and setpriv.
#
# Idempotent: one line when everything is there. When something is missing it is installed with
# apt-get if we are root on a Debian-like system; otherwise the script says what to install and
# ends with 1. No system service is ever started: the tests run their own, in temporary folders.
set -euo pipefail

RABBITMQ_SERVER=/usr/lib/rabbitmq/bin/rabbitmq-server
POLICY=/usr/sbin/policy-rc.d
LOCK_WAIT_SECONDS=300

have_rabbitmq() { [ -x "$RABBITMQ_SERVER" ]; }

have_erlang() { command -v erl >/dev/null 2>&1 && command -v epmd >/dev/null 2>&1; }

have_postgres() {
    local folder
    for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin; do
        if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then return 0; fi
    done
    command -v initdb >/dev/null 2>&1 && command -v postgres >/dev/null 2>&1
}

find_missing() {
    missing=()
    packages=()
    if ! have_rabbitmq || ! have_erlang; then
        missing+=("RabbitMQ server ($RABBITMQ_SERVER) with Erlang (erl, epmd)")
        packages+=(rabbitmq-server)
    fi
    if ! have_postgres; then
        missing+=("PostgreSQL server programs (initdb, postgres)")
        packages+=(postgresql)
    fi
    if ! command -v clamd >/dev/null 2>&1 && [ ! -x /usr/sbin/clamd ]; then
        missing+=("ClamAV scanner (clamd)")
        packages+=(clamav-daemon)
    fi
    if ! command -v softhsm2-util >/dev/null 2>&1; then
        missing+=("SoftHSM, a PKCS#11 token in software (softhsm2-util)")
        packages+=(softhsm2)
    fi
    local program
    for program in curl strace setpriv; do
        if ! command -v "$program" >/dev/null 2>&1; then
            missing+=("$program")
            packages+=("${program/setpriv/util-linux}")
        fi
    done
}

explain_and_stop() {
    echo "The tests need servers that are not installed here:" >&2
    printf '  - %s\n' "${missing[@]}" >&2
    echo "$1" >&2
    echo "Install them, for example: sudo apt-get install --no-install-recommends ${packages[*]}" >&2
    exit 1
}

# Addresses of package sources belong to the machine, not into our output.
without_addresses() {
    sed -E -e 's#[a-z+]+://[^ ]+#<package source>#g' \
        -e 's#([A-Za-z0-9-]+\.)+[A-Za-z]{2,}(:[0-9]+)?#<package source>#g'
}

# apt-get waits for the dpkg lock by itself; the lock on the package lists needs our own patience.
run_apt() {
    local deadline=$((SECONDS + LOCK_WAIT_SECONDS))
    until DEBIAN_FRONTEND=noninteractive apt-get -qq -o "DPkg::Lock::Timeout=$LOCK_WAIT_SECONDS" \
        "$@" >"$log" 2>&1 </dev/null; do
        if [ $SECONDS -ge $deadline ] || ! grep -qi 'could not get lock' "$log"; then
            tail -n 20 "$log" | without_addresses >&2
            return 1
        fi
        sleep 2
    done
}

clean_up() {
    rm -f "$log"
    if [ -n "$our_policy" ]; then rm -f "$POLICY"; fi
}

find_missing
if [ ${#missing[@]} -eq 0 ]; then
    echo "Test servers: RabbitMQ, PostgreSQL, ClamAV, SoftHSM, curl and strace are installed."
    exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
    explain_and_stop "This machine has no apt-get, so this script cannot install them."
fi
if [ "$(id -u)" -ne 0 ]; then
    explain_and_stop "This script installs them only when run as root."
fi

log=$(mktemp)
our_policy=""
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
if [ ! -e "$POLICY" ]; then
    # 101 = "action forbidden": packages that are installed must not start their services.
    our_policy=yes
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
fi

echo "Installing test servers: ${packages[*]} ..."
run_apt update || explain_and_stop "apt-get update did not succeed."
run_apt install --yes --no-install-recommends "${packages[@]}" \
    || explain_and_stop "apt-get install did not succeed."

find_missing
if [ ${#missing[@]} -ne 0 ]; then
    explain_and_stop "apt-get ended well, yet they are still missing."
fi
echo "Test servers: RabbitMQ, PostgreSQL, ClamAV, SoftHSM, curl and strace are installed."
