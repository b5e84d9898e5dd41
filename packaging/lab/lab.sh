#!/usr/bin/env bash
# lab.sh: an office network in network namespaces, for trying a DHCP, TFTP and HTTP server with real clients.
#
#   up                build the network
#   down              end what runs in it and remove it
#   exec NODE CMD...  run a command in a node: srv, p1 to p6, d1, rtr, r1, r2
#   relay start|stop [isc|dnsmasq]
#   sniff start|stop  capture DHCP, ARP and TFTP on the office's switch into $LAB_DIR/lan.pcap
#
# Every box is a namespace called $LAB_NS-<node>; the switches are namespaces too, so nothing touches the machine's own
# interfaces:
#
#   p1..p6 ---\                         /--- r1
#   srv ------ sw (br0) -- rtr -- sw2 (br1)
#   10.99.1.1/24   10.99.1.254 | 10.99.2.254   \--- r2
#
#   srv (eth1, 10.99.3.1/24) -- sw3 (br2) -- d1 (eth1; its eth0 is at br0)
#
# p1, p2, p6 and r1 have addresses of Cisco's, p3, p4 and r2 of Aastra's, p5 is a PC. d1 is a phone that can be in the office,
# which is the voice network then, and in the data network at br2, with one address of Aastra's in both.
set -euo pipefail
LAB_NS=${LAB_NS:-dtlab}
LAB_DIR=${LAB_DIR:-${TMPDIR:-/tmp}/$LAB_NS.d}

ns() { echo "$LAB_NS-$1"; }
in_ns() {
	local node=$1
	shift
	ip netns exec "$(ns "$node")" "$@"
}

mac_of() {
	case $1 in
	srv) echo 02:00:00:00:01:01 ;;
	p1) echo 00:1b:d4:00:00:01 ;;
	p2) echo 00:1b:d4:00:00:02 ;;
	p3) echo 00:08:5d:00:00:03 ;;
	p4) echo 00:08:5d:00:00:04 ;;
	p5) echo 3c:52:82:00:00:05 ;;
	p6) echo 00:1b:d4:00:00:06 ;;
	d1) echo 00:08:5d:00:00:21 ;;
	r1) echo 00:1b:d4:00:00:11 ;;
	r2) echo 00:08:5d:00:00:12 ;;
	data) echo 02:00:00:00:03:01 ;;
	lan) echo 02:00:00:00:01:fe ;;
	far) echo 02:00:00:00:02:fe ;;
	esac
}

make_node() {
	ip netns add "$(ns "$1")"
	ip -n "$(ns "$1")" link set lo up
}

# wire NODE IF SWITCH BRIDGE MAC: a cable from a node to a switch.
wire() {
	local node=$1 if=$2 switch=$3 bridge=$4 mac=$5
	ip -n "$(ns "$switch")" link add "$node-$if" type veth peer name "$if" netns "$(ns "$node")"
	ip -n "$(ns "$switch")" link set "$node-$if" master "$bridge" up
	ip -n "$(ns "$node")" link set "$if" address "$mac" up
	# veth leaves checksums to hardware that isn't there; clients that read raw packets would drop the server's answers.
	in_ns "$node" ethtool -K "$if" tx off >/dev/null 2>&1 || true
}

make_switch() {
	make_node "$1"
	ip -n "$(ns "$1")" link add "$2" type bridge stp_state 0 forward_delay 0 mcast_snooping 0
	ip -n "$(ns "$1")" link set "$2" up
}

up() {
	local node
	mkdir -p "$LAB_DIR"
	make_switch sw br0
	make_switch sw2 br1
	make_node srv
	wire srv eth0 sw br0 "$(mac_of srv)"
	ip -n "$(ns srv)" addr add 10.99.1.1/24 brd + dev eth0
	ip -n "$(ns srv)" route add 10.99.2.0/24 via 10.99.1.254
	for node in p1 p2 p3 p4 p5 p6; do
		make_node $node
		wire $node eth0 sw br0 "$(mac_of $node)"
	done
	make_switch sw3 br2
	wire srv eth1 sw3 br2 "$(mac_of data)"
	ip -n "$(ns srv)" addr add 10.99.3.1/24 brd + dev eth1
	make_node d1
	wire d1 eth0 sw br0 "$(mac_of d1)"
	wire d1 eth1 sw3 br2 "$(mac_of d1)"
	make_node rtr
	wire rtr lan sw br0 "$(mac_of lan)"
	wire rtr far sw2 br1 "$(mac_of far)"
	ip -n "$(ns rtr)" addr add 10.99.1.254/24 brd + dev lan
	ip -n "$(ns rtr)" addr add 10.99.2.254/24 brd + dev far
	in_ns rtr sysctl -qw net.ipv4.ip_forward=1
	for node in r1 r2; do
		make_node $node
		wire $node eth0 sw2 br1 "$(mac_of $node)"
	done
}

# down ends only what runs inside this lab's own namespaces.
down() {
	local name pid left try
	for name in $(ip netns list | awk -v p="$LAB_NS-" 'index($1, p) == 1 {print $1}'); do
		for try in TERM TERM TERM KILL; do
			left=$(ip netns pids "$name")
			[ -n "$left" ] || break
			for pid in $left; do kill -$try "$pid" 2>/dev/null || true; done
			sleep 0.2
		done
		ip netns del "$name"
	done
}

# What runs in the background is started without in_ns: $! would be the function's shell, not the program.
relay() {
	local pid
	case ${1:-} in
	start)
		case ${2:-isc} in
		isc)
			ip netns exec "$(ns rtr)" dhcrelay -4 -d -q -pf "$LAB_DIR/relay.pid" -id far -iu lan 10.99.1.1 >"$LAB_DIR/relay.log" 2>&1 &
			;;
		dnsmasq)
			ip netns exec "$(ns rtr)" dnsmasq -k -p 0 -C /dev/null -u root -i far --dhcp-relay=10.99.2.254,10.99.1.1 \
				--pid-file="$LAB_DIR/relay.pid" --log-facility=- >"$LAB_DIR/relay.log" 2>&1 &
			;;
		esac
		pid=$!
		echo $pid >"$LAB_DIR/relay.bg"
		sleep 0.7
		kill -0 $pid
		;;
	stop) kill "$(cat "$LAB_DIR/relay.bg")" 2>/dev/null || true ;;
	esac
}

sniff() {
	case ${1:-} in
	start)
		ip netns exec "$(ns sw)" tcpdump -U -qni br0 -w "$LAB_DIR/lan.pcap" 'arp or icmp or udp port 67 or 68 or 69' >/dev/null 2>&1 &
		echo $! >"$LAB_DIR/sniff.bg"
		sleep 0.7
		;;
	stop)
		kill "$(cat "$LAB_DIR/sniff.bg")" 2>/dev/null || true
		sleep 0.3
		;;
	esac
}

cmd=${1:-}
shift || true
case $cmd in
up) up ;;
down) down ;;
exec)
	node=$1
	shift
	exec ip netns exec "$(ns "$node")" "$@"
	;;
mac) mac_of "$1" ;;
relay) relay "$@" ;;
sniff) sniff "$@" ;;
*)
	sed -n '2,22s/^# \{0,1\}//p' "$0"
	exit 2
	;;
esac
