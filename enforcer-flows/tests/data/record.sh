#!/usr/bin/env bash
# Makes the recordings in this directory anew: real programs talk across three network namespaces of their own, and real tools write down
# what they see. Needs root and Debian's tcpdump, tshark, nginx, curl, dnsmasq-base, bind9-dnsutils, postgresql, iputils-ping, iproute2,
# conntrack, nftables and socat. Takes everything it made away again.
set -euo pipefail
cd "$(dirname "$0")"

out=$PWD
work=$(mktemp -d /tmp/flows-record.XXXXXX)
chmod 755 "$work"
client=flows-client-$$ gateway=flows-gateway-$$ server=flows-server-$$
pids=()

away() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    for ns in "$client" "$gateway" "$server"; do ip netns del "$ns" 2>/dev/null || true; done
    rm -rf "$work"
}
trap away EXIT

in_client() { ip netns exec "$client" "$@"; }
in_gateway() { ip netns exec "$gateway" "$@"; }
in_server() { ip netns exec "$server" "$@"; }
# Runs in the background until the end.
keep() { "$@" >>"$work/log" 2>&1 & pids+=($!); }
until_ready() { for _ in $(seq 100); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done; echo "not ready: $*" >&2; exit 1; }

# client (10.77.1.2) - gateway - server (10.77.2.2); the gateway translates: 10.77.9.9:8080 is the server's web port, and what goes to the
# server's port 5432 comes from the gateway.
for ns in "$client" "$gateway" "$server"; do ip netns add "$ns"; ip -n "$ns" link set lo up; done
ip -n "$client" link add eth0 type veth peer name eth0 netns "$gateway"
ip -n "$server" link add eth0 type veth peer name eth1 netns "$gateway"
address() { ip -n "$1" address add "$3" dev "$2" ${4:-}; ip -n "$1" link set "$2" up; }
address "$client" eth0 10.77.1.2/24; address "$client" eth0 fd77:1::2/64 nodad
address "$gateway" eth0 10.77.1.1/24; address "$gateway" eth0 fd77:1::1/64 nodad
address "$gateway" eth1 10.77.2.1/24; address "$gateway" eth1 fd77:2::1/64 nodad
address "$server" eth0 10.77.2.2/24; address "$server" eth0 fd77:2::2/64 nodad
ip -n "$client" route add default via 10.77.1.1; ip -n "$client" route add default via fd77:1::1
ip -n "$server" route add default via 10.77.2.1; ip -n "$server" route add default via fd77:2::1
in_gateway sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.netfilter.nf_conntrack_acct=1
in_gateway nft -f - <<'RULES'
table inet translate {
    chain before { type nat hook prerouting priority dstnat; ip daddr 10.77.9.9 tcp dport 8080 dnat ip to 10.77.2.2:80; }
    chain after { type nat hook postrouting priority srcnat; ip daddr 10.77.2.2 tcp dport 5432 masquerade; }
    chain track { type filter hook forward priority filter; ct state invalid drop; }
}
RULES
# A tunnel, for packets that begin with the IP header itself.
keep in_server socat UDP-LISTEN:9999 TUN:10.77.3.2/30,tun-name=tun0,iff-no-pi,iff-up
sleep 0.3
keep in_client socat UDP:10.77.2.2:9999 TUN:10.77.3.1/30,tun-name=tun0,iff-no-pi,iff-up

mkdir "$work/www" "$work/nginx"
echo 'hello from nginx' >"$work/www/index.html"
cat >"$work/nginx.conf" <<CONF
pid $work/nginx/pid; error_log $work/nginx/error.log; daemon off; worker_processes 1; user nobody nogroup;
events {}
http { access_log off; client_body_temp_path $work/nginx/a; proxy_temp_path $work/nginx/b; fastcgi_temp_path $work/nginx/c;
       uwsgi_temp_path $work/nginx/d; scgi_temp_path $work/nginx/e;
       server { listen 80; listen [::]:80; root $work/www; } }
CONF
chmod -R a+rX "$work"
keep in_server nginx -c "$work/nginx.conf" -p "$work/nginx"
keep in_server dnsmasq --keep-in-foreground --no-resolv --no-hosts --no-daemon --pid-file="$work/dns" --user=nobody \
    --address=/web.flows.test/10.77.2.2 --address=/web.flows.test/fd77:2::2 --local=/flows.test/
