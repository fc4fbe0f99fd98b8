// SPDX-License-Identifier: GPL-2.0

//! Functions as virtio-net devices: both layouts of queues, packets, the control queue, memory.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::*;
use ferrite_abi::event::{
    QueueError,
    QueueSyndrome,
    VirtioChange, //
};
use ferrite_abi::wire::{
    U16,
    U32,
    U64, //
};
use ferrite_model::testing::virtio::{
    feature,
    VirtioNet,
    HEADER,
    NEEDED, //
};
use ferrite_model::testing::{
    frame,
    Driver,
    Machine, //
};
use ferrite_model::{
    Config,
    PciFn, //
};

use proptest::prelude::*;

/// Bit of the status that says that the device needs a reset.
const NEEDS_RESET: u8 = 0x40;
/// No offload at all.
const PLAIN: [u8; HEADER] = [0; HEADER];

/// All layouts and ways to tell each other, which no packet should notice.
const LAYOUTS: [u64; 6] = [
    0,
    feature::EVENT_IDX,
    feature::EVENT_IDX | feature::INDIRECT_DESC,
    feature::RING_PACKED,
    feature::RING_PACKED | feature::EVENT_IDX,
    feature::RING_PACKED | feature::EVENT_IDX | feature::INDIRECT_DESC | feature::IN_ORDER,
];

/// What most drivers take.
const USUAL: u64 = feature::MRG_RXBUF
    | feature::CSUM
    | feature::GUEST_CSUM
    | feature::HOST_TSO4
    | feature::HOST_TSO6
    | feature::HOST_USO
    | feature::CTRL_VQ
    | feature::CTRL_RX
    | feature::CTRL_MAC_ADDR;

/// A frame for someone on the wire.
fn out(mut frame: Vec<u8>) -> Vec<u8> {
    frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 0x77]);
    frame
}

struct Net {
    machine: Machine,
    driver: Driver,
    virtio: VirtioNet,
}

/// A PF that is a virtio-net device and has the address that the frames here are for.
fn net(features: u64) -> Net {
    net_of(features, 1, 64)
}

fn net_of(features: u64, pairs: u16, size: u16) -> Net {
    let mut machine = Machine::with_memory(Config::default(), 64 << 20);
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    driver.create_event_queue(&mut machine);
    let shape = (features, pairs, size);
    let id = driver.id();
    let virtio =
        VirtioNet::start(&mut driver, &mut machine, id, shape, frame::DESTINATION).unwrap();
    machine.host.raised.clear();
    Net {
        machine,
        driver,
        virtio,
    }
}

impl Net {
    fn give(&mut self, pair: u16, count: usize, size: u32) -> Vec<(u16, u64)> {
        (0..count)
            .map(|_| self.virtio.give(&mut self.machine, pair, size))
            .collect()
    }

    fn transmit(&mut self, header: [u8; HEADER], frame: &[u8]) {
        self.virtio
            .transmit(&mut self.machine, 0, header, frame, usize::MAX);
    }

    /// Takes the packets that a pair received in these buffers: header and bytes.
    fn received(&mut self, pair: u16, buffers: &[(u16, u64)]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let done = self.virtio.queues[usize::from(2 * pair)].reap(&mut self.machine);
        let mut packets = Vec::new();
        let mut rest = 0;
        for (id, len) in done {
            let addr = buffers
                .iter()
                .rev()
                .find(|buffer| buffer.0 == id)
                .unwrap()
                .1;
            let mut bytes = vec![0; len as usize];
            self.machine.host.read(addr, &mut bytes);
            if rest == 0 {
                rest = u16::from_le_bytes([bytes[10], bytes[11]]);
                let data = bytes.split_off(HEADER);
                packets.push((bytes, data));
            } else {
                packets.last_mut().unwrap().1.extend(bytes);
            }
            rest -= 1;
        }
        assert_eq!(rest, 0, "a packet that is not whole");
        packets
    }

    fn send<C: ferrite_abi::admin::Command>(&mut self, command: C) -> Result<C::Done, Status> {
        self.driver.send(&mut self.machine, command)
    }

    fn stats(&mut self, index: u16) -> VirtqueueStats {
        let query = QueryVirtqueueStats {
            index: U16::new(index),
            rsvd: [0; 2],
        };
        self.driver.fetch(&mut self.machine, query).unwrap().1
    }

