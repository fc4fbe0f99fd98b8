// SPDX-License-Identifier: GPL-2.0

//! Drivers that mean harm: what they write breaks their own queue at most.

use super::*;

/// Writes a descriptor of a split queue.
fn split_desc(net: &mut Net, queue: usize, at: u16, (addr, len): (u64, u32), words: [u16; 2]) {
    let base = net.virtio.queues[queue].descriptors + 16 * u64::from(at);
    net.machine.host.write(base, &addr.to_le_bytes());
    net.machine.host.write32(base + 8, len);
    let word = u32::from(words[0]) | u32::from(words[1]) << 16;
    net.machine.host.write32(base + 12, word);
}

#[test]
fn malicious_split_ring_breaks_only_its_own_queue() {
    let buffer = |net: &mut Net| net.machine.host.alloc(4096);
    type Attack = fn(&mut Net, u64);
    let attacks: [(&str, Attack, QueueSyndrome); 8] = [
        (
            "a loop",
            |net, addr| {
                split_desc(net, 1, 0, (addr, 64), [1, 1]);
                split_desc(net, 1, 1, (addr, 64), [1, 0]);
            },
            QueueSyndrome::BAD_CHAIN,
        ),
        (
            "an index outside",
            |net, addr| split_desc(net, 1, 0, (addr, 64), [1, 64]),
            QueueSyndrome::BAD_CHAIN,
        ),
        (
            "read after write",
            |net, addr| {
                split_desc(net, 1, 0, (addr, 64), [3, 1]);
                split_desc(net, 1, 1, (addr, 64), [0, 0]);
            },
            QueueSyndrome::BAD_CHAIN,
        ),
        (
            "too short for a header",
            |net, addr| split_desc(net, 1, 0, (addr, 11), [0, 0]),
            QueueSyndrome::BAD_CHAIN,
        ),
        (
            "a table that is cut",
            |net, addr| split_desc(net, 1, 0, (addr, 17), [4, 0]),
            QueueSyndrome::BAD_CHAIN,
        ),
        (
            "a table in a table",
            |net, addr| {
                net.machine.host.write32(addr + 12, 4);
                split_desc(net, 1, 0, (addr, 16), [4, 0]);
            },
            QueueSyndrome::BAD_CHAIN,
        ),
        (
            "a loop in a table",
            |net, addr| {
                net.machine.host.write32(addr + 12, 1 | 1 << 16);
                net.machine.host.write32(addr + 28, 1);
                split_desc(net, 1, 0, (addr, 32), [4, 0]);
            },
            QueueSyndrome::BAD_CHAIN,
        ),
        (
            "a table nowhere",
            |net, _| split_desc(net, 1, 0, (0x10, 16), [4, 0]),
            QueueSyndrome::DMA_FAULT,
        ),
    ];
    for (name, attack, syndrome) in attacks {
        let mut net = net(USUAL | feature::INDIRECT_DESC);
        let addr = buffer(&mut net);
        attack(&mut net, addr);
        net.virtio.queues[1].make_available(&mut net.machine, 0);
        net.virtio.queues[1].ring(&mut net.machine);
        net.machine.settle();
        println!("{name}");
        net.assert_broken(1, syndrome);
        // The others go on, this one does not.
        let buffers = net.give(0, 1, 2048);
        net.machine.receive(&frame::udp4(b"x"));
        assert_eq!(net.received(0, &buffers).len(), 1, "{name}");
        net.machine.host.sent.clear();
        net.virtio.queues[1].ring(&mut net.machine);
        net.machine.settle();
        assert!(net.machine.host.sent.is_empty(), "{name}");
        // A reset mends it.
        net.virtio
            .set_status(&mut net.driver, &mut net.machine, 0)
            .unwrap();
        net.virtio
            .begin(&mut net.driver, &mut net.machine, 64)
            .unwrap();
        net.transmit(PLAIN, &out(frame::udp4(b"x")));
        assert_eq!(net.machine.host.sent.len(), 1, "{name}");
    }
}

