#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The switch in legacy mode: it forwards by address, learns, keeps VLANs as they are, and floods broadcast."""

from ferrite import Pair, Side, cmd, defer, ip, ksft_eq, ksft_gt, ksft_in, ksft_lt, ksft_true, mode_of, need_dpus, run, wait_for
from ferrite.switch import Representor

PINGS = 30
# Packets that nobody asked for: neighbours are looked for now and then.
CHATTER = 15


def vfs(pci, count):
    """Makes VFs for the length of the test; returns the names of their network devices."""
    ksft_eq(mode_of(pci), "legacy")
    defer(pci.write, "sriov_numvfs", 0)
    pci.write("sriov_numvfs", count)
    return [vf.wait_netdev() for vf in pci.vfs]


def unicast_goes_to_its_port_only():
    here, there = need_dpus(2)
    first, second, third = vfs(here, 3)
    watchers = [Side("bystander", third, 3), Side("outside", there.wait_netdev(), 4)]
    for side in watchers:
        side.up()
        ip(f"link set {side.netdev} promisc on", ns=side.ns)
    made = Pair(first, second)
    before = [side.link()["stats64"]["rx"]["packets"] for side in watchers]
    made.left.ping(made.right.ipv4, count=PINGS)
    for side, old in zip(watchers, before):
        ksft_lt(side.link()["stats64"]["rx"]["packets"] - old, CHATTER, str(side))


def broadcast_goes_to_all_ports_and_the_cable():
    here, there = need_dpus(2)
    sides = [Side(name, netdev, number)
             for number, (name, netdev) in enumerate(zip(("a", "b", "c"), vfs(here, 3)), 1)]
    outside = Side("outside", there.wait_netdev(), 9)
    for side in [*sides, outside]:
        side.up()
    before = [side.link()["stats64"]["rx"]["packets"] for side in [*sides[1:], outside]]
    cmd("ping -n -q -c 10 -i 0.02 -W 1 -b 192.0.2.255", ns=sides[0].ns, fail=False)
    for side, old in zip([*sides[1:], outside], before):
        wait_for(lambda side=side, old=old: side.link()["stats64"]["rx"]["packets"] >= old + 10, f"{side} to hear it")


def tagged_packets_keep_their_tag():
    first, second = vfs(need_dpus(1)[0], 2)
    made = Pair(first, second)
    for number, side in enumerate((made.left, made.right), 1):
        ip(f"link add link {side.netdev} name tagged type vlan id 7", ns=side.ns)
        ip(f"address add 198.51.100.{number}/24 dev tagged", ns=side.ns)
        ip("link set tagged up", ns=side.ns)
    reach = "ping -n -q -c 1 -W 1 198.51.100.2"
    wait_for(lambda: cmd(reach, ns=made.left.ns, fail=False).ret == 0, "the first packet to come back")
    made.left.ping("198.51.100.2", count=PINGS)


def addresses_behind_the_pf_are_learned():
    here, there = need_dpus(2)
    netdev = vfs(here, 1)[0]
    uplink = here.wait_netdev()
    # A machine behind a bridge that the PF is a port of.
    ip("link add name yard type bridge mcast_snooping 0")
    defer(ip, "link del yard")
    ip("link add name gate type veth peer name house")
    defer(cmd, "ip link del gate", fail=False)
    for port in (uplink, "gate"):
        ip(f"link set {port} master yard up")
    ip("link set yard up")
    # The PF is to receive what is for others, and all of it.
    ip(f"link set {uplink} promisc on")
    defer(ip, f"link set {uplink} promisc off")
    made = Pair("house", netdev)
    outside = Representor(there.wait_netdev())
    ip(f"link set {outside} up promisc on")
    defer(ip, f"link set {outside} down promisc off")
    wait_for(lambda: ip(f"link show dev {outside}", json=True)[0]["operstate"] == "UP", "the other DPU to be up")
    made.right.ping(made.left.ipv4, count=1)
    before = outside.received()
    made.right.ping(made.left.ipv4, count=PINGS)
    # What is for an address that was learned does not go to the cable.
    ksft_lt(outside.received() - before, CHATTER)


def vf_info(pci, index):
    """Returns what `ip link` says of a VF."""
    return ip(f"link show dev {pci.wait_netdev()}", json=True)[0]["vfinfo_list"][index]


