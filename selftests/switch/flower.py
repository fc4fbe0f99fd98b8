#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Rules of tc that the switch carries out: the packets do not come to the representors."""

import json

from ferrite import (KsftFailEx, Pair, Side, cmd, devlink, ip, ksft_eq, ksft_ge, ksft_in, ksft_lt, ksft_true, log,
                     need_dpus, refused, run, wait_for)
from ferrite.switch import Switch, tc

PINGS = 50
# Packets that nobody asked for: neighbours are looked for now and then.
CHATTER = 20


def bridged(count=2):
    """Returns VFs that reach each other the slow way."""
    switch = Switch(need_dpus(1)[0], count)
    switch.bridge(*switch.reps)
    return switch, Pair(*switch.netdevs[:2])


def shortcut(switch, match="protocol ip pref 1 flower skip_sw ip_proto icmp"):
    """Has the switch itself carry packets between the first two VFs."""
    one, other = switch.reps[:2]
    one.add(f"{match} action mirred egress redirect dev {other}")
    other.add(f"{match} action mirred egress redirect dev {one}")


def a_rule_moves_the_flow_off_the_representor_and_its_end_brings_it_back():
    switch, made = bridged()
    shortcut(switch)
    before = [rep.received() for rep in switch.reps]
    made.left.ping(made.right.ipv4, count=PINGS)
    for rep, old in zip(switch.reps, before):
        ksft_lt(rep.received() - old, CHATTER)
        rep.remove(1)
    before = [rep.received() for rep in switch.reps]
    made.left.ping(made.right.ipv4, count=PINGS)
    for rep, old in zip(switch.reps, before):
        ksft_ge(rep.received() - old, PINGS)


def a_stream_goes_the_short_way():
    switch, made = bridged()
    shortcut(switch, "protocol ip pref 1 flower skip_sw ip_proto tcp")
    before = [rep.received() for rep in switch.reps]
    report = made.iperf(seconds=2)
    segments = report["end"]["sum_received"]["bytes"] / 65536
    for rep, old in zip(switch.reps, before):
        ksft_lt(rep.received() - old, max(CHATTER, segments / 2))


def a_rule_says_that_it_is_in_hardware():
    switch, _ = bridged()
    shortcut(switch, "protocol ip pref 1 flower ip_proto icmp")
    for rep in switch.reps:
        rule = rep.rule(1)
        ksft_true(rule.get("in_hw"), rule)
        ksft_eq(rule.get("in_hw_count"), 1)
    text = tc(f"filter show dev {switch.reps[0]} ingress").stdout
    ksft_in("in_hw in_hw_count 1", text)


def the_device_counts_what_meets_a_rule():
    switch, made = bridged()
    shortcut(switch)
    rep = switch.reps[0]
    made.left.ping(made.right.ipv4, count=PINGS)
    ksft_eq(rep.hw_packets(1), PINGS)
    stats = rep.rule(1)["actions"][0]["stats"]
    # 56 bytes of data with headers of ICMP, IPv4 and Ethernet.
    ksft_eq(stats["hw_bytes"], PINGS * (56 + 8 + 20 + 14))
    # Asking does not count.
    ksft_eq(rep.hw_packets(1), PINGS)
    made.left.ping(made.right.ipv4, count=1)
    ksft_eq(rep.hw_packets(1), PINGS + 1)


def a_rule_tells_when_it_was_used_last():
    switch, made = bridged()
    shortcut(switch)

    def used():
        return switch.reps[0].rule(1)["actions"][0]["last_used"]
    wait_for(lambda: used() >= 2, "the rule to be two seconds old")
    made.left.ping(made.right.ipv4, count=1)
    ksft_lt(used(), 2)


def a_drop_drops():
    switch, made = bridged()
    rep = switch.reps[0]
    rep.add(f"protocol ip pref 1 flower skip_sw ip_proto icmp dst_ip {made.right.ipv4} action drop")
    before = rep.received()
    done = cmd(f"ping -n -q -c 5 -i 0.02 -W 1 {made.right.ipv4}", ns=made.left.ns, fail=False)
    ksft_in("100% packet loss", done.stdout)
    ksft_eq(rep.hw_packets(1), 5)
    ksft_lt(rep.received() - before, 5)
    # Another protocol passes.
    made.left.ping(made.right.ipv6, count=5)
    rep.remove(1)
    made.left.ping(made.right.ipv4, count=5)