    fn port(&mut self) -> PortStats {
        let fetched = self.driver.fetch(&mut self.machine, QueryStats {});
        fetched.unwrap().1
    }

    fn status(&mut self) -> u8 {
        self.send(QueryVirtioState {}).unwrap().status
    }

    fn config(&mut self) -> (u32, [u8; 32]) {
        let fetched = self.driver.fetch(&mut self.machine, ReadVirtioConfig {});
        let (done, data) = fetched.unwrap();
        (done.generation.get(), data.bytes)
    }

    /// Asserts that a queue stopped for a reason and said so, and that the device needs a reset.
    fn assert_broken(&mut self, index: u16, syndrome: QueueSyndrome) {
        let query = QueryVirtqueue {
            index: U16::new(index),
            rsvd: [0; 2],
        };
        assert_eq!(self.send(query).unwrap().syndrome.get(), syndrome.0);
        let events = self.driver.events(&mut self.machine);
        let errors: Vec<_> = events
            .iter()
            .filter_map(|event| event.payload::<QueueError>())
            .map(|error| (error.kind.get(), error.index.get(), error.syndrome.get()))
            .collect();
        assert_eq!(errors, [(QueueKind::VIRTIO.0, index, syndrome.0)]);
        let change = events
            .iter()
            .find_map(|event| event.payload::<VirtioChange>());
        assert_eq!(change.unwrap().status & NEEDS_RESET, NEEDS_RESET);
        assert_eq!(self.status() & NEEDS_RESET, NEEDS_RESET);
    }
}

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

#[test]
fn vf_is_a_virtio_device_on_its_own_admin_queue() {
    let mut machine = Machine::with_memory(Config::default(), 64 << 20);
    machine.set_vfs(1);
    let mut vf = Driver::start(&mut machine, PciFn::vf(0));
    let id = vf.id();
    let shape = (USUAL, 2, 64);
    let mut net = VirtioNet::start(&mut vf, &mut machine, id, shape, [0; 6]).unwrap();
    let (_, config) = vf.fetch(&mut machine, ReadVirtioConfig {}).unwrap();
    let mac: [u8; 6] = config.bytes[..6].try_into().unwrap();
    assert_eq!(mac, vf.send(&mut machine, QueryFunction {}).unwrap().mac);
    let mut bytes = out(frame::tcp4(b"hi"));
    bytes[6..12].copy_from_slice(&mac);
    net.transmit(&mut machine, 0, PLAIN, &bytes, usize::MAX);
    assert_eq!(machine.host.sent, [bytes]);
    // From another address it may not send.
    net.transmit(&mut machine, 0, PLAIN, &out(frame::tcp4(b"hi")), usize::MAX);
    assert_eq!(machine.host.sent.len(), 1);
}

#[test]
fn function_is_owned_by_one_at_a_time() {
    let mut net = net(USUAL);
    let enable = EnablePort {
        enable: 1,
        rsvd: [0; 3],
    };
    assert_eq!(net.send(enable), Err(Status::IN_USE));
    let create = CreateVirtio {
        features: U64::new(NEEDED),
        mtu: U16::new(1500),
        pairs: U16::new(1),
        ..CreateVirtio::default()
    };
    assert_eq!(net.send(create), Err(Status::IN_USE));
    net.send(DestroyVirtio {}).unwrap();
    assert_eq!(net.send(DestroyVirtio {}), Err(Status::BAD_STATE));
    net.driver.tx_queue(&mut net.machine, 0);
    assert_eq!(net.send(create), Err(Status::IN_USE));
}

