// SPDX-License-Identifier: GPL-2.0

//! Packets: out and in, in all layouts.

use super::*;

#[test]
fn frames_leave_as_they_were_and_buffers_come_back() {
    for layout in LAYOUTS {
        let mut net = net(USUAL | layout);
        for piece in [usize::MAX, HEADER, 20, 7] {
            let bytes = out(frame::tcp4(&[9; 300]));
            net.virtio
                .transmit(&mut net.machine, 0, PLAIN, &bytes, piece);
            assert_eq!(net.machine.host.sent.pop(), Some(bytes), "{layout:#x}");
            let queue = &mut net.virtio.queues[1];
            assert_eq!(queue.reap(&mut net.machine).len(), 1, "{layout:#x}");
            assert_eq!(queue.free(), 64);
        }
        assert_eq!(net.machine.host.raised, [(PciFn::PF, 2); 4], "{layout:#x}");
        let stats = net.stats(1);
        assert_eq!((stats.packets.get(), stats.interrupts.get()), (4, 4));
        assert_eq!(net.port().tx_packets.get(), 4);
    }
}

#[test]
fn frames_arrive_as_they_were_also_around_the_ring() {
    for layout in LAYOUTS {
        // A packed ring need not be a power of two.
        let size = if layout & feature::RING_PACKED != 0 {
            7
        } else {
            8
        };
        let mut net = net_of(USUAL | layout, 1, size);
        for round in 0..30u8 {
            let count = usize::from(round % 5) + 1;
            let buffers = net.give(0, count, 2048);
            let frames: Vec<_> = (0..count)
                .map(|at| frame::udp4(&[round; 40][..20 + at]))
                .collect();
            for bytes in &frames {
                net.machine.receive(bytes);
            }
            let received = net.received(0, &buffers);
            let bytes: Vec<_> = received.into_iter().map(|(_, bytes)| bytes).collect();
            assert_eq!(bytes, frames, "{layout:#x} {round}");
        }
        assert_eq!(net.status(), 0xf);
    }
}

#[test]
fn packet_takes_several_buffers_where_that_was_agreed_on() {
    for layout in LAYOUTS {
        let mut net = net(USUAL | layout);
        let buffers = net.give(0, 8, 200);
        let bytes = frame::tcp4(&[7; 1000]);
        net.machine.receive(&bytes);
        let received = net.received(0, &buffers);
        let (header, data) = &received[0];
        assert_eq!(data, &bytes, "{layout:#x}");
        assert_eq!(header[10..], 6u16.to_le_bytes());
        // The rest is still there.
        net.machine.receive(&frame::udp4(b"x"));
        assert_eq!(net.received(0, &buffers)[0].1, frame::udp4(b"x"));
    }
}

#[test]
fn packets_wait_for_buffers_in_their_order() {
    for layout in LAYOUTS {
        let mut net = net(USUAL | layout);
        let frames: Vec<_> = (0..5u8).map(|n| frame::udp4(&[n; 30])).collect();
        for bytes in &frames {
            net.machine.receive(bytes);
        }
        let mut buffers = net.give(0, 2, 2048);
        let mut received = net.received(0, &buffers);
        assert_eq!(received.len(), 2);
        buffers = net.give(0, 5, 2048);
        received.extend(net.received(0, &buffers));
        let bytes: Vec<_> = received.into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(bytes, frames, "{layout:#x}");
        assert_eq!(net.stats(0).dropped.get(), 0);
    }
}

