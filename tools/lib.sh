# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# What the host-side tools share: where things are, messages, locks, content keys, downloads, long steps.
# Sourced, never run. Everything made lives in the cache, named by what it was made from; a thing appears under
# its final name only when it is complete, so an interrupted run leaves nothing that a later one would trust.

set -euo pipefail
export LC_ALL=C

say() { printf 'ferrite: %s\n' "$*" >&2; }
die() { printf 'ferrite: error: %s\n' "$*" >&2; exit 1; }

ferrite_tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
ferrite_cache=${FERRITE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ferrite}
# Created once, with the tag by which backups know caches; a directory that is something else is left alone.
if [ ! -e "$ferrite_cache/CACHEDIR.TAG" ]; then
    mkdir -p "$ferrite_cache"
    ferrite_found=$(ls -A "$ferrite_cache")
    # Asked again: another run may have made it just now.
    [ -z "$ferrite_found" ] || [ -e "$ferrite_cache/CACHEDIR.TAG" ] || die "\
$ferrite_cache is not empty and no cache of ours (it has no CACHEDIR.TAG); FERRITE_CACHE=directory chooses another"
    printf 'Signature: 8a477f597d28d172789f06886806bc55\n# Made by Ferrite.\n' >"$ferrite_cache/CACHEDIR.TAG"
fi
ferrite_cache=$(cd "$ferrite_cache" && pwd -P)
# Where Debian's packages come from.
# shellcheck disable=SC2034
debian_mirror=${FERRITE_DEBIAN_MIRROR:-http://deb.debian.org/debian}
mkdir -p "$ferrite_cache"/{download,toolbox,src,kernel,kselftests,modules,clients,qemu,qemu-build,cargo,target,home,lock,log,run}

# State that follows one working tree rather than content (incremental builds go by time stamps, which two
# trees must not share).
ferrite_tree_state=$ferrite_cache/tree/$(printf %s "$ferrite_tree" | sha256sum | cut -c1-12)
mkdir -p "$ferrite_tree_state"/{target,modules}
# Which tree it is, for `make clean` to know what belongs to none any more.
[ -e "$ferrite_tree_state/path" ] || printf '%s\n' "$ferrite_tree" >"$ferrite_tree_state/path"

# What makes a command run as root: mounting the toolbox needs that, and making it.
root_prefix=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "the toolbox is mounted by root: install sudo, or run as root"
    root_prefix=(sudo)
fi
as_root() { "${root_prefix[@]}" "$@"; }

# lock NAME: holds the named lock until this process and its children are gone. Taking it twice is fine.
declare -gA held_locks=()
lock() {
    local fd
    [ -z "${held_locks[$1]-}" ] || return 0
    held_locks[$1]=1
    exec {fd}>>"$ferrite_cache/lock/$1"
    flock -n "$fd" && return
    say "waiting for another run that holds $ferrite_cache/lock/$1"
    flock "$fd"
}

# key TEXT...: a short name for what the arguments say.
key() { printf '%s\0' "$@" | sha256sum | cut -c1-16; }

# tree_hash PATH...: one hash over the names and bytes of the sources below the paths (relative to the tree), but for
# tests, which nothing is built from. Asks no git, so that it works in an unpacked tarball too.
tree_hash() (
    cd "$ferrite_tree"
    local present=() path
    for path in "$@"; do [ ! -e "$path" ] || present+=("$path"); done
    [ ${#present[@]} -gt 0 ] || { echo none; exit; }
    find "${present[@]}" \( -name target -o -name tests -o -name fuzz -o -name '.*' \) -prune -o \
        -type f ! -name '*~' ! -name '*.md' -print0 | sort -z | xargs -0 -r sha256sum | sha256sum | cut -d' ' -f1
)

# long_step NAME EXPECTED LOG COMMAND...: runs a command that takes a while. Its output goes to the log, a line
# a minute tells that it lives, and when it fails the log's end is shown.
long_step() {
    local name=$1 expected=$2 log=$3 begun=$SECONDS ticker status=0
    shift 3
    say "$name (about $expected)"
    (
        trap - EXIT
        while read -r -t 60 || kill -0 $$ 2>/dev/null; do
            say "$name: $(((SECONDS - begun) / 60)) min, still at it (log: $log)"
        done < <(exec tail -f /dev/null --pid=$$)
    ) &
    ticker=$!
    "$@" >"$log" 2>&1 </dev/null || status=$?
    kill "$ticker" 2>/dev/null || :
    wait "$ticker" 2>/dev/null || :
    if [ "$status" != 0 ]; then
        tail -n 40 "$log" >&2
        die "$name failed with status $status; the whole log: $log"
    fi
    say "$name: done in $((SECONDS - begun)) s"
}

# sha256_is FILE HASH
sha256_is() { printf '%s  %s\n' "$2" "$1" | sha256sum --check --status; }

# fetch NAME HASH URL...: makes sure that download/NAME exists and has this hash; prints its path. Returns 1
# when no address answers, so that the caller can say which variable to set.
fetch() {
    local name=$1 hash=$2 file=$ferrite_cache/download/$1 url
    shift 2
    if [ ! -f "$file" ]; then
        (
            lock "download-$name"
            [ ! -f "$file" ] || exit 0
            for url in "$@"; do
                ! fetch_from "$url" "$file.part" "$hash" || { mv "$file.part" "$file"; exit 0; }
            done
            exit 1
        ) || return 1
    fi
    printf '%s\n' "$file"
}

# fetch_from URL PART HASH: downloads, going on where an earlier run stopped. Wrong bytes are thrown away, and
# asked for once more in case only the resumed beginning was bad.
fetch_from() {
    local url=$1 part=$2 hash=$3 attempt resumed
    for attempt in 1 2; do
        resumed=
        if [ -s "$part" ]; then
            ! sha256_is "$part" "$hash" || return 0
            resumed=1
        fi
        say "downloading $url${resumed:+ (going on at $(stat -c %s "$part") bytes)}"
        curl --fail --location --silent --show-error --retry 4 --retry-delay 2 --connect-timeout 20 \
            --speed-limit 1000 --speed-time 60 --continue-at - --output "$part" "$url" >&2 || {
            # 33 and 36: the server cannot resume. 22: it refused, perhaps the range.
            [ -n "$resumed" ] || return 1
            rm -f "$part"
            continue
        }
        ! sha256_is "$part" "$hash" || return 0
        say "what came from $url does not have the hash $hash"
        rm -f "$part"
        [ -n "$resumed" ] || return 1
        say "once more from the start (attempt $attempt)"
    done
    return 1
}