#[test]
fn set_up_that_cannot_be_is_refused() {
    let mut machine = Machine::new(Config::default());
    let mut driver = Driver::start(&mut machine, PciFn::PF);
    let create = CreateVirtio {
        features: U64::new(NEEDED),
        mtu: U16::new(1500),
        pairs: U16::new(1),
        ..CreateVirtio::default()
    };
    for bad in [
        CreateVirtio {
            features: U64::new(NEEDED | 1 << 57),
            ..create
        },
        CreateVirtio {
            features: U64::new(feature::VERSION_1),
            ..create
        },
        CreateVirtio {
            mtu: U16::new(67),
            ..create
        },
        CreateVirtio {
            mtu: U16::new(9601),
            ..create
        },
        CreateVirtio {
            pairs: U16::new(0),
            ..create
        },
        CreateVirtio {
            pairs: U16::new(9),
            ..create
        },
        CreateVirtio {
            mac: [1, 0, 0, 0, 0, 0],
            ..create
        },
        CreateVirtio {
            rsvd: [0, 0, 0, 0, 0, 1],
            ..create
        },
    ] {
        let status = driver.send(&mut machine, bad);
        assert_eq!(status, Err(Status::INVALID_FIELD), "{bad:?}");
    }
    let state = driver.send(&mut machine, QueryVirtioState {});
    assert_eq!(state.err(), Some(Status::BAD_STATE));
    driver.send(&mut machine, create).unwrap();
    let features = |features: u64| SetVirtioFeatures {
        features: U64::new(features),
    };
    for bad in [0, feature::VERSION_1, NEEDED | feature::CSUM] {
        let status = driver.send(&mut machine, features(bad));
        assert_eq!(status, Err(Status::INVALID_FIELD), "{bad:#x}");
    }
    let status = |status| SetVirtioStatus {
        status,
        rsvd: [0; 3],
    };
    assert_eq!(
        driver.send(&mut machine, status(0xb)),
        Err(Status::INVALID_FIELD)
    );
    driver.send(&mut machine, features(NEEDED)).unwrap();
    let queue = EnableVirtqueue {
        descriptors: U64::new(0x11_0000),
        driver: U64::new(0x12_0000),
        device: U64::new(0x13_0000),
        size: U16::new(64),
        vector: U16::new(1),
        ..EnableVirtqueue::default()
    };
    assert_eq!(driver.send(&mut machine, queue), Err(Status::BAD_STATE));
    driver.send(&mut machine, status(0xb)).unwrap();
    assert_eq!(
        driver.send(&mut machine, features(NEEDED)),
        Err(Status::BAD_STATE)
    );
    for bad in [
        EnableVirtqueue {
            size: U16::new(0),
            ..queue
        },
        EnableVirtqueue {
            size: U16::new(63),
            ..queue
        },
        EnableVirtqueue {
            size: U16::new(8192),
            ..queue
        },
        EnableVirtqueue {
            index: U16::new(2),
            ..queue
        },
        EnableVirtqueue {
            vector: U16::new(256),
            ..queue
        },
        EnableVirtqueue {
            descriptors: U64::new(8),
            ..queue
        },
        EnableVirtqueue {
            driver: U64::new(1),
            ..queue
        },
        EnableVirtqueue {
            device: U64::new(2),
            ..queue
        },
        EnableVirtqueue {
            descriptors: U64::new(u64::MAX - 15),
            ..queue
        },
    ] {
        let status = driver.send(&mut machine, bad);
        assert_eq!(status, Err(Status::INVALID_FIELD), "{bad:?}");
    }
    driver.send(&mut machine, queue).unwrap();
    assert_eq!(driver.send(&mut machine, queue), Err(Status::IN_USE));
    assert_eq!(
        driver.send(&mut machine, status(0x8)),
        Err(Status::INVALID_FIELD)
    );
}

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
fn suspended_device_stands_still_and_goes_on_where_it_was() {
    for layout in LAYOUTS {
        let mut net = net(USUAL | layout);
        let buffers = net.give(0, 4, 2048);
        net.machine.receive(&frame::udp4(b"1"));
        let suspend = |net: &mut Net, suspend| {
            let rsvd = [0; 3];
            net.send(SuspendVirtio { suspend, rsvd }).unwrap();
        };
        suspend(&mut net, 1);
        let accesses = net.machine.host.dma_accesses;
        net.machine.receive(&frame::udp4(b"2"));
        net.transmit(PLAIN, &out(frame::udp4(b"3")));
        net.virtio.queues[1].ring(&mut net.machine);
        net.machine.settle();
        assert_eq!(net.machine.host.dma_accesses, accesses);
        // Its queues move to another device: this one, after a reset.
        let states: Vec<_> = (0..3)
            .map(|index| {
                let machine = &mut net.machine;
                net.virtio.disable(&mut net.driver, machine, index).unwrap()
            })
            .collect();
        net.virtio
            .set_status(&mut net.driver, &mut net.machine, 0)
            .unwrap();
        let features = SetVirtioFeatures {
            features: U64::new(net.virtio.features),
        };
        net.send(features).unwrap();
        net.virtio
            .set_status(&mut net.driver, &mut net.machine, 0xb)
            .unwrap();
        for (index, state) in states.iter().enumerate() {
            let command = EnableVirtqueue {
                avail: state.avail,
                used: state.used,
                ..net.virtio.queues[index].command()
            };
            net.send(command).unwrap();
        }
        net.virtio
            .set_status(&mut net.driver, &mut net.machine, 0xf)
            .unwrap();
        net.machine.settle();
        assert_eq!(net.machine.host.sent.pop(), Some(out(frame::udp4(b"3"))));
        net.machine.receive(&frame::udp4(b"4"));
        let bytes: Vec<_> = net
            .received(0, &buffers)
            .into_iter()
            .map(|(_, bytes)| bytes)
            .collect();
        assert_eq!(bytes, [frame::udp4(b"1"), frame::udp4(b"4")], "{layout:#x}");
        net.transmit(PLAIN, &out(frame::udp4(b"5")));
        assert_eq!(net.virtio.queues[1].reap(&mut net.machine).len(), 2);
    }
}