#[test]
fn index_too_far_ahead_breaks_the_queue() {
    let mut net = net(USUAL);
    let queue = &net.virtio.queues[1];
    net.machine
        .host
        .write(queue.driver + 2, &65u16.to_le_bytes());
    queue.ring(&mut net.machine);
    net.machine.settle();
    net.assert_broken(1, QueueSyndrome::BAD_TAIL);
}

#[test]
fn malicious_packed_ring_breaks_only_its_own_queue() {
    for (name, flags, len) in [
        ("a buffer without end", 1u16, 64u32),
        ("a writable buffer", 2, 64),
        ("a table where none was agreed on", 4, 16),
        ("too short for a header", 0, 11),
    ] {
        let mut net = net(USUAL | feature::RING_PACKED);
        let addr = net.machine.host.alloc(4096);
        let base = net.virtio.queues[1].descriptors;
        for at in 0..64 {
            net.machine.host.write(base + 16 * at, &addr.to_le_bytes());
            net.machine.host.write32(base + 16 * at + 8, len);
            let word = u32::from(flags | 1 << 7) << 16;
            net.machine.host.write32(base + 16 * at + 12, word);
        }
        net.virtio.queues[1].ring(&mut net.machine);
        net.machine.settle();
        println!("{name}");
        net.assert_broken(1, QueueSyndrome::BAD_CHAIN);
        let buffers = net.give(0, 1, 2048);
        net.machine.receive(&frame::udp4(b"x"));
        assert_eq!(net.received(0, &buffers).len(), 1, "{name}");
    }
}

#[test]
fn small_buffer_breaks_the_queue_of_who_does_not_merge() {
    let mut net = net(0);
    net.give(0, 1, 100);
    net.machine.receive(&frame::tcp4(&[0; 200]));
    net.assert_broken(0, QueueSyndrome::BAD_CHAIN);
}

#[test]
fn ring_that_cannot_be_written_breaks_the_queue() {
    let mut net = net(USUAL);
    let device = net.virtio.queues[1].device;
    net.machine.host.break_range(None, device..device + 0x100);
    net.transmit(PLAIN, &out(frame::udp4(b"x")));
    net.assert_broken(1, QueueSyndrome::DMA_FAULT);
}

#[test]
fn buffer_that_cannot_be_accessed_costs_its_packet_only() {
    let mut net = net(USUAL);
    net.virtio.queues[1].post(&mut net.machine, &[(0x10, 100, false)]);
    assert_eq!(net.stats(1).errors.get(), 1);
    net.virtio.queues[0].post(&mut net.machine, &[(0x10, 2048, true)]);
    net.machine.receive(&frame::udp4(b"x"));
    assert_eq!(net.virtio.queues[0].reap(&mut net.machine)[0].1, 0);
    assert_eq!(net.port().rx_dma_fault.get(), 1);
    assert_eq!(net.status(), 0xf);
}

proptest! {
    #[test]
    fn no_contents_of_a_ring_upset_the_device_or_other_queues(
        layout in 0..LAYOUTS.len(),
        entries in proptest::collection::vec((0..8u64, any::<[u8; 16]>(), any::<bool>()), 1..30),
        indices in proptest::collection::vec(any::<u16>(), 1..8),
    ) {
        let mut net = net_of(USUAL | LAYOUTS[layout], 1, 8);
        let memory = net.machine.host.alloc(0x1_0000);
        for (at, mut bytes, likely) in entries {
            if likely {
                let addr = memory + u64::from(bytes[0]) * 16;
                bytes[..8].copy_from_slice(&addr.to_le_bytes());
                bytes[9..12].fill(0);
            }
            let descriptors = net.virtio.queues[1].descriptors;
            net.machine.host.write(descriptors + 16 * at, &bytes);
            net.machine.host.write(memory + 16 * at, &bytes);
        }
        for index in indices {
            let driver = net.virtio.queues[1].driver;
            net.machine.host.write(driver + 2, &index.to_le_bytes());
            net.virtio.queues[1].ring(&mut net.machine);
            net.machine.run(64);
        }
        let buffers = net.give(0, 1, 2048);
        net.machine.receive(&frame::udp4(b"x"));
        prop_assert_eq!(net.received(0, &buffers).len(), 1);
    }
}