#[test]
fn notifications_are_wanted_only_of_a_device_that_sleeps() {
    for layout in LAYOUTS.into_iter().filter(|l| l & feature::EVENT_IDX != 0) {
        let mut net = net(USUAL | layout);
        net.transmit(PLAIN, &out(frame::udp4(b"x")));
        let bytes = [&PLAIN[..], &out(frame::udp4(b"y"))].concat();
        let addr = net.machine.host.alloc(bytes.len());
        net.machine.host.write(addr, &bytes);
        let queue = &mut net.virtio.queues[1];
        let before = queue.notifications;
        for _ in 0..3 {
            queue.add(&mut net.machine, &[(addr, bytes.len() as u32, false)]);
            queue.notify(&mut net.machine, 1);
        }
        let after = queue.notifications;
        assert_eq!(
            (after.0 - before.0, after.1 - before.1),
            (1, 2),
            "{layout:#x}"
        );
        net.machine.settle();
        assert_eq!(net.machine.host.sent.len(), 4);
    }
}

#[test]
fn page_alone_notifies() {
    let mut net = net(USUAL);
    let bytes = [&PLAIN[..], &out(frame::udp4(b"y"))].concat();
    let addr = net.machine.host.alloc(bytes.len());
    net.machine.host.write(addr, &bytes);
    let queue = &mut net.virtio.queues[1];
    queue.add(&mut net.machine, &[(addr, bytes.len() as u32, false)]);
    queue.ring_by_value(&mut net.machine);
    net.machine.settle();
    assert_eq!(net.machine.host.sent.len(), 1);
}

#[test]
fn checksums_and_segments_are_as_asked_for() {
    let mut net = net(USUAL);
    let good = out(frame::tcp4(b"hello"));
    let mut bytes = good.clone();
    // The driver leaves the sum of the pseudo-header there.
    let pseudo = |frame: &[u8], protocol: u16, length: u16| {
        let mut sum = u32::from(protocol) + u32::from(length);
        for pair in frame[26..34].chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
        }
        (sum % 0xffff) as u16
    };
    let length = (good.len() - 34) as u16;
    let sum = pseudo(&bytes, 6, length);
    bytes[50..52].copy_from_slice(&sum.to_be_bytes());
    let mut header = PLAIN;
    header[0] = 1;
    header[6..8].copy_from_slice(&34u16.to_le_bytes());
    header[8..10].copy_from_slice(&16u16.to_le_bytes());
    net.transmit(header, &bytes);
    assert_eq!(net.machine.host.sent.pop(), Some(good));

    let big = out(frame::tcp4(&[5; 3000]));
    header[1] = 1;
    header[4..6].copy_from_slice(&1000u16.to_le_bytes());
    net.transmit(header, &big);
    let lengths: Vec<_> = net.machine.host.sent.drain(..).map(|f| f.len()).collect();
    assert_eq!(lengths, [1054; 3]);

    let big = out(frame::udp4(&[5; 2500]));
    header[1] = 5;
    header[8..10].copy_from_slice(&6u16.to_le_bytes());
    net.transmit(header, &big);
    let lengths: Vec<_> = net.machine.host.sent.drain(..).map(|f| f.len()).collect();
    assert_eq!(lengths, [1042, 1042, 542]);
}

#[test]
fn what_was_not_agreed_on_is_refused_and_breaks_nothing() {
    let mut net = net(0);
    let bytes = out(frame::tcp4(b"hello"));
    for (flags, kind) in [(1, 0), (0, 1), (1, 1), (1, 4), (1, 5), (0, 9), (0, 0x80)] {
        let mut header = PLAIN;
        (header[0], header[1]) = (flags, kind);
        net.transmit(header, &bytes);
    }
    net.transmit(PLAIN, &[0; 13]);
    assert!(net.machine.host.sent.is_empty());
    assert_eq!(net.stats(1).errors.get(), 8);
    net.transmit(PLAIN, &bytes);
    assert_eq!(net.machine.host.sent.len(), 1);
    assert_eq!(net.status(), 0xf);
}

#[test]
fn right_checksum_is_told_to_who_wants_to_know() {
    for (features, flags) in [(USUAL, 2), (0, 0)] {
        let mut net = net(features);
        let buffers = net.give(0, 2, 2048);
        net.machine.receive(&frame::tcp4(b"x"));
        let mut wrong = frame::tcp4(b"x");
        wrong[54] ^= 1;
        net.machine.receive(&wrong);
        let received = net.received(0, &buffers);
        assert_eq!((received[0].0[0], received[1].0[0]), (flags, 0));
    }
}