#[test]
fn resumed_device_goes_on() {
    let mut net = net(USUAL);
    for suspend in [1, 0] {
        let rsvd = [0; 3];
        net.send(SuspendVirtio { suspend, rsvd }).unwrap();
        net.transmit(PLAIN, &out(frame::udp4(b"x")));
        let sent = if suspend == 1 { 0 } else { 2 };
        assert_eq!(net.machine.host.sent.len(), sent);
    }
}

fn map(
    net: &mut Net,
    space: u16,
    stage: u8,
    entries: &[(u64, u64, u64, u32)],
) -> Result<(), Status> {
    let mut data = VirtioMappings {
        entries: [VirtioMapping::default(); VIRTIO_MAPPINGS],
    };
    for (entry, (iova, length, addr, access)) in data.entries.iter_mut().zip(entries) {
        *entry = VirtioMapping {
            iova: U64::new(*iova),
            length: U64::new(*length),
            addr: U64::new(*addr),
            access: U32::new(*access),
            rsvd: [0; 4],
        };
    }
    let command = MapVirtio {
        space: U16::new(space),
        count: U16::new(entries.len() as u16),
        stage,
        rsvd: [0; 3],
    };
    net.driver.send_with(&mut net.machine, command, &data)
}

#[test]
fn groups_see_their_own_address_spaces_only() {
    let mut net = net(USUAL);
    let far = 0x7000_0000_0000;
    let buffer = net.machine.host.alloc(0x2000);
    let bytes = [&PLAIN[..], &out(frame::udp4(b"far"))].concat();
    // It lies across two pages, which are in another order where they are mapped to.
    net.machine.host.write(buffer + 0x1ff0, &bytes[..16]);
    net.machine.host.write(buffer, &bytes[16..]);
    let group = |group: VirtioGroup, space| SetVirtioGroup {
        group: U16::new(group.0),
        space: U16::new(space),
    };
    net.send(group(VirtioGroup::DATA, 1)).unwrap();
    let pages = [
        (far, 0x1000, buffer + 0x1000, 1),
        (far + 0x1000, 0x1000, buffer, 1),
    ];
    map(&mut net, 1, 1, &pages).unwrap();
    let switch = |map: VirtioMap| SwitchVirtioMap {
        space: U16::new(1),
        map: U16::new(map.0),
    };
    net.send(switch(VirtioMap::STAGED)).unwrap();
    let length = bytes.len() as u32;
    net.virtio.queues[1].post(&mut net.machine, &[(far + 0xff0, length, false)]);
    assert_eq!(net.machine.host.sent, [out(frame::udp4(b"far"))]);
    // What is not mapped cannot be read, by its bus address neither.
    net.virtio.queues[1].post(&mut net.machine, &[(buffer, length, false)]);
    assert_eq!(net.stats(1).errors.get(), 1);
    // The control queue is in the first address space, which maps every address to itself.
    assert!(net.virtio.control(&mut net.machine, 0, 0, &[1]));
    let unmap = UnmapVirtio {
        iova: U64::new(far),
        length: U64::new(0x1000),
        space: U16::new(1),
        rsvd: [0; 6],
    };
    net.send(unmap).unwrap();
    net.virtio.queues[1].post(&mut net.machine, &[(far + 0xff0, length, false)]);
    assert_eq!(net.stats(1).errors.get(), 2);
    // Rings that cannot be reached break the queue.
    net.send(group(VirtioGroup::RINGS, 1)).unwrap();
    net.virtio.queues[1].ring(&mut net.machine);
    net.machine.settle();
    net.assert_broken(1, QueueSyndrome::DMA_FAULT);
    for (bad, status) in [
        (net.send(group(VirtioGroup(3), 0)), Status::INVALID_FIELD),
        (net.send(group(VirtioGroup::DATA, 4)), Status::INVALID_FIELD),
        (map(&mut net, 4, 0, &pages), Status::INVALID_FIELD),
        (map(&mut net, 1, 3, &pages), Status::INVALID_FIELD),
        (net.send(switch(VirtioMap(3))), Status::INVALID_FIELD),
    ] {
        assert_eq!(bad, Err(status));
    }
}

