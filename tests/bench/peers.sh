# The API, and the four proxies with the same work to do, and a relay that does less.
token=$(head -c 675 /dev/urandom | base64 -w 0 | tr '+/' '-_')
api=18100 api_tls=18101 stranger=18102 api_h2=18103 sink=18104 slow=18105
declare -A port=([nginx]=18111 [haproxy]=18112 [envoy]=18113 [bearward]=18114 [relay]=18116) pid=()
admin=18115

certificate() { # name: for localhost, by an authority of the same name
    local name=$1
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$name ca" \
        -keyout "$work/$name-ca.key" -out "$work/$name-ca.pem" 2>/dev/null
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" \
        -keyout "$work/$name.key" -out "$work/$name.csr" 2>/dev/null
    openssl x509 -req -in "$work/$name.csr" -CA "$work/$name-ca.pem" -CAkey "$work/$name-ca.key" \
        -CAcreateserial -days 2 -out "$work/$name.pem" \
        -extfile <(echo "subjectAltName=DNS:localhost,IP:127.0.0.1") 2>/dev/null
}

start() { # core, command…: runs it pinned; its pid is in $!
    local core=$1; shift
    taskset -c "$core" "$@" >>"$work/out.log" 2>&1 &
    pids+=($!)
}

answers() { # status, URL, curl's options…: waits until it answers so
    local got
    for _ in $(seq 200); do
        got=$(curl -s -o /dev/null -w '%{http_code}' "${@:3}" "$2" || true)
        [[ $got =~ ^($1)$ ]] && return 0
        sleep 0.05
    done
    say "no answer $1 but $got from $2"; cat "$work/out.log" >&2; exit 1
}