/// A PF that receives with these features, and a VF that sends to it with these.
fn between(receives: u64, sends: u64) -> (Net, Driver, VirtioNet) {
    let mut machine = Machine::with_memory(Config::default(), 64 << 20);
    machine.set_vfs(1);
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    let mut vf = Driver::start(&mut machine, PciFn::vf(0));
    let (shape, id) = ((receives, 1, 64), driver.id());
    let virtio =
        VirtioNet::start(&mut driver, &mut machine, id, shape, frame::DESTINATION).unwrap();
    let (shape, id) = ((sends, 1, 64), vf.id());
    let sender = VirtioNet::start(&mut vf, &mut machine, id, shape, frame::SOURCE).unwrap();
    let net = Net {
        machine,
        driver,
        virtio,
    };
    (net, vf, sender)
}

/// What most drivers take that want packets joined.
const JOINED: u64 = USUAL
    | feature::CTRL_GUEST_OFFLOADS
    | feature::GUEST_TSO4
    | feature::GUEST_TSO6
    | feature::GUEST_USO4
    | feature::GUEST_USO6;

/// Packets to be cut into pieces of 1000 bytes, and the headers that say so.
fn large(length: usize) -> [([u8; HEADER], Vec<u8>); 4] {
    let payload = vec![5; length];
    let header = |kind, l4: u16, checksum: u16| {
        let mut header = PLAIN;
        (header[0], header[1]) = (1, kind);
        header[2..4].copy_from_slice(&(l4 + if checksum == 16 { 20 } else { 8 }).to_le_bytes());
        header[4..6].copy_from_slice(&1000u16.to_le_bytes());
        header[6..8].copy_from_slice(&l4.to_le_bytes());
        header[8..10].copy_from_slice(&checksum.to_le_bytes());
        header
    };
    [
        (header(1, 34, 16), frame::tcp4(&payload)),
        (header(4, 54, 16), frame::tcp6(&payload)),
        (header(5, 34, 6), frame::udp4(&payload)),
        (header(5, 54, 6), frame::udp6(&payload)),
    ]
}

#[test]
fn what_was_cut_comes_joined_to_who_takes_it_so() {
    for (header, bytes) in large(30_500) {
        let (mut net, _vf, mut sender) = between(JOINED, USUAL);
        let buffers = net.give(0, 40, 2048);
        sender.transmit(&mut net.machine, 0, header, &bytes, usize::MAX);
        let received = net.received(0, &buffers);
        assert_eq!(received.len(), 1, "{header:?}");
        let (told, data) = &received[0];
        assert_eq!(told[..10], header[..10]);
        let headers = usize::from(header[2]);
        assert_eq!(data[headers..], bytes[headers..]);
        let stats = net.port();
        assert_eq!(stats.rx_packets.get(), 31);
        assert_eq!(stats.rx_bytes.get(), 30_500 + 31 * headers as u64);
        // To who does not want it any more each comes alone.
        let only_checksums = 2u64.to_le_bytes();
        assert!(net.virtio.control(&mut net.machine, 5, 0, &only_checksums));
        sender.transmit(&mut net.machine, 0, header, &bytes, usize::MAX);
        assert!(net
            .received(0, &buffers)
            .iter()
            .all(|(told, _)| told[1] == 0));
        assert_eq!(net.status(), 0xf);
    }
}

