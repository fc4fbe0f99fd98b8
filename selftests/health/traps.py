#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Packet traps: what the switch drops is counted by the cause, and handed to who wants to see it, as far as a policer lets it."""

import re
from pathlib import Path

from ferrite import KsftSkipEx, Pair, cmd, defer, devlink, ksft_eq, ksft_ge, ksft_in, ksft_lt, need_dpus, refused, run, wait_for

TRAPS = {"vlan_tag_mismatch": "l2_drops", "ingress_vlan_filter": "l2_drops", "dmac_filter": "l2_drops",
         "port_list_is_empty": "l2_drops", "port_loopback_filter": "l2_drops", "source_mac_spoofed": "l2_drops",
         "ingress_flow_action_drop": "acl_drops"}


def trap(pci, name):
    """Returns what devlink says of a trap, counters and all."""
    return devlink(f"-s trap show pci/{pci} trap {name}")["trap"][f"pci/{pci}"][0]


def set_action(pci, name, action):
    """Sets the action of a trap for the length of the test."""
    defer(devlink, f"trap set pci/{pci} trap {name} action drop")
    devlink(f"trap set pci/{pci} trap {name} action {action}")


def seen(pci, name):
    """Returns how many packets of a trap were handed to users, and how many the device dropped by itself."""
    stats = trap(pci, name)["stats"]
    return stats["rx"]["packets"], stats["rx"]["dropped"]


def stray(made, count, mac="02:00:00:00:77:77"):
    """Sends packets from left to an address that nobody has."""
    cmd(f"ip neigh replace 192.0.2.77 lladdr {mac} dev {made.left.netdev}", ns=made.left.ns)
    cmd(f"ping -q -c {count} -i 0.002 -W 1 -w 5 192.0.2.77", ns=made.left.ns, fail=False, timeout=30)


def pair():
    """Returns two DPUs' net devices that reach each other, and the second DPU, which is told of strays."""
    left, right = need_dpus(2)
    return right, Pair(left.wait_netdev(), right.wait_netdev())


def each_cause_has_a_trap_in_its_group():
    pci = need_dpus(1)[0]
    shown = devlink(f"trap show pci/{pci}")["trap"][f"pci/{pci}"]
    ksft_eq({one["name"]: one["group"] for one in shown}, TRAPS)
    ksft_eq({one["action"] for one in shown}, {"drop"})
    ksft_eq({one["name"] for one in shown if not one["generic"]}, {"source_mac_spoofed"})
    groups = devlink(f"trap group show pci/{pci}")["trap_group"][f"pci/{pci}"]
    ksft_eq({one["name"]: one["policer"] for one in groups}, {"l2_drops": 1, "acl_drops": 2})
    ksft_eq(len(devlink("trap policer show")["trap_policer"][f"pci/{pci}"]), 4)


def drops_are_counted():
    pci, made = pair()
    before = seen(pci, "dmac_filter")
    stray(made, 10)
    after = seen(pci, "dmac_filter")
    ksft_ge(after[1], before[1] + 10)
    ksft_eq(after[0], before[0])


def trapped_packets_are_seen_by_users():
    pci, made = pair()
    set_action(pci, "dmac_filter", "trap")
    before = seen(pci, "dmac_filter")
    # Whoever watches the tracepoint sees the packet, and whence it came.
    tracing = "/sys/kernel/tracing"
    cmd(f"mount -t tracefs tracefs {tracing}", fail=False)
    if not Path(tracing, "events/devlink").exists():
        raise KsftSkipEx("the kernel has no tracepoints of devlink")
    cmd(f"echo 1 >{tracing}/events/devlink/devlink_trap_report/enable", shell=True)
    defer(lambda: cmd(f"echo 0 >{tracing}/events/devlink/devlink_trap_report/enable", shell=True))
    stray(made, 10)
    wait_for(lambda: seen(pci, "dmac_filter")[0] >= before[0] + 10, "the packets to be reported")
    trace = cmd(f"cat {tracing}/trace").stdout
    line = next(line for line in trace.splitlines() if "trap_name=dmac_filter" in line)
    ksft_in(f"dev_name={pci}", line)
    ksft_in("trap_group_name=l2_drops", line)