def pass_hands_packets_to_the_representor():
    switch, made = bridged()
    shortcut(switch, "protocol ip pref 2 flower skip_sw ip_proto icmp")
    rep = switch.reps[0]
    # The lower priority comes first.
    rep.add("protocol ip pref 1 flower skip_sw ip_proto icmp action pass")
    before = rep.received()
    made.left.ping(made.right.ipv4, count=PINGS)
    ksft_ge(rep.received() - before, PINGS)
    ksft_eq(rep.hw_packets(1), PINGS)
    ksft_eq(rep.hw_packets(2), 0)


def tags_are_pushed_and_popped():
    switch = Switch(need_dpus(1)[0], 2)
    left, right = (Side(name, netdev, number)
                   for number, (name, netdev) in enumerate(zip(("left", "right"), switch.netdevs), 1))
    ip(f"link add link {right.netdev} name tagged type vlan id 5", ns=right.ns)
    ip(f"address del {right.ipv4}/24 dev {right.netdev}", ns=right.ns)
    ip(f"address add {right.ipv4}/24 dev tagged", ns=right.ns)
    for side in (left, right):
        side.up()
    ip("link set tagged up", ns=right.ns)
    one, other = switch.reps
    one.add(f"protocol all pref 1 flower skip_sw action vlan push id 5 action mirred egress redirect dev {other}")
    other.add(f"protocol 802.1q pref 1 flower skip_sw vlan_id 5 action vlan pop action mirred egress redirect dev {one}")
    reach = f"ping -n -q -c 1 -W 1 {right.ipv4}"
    wait_for(lambda: cmd(reach, ns=left.ns, fail=False).ret == 0, "the first packet to come back")
    before = [rep.received() for rep in switch.reps]
    left.ping(right.ipv4, count=PINGS)
    ksft_ge(other.hw_packets(1), PINGS)
    for rep, old in zip(switch.reps, before):
        ksft_lt(rep.received() - old, CHATTER)


def a_mirror_gets_a_copy():
    switch, made = bridged(3)
    one, other, watcher = switch.reps
    side = Side("watcher", switch.netdevs[2], 3)
    side.up()
    ip(f"link set {side.netdev} promisc on", ns=side.ns)
    one.add("protocol ip pref 1 flower skip_sw ip_proto icmp "
            f"action mirred egress mirror dev {watcher} action mirred egress redirect dev {other}")
    heard = side.link()["stats64"]["rx"]["packets"]
    made.left.ping(made.right.ipv4, count=PINGS)
    wait_for(lambda: side.link()["stats64"]["rx"]["packets"] >= heard + PINGS, "the copies")
    ksft_eq(one.hw_packets(1), PINGS)


def the_uplink_has_rules():
    here, there = need_dpus(2)
    switch = Switch(here, 1)
    switch.bridge(switch.reps[0], switch.uplink)
    made = Pair(switch.netdevs[0], there.wait_netdev())
    match = "protocol ip pref 1 flower skip_sw ip_proto icmp"
    switch.uplink.add(f"{match} action mirred egress redirect dev {switch.reps[0]}")
    switch.reps[0].add(f"{match} action mirred egress redirect dev {switch.uplink}")
    before = [rep.received() for rep in (switch.reps[0], switch.uplink)]
    made.right.ping(made.left.ipv4, count=PINGS)
    for rep, old in zip((switch.reps[0], switch.uplink), before):
        ksft_lt(rep.received() - old, CHATTER)
        ksft_eq(rep.hw_packets(1), PINGS)


