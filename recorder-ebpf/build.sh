#!/usr/bin/env bash
# Builds the kernel object, or checks that the committed one belongs to its sources.
#
#   build.sh             build into prebuilt/ and write BUILDINFO
#   build.sh --check     stale sources fail; with the compiler of BUILDINFO the bytes must be the same; with another one the
#                        object is built into target/ and the live tests run on it too; without one it says so
#   build.sh --install   install what building needs (Debian: apt as root; bpf-linker into $FLOWTAPE_TOOLS)
#   build.sh --hash      print the hash of the sources
#
# Building needs a rustc with the sources of its own `core`, and bpf-linker, which borrows that rustc's LLVM. Taken in this order: the packages `rustc-web`
# and `rust-web-src` of Debian (one version by construction), then a rustup nightly with the component `rust-src`. What is
# committed was built by the first, so that anybody with Debian can build the same bytes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
object=$here/prebuilt/flowtape.bpf.o
buildinfo=$here/prebuilt/BUILDINFO
tools=${FLOWTAPE_TOOLS:-$HOME/.cache/flowtape-tools}
linker_version=0.10.0
linker_home=$tools/bpf-linker-$linker_version
target=bpfel-unknown-none

# What the compiler is told. Part of the source hash. `v3` is the instruction set with compare-and-swap (Linux 5.12). By its own
# choice the linker makes every zeroed array a call of a loop over bytes, which costs more than a lookup in a map.
flags=(-Ctarget-cpu=v3 -Cpanic=abort -Cdebuginfo=0 -Cstrip=none --cfg 'bpf_target_arch="x86_64"'
    -Clink-arg=--disable-expand-memcpy-in-order)
profile=(CARGO_PROFILE_RELEASE_DEBUG=false CARGO_PROFILE_RELEASE_LTO=fat CARGO_PROFILE_RELEASE_PANIC=abort
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 CARGO_PROFILE_RELEASE_OPT_LEVEL=3)

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "error: $1"
    [ $# -lt 2 ] || say "hint: $2"
    exit 1
}

# Hash of everything that decides the bytes, compilers aside: our sources, the locked versions of the crates the programs
# use, and the flags. A change of any other crate in Cargo.lock leaves it alone.
source_hash() {
    {
        (cd "$here" && find src Cargo.toml -type f | LC_ALL=C sort | while read -r file; do
            printf '%s %s\n' "$(sha256sum <"$file" | cut -d' ' -f1)" "$file"
        done)
        locked_crates
        printf '%s\n' "$target" "bpf-linker $linker_version" "${flags[@]}" "${profile[@]}"
    } | sha256sum | cut -d' ' -f1
}

locked_crates() {
    awk '/^name = "aya-ebpf/ { name = $3 } /^version/ && name { print name, $3 } /^checksum/ && name { print $3; name = "" }' \
        "$root/Cargo.lock"
}

# Sets `rustc` and `kind`, or leaves `rustc` empty and says in `missing` what is not there.
find_compiler() {
    rustc='' kind='' missing=''
    if [ -x /usr/bin/rustc ]; then
        if [ -e "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/core/src/lib.rs" ]; then
            rustc=/usr/bin/rustc kind=distribution
            return
        fi
        missing="/usr/bin/rustc has no sources of \`core\` (package rust-web-src)"
    else
        missing="no /usr/bin/rustc (packages rustc-web and rust-web-src)"
    fi
    if command -v rustup >/dev/null; then
        local nightly
        nightly=$(rustup +nightly which rustc 2>/dev/null || rustup which --toolchain nightly rustc 2>/dev/null || true)
        if [ -n "$nightly" ] && [ -e "$("$nightly" --print sysroot)/lib/rustlib/src/rust/library/core/src/lib.rs" ]; then
            rustc=$nightly kind=nightly
            return
        fi
        missing="$missing; no rustup nightly with the component rust-src"
    else
        missing="$missing; no rustup"
    fi
}

find_linker() {
    linker=$linker_home/bin/bpf-linker
    [ -x "$linker" ] || linker=$(command -v bpf-linker || true)
    [ -n "$linker" ] && "$linker" --version | grep -qx "bpf-linker $linker_version" || linker=''
    [ -n "$linker" ] || missing="${missing:+$missing; }no bpf-linker $linker_version in $linker_home or on PATH"
}

# The tools, one a line, as they stand in BUILDINFO.
tool_lines() {
    printf 'rustc: %s\n' "$("$rustc" --version)"
    printf 'llvm: %s\n' "$("$rustc" -vV | sed -n 's/^LLVM version: //p')"
    printf 'linker: %s\n' "$("$linker" --version)"
    printf 'host: %s\n' "$("$rustc" -vV | sed -n 's/^host: //p')"
}

# The linker takes the first libLLVM it meets on its search path, which may be that of any toolchain. This one is put before
# it, to show it nothing but the LLVM of the compiler.
put_linker() {
    local bin=$1/bin lib=$1/lib llvm
    llvm=$(env -u LD_LIBRARY_PATH ldd "$rustc" | awk '$1 ~ /^libLLVM/ { print $3 }')
    [ -n "$llvm" ] || fail "cannot find the LLVM of $rustc"
    mkdir -p "$bin" "$lib"
    ln -s "$llvm" "$lib/$(basename "$llvm")"
    printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$lib" "$linker" >"$bin/bpf-linker"
    chmod 755 "$bin/bpf-linker"
}

