// SPDX-License-Identifier: GPL-2.0

//! How a device comes, is set up, suspended, saved, and goes.

use super::*;

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
            features: U64::new(NEEDED | 1 << 53),
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