def all_kinds_of_match_are_carried_out():
    switch, made = bridged()
    rep = switch.reps[0]
    source, target = (side.link()["address"] for side in (made.left, made.right))
    matches = [
        ("ip", f"src_mac {source} dst_mac {target}"),
        ("ip", f"src_ip {made.left.ipv4} dst_ip 192.0.2.0/24"),
        ("ip", "ip_proto icmp type 8 code 0"),
        ("ip", "ip_ttl 64 ip_flags nofrag"),
        ("ipv6", f"src_ip {made.left.ipv6} dst_ip 2001:db8::/64 ip_proto icmpv6 type 128"),
    ]
    for pref, (protocol, match) in enumerate(matches, 1):
        rep.add(f"protocol {protocol} pref {pref} flower skip_sw {match} "
                f"action mirred egress redirect dev {switch.reps[1]}")
        made.left.ping(made.right.ipv6 if protocol == "ipv6" else made.right.ipv4, count=5)
        ksft_ge(rep.hw_packets(pref), 5, match)
        rep.remove(pref)
    # All packets.
    rep.add(f"protocol all pref 1 matchall skip_sw action mirred egress redirect dev {switch.reps[1]}")
    made.left.ping(made.right.ipv4, count=5)
    ksft_ge(rep.hw_packets(1), 5)


def a_port_tells_flows_apart():
    switch, made = bridged()
    rep = switch.reps[0]
    rep.add("protocol ip pref 1 flower skip_sw ip_proto udp dst_port 4791 action drop")
    rep.add("protocol ip pref 2 flower skip_sw ip_proto tcp tcp_flags 0x2/0x12 dst_port 4791 action drop")
    for number in (4791, 4790):
        cmd(f"sh -c 'echo x | socat -u - UDP4:{made.right.ipv4}:{number}'", ns=made.left.ns, shell=True)
    wait_for(lambda: rep.hw_packets(1) == 1, "the packet to be dropped")
    ksft_eq(rep.hw_packets(2), 0)


def what_the_device_cannot_do_is_refused_with_skip_sw():
    switch = Switch(need_dpus(1)[0], 2)
    one, other = switch.reps
    redirect = f"action mirred egress redirect dev {other}"
    flower = "protocol ip pref 9 flower skip_sw"
    one.refuses(f"{flower} ip_proto udp dst_port 10-20 {redirect}", "cannot match ranges of ports")
    one.refuses(f"{flower} enc_key_id 5 {redirect}", "cannot match a tunnel's key")
    one.refuses(f"protocol 802.1ad pref 9 flower skip_sw {redirect}", "802.1Q tags only")
    one.refuses(f"{flower} action vlan pop {redirect}", "to pop a VLAN tag")
    one.refuses(f"{flower} action vlan push protocol 802.1ad id 5 {redirect}", "802.1Q tags only")
    one.refuses(f"{flower} action pedit ex munge ip ttl set 30 pipe {redirect}", "cannot do \"pedit\"")
    one.refuses(f"{flower} action mirred egress redirect dev lo", "not a port of the same switch")
    one.refuses(f"protocol ip pref 9 chain 1 flower skip_sw {redirect}", "chain 0")
    one.refuses(f"{flower} action drop hw_stats delayed", "hw_stats")


def what_the_device_cannot_do_stays_in_software():
    switch, made = bridged()
    one, other = switch.reps
    one.add("protocol ip pref 1 flower ip_proto icmp "
            f"action pedit ex munge ip ttl set 30 pipe action csum ip pipe action mirred egress redirect dev {other}")
    ksft_true(one.rule(1).get("not_in_hw"), one.rule(1))
    before = one.received()
    made.left.ping(made.right.ipv4, count=PINGS)
    ksft_ge(one.received() - before, PINGS)
    stats = one.rule(1)["actions"][0]["stats"]
    ksft_eq(stats["packets"], PINGS)
    ksft_eq(stats.get("hw_packets", 0), 0)


