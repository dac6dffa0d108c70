# What is measured. Each case opens the proxies it needs and prints its table.
hertz=$(getconf CLK_TCK)

cpu() { # pid: CPU time of it and its children, in clock ticks
    local total=0 pid ticks
    for pid in "$1" $(pgrep -P "$1" || true); do
        ticks=$(awk '{ sub(/^.*\) /, ""); print $12 + $13 }' "/proc/$pid/stat")
        total=$((total + ticks))
    done
    echo "$total"
}

rss() { # pid: KiB of it and its children, what they share counted once
    local pid
    for pid in "$1" $(pgrep -P "$1" || true); do
        awk '/^Pss:/ { print $2 }' "/proc/$pid/smaps_rollup"
    done | awk '{ sum += $1 } END { print sum }'
}

median() { sort -n "$@" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

ratios() { # case, unit: the medians of all proxies beside the best peer's
    local name best
    best=$(for name in "${names[@]}"; do [ "$name" = bearward ] || median "$work/$1.$name"; done | sort -n | head -n 1)
    printf '\n%-10s %18s %14s\n' "$1" "$2" 'to best peer'
    for name in "${names[@]}"; do
        awk -v n="$name" -v v="$(median "$work/$1.$name")" -v best="$best" \
            'BEGIN { printf "%-10s %18.2f %14.2f\n", n, v, v / best }' | tee >(sed "s/^/$1 /" >>"$work/cpu")
    done
}

per_request() { # case, round, name, clock ticks, requests: notes it
    awk -v t="$4" -v hz="$hertz" -v n="$5" 'BEGIN { printf "%.2f\n", t / hz / n * 1e6 }' >>"$work/$1.$3"
    say "$1, round $2: $3 $(tail -n 1 "$work/$1.$3") us/request ($5 requests)"
}

cpu_case() { # case, how, path, wrk's options…
    local round name before after requests
    open_proxies "$2"
    for round in $(seq "$rounds"); do
        for name in "${names[@]}"; do
            before=$(cpu "${pid[$name]}")
            taskset -c 1 wrk -t 1 -c "$connections" -d "${seconds}s" "${@:4}" \
                "http://127.0.0.1:${port[$name]}$3" >"$work/wrk"
            after=$(cpu "${pid[$name]}")
            if grep -qE 'Non-2xx|Socket errors' "$work/wrk"; then
                say "$name did not answer all with 200"; cat "$work/wrk" >&2; exit 1
            fi
            requests=$(awk '/requests in/ { print $1 }' "$work/wrk")
            per_request "$1" "$round" "$name" $((after - before)) "$requests"
        done
    done
    ratios "$1" 'CPU us/request'
}

download_case() {
    local round name before after
    open_proxies tls
    for round in $(seq "$rounds"); do
        for name in "${names[@]}"; do
            before=$(cpu "${pid[$name]}")
            taskset -c 1 curl -sf -o /dev/null "http://127.0.0.1:${port[$name]}/1g"
            after=$(cpu "${pid[$name]}")
            awk -v t=$((after - before)) -v hz="$hertz" 'BEGIN { printf "%.2f\n", t / hz }' >>"$work/gib.$name"
            say "gib, round $round: $name $(tail -n 1 "$work/gib.$name") s, $(rss "${pid[$name]}") KiB resident after"
        done
    done
    ratios gib 'CPU s/GiB'
}

latency_case() {
    local round name url
    open_proxies plain
    for round in $(seq "$rounds"); do
        for name in direct "${names[@]}"; do
            url=http://127.0.0.1:${port[$name]:-$api}/1k
            taskset -c 1 wrk -t 1 -c 1 -d 2s --latency -H "Authorization: Bearer $token" "$url" >"$work/wrk"
            awk '$1 == "50%" { v = $2; if (v ~ /ms$/) v *= 1000; print v + 0 }' "$work/wrk" >>"$work/latency.$name"
        done
    done
    printf '\n%-10s %18s %14s\n' latency 'median us' 'added us'
    for name in direct "${names[@]}"; do
        awk -v n="$name" -v v="$(median "$work/latency.$name")" -v d="$(median "$work/latency.direct")" \
            'BEGIN { printf "%-10s %18.0f %14.0f\n", n, v, v - d }'
    done
}

memory_case() {
    local name
    open_proxies plain
    printf '\n%-10s %12s %20s %22s\n' memory 'idle KiB' 'KiB/idle connection' 'KiB/active of 2,000'
    for name in "${names[@]}"; do
        local idle resting busy
        idle=$(rss "${pid[$name]}")
        resting=$(held 1000 rest "$name")
        launch_anew "$name"
        busy=$(held 2000 slow "$name")
        awk -v n="$name" -v i="$idle" -v r="$resting" -v b="$busy" \
            'BEGIN { printf "%-10s %12d %20.1f %22.1f\n", n, i, r, b }'
    done
}

launch_anew() { # name: what was freed stays with the allocator, and would be counted to nobody
    kill "${pid[$1]}"
    wait "${pid[$1]}" 2>/dev/null || true
    launch "$1"
    answers 200 "http://127.0.0.1:${port[$1]}/1k"
}

held() { # connections, rest or slow, name: what each adds, in KiB
    local before during
    before=$(rss "${pid[$3]}")
    coproc CLIENTS { taskset -c 1 python3 tests/bench/hold.py "${port[$3]}" "$1" "$2"; }
    local client=$CLIENTS_PID
    read -r _ <&"${CLIENTS[0]}"
    during=$(rss "${pid[$3]}")
    kill "$client"
    wait "$client" 2>/dev/null || true
    awk -v a="$before" -v b="$during" -v n="$1" 'BEGIN { print (b - a) / n }'
}

ready_now() { # asks with the shell's own sockets: a process per question would be most of the time
    local line
    { exec 3<>"/dev/tcp/127.0.0.1/$admin"; } 2>/dev/null || return 1
    printf 'GET /readyz HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n' >&3
    read -r line <&3
    exec 3>&-
    [[ $line == *' 200 '* ]]
}

start_case() {
    local round began
    close_proxies
    conf_bearward tls "$api_tls"
    for round in $(seq 9); do
        began=$(date +%s%N)
        launch bearward
        until ready_now; do :; done
        echo $((($(date +%s%N) - began) / 10000)) >>"$work/start"
        close_proxies
    done
    awk -v t="$(median "$work/start")" -v b="$(stat -Lc %s "$bearward")" \
        'BEGIN { printf "\nstart to ready: %.1f ms; program: %.2f MiB\n", t / 100, b / 1048576 }'
}