#[test]
fn configuration_changes_are_told() {
    let mut net = net(USUAL);
    let (generation, config) = net.config();
    // Link up, four more fields as set up.
    assert_eq!(config[6..12], [1, 0, 1, 0, 0xdc, 0x05]);
    net.driver.events(&mut net.machine);
    let changed = |net: &mut Net| {
        let events = net.driver.events(&mut net.machine);
        let change = events
            .iter()
            .find_map(|event| event.payload::<VirtioChange>());
        change.map(|change| change.generation.get())
    };
    net.machine.device.set_uplink(&mut net.machine.host, false);
    assert_eq!(changed(&mut net), Some(generation + 1));
    assert_eq!(net.config().1[6], 0);
    let modify = ModifyVirtio {
        mask: U16::new(VirtioFields::MAC.0),
        mac: [2, 0, 0, 0, 0, 7],
    };
    net.send(modify).unwrap();
    assert_eq!(changed(&mut net), Some(generation + 2));
    assert_eq!(net.config().1[..6], modify.mac);
    let announce = ModifyVirtio {
        mask: U16::new(VirtioFields::ANNOUNCE.0),
        mac: [0; 6],
    };
    assert_eq!(net.send(announce), Err(Status::BAD_STATE));
    assert_eq!(
        net.send(ModifyVirtio {
            mask: U16::new(4),
            mac: [0; 6]
        }),
        Err(Status::INVALID_FIELD)
    );
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

#[test]
fn saved_device_goes_on_where_it_was() {
    for layout in LAYOUTS {
        let mut net = net(USUAL | layout);
        // One packet is in a buffer, two wait for some.
        let mut buffers = net.give(0, 1, 2048);
        for n in 0..3u8 {
            net.machine.receive(&frame::udp4(&[n]));
        }
        assert!(net.virtio.control(&mut net.machine, 0, 0, &[1]));
        net.machine.migrate();
        net.machine.settle();
        buffers.extend(net.give(0, 2, 2048));
        let bytes: Vec<_> = net
            .received(0, &buffers)
            .into_iter()
            .map(|(_, bytes)| bytes)
            .collect();
        let all: Vec<_> = (0..3u8).map(|n| frame::udp4(&[n])).collect();
        assert_eq!(bytes, all, "{layout:#x}");
        net.transmit(PLAIN, &out(frame::udp4(b"x")));
        assert_eq!(net.machine.host.sent.len(), 1);
    }
}

#[test]
fn reset_of_the_function_ends_the_device() {
    let mut net = net(USUAL);
    net.give(0, 4, 2048);
    let accesses = net.machine.host.dma_accesses;
    net.machine
        .device
        .reset_function(&mut net.machine.host, PciFn::PF);
    net.machine.receive(&frame::udp4(b"x"));
    net.virtio.queues[1].ring(&mut net.machine);
    net.machine.settle();
    assert_eq!(net.machine.host.dma_accesses, accesses);
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