def a_policer_limits_its_group():
    pci, made = pair()
    before_policer = devlink(f"-s trap policer show pci/{pci} policer 3")["trap_policer"][f"pci/{pci}"][0]
    devlink(f"trap policer set pci/{pci} policer 3 rate 1 burst 4")
    defer(devlink, f"trap policer set pci/{pci} policer 3 rate {before_policer['rate']} burst {before_policer['burst']}")
    devlink(f"trap group set pci/{pci} group l2_drops policer 3")
    defer(devlink, f"trap group set pci/{pci} group l2_drops policer 1")
    set_action(pci, "dmac_filter", "trap")
    before = seen(pci, "dmac_filter")[0]
    stray(made, 100)
    policer = wait_for(lambda: (now := devlink(f"-s trap policer show pci/{pci} policer 3")["trap_policer"][f"pci/{pci}"][0])
                       and now["stats"]["rx"]["dropped"] >= 50 and now, "the policer to drop packets")
    ksft_lt(seen(pci, "dmac_filter")[0] - before, 50)
    ksft_eq((policer["rate"], policer["burst"]), (1, 4))


def a_group_is_set_at_once():
    pci = need_dpus(1)[0]
    defer(devlink, f"trap group set pci/{pci} group l2_drops action drop")
    devlink(f"trap group set pci/{pci} group l2_drops action trap")
    for name, group in TRAPS.items():
        ksft_eq(trap(pci, name)["action"], "trap" if group == "l2_drops" else "drop")


def settings_outlive_a_reset():
    pci, made = pair()
    set_action(pci, "dmac_filter", "trap")
    pci.reset("flr")
    made.right.wait_up()
    before = seen(pci, "dmac_filter")
    stray(made, 10)
    wait_for(lambda: seen(pci, "dmac_filter")[0] >= before[0] + 10, "the packets to be reported")


def what_is_not_there_is_refused():
    pci = need_dpus(1)[0]
    refused(f"trap set pci/{pci} trap dmac_filter action mirror", "cannot be mirrored|invalid|Cannot")
    refused(f"trap set pci/{pci} trap blackhole_route action trap", "did not register")
    refused(f"trap policer set pci/{pci} policer 9 rate 10", "did not register")


def a_vf_in_a_vlan_shows_what_is_of_another():
    pci = need_dpus(1)[0]
    netdev = pci.wait_netdev()
    defer(pci.write, "sriov_numvfs", 0)
    pci.write("sriov_numvfs", 1)
    vf = pci.vfs[0].wait_netdev()
    cmd(f"ip link set {netdev} vf 0 vlan 100")
    before = seen(pci, "ingress_vlan_filter")[1]
    mac = re.search(r"link/ether (\S+)", cmd(f"ip link show {vf}").stdout)[1]
    for device in (netdev, vf):
        cmd(f"ip link set {device} up")
    cmd(f"ip address add 192.0.2.1/24 dev {netdev}")
    defer(cmd, f"ip address del 192.0.2.1/24 dev {netdev}", fail=False)
    cmd(f"ip neigh replace 192.0.2.50 lladdr {mac} dev {netdev}")
    wait_for(lambda: "LOWER_UP" in cmd(f"ip link show {vf}").stdout, "the VF to be up")
    cmd("ping -q -c 5 -i 0.01 -W 1 -w 3 192.0.2.50", fail=False)
    ksft_ge(seen(pci, "ingress_vlan_filter")[1], before + 5)


if __name__ == "__main__":
    run(each_cause_has_a_trap_in_its_group, drops_are_counted, trapped_packets_are_seen_by_users, a_policer_limits_its_group,
        a_group_is_set_at_once, settings_outlive_a_reset, what_is_not_there_is_refused,
        a_vf_in_a_vlan_shows_what_is_of_another)