#[test]
fn joined_packet_passes_on_as_it_came() {
    for (header, bytes) in large(3500) {
        let (mut net, _vf, mut sender) = between(JOINED, USUAL);
        let buffers = net.give(0, 40, 2048);
        sender.transmit(&mut net.machine, 0, header, &bytes, usize::MAX);
        let (told, data) = net.received(0, &buffers).remove(0);
        // As a router does, with the header that it was given.
        let mut data = out(data);
        data[6..12].copy_from_slice(&frame::DESTINATION);
        net.transmit(told[..HEADER].try_into().unwrap(), &data);
        let segments: Vec<_> = net.machine.host.sent.drain(..).collect();
        let headers = usize::from(header[2]);
        let lengths: Vec<_> = segments.iter().map(|bytes| bytes.len() - headers).collect();
        assert_eq!(lengths, [1000, 1000, 1000, 500]);
        // All checksums are right: who wants to know is told so.
        let mut net = super::net(USUAL);
        let buffers = net.give(0, 8, 2048);
        for mut segment in segments {
            segment[..6].copy_from_slice(&frame::DESTINATION);
            net.machine.receive(&segment);
        }
        let received = net.received(0, &buffers);
        let told: Vec<_> = received.iter().map(|(told, _)| told[0]).collect();
        assert_eq!(told, [2; 4], "{header:?}");
    }
}

#[test]
fn what_does_not_belong_together_comes_alone_and_in_order() {
    let mut net = net(JOINED);
    let buffers = net.give(0, 16, 2048);
    let other = {
        let mut other = frame::udp4(&[2; 50]);
        // From another port, without a checksum.
        (other[35], other[40], other[41]) = (other[35] ^ 1, 0, 0);
        other
    };
    let frames = [
        frame::udp4(&[2; 50]),
        frame::udp4(&[2; 51]),
        other,
        frame::udp4(&[2; 51]),
        frame::udp6(&[2; 51]),
        frame::udp6(&[]),
        frame::udp6(&[3; 51]),
    ];
    for bytes in &frames {
        let Machine { device, host, .. } = &mut net.machine;
        let _ = device.uplink_receive(host, bytes);
    }
    net.machine.settle();
    let received: Vec<_> = net
        .received(0, &buffers)
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect();
    assert_eq!(received, frames);
}

#[test]
fn packet_that_no_ring_holds_costs_itself_only() {
    let mut net = net_of(USUAL, 1, 4);
    let buffers = net.give(0, 4, 100);
    net.machine.receive(&frame::tcp4(&[1; 1000]));
    net.machine.receive(&frame::udp4(b"x"));
    assert_eq!(net.received(0, &buffers)[0].1, frame::udp4(b"x"));
    assert_eq!(net.stats(0).dropped.get(), 1);
    assert_eq!(net.status(), 0xf);
}

#[test]
fn hash_is_told_of_the_kinds_that_were_asked_for() {
    let features = USUAL | feature::MQ | feature::HASH_REPORT;
    for layout in LAYOUTS {
        let mut net = net_of(features | layout, 2, 64);
        let buffers = net.give(0, 16, 2048);
        let kinds = [
            frame::tcp4(b"x"),
            frame::udp4(b"x"),
            frame::tcp6(b"x"),
            frame::udp6(b"x"),
        ];
        let told = |net: &mut Net| -> Vec<(u32, u16)> {
            for bytes in &kinds {
                net.machine.receive(bytes);
            }
            let received = net.received(0, &buffers);
            let bytes: Vec<_> = received.iter().map(|(_, bytes)| bytes).collect();
            assert_eq!(bytes, kinds.iter().collect::<Vec<_>>());
            let word = |at: &[u8]| u32::from_le_bytes([at[0], at[1], at[2], at[3]]);
            let told = received.iter();
            told.map(|(header, _)| (word(&header[12..]), word(&header[16..]) as u16))
                .collect()
        };
        assert_eq!(told(&mut net), [(0, 0); 4]);
        let config = |types: u32, rsvd: u8| {
            let mut data = types.to_le_bytes().to_vec();
            data.extend([rsvd; 8]);
            data.push(40);
            data.extend(0..40u8);
            data
        };
        let control = |net: &mut Net, data: &[u8]| net.virtio.control(&mut net.machine, 4, 2, data);
        // Addresses of IPv4; ports as well of TCP over IPv4; all of UDP over IPv6.
        assert!(control(&mut net, &config(1 | 2 | 32, 7)));
        let kinds: Vec<_> = told(&mut net).iter().map(|(_, kind)| *kind).collect();
        assert_eq!(kinds, [2, 1, 0, 6], "{layout:#x}");
        for bad in [config(1 << 6, 0), config(1, 0)[..30].to_vec()] {
            assert!(!control(&mut net, &bad));
        }
        // Packets leave as they were behind the longer header.
        let bytes = out(frame::tcp4(b"hello"));
        net.transmit(PLAIN, &bytes);
        assert_eq!(net.machine.host.sent.pop(), Some(bytes));
        net.machine.migrate();
        let again: Vec<_> = told(&mut net).iter().map(|(_, kind)| *kind).collect();
        assert_eq!(again, kinds);
    }
}

