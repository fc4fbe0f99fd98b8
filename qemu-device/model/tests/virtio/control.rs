// SPDX-License-Identifier: GPL-2.0

//! The control queue.

use super::*;

#[test]
fn control_queue_sets_addresses_and_modes() {
    for layout in LAYOUTS {
        let features = USUAL | feature::CTRL_VLAN | layout;
        let mut net = net(features);
        let buffers = net.give(0, 8, 2048);
        let mut foreign = frame::udp4(b"foreign");
        foreign[..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
        net.machine.receive(&foreign);
        assert_eq!(net.received(0, &buffers).len(), 0);
        let control = |net: &mut Net, class, command, data: &[u8]| {
            net.virtio.control(&mut net.machine, class, command, data)
        };
        // Another address, then promiscuous.
        assert!(control(&mut net, 1, 1, &[2, 0, 0, 0, 0, 9]));
        net.machine.receive(&foreign);
        net.machine.receive(&frame::udp4(b"x"));
        assert_eq!(net.received(0, &buffers).len(), 1);
        assert_eq!(net.config().1[..6], [2, 0, 0, 0, 0, 9]);
        assert!(control(&mut net, 0, 0, &[1]));
        net.machine.receive(&frame::udp4(b"x"));
        assert_eq!(net.received(0, &buffers).len(), 1);
        assert!(control(&mut net, 0, 0, &[0]));
        // A table of addresses.
        let table = [
            &1u32.to_le_bytes()[..],
            &frame::DESTINATION,
            &0u32.to_le_bytes(),
        ]
        .concat();
        assert!(control(&mut net, 1, 0, &table));
        net.machine.receive(&frame::udp4(b"x"));
        assert_eq!(net.received(0, &buffers).len(), 1);
        // Only VLANs that were asked for.
        let mut tagged = foreign.clone();
        tagged.splice(12..12, [0x81, 0, 0x20, 5]);
        net.machine.receive(&tagged);
        assert_eq!(net.received(0, &buffers).len(), 0);
        assert!(control(&mut net, 2, 0, &5u16.to_le_bytes()));
        net.machine.receive(&tagged);
        assert_eq!(net.received(0, &buffers)[0].1, tagged);
        for (class, command, data) in [
            (0, 0, &[][..]),
            (0, 0, &[2]),
            (1, 1, &[1, 0, 0, 0, 0, 9]),
            (1, 0, &[0xff; 8]),
            (2, 0, &[0, 0x10]),
            (3, 0, &[]),
            (4, 0, &[1, 0]),
            (9, 0, &[]),
        ] {
            assert!(
                !control(&mut net, class, command, data),
                "{class} {command}"
            );
        }
        assert_eq!(net.status(), 0xf, "{layout:#x}");
    }
}

#[test]
fn flows_are_spread_over_the_pairs_that_are_used() {
    let features = USUAL | feature::MQ | feature::RSS;
    let mut net = net_of(features, 4, 64);
    let buffers: Vec<_> = (0..4).map(|pair| net.give(pair, 32, 2048)).collect();
    let spread = |net: &mut Net| -> Vec<usize> {
        for port in 0..16u16 {
            let mut bytes = frame::udp4(b"x");
            bytes[34..36].copy_from_slice(&(5000 + 37 * port).to_be_bytes());
            net.machine.receive(&bytes);
        }
        (0..4u16)
            .map(|pair| net.received(pair, &buffers[usize::from(pair)]).len())
            .collect()
    };
    assert_eq!(spread(&mut net), [16, 0, 0, 0]);
    assert!(net
        .virtio
        .control(&mut net.machine, 4, 0, &2u16.to_le_bytes()));
    let two = spread(&mut net);
    assert!(two[0] > 0 && two[1] > 0 && two[0] + two[1] == 16, "{two:?}");
    for bad in [0u16, 5] {
        assert!(!net
            .virtio
            .control(&mut net.machine, 4, 0, &bad.to_le_bytes()));
    }
    // By hash: UDP is not hashed, and goes where it is told.
    let rss = |unclassified: u16| {
        let mut data = Vec::new();
        data.extend(2u32.to_le_bytes());
        data.extend(1u16.to_le_bytes());
        data.extend(unclassified.to_le_bytes());
        data.extend([0, 0, 1, 0]);
        data.extend(4u16.to_le_bytes());
        data.push(40);
        data.extend([0x6d; 40]);
        data
    };
    assert!(net.virtio.control(&mut net.machine, 4, 1, &rss(3)));
    assert_eq!(spread(&mut net), [0, 0, 0, 16]);
    assert!(!net.virtio.control(&mut net.machine, 4, 1, &rss(4)));
    assert!(!net.virtio.control(&mut net.machine, 4, 1, &rss(3)[..20]));
}

#[test]
fn driver_announces_itself_when_asked() {
    let mut net = net(USUAL | 1 << 21);
    let announce = ModifyVirtio {
        mask: U16::new(VirtioFields::ANNOUNCE.0),
        mac: [0; 6],
    };
    net.send(announce).unwrap();
    assert_eq!(net.config().1[6], 3);
    assert!(net.virtio.control(&mut net.machine, 3, 0, &[]));
    assert_eq!(net.config().1[6], 1);
}