# compile OUT: builds the object into a file.
compile() {
    local out=$1 build sysroot remapped encoded
    build=$(mktemp -d "${TMPDIR:-/tmp}/flowtape-bpf.XXXXXX")
    # shellcheck disable=SC2064
    trap "rm -rf '$build'" EXIT
    put_linker "$build"
    sysroot=$("$rustc" --print sysroot)
    remapped=("${flags[@]}" "--remap-path-prefix=$root=/flowtape" "--remap-path-prefix=$sysroot=/rust"
        "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" "--remap-path-prefix=$build=/build")
    printf -v encoded '%s\x1f' "${remapped[@]}"
    (
        cd "$root"
        env -u RUSTFLAGS -u RUSTC_WRAPPER "${profile[@]}" PATH="$build/bin:$PATH" RUSTC="$rustc" \
            RUSTC_BOOTSTRAP=1 CARGO_ENCODED_RUSTFLAGS="${encoded%$'\x1f'}" CARGO_TARGET_DIR="$build" CARGO_INCREMENTAL=0 \
            cargo build --quiet --locked --release -Z build-std=core --target "$target" \
            -p flowtape-recorder-ebpf --bin flowtape-kernel
    ) >&2
    if grep -aqE "$root|$build|${CARGO_HOME:-$HOME/.cargo}" "$build/$target/release/flowtape-kernel"; then
        fail "the object holds paths of this machine"
    fi
    mkdir -p "$(dirname "$out")"
    cp "$build/$target/release/flowtape-kernel" "$out"
    chmod 644 "$out"
    rm -rf "$build"
    trap - EXIT
}

need_tools() {
    find_compiler
    find_linker
    [ -z "$rustc" ] || [ -z "$linker" ] || return 0
    fail "cannot build the kernel object: $missing" "recorder-ebpf/build.sh --install"
}

recorded() { sed -n "s/^$1: //p" "$buildinfo"; }

check() {
    [ -e "$object" ] && [ -e "$buildinfo" ] || fail "no kernel object in recorder-ebpf/prebuilt" "make bpf"
    local now
    now=$(source_hash)
    [ "$now" = "$(recorded sources)" ] ||
        fail "the committed kernel object is stale: sources are $now, it was built from $(recorded sources)" "make bpf"
    [ "$(sha256sum <"$object" | cut -d' ' -f1)" = "$(recorded object)" ] ||
        fail "the committed kernel object is not the one BUILDINFO describes" "make bpf"
    find_compiler
    find_linker
    if [ -z "$rustc" ] || [ -z "$linker" ]; then
        say "WARNING: the kernel object was NOT rebuilt: $missing"
        say "kernel object: its sources are those it was built from; its bytes were not compared"
        return
    fi
    local rebuilt=${FLOWTAPE_REBUILT:-$root/target/flowtape-rebuilt.bpf.o}
    compile "$rebuilt"
    if [ "$(tool_lines)" = "$(grep -E '^(rustc|llvm|linker|host): ' "$buildinfo")" ]; then
        cmp "$object" "$rebuilt" >&2 || fail "the same tools build other bytes than the committed kernel object" "make bpf"
        say "kernel object: rebuilt by the same tools, same bytes"
    elif cmp -s "$object" "$rebuilt"; then
        say "kernel object: rebuilt by other tools ($("$rustc" --version)), same bytes"
    else
        say "kernel object: rebuilt by other tools ($("$rustc" --version)), other bytes: testing $rebuilt"
        # The committed one is tested by `make live`; here the other one is.
        (cd "$root" && FLOWTAPE_BPF_OBJECT=$rebuilt cargo test --quiet --locked -p flowtape-recorder --test live_kernel) >&2 ||
            fail "the rebuilt kernel object does not pass the live tests: $rebuilt"
    fi
}

install_tools() {
    find_compiler
    if [ "$kind" != distribution ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        if apt-get update -qq >&2 && apt-cache show rustc-web rust-web-src >/dev/null 2>&1; then
            DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends rustc-web rust-web-src >&2
        else
            say "note: no packages rustc-web and rust-web-src here; a rustup nightly with rust-src serves as well"
        fi
    fi
    if [ ! -x "$linker_home/bin/bpf-linker" ]; then
        say "installing bpf-linker $linker_version into $linker_home, once"
        (cd / && env -u RUSTC -u CARGO_TARGET_DIR cargo install --quiet --locked bpf-linker \
            --version "$linker_version" --root "$linker_home") >&2
    fi
    find_compiler
    find_linker
    [ -n "$rustc" ] && [ -n "$linker" ] || fail "still missing: $missing" "apt-get install rustc-web rust-web-src"
    say "kernel object tools: $("$rustc" --version), $("$linker" --version)"
}

case ${1:-} in
--hash) source_hash ;;
--check) check ;;
--install) install_tools ;;
'')
    need_tools
    compile "$object"
    {
        printf 'sources: %s\n' "$(source_hash)"
        printf 'object: %s\n' "$(sha256sum <"$object" | cut -d' ' -f1)"
        tool_lines
    } >"$buildinfo"
    say "kernel object: $(stat -c %s "$object") bytes, built by $("$rustc" --version)"
    ;;
*) fail "unknown option \`$1\`" "recorder-ebpf/build.sh [--check|--install|--hash]" ;;
esac
