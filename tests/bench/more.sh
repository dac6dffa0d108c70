# The cases that need another client than wrk or another way in or out. What they share is in cases.sh.

load_case() { # case, how, h2load's options…: a fixed number of requests
    local round name before after count=$((8000 * seconds)) way
    open_proxies "$2"
    for round in $(seq "$rounds"); do
        for name in "${names[@]}"; do
            way=("http://127.0.0.1:${port[$name]:-0}/1k")
            [ "$2" != unix ] || way=(-B "unix:$work/$name.sock" http://localhost/1k)
            before=$(cpu "${pid[$name]}")
            taskset -c 1 h2load -n "$count" "${@:3}" "${way[@]}" >"$work/load"
            after=$(cpu "${pid[$name]}")
            if ! grep -q "status codes: $count 2xx" "$work/load"; then
                say "$name did not answer all with 200"; cat "$work/load" >&2; exit 1
            fi
            per_request "$1" "$round" "$name" $((after - before)) "$count"
        done
    done
    ratios "$1" 'CPU us/request'
}

unix_case() { # the same client for both ways in; Envoy's socket adds nothing to what TCP tells
    local names=(nginx haproxy bearward)
    load_case tcp plain --h1 -c "$connections"
    load_case unix unix --h1 -c "$connections"
}

grpc_case() { # as unary calls look on the wire: POST, trailers asked for, a message of five bytes
    # Without nginx: its kept connections do not bear an API that answers before the message has ended.
    local names=(haproxy envoy bearward)
    [ -n "$envoy" ] || names=(haproxy bearward)
    printf '\0\0\0\0\0' >"$work/message"
    load_case grpc h2 -c 8 -m 8 -d "$work/message" -H 'content-type: application/grpc' -H 'te: trailers'
}

relay_case() { # HAProxy moves bytes only; the client sends the token itself
    local names=(relay bearward)
    cpu_case relay plain /1k -H "Authorization: Bearer $token"
}

upload_case() {
    local round name before after small
    start 1 python3 tests/bench/serve.py sink "$sink"
    answers 501 "http://127.0.0.1:$sink/" # it knows no GET
    open_proxies tls
    for round in $(seq "$rounds"); do
        for name in "${names[@]}"; do
            small=$(rss "${pid[$name]}")
            before=$(cpu "${pid[$name]}")
            taskset -c 1 curl -sf -o "$work/taken" -X POST -T "$work/1g" -H Expect: "http://127.0.0.1:${port[$name]}/sink"
            after=$(cpu "${pid[$name]}")
            [ "$(cat "$work/taken")" = taken ] || { say "$name did not carry the body"; exit 1; }
            awk -v t=$((after - before)) -v hz="$hertz" 'BEGIN { printf "%.2f\n", t / hz }' >>"$work/upload.$name"
            say "upload, round $round: $name $(tail -n 1 "$work/upload.$name") s, resident $small -> $(rss "${pid[$name]}") KiB"
        done
    done
    ratios upload 'CPU s/GiB'
}

p99() { # case: adds the 99th percentile of four seconds of load, in microseconds
    taskset -c 1 wrk -t 1 -c "$connections" -d 4s --latency "http://127.0.0.1:${port[bearward]}/1k" >"$work/wrk"
    ! grep -qE 'Non-2xx|Socket errors' "$work/wrk" || { cat "$work/wrk" >&2; exit 1; }
    awk '$1 == "99%" { v = $2; if (v ~ /ms$/) v *= 1000; else if (v !~ /us$/) v *= 1e6; print v + 0 }' \
        "$work/wrk" >>"$work/$1.p99"
}

refresh_case() { # the old token lives for minutes while its successor takes 5 s to come
    local round names=(bearward)
    start 1 python3 tests/bench/serve.py slow "$slow" "$work/note"
    answers 501 "http://127.0.0.1:$slow/"
    for round in $(seq "$rounds"); do
        open_proxies plain
        p99 calm
        close_proxies
        : >"$work/note"
        conf_bearward plain "$api"
        sed -i "s|^token_endpoint.*|token_endpoint = \"http://127.0.0.1:$slow/\"\nrefresh_before = \"1h\"|" "$work/bearward.conf"
        warm_store '-1 hour' '+2 minutes'
        launch bearward
        answers 200 "http://127.0.0.1:${port[bearward]}/1k"
        until [ "$(cat "$work/note")" = asked ]; do sleep 0.01; done
        p99 refreshing
        [ "$(cat "$work/note")" = asked ] || { say "the refresh ended before the load"; exit 1; }
        close_proxies
    done
    awk -v c="$(median "$work/calm.p99")" -v r="$(median "$work/refreshing.p99")" \
        'BEGIN { printf "\nrefresh: p99 %d us without, %d us during one of 5 s (%.2f)\n", c, r, r / c }'
}