install -d -o postgres "$work/sql"
bin=$(echo /usr/lib/postgresql/*/bin)
runuser -u postgres -- "$bin/initdb" -D "$work/sql/data" -A trust >>"$work/log"
echo 'host all all all trust' >>"$work/sql/data/pg_hba.conf"
keep in_server runuser -u postgres -- "$bin/postgres" -D "$work/sql/data" -k "$work/sql" -c 'listen_addresses=*' -c ssl=off
until_ready in_client curl -sf http://10.77.2.2/
until_ready in_client dig +time=1 +tries=1 @10.77.2.2 web.flows.test
until_ready in_client psql -h 10.77.2.2 -U postgres -c 'select 1'
in_client ping -qc1 fd77:2::2 >/dev/null

# Captures what a command says: capture FILE NAMESPACE TOOL... -- COMMAND...
capture() {
    local file=$1 ns=$2 tool=() pid; shift 2
    while [ "$1" != -- ]; do tool+=("$1"); shift; done; shift
    ip netns exec "$ns" "${tool[@]}" -w "$work/$file" 2>"$work/tool" & pid=$!
    until_ready grep -q 'listening on\|Capturing on\|File:' "$work/tool"; sleep 0.5
    "$@" >>"$work/log" 2>&1
    sleep 1.5; kill -INT "$pid"; wait "$pid" || true
    cp "$work/$file" "$out/$file"
}
both() { in_client curl -s http://10.77.2.2/ && in_client curl -s 'http://[fd77:2::2]/missing' && in_client ping -qc2 -i0.2 10.77.2.2 \
    && in_client ping -qc1 fd77:2::2; in_client curl -s http://10.77.2.2:81/ || true; }
names() { in_client dig @10.77.2.2 web.flows.test A && in_client dig @10.77.2.2 web.flows.test AAAA \
    && in_client dig +tcp @10.77.2.2 web.flows.test && in_client dig @fd77:2::2 nobody.flows.test; in_client dig +time=1 +tries=1 -p 54 @10.77.2.2 x.flows.test || true; }
table() { in_client psql -h 10.77.2.2 -U postgres -c 'create temp table t (n int); insert into t select generate_series(1, 3); select * from t'; }
tun() { in_client curl -s http://10.77.3.2/ && in_client ping -qc1 10.77.3.2; }
here() { in_server curl -s http://127.0.0.1/ && table; }

capture web.pcap "$server" tcpdump --immediate-mode -Uni eth0 -- both
capture dns-nanoseconds.pcap "$client" tcpdump --immediate-mode -Uni eth0 --time-stamp-precision nano port 53 or port 54 or icmp -- names
capture cut.pcap "$server" tcpdump --immediate-mode -Uni eth0 -s 60 tcp -- both
capture cooked1.pcap "$gateway" tcpdump --immediate-mode -Uni any -y LINUX_SLL ip or ip6 -- both
capture cooked2.pcap "$gateway" tcpdump --immediate-mode -Uni any -y LINUX_SLL2 ip or ip6 -- both
capture raw.pcap "$client" tcpdump --immediate-mode -Uni tun0 -- tun
capture sql.pcapng "$server" dumpcap -qi eth0 -i lo -- here
for file in web.pcap dns-nanoseconds.pcap cut.pcap cooked1.pcap cooked2.pcap raw.pcap sql.pcapng; do
    tshark -r "$file" -n -T fields -e frame.time_epoch -e frame.cap_len -e frame.len -e ip.src -e ip.dst -e ipv6.src -e ipv6.dst \
        -e tcp.srcport -e tcp.dstport -e udp.srcport -e udp.dstport -E occurrence=f 2>/dev/null >"$file.tshark"
done

# Tables, while connections of each kind are there.
in_gateway conntrack -F 2>/dev/null
in_gateway stdbuf -oL conntrack -E -o timestamp >"$work/events" 2>/dev/null & events=$!; pids+=("$events"); sleep 0.5
keep in_client psql -h 10.77.2.2 -U postgres -c 'select pg_sleep(4)'
keep in_server psql -h 127.0.0.1 -U postgres -c 'select pg_sleep(4)'
in_client curl -s http://10.77.9.9:8080/ >>"$work/log"
both >>"$work/log" 2>&1
names >>"$work/log" 2>&1
in_client ping -qc1 10.77.2.99 >>"$work/log" 2>&1 || true
in_gateway conntrack -L 2>"$out/conntrack.count" >"$out/conntrack.txt"
cat "$out/conntrack.count" >>"$out/conntrack.txt"; rm "$out/conntrack.count"
in_gateway conntrack -L -o extended 2>/dev/null >"$out/conntrack-extended.txt"
in_gateway cat /proc/net/nf_conntrack >"$out/nf_conntrack.txt"
in_server ss -tunap >"$out/ss.txt"
in_server ss -tn >"$out/ss-established.txt"
in_client ss -tunap >"$out/ss-client.txt"
sleep 0.5; in_gateway conntrack -D -p tcp --dport 80 >>"$work/log" 2>&1 || true
sleep 0.5; kill "$events"; cp "$work/events" "$out/conntrack-events.txt"
chmod 644 "$out"/*; chmod 755 "$out/record.sh"
ls -l "$out"
