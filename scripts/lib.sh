# shellcheck shell=bash
# What the scripts share; sourced, never run. Everything made here lies in `.local/` of the checkout,
# which git ignores. The names of mirrors come from the machine's own settings, never from this file.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
LOCAL=$ROOT/.local
mkdir -p "$LOCAL/bin"

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# The packaged client before any other: it speaks the API version of the packaged daemon.
docker() {
    if [ -x /usr/bin/docker ]; then /usr/bin/docker "$@"; else command docker "$@"; fi
}

# need PACKAGE PROGRAM...: installs a Debian package when one of its programs is missing.
need() {
    local package=$1 program
    shift
    for program in "$@"; do
        PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null && continue
        [ "$(id -u)" = 0 ] || die "$program is missing: apt-get install $package"
        say "installing $package (apt-get)"
        { apt-get update -q; DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$package"; } >"$LOCAL/apt.log" 2>&1 ||
            { tail -n 5 "$LOCAL/apt.log" >&2; die "apt-get install $package failed, see .local/apt.log"; }
        return
    done
}

# mirror [security]: the Debian mirror that this machine itself uses.
# shellcheck disable=SC2120
mirror() {
    local found
    found=$(apt-get indextargets --format '$(SITE) $(ORIGIN)' 2>/dev/null | grep ' Debian$' | cut -d' ' -f1 | sort -u)
    case ${1:-} in
        security) found=$(grep -- '-security/\?$' <<<"$found") ;;
        *) found=$(grep -v -- '-security/\?$' <<<"$found") ;;
    esac || die "no Debian mirror in apt's sources${1:+ for $1}"
    head -n 1 <<<"$found"
}

# trixie PACKAGE: unpacks a package of Debian 13 into .local/trixie, beside whatever the machine runs.
# An apt state of its own, so that neither the machine's sources nor its pins are touched.
trixie() {
    local state=$LOCAL/apt keys=/usr/share/keyrings/debian-archive-keyring.gpg
    need dpkg dpkg-deb
    mkdir -p "$state"/{lists/partial,cache/archives/partial,preferences.d} "$LOCAL/trixie"
    : >"$state/status"
    printf 'deb [signed-by=%s] %s trixie main\n' "$keys" "$(mirror)" >"$state/sources.list"
    local options=(-q -o Dir::State="$state" -o Dir::State::lists="$state/lists" -o Dir::State::status="$state/status"
        -o Dir::Cache="$state/cache" -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=-
        -o Dir::Etc::preferencesparts="$state/preferences.d" -o APT::Sandbox::User=root)
    apt-get "${options[@]}" update >"$LOCAL/apt.log" 2>&1 &&
        (cd "$state/cache" && apt-get "${options[@]}" download "$1" >>"$LOCAL/apt.log" 2>&1) ||
        { tail -n 5 "$LOCAL/apt.log" >&2; die "$1 of Debian trixie could not be fetched, see .local/apt.log"; }
    dpkg-deb -x "$state"/cache/"$1"_*.deb "$LOCAL/trixie"
}

# Exports GITFAAS_CA_BUNDLE where the network needs more than the public certificate authorities.
network() {
    local bundle=/etc/ssl/certs/ca-certificates.crt
    if [ -z "${GITFAAS_CA_BUNDLE:-}" ] && [ -f "$bundle" ] && compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
        export GITFAAS_CA_BUNDLE=$bundle
    fi
}

# Exports GITFAAS_PREPARE_ALLOW where the registries of packages have addresses that are not public
# (mirrors inside a network). Which registries there are the tools in the images know: without a
# network they name the address that they cannot reach.
mirrors() {
    local run=(timeout 60 docker run --rm --network none -e HOME=/tmp) urls index more addresses
    [ -z "${GITFAAS_PREPARE_ALLOW:-}" ] || return 0
    run[2]=$(type -P /usr/bin/docker || type -P docker)
    urls=$({
        "${run[@]}" gitfaas/nodejs:latest npm config get registry
        "${run[@]}" -e UV_HTTP_RETRIES=0 gitfaas/python:latest sh -c 'uv venv -q /tmp/v && uv pip install --python /tmp/v --dry-run pip'
        "${run[@]}" -e CARGO_NET_RETRY=0 -e CARGO_LOG=network=debug gitfaas/rust:latest cargo info serde
    } 2>&1 | grep -oE 'https?://[^][ `"()]+' | sort -u) || true
    # The index tells where the files are.
    for index in $urls; do
        more=$(curl -fsSL --max-time 20 "$index" 2>/dev/null | head -c 100000 | grep -oE 'https?://[^][ `"()#]+' | head -n 1) || true
        urls+=$'\n'$more
    done
    addresses=$(sed -nE 's|^https?://([^/:]+).*|\1|p' <<<"$urls" | sort -u | xargs -r -n 1 getent ahosts | cut -d' ' -f1 | sort -u | inside | paste -sd,) || true
    [ -z "$addresses" ] || export GITFAAS_PREPARE_ALLOW=$addresses
}

# Of the addresses on standard input those that are not public, as CIDRs.
inside() {
    local address
    while read -r address; do
        case $address in
            0.* | 10.* | 127.* | 169.254.* | 192.168.* | 192.0.[02].* | 198.1[89].* | 198.51.100.* | 203.0.113.* | \
                100.6[4-9].* | 100.[7-9]?.* | 100.1[01]?.* | 100.12[0-7].* | 172.1[6-9].* | 172.2?.* | 172.3[01].* | 2[4-5]?.*) echo "$address/32" ;;
            2001:db8:*) echo "$address/128" ;;
            *.* | [23]*:*) ;;
            *:*) echo "$address/128" ;;
        esac
    done
}
