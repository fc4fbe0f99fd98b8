// SPDX-License-Identifier: GPL-2.0

//! Address spaces.

use super::*;

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