def ip_link_shows_and_sets_vfs():
    pci = need_dpus(1)[0]
    vfs(pci, 2)
    netdev = pci.wait_netdev()
    before = vf_info(pci, 0)
    ksft_true(before["spoofchk"], before)
    ksft_true(not before["trust"], before)
    ip(f"link set {netdev} vf 0 mac 02:00:00:00:00:42")
    ip(f"link set {netdev} vf 0 vlan 5")
    ip(f"link set {netdev} vf 0 spoofchk off")
    ip(f"link set {netdev} vf 0 trust on")
    info = vf_info(pci, 0)
    ksft_eq(info["mac"] if "mac" in info else info["address"], "02:00:00:00:00:42")
    ksft_eq(info["vlan_list"][0]["vlan"], 5)
    ksft_true(not info["spoofchk"], info)
    ksft_true(info["trust"], info)
    # The other one is as it was.
    ksft_true(vf_info(pci, 1)["spoofchk"])
    # What is provisioned is what the VF's driver finds.
    pci.vfs[0].unbind()
    name = pci.vfs[0].bind()
    ksft_eq(ip(f"link show dev {name}", json=True)[0]["address"], "02:00:00:00:00:42")
    for wrong in ("mac 01:00:00:00:00:01", "vlan 5 qos 3", "vlan 5 proto 802.1ad"):
        ksft_true(cmd(f"ip link set {netdev} vf 0 {wrong}", fail=False).ret != 0, wrong)


def a_vf_in_a_vlan_knows_nothing_of_it():
    pci = need_dpus(1)[0]
    first, second = vfs(pci, 2)
    netdev = pci.wait_netdev()
    for index in (0, 1):
        ip(f"link set {netdev} vf {index} vlan 5")
    made = Pair(first, second)
    made.left.ping(made.right.ipv4, count=PINGS)
    # The PF sees the tag.
    ip(f"link add link {netdev} name tagged type vlan id 5")
    defer(cmd, "ip link del tagged", fail=False)
    ip("address add 192.0.2.9/24 dev tagged")
    ip(f"link set {netdev} up")
    ip("link set tagged up")
    reach = f"ping -n -q -c 1 -W 1 {made.left.ipv4}"
    wait_for(lambda: cmd(reach, fail=False).ret == 0, "the first packet to come back")
    # Outside of the VLAN nobody is there.
    ip(f"link set {netdev} vf 1 vlan 6")
    done = cmd(f"ping -n -q -c 3 -i 0.02 -W 1 {made.right.ipv4}", ns=made.left.ns, fail=False)
    ksft_in("100% packet loss", done.stdout)


def a_vf_sends_from_its_own_address_unless_it_may():
    pci = need_dpus(1)[0]
    first, second = vfs(pci, 2)
    made = Pair(first, second)
    ip(f"link add link {first} name other type macvlan mode private", ns=made.left.ns)
    ip("address add 198.51.100.1/24 dev other", ns=made.left.ns)
    ip(f"address add 198.51.100.2/24 dev {second}", ns=made.right.ns)
    ip("link set other up", ns=made.left.ns)
    reach = "ping -n -q -c 1 -W 1 198.51.100.2"
    refused = made.left.stats()["port_tx_not_permitted"]
    ksft_true(cmd(reach, ns=made.left.ns, fail=False).ret != 0, "a VF sent from another address")
    ksft_gt(made.left.stats()["port_tx_not_permitted"], refused)
    ip(f"link set {pci.wait_netdev()} vf 0 spoofchk off")
    wait_for(lambda: cmd(reach, ns=made.left.ns, fail=False).ret == 0, "the packet to come back")


def the_pf_holds_links_of_vfs_and_limits_them():
    pci = need_dpus(1)[0]
    first, second = vfs(pci, 2)
    netdev = pci.wait_netdev()
    made = Pair(first, second)
    ksft_eq(vf_info(pci, 0)["link_state"], "auto")
    ip(f"link set {netdev} vf 0 state disable")
    wait_for(lambda: made.left.link()["operstate"] == "DOWN", "the link to go down")
    ksft_eq(vf_info(pci, 0)["link_state"], "disable")
    ip(f"link set {netdev} vf 0 state enable")
    made.left.wait_up()
    ksft_eq(vf_info(pci, 0)["link_state"], "enable")
    made.left.ping(made.right.ipv4, count=PINGS)
    ip(f"link set {netdev} vf 0 state auto")
    ip(f"link set {netdev} vf 0 max_tx_rate 20 min_tx_rate 5")
    ksft_eq(vf_info(pci, 0)["rate"], {"max_tx": 20, "min_tx": 5})
    ksft_eq(vf_info(pci, 1)["rate"], {"max_tx": 0, "min_tx": 0})
    rate = made.iperf(seconds=2)["end"]["sum_received"]["bits_per_second"]
    ksft_true(1_000_000 < rate < 30_000_000, f"{rate} bit/s at 20 Mbit/s")
    ksft_true(cmd(f"ip link set {netdev} vf 0 max_tx_rate 5 min_tx_rate 20", fail=False).ret != 0)
    ip(f"link set {netdev} vf 0 max_tx_rate 0 min_tx_rate 0")
    ksft_gt(made.iperf(seconds=1)["end"]["sum_received"]["bits_per_second"], 30_000_000)


if __name__ == "__main__":
    run(unicast_goes_to_its_port_only, broadcast_goes_to_all_ports_and_the_cable, tagged_packets_keep_their_tag,
        addresses_behind_the_pf_are_learned, ip_link_shows_and_sets_vfs, a_vf_in_a_vlan_knows_nothing_of_it,
        a_vf_sends_from_its_own_address_unless_it_may, the_pf_holds_links_of_vfs_and_limits_them)