def offload_cannot_be_turned_off_under_rules():
    switch = Switch(need_dpus(1)[0], 2)
    one, other = switch.reps
    one.add(f"protocol ip pref 1 flower skip_sw action mirred egress redirect dev {other}")
    log.expect("remove them to turn hw-tc-offload off")
    log.allow("set_features")
    if cmd(f"ethtool -K {one} hw-tc-offload off", fail=False).ret == 0:
        raise KsftFailEx("hw-tc-offload was turned off")
    one.remove(1)
    # ethtool remembers what was wanted before, and does nothing when that is wanted again.
    cmd(f"ethtool -K {one} hw-tc-offload on")
    cmd(f"ethtool -K {one} hw-tc-offload off")
    one.refuses(f"protocol ip pref 1 flower skip_sw action mirred egress redirect dev {other}", "offload is disabled")
    cmd(f"ethtool -K {one} hw-tc-offload on")
    one.add(f"protocol ip pref 1 flower skip_sw action mirred egress redirect dev {other}")


def rules_are_in_the_way_of_legacy_mode():
    switch, made = bridged()
    shortcut(switch)
    refused(f"dev eswitch set pci/{switch.pci} mode legacy", "2 rules of tc: remove them first")
    made.left.ping(made.right.ipv4, count=5)
    for rep in switch.reps:
        rep.remove(1)
    devlink(f"dev eswitch set pci/{switch.pci} mode legacy")
    made.left.ping(made.right.ipv4, count=5)
    uplink = switch.uplink
    uplink.refuses("protocol ip pref 1 flower skip_sw action drop", "no rules in legacy mode")
    uplink.add("protocol ip pref 1 flower ip_proto udp dst_port 9 action drop")
    ksft_true(uplink.rule(1).get("not_in_hw"), uplink.rule(1))


def rules_go_with_the_representor():
    switch, _ = bridged()
    shortcut(switch)
    switch.pci.write("sriov_numvfs", 0)
    # None is in the way.
    devlink(f"dev eswitch set pci/{switch.pci} mode legacy")


def rules_are_carried_out_again_after_a_reset():
    here, there = need_dpus(2)
    switch = Switch(here, 0)
    made = Pair(str(switch.uplink), there.wait_netdev())
    # The device is in a namespace, and so are its rules.
    match = "protocol ip pref 1 flower skip_sw ip_proto icmp action drop"
    tc(f"-n {made.left.ns} qdisc add dev {switch.uplink} clsact")
    tc(f"-n {made.left.ns} filter add dev {switch.uplink} ingress {match}")

    def dropped():
        text = tc(f"-n {made.left.ns} -s -j filter show dev {switch.uplink} ingress").stdout
        rules = [rule["options"] for rule in json.loads(text) if "actions" in rule.get("options", {})]
        return rules[0]["actions"][0]["stats"]["hw_packets"]

    def lost(count):
        done = cmd(f"ping -n -q -c {count} -i 0.02 -W 1 {made.left.ipv4}", ns=made.right.ns, fail=False)
        ksft_in("100% packet loss", done.stdout)
    lost(5)
    ksft_eq(dropped(), 5)
    here.reset("flr")
    log.wait("queues were reset")
    made.left.wait_up()
    # Until the switch has its rules again packets pass.
    wait_for(lambda: cmd(f"ping -n -q -c 1 -W 1 {made.left.ipv4}", ns=made.right.ns, fail=False).ret != 0,
             "the rule to be carried out")
    before = dropped()
    lost(5)
    ksft_eq(dropped(), before + 5)


if __name__ == "__main__":
    run(a_rule_moves_the_flow_off_the_representor_and_its_end_brings_it_back, a_stream_goes_the_short_way,
        a_rule_says_that_it_is_in_hardware, the_device_counts_what_meets_a_rule, a_rule_tells_when_it_was_used_last,
        a_drop_drops, pass_hands_packets_to_the_representor, tags_are_pushed_and_popped, a_mirror_gets_a_copy,
        the_uplink_has_rules, all_kinds_of_match_are_carried_out, a_port_tells_flows_apart,
        what_the_device_cannot_do_is_refused_with_skip_sw, what_the_device_cannot_do_stays_in_software,
        offload_cannot_be_turned_off_under_rules, rules_are_in_the_way_of_legacy_mode,
        rules_go_with_the_representor, rules_are_carried_out_again_after_a_reset)