nginx_head() { # name: what every nginx of ours begins with
    cat <<CONF
worker_processes 1; daemon off; pid $work/$1.pid; error_log $work/$1.log; worker_rlimit_nofile 20000;
events { worker_connections 10000; }
http {
    access_log off; client_body_temp_path $work/$1-1; proxy_temp_path $work/$1-2; fastcgi_temp_path $work/$1-3;
    uwsgi_temp_path $work/$1-4; scgi_temp_path $work/$1-5; keepalive_requests 100000000;
CONF
}

open_api() {
    local name server
    ulimit -n 20000 2>/dev/null || true
    head -c 1024 /dev/zero | tr '\0' x >"$work/1k"
    head -c 65536 /dev/zero | tr '\0' x >"$work/64k"
    truncate -s 1G "$work/1g" # nothing of it is on the disk
    printf 'wrk.method = "POST"\nwrk.body = string.rep("x", 16384)\n' >"$work/post.lua"
    for name in api stranger; do certificate "$name"; done
    server="large_client_header_buffers 8 16k; client_max_body_size 0; root $work;
        location / { if (\$known = 0) { return 401; } error_page 405 =200 /1k; }
        location /slow { if (\$known = 0) { return 401; } limit_rate 2k; alias $work/64k; }
        location /sink { if (\$known = 0) { return 401; }
            proxy_pass http://127.0.0.1:$sink; proxy_http_version 1.1; proxy_request_buffering off; }"
    { nginx_head api; cat <<CONF
    map_hash_bucket_size 2048; ssl_protocols TLSv1.3;
    map \$http_authorization \$known { default 0; "Bearer $token" 1; }
    server { listen 127.0.0.1:$api; $server }
    server { listen 127.0.0.1:$api_tls ssl; ssl_certificate $work/api.pem; ssl_certificate_key $work/api.key; $server }
    server { listen 127.0.0.1:$api_h2 ssl http2; ssl_certificate $work/api.pem; ssl_certificate_key $work/api.key; $server }
    server { listen 127.0.0.1:$stranger ssl; ssl_certificate $work/stranger.pem; ssl_certificate_key $work/stranger.key; $server }
}
CONF
    } >"$work/api.conf"
    start 1 nginx -c "$work/api.conf" -p "$work"
    answers 401 "http://127.0.0.1:$api/1k" # it demands the token
}

# Each of these writes the configuration of one proxy for an upstream: how and its port. `plain` and `tls`
# are HTTP/1.1, `unix` is plain behind a Unix socket, `h2` is HTTP/2 on both sides, over TLS to the API.
inlet() { # how, name: where the proxy listens
    if [ "$1" = unix ]; then echo "unix:$work/$2.sock"; else echo "127.0.0.1:${port[$2]}"; fi
}

secured() { [ "$1" = tls ] || [ "$1" = h2 ]; }

conf_nginx() {
    local scheme=http tls= pass=proxy version='proxy_http_version 1.1; proxy_set_header Connection "";' in=
    [ "$1" != h2 ] || pass=grpc version= in=http2 # its only way to speak HTTP/2 upstream
    ! secured "$1" || { scheme=${pass/proxy/http}s tls="${pass}_ssl_verify on; ${pass}_ssl_trusted_certificate $work/api-ca.pem;
            ${pass}_ssl_protocols TLSv1.3; ${pass}_ssl_name localhost; ${pass}_ssl_server_name on;"; }
    { nginx_head nginx; cat <<CONF
    upstream api { server 127.0.0.1:$2; keepalive 128; keepalive_requests 100000000; }
    server {
        listen $(inlet "$1" nginx) $in;
        client_max_body_size 0;
        location / { ${pass}_pass $scheme://api; $version $tls ${pass}_set_header Authorization "Bearer $token"; }
        location /sink {
            proxy_request_buffering off;
            ${pass}_pass $scheme://api; $version $tls ${pass}_set_header Authorization "Bearer $token";
        }
    }
}
CONF
    } >"$work/nginx.conf"
}

conf_haproxy() {
    local tls= in=
    ! secured "$1" || tls="ssl verify required ca-file $work/api-ca.pem sni str(localhost) verifyhost localhost force-tlsv13"
    [ "$1" != h2 ] || tls="$tls proto h2 alpn h2" in='proto h2'
    cat >"$work/haproxy.conf" <<CONF
global
    nbthread 1
    maxconn 9000
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
    http-reuse always
frontend in
    bind $(inlet "$1" haproxy | sed 's/^unix:/unix@/') $in
    http-request set-header authorization "Bearer $token"
    default_backend api
backend api
    server api 127.0.0.1:$2 $tls
CONF
}

conf_relay() {
    cat >"$work/relay.conf" <<CONF
global
    nbthread 1
    maxconn 9000
defaults
    mode tcp
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend in
    bind $(inlet "$1" relay)
    default_backend api
backend api
    server api 127.0.0.1:$2
CONF
}

conf_envoy() {
    local tls= alpn= h2=
    [ "$1" != h2 ] || { alpn='"alpn_protocols": ["h2"],' h2='"typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
          "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
          "explicit_http_config": {"http2_protocol_options": {}}}},'; }
    ! secured "$1" || tls='"transport_socket": {"name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "sni": "localhost",
        "common_tls_context": {'$alpn' "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
          "validation_context": {"trusted_ca": {"filename": "'$work'/api-ca.pem"},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "localhost"}}]}}}},'
    cat >"$work/envoy.json" <<CONF
{"static_resources": {
  "secrets": [{"name": "token", "generic_secret": {"secret": {"inline_string": "Bearer $token"}}}],
  "listeners": [{"address": {"socket_address": {"address": "127.0.0.1", "port_value": ${port[envoy]}}},
    "filter_chains": [{"filters": [{"name": "http", "typed_config": {
      "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
      "stat_prefix": "in", "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "api", "timeout": "0s"}}]}]},
      "http_filters": [
        {"name": "inject", "typed_config": {
          "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector", "overwrite": true,
          "credential": {"name": "generic", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
            "credential": {"name": "token"}, "header": "authorization"}}}},
        {"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}}]}]}],
  "clusters": [{"name": "api", "connect_timeout": "5s", $tls $h2
    "circuit_breakers": {"thresholds": [{"max_connections": 9000, "max_pending_requests": 9000, "max_requests": 9000}]},
    "load_assignment": {"cluster_name": "api", "endpoints": [{"lb_endpoints": [{"endpoint":
      {"address": {"socket_address": {"address": "127.0.0.1", "port_value": $2}}}}]}]}}]}}
CONF
}

conf_bearward() {
    local scheme=http tls= version=http1
    [ "$1" != h2 ] || version=http2
    ! secured "$1" || { scheme=https tls=$'[route.tls]\nca = "'"$work"$'/api-ca.pem"\n'; }
    printf '%s' unused >"$work/secret"
    cat >"$work/bearward.conf" <<CONF
[proxy]
listen = "$(inlet "$1" bearward)"
max_connections = 9000
max_body = "2GiB"
[admin]
listen = "127.0.0.1:$admin"
[log]
level = "warn"
[grant.bench]
token_endpoint = "http://127.0.0.1:$api/token"
client_id = "bench"
client_secret = { file = "$work/secret" }
[grant.bench.store.file]
path = "$work/grants/bench.grant"
[[route]]
grant = "bench"
upstream = "$scheme://localhost:$2"
http = "$version"
[route.pool]
max_connections = 9000
$tls
CONF
    warm_store now '+1 year' # nothing but forwarding is measured
}

warm_store() { # when the access token was issued and when it ends, as `date` understands it
    mkdir -p -m 700 "$work/grants"
    printf '{"bearward":1,"grant":"bench","generation":1,"record":{"schema":1,"generation":1,"refresh_token":"r","access_token":{"value":"%s","generation":1,"issued_at":"%s","expires_at":"%s"},"obtained_at":"%s"}}' \
        "$token" "$(date -u -d "$1" +%FT%TZ)" "$(date -u -d "$2" +%FT%TZ)" "$(date -u -d "$1" +%FT%TZ)" \
        | install -m 600 /dev/stdin "$work/grants/bench.grant"
}

launch() { # name
    case $1 in
        nginx) start 0 nginx -c "$work/nginx.conf" -p "$work" ;;
        haproxy | relay) start 0 haproxy -db -f "$work/$1.conf" ;;
        envoy) start 0 "$envoy" -c "$work/envoy.json" --concurrency 1 --use-dynamic-base-id -l critical ;;
        bearward) start 0 "$bearward" run --config "$work/bearward.conf" ;;
    esac
    pid[$1]=$!
}

close_proxies() {
    local name
    for name in "${!pid[@]}"; do
        kill "${pid[$name]}" 2>/dev/null || true
        wait "${pid[$name]}" 2>/dev/null || true
    done
    pid=()
}

open_proxies() { # how: all of them, after each has shown what it does
    local name upstream=$api
    close_proxies
    if secured "$1"; then
        upstream=$api_tls
        [ "$1" = tls ] || upstream=$api_h2
        for name in "${names[@]}"; do "conf_$name" "$1" "$stranger"; launch "$name"; done
        for name in "${names[@]}"; do shows '502|503' "$1" "$name"; done
        close_proxies
    fi
    for name in "${names[@]}"; do "conf_$name" "$1" "$upstream"; launch "$name"; done
    for name in "${names[@]}"; do
        [ "$name" = relay ] || shows 200 "$1" "$name" # it injects the token
    done
}

shows() { # status, how, name
    local way=()
    case $2 in
        unix) way=(--unix-socket "$work/$3.sock") ;;
        h2) way=(--http2-prior-knowledge) ;;
    esac
    answers "$1" "http://127.0.0.1:${port[$3]}/1k" "${way[@]}"
}

versions() {
    printf '%s, ' "$(nginx -v 2>&1 | sed 's/.*: //')" "$(haproxy -v | head -n 1 | cut -d' ' -f1-3)"
    [ -z "$envoy" ] || printf 'envoy %s, ' "$("$envoy" --version | sed -n 's/.*version: [^/]*\/\([^/]*\).*/\1/p')"
    printf '%s, %s\n' "$("$bearward" --version)" "$(date -u +%F)"
}