#[test]
fn packet_reaches_a_vf_that_is_ethernet() {
    let config = Config::default();
    let mut machine = Machine::with_memory(config, 64 << 20);
    machine.set_vfs(1);
    let mut pf = Driver::start(&mut machine, PciFn::PF);
    let mut vf = Driver::start(&mut machine, PciFn::vf(0));
    let mut rx = vf.rx_queue(&mut machine, 0);
    let mac = SetMac {
        mac: frame::DESTINATION,
        rsvd: [0; 2],
    };
    vf.send(&mut machine, mac).unwrap();
    vf.open(&mut machine);
    rx.post(&mut machine, 4);
    let id = pf.id();
    let shape = (USUAL, 1, 64);
    let mac = [2, 0, 0, 0, 0, 1];
    let mut virtio = VirtioNet::start(&mut pf, &mut machine, id, shape, mac).unwrap();
    virtio.transmit(&mut machine, 0, PLAIN, &frame::tcp4(b"hi"), usize::MAX);
    let packets = rx.reap(&mut machine);
    assert_eq!(packets[0].bytes, frame::tcp4(b"hi"));
}

proptest! {
    #[test]
    fn whatever_way_packets_go_they_stay_as_they_are(
        layout in 0..LAYOUTS.len(),
        steps in proptest::collection::vec((1..1400usize, 1..300usize, 70..3000u32, any::<bool>()), 1..20),
    ) {
        let mut net = net_of(USUAL | LAYOUTS[layout], 1, 32);
        let (mut buffers, mut expected, mut received) = (Vec::new(), Vec::new(), Vec::new());
        for (nth, (length, piece, size, takes)) in (0u8..).zip(steps) {
            let bytes = out(frame::udp4(&vec![nth; length]));
            // No more pieces than the queue has entries.
            let piece = piece.max((bytes.len() + HEADER).div_ceil(30));
            net.virtio.transmit(&mut net.machine, 0, PLAIN, &bytes, piece);
            prop_assert_eq!(net.machine.host.sent.pop(), Some(bytes));
            prop_assert_eq!(net.virtio.queues[1].reap(&mut net.machine).len(), 1);
            let bytes = frame::tcp4(&vec![nth; length]);
            net.machine.receive(&bytes);
            expected.push(bytes);
            if takes {
                if net.virtio.queues[0].free() > 0 {
                    buffers.extend(net.give(0, 1, size));
                }
                received.extend(net.received(0, &buffers).into_iter().map(|(_, bytes)| bytes));
            }
            if nth % 7 == 6 {
                net.machine.migrate();
                net.machine.settle();
            }
        }
        while received.len() < expected.len() {
            let count = net.virtio.queues[0].free();
            prop_assert!(count > 0, "buffers that no packet comes in");
            buffers.extend(net.give(0, count, 2048));
            received.extend(net.received(0, &buffers).into_iter().map(|(_, bytes)| bytes));
        }
        prop_assert_eq!(received, expected);
        prop_assert_eq!(net.status(), 0xf);
    }
}
