# SPDX-License-Identifier: GPL-2.0
# machine: vdpa
"""virtio_net on two SFs of Ferrite, by virtio_vdpa, against virtio_net on QEMU's own devices, without IOMMU."""

from bench.sides import Ends
from bench.streams import datagrams, streams
from ferrite import Port, Sf, bridge, dpus, set_mode
from ferrite.switch import Representor
from ferrite.vdpa import add, load, manage, netdev_of


def ferrite(pci):
    """Two vDPA devices, between which the switch forwards by rules."""
    load()
    set_mode(pci, "switchdev")
    netdevs, reps = [], []
    for number in (1, 2):
        port = Port.add(pci, f"flavour pcisf pfnum 0 sfnum {number}")
        port.activate()
        sf = Sf.of(number)
        manage(sf)
        mac = f"02:00:00:00:99:{number:02x}"
        add(sf, "max_vqp 2", name=f"v{number}", mac=mac)
        netdevs.append(netdev_of(mac))
        reps.append(Representor(port.wait_netdev()))
    # Addresses are asked for by broadcast, for which there is no rule.
    bridge(*(str(rep) for rep in reps))
    for one, other in (reps, reps[::-1]):
        one.add(f"protocol ip pref 1 flower skip_sw action mirred egress redirect dev {other}")
    return Ends("ferrite", *netdevs)


def compare(bench):
    """Compares the same driver on both."""
    sides = [ferrite(dpus()[0]), *bench.sides("virtio-tap", "virtio-hub")]
    streams(bench, sides, flows=(1, 4))
    datagrams(bench, sides)
