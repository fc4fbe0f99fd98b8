// SPDX-License-Identifier: GPL-2.0

//! Virtqueues with any contents, split and packed: descriptors, tables, indices, commands of the
//! control queue, and address spaces.

#![no_main]

use ferrite_abi::cmd::{
    MapVirtio,
    SetVirtioGroup,
    SuspendVirtio,
    SwitchVirtioMap,
    VirtioMapping,
    VirtioMappings,
    VIRTIO_MAPPINGS, //
};
use ferrite_abi::wire::{
    U16,
    U32,
    U64, //
};
use ferrite_model::testing::virtio::{
    feature,
    VirtioNet, //
};
use ferrite_model::testing::{
    Driver,
    FakeHost,
    Machine, //
};
use ferrite_model::PciFn;
use ferrite_model_fuzz::{
    disturb,
    machine,
    Bytes,
    MEMORY,
    RUNS, //
};
use libfuzzer_sys::fuzz_target;

/// Entries of each queue.
const SIZE: u16 = 16;
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;

/// A device whose memory the fuzzer writes.
struct Target {
    driver: Driver,
    net: VirtioNet,
}

/// Returns an address that is likely good.
fn address(bytes: &mut Bytes<'_>) -> u64 {
    FakeHost::base() + u64::from(bytes.word()) % MEMORY as u64
}

impl Target {
    /// Writes a descriptor into the ring of a queue, or wherever a table may be.
    fn write(&self, machine: &mut Machine, queue: usize, bytes: &mut Bytes<'_>) {
        let queue = &self.net.queues[queue];
        let slot = u64::from(bytes.byte());
        let base = if slot & 0x80 == 0 {
            queue.descriptors + 16 * (slot % u64::from(SIZE))
        } else {
            FakeHost::base() + MEMORY as u64 - 0x1000 + 16 * (slot % 128)
        };
        let mut flags = bytes.half() & 0x807f;
        if self.net.features & feature::RING_PACKED != 0 && flags & 0x40 == 0 {
            // Available in this lap or in the next.
            flags = flags & 7 | if flags & 8 == 0 { AVAIL } else { USED };
        }
        let (addr, len) = if flags & 4 != 0 && flags & 0x20 == 0 {
            (FakeHost::base() + MEMORY as u64 - 0x1000, 16 * u32::from(bytes.byte() % 20))
        } else {
            (address(bytes), bytes.word() % 0x2_0000)
        };
        let other = u16::from(bytes.byte() % 20);
        let words = if self.net.features & feature::RING_PACKED != 0 {
            [other, flags & !0x60]
        } else {
            [flags & 7, other]
        };
        machine.host.write(base, &addr.to_le_bytes());
        machine.host.write32(base + 8, len);
        machine
            .host
            .write32(base + 12, u32::from(words[0]) | u32::from(words[1]) << 16);
    }

    /// Does something by command.
    fn command(&mut self, machine: &mut Machine, bytes: &mut Bytes<'_>) {
        let Self { driver, net } = self;
        let number = U16::new(u16::from(bytes.byte() % 5));
        // The admin queue may be gone by now, which is no concern of this.
        match bytes.byte() % 8 {
            0 => {
                let suspend = SuspendVirtio {
                    suspend: bytes.byte() & 1,
                    rsvd: [0; 3],
                };
                submit(driver, machine, suspend);
            }
            1 => {
                let group = U16::new(u16::from(bytes.byte() % 3));
                let space = number;
                submit(driver, machine, SetVirtioGroup { group, space });
            }
            2 => {
                let map = U16::new(u16::from(bytes.byte() % 3));
                let space = number;
                submit(driver, machine, SwitchVirtioMap { space, map });
            }
            3 => {
                let mut data = VirtioMappings {
                    entries: [VirtioMapping::default(); VIRTIO_MAPPINGS],
                };
                data.entries[0] = VirtioMapping {
                    iova: U64::new(address(bytes) & !0xfff),
                    length: U64::new(u64::from(bytes.byte()) << 12),
                    addr: U64::new(address(bytes) & !0xfff),
                    access: U32::new(u32::from(bytes.byte() & 3)),
                    rsvd: [0; 4],
                };
                let command = MapVirtio {
                    space: number,
                    count: U16::new(1),
                    stage: bytes.byte() % 3,
                    rsvd: [0; 3],
                };
                let submission = driver.with_data(command);
                machine.host.write(
                    submission.data_addr.get(),
                    ferrite_abi::wire::IntoBytes::as_bytes(&data),
                );
                driver.submit(machine, &submission);
            }
            4 => {
                let disable = ferrite_abi::cmd::DisableVirtqueue {
                    index: number,
                    rsvd: [0; 2],
                };
                submit(driver, machine, disable);
            }
            5 | 6 => {
                let at = usize::from(number.get()) % net.queues.len();
                let command = net.queues[at].command();
                submit(driver, machine, command);
            }
            _ => {
                let status = ferrite_abi::cmd::SetVirtioStatus {
                    status: bytes.byte(),
                    rsvd: [0; 3],
                };
                submit(driver, machine, status);
            }
        }
        machine.run(RUNS);
        let _ = driver.poll(machine);
    }
}

fn submit<C: ferrite_abi::admin::Command>(driver: &mut Driver, machine: &mut Machine, command: C) {
    let submission = ferrite_abi::admin::Submission::new(0, driver.id(), command);
    driver.submit(machine, &submission);
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes::new(data);
    let mut machine = machine();
    let m = &mut machine;
    // All that can be agreed on but the needs of one layout.
    let all = 0x13c0_0000_20ff_9987 | feature::INDIRECT_DESC | feature::IN_ORDER;
    let mut targets = Vec::new();
    for (function, layout) in [(PciFn::PF, 0), (PciFn::vf(0), feature::RING_PACKED)] {
        let mut driver = Driver::start(m, function);
        driver.create_event_queue(m);
        let drop = u64::from(bytes.byte() & 1) * (feature::MRG_RXBUF | feature::EVENT_IDX);
        let features = (all | layout) & !drop;
        let id = driver.id();
        let shape = (features, 2, SIZE);
        let net = VirtioNet::start(&mut driver, m, id, shape, [0; 6]).expect("no virtio device");
        targets.push(Target { driver, net });
    }
    while !bytes.is_empty() {
        let choice = bytes.byte();
        let target = &mut targets[usize::from(choice & 1)];
        let at = usize::from(choice >> 1 & 7) % target.net.queues.len();
        match choice >> 4 {
            0..=5 => target.write(m, at, &mut bytes),
            6..=8 => {
                // More buffers, as a driver would make them available, or anything.
                let word = bytes.word();
                let queue = &mut target.net.queues[at];
                if target.net.features & feature::RING_PACKED == 0 && word & 1 == 0 {
                    queue.make_available(m, (word >> 8) as u16 % (SIZE + 1));
                } else if word & 2 == 0 {
                    m.host.write32(queue.driver, word);
                }
                queue.ring(m);
            }
            9 => disturb(m, &mut bytes),
            10 => target.command(m, &mut bytes),
            11 | 12 => {
                let length = usize::from(bytes.half() % 2000);
                let mut frame = vec![0xff; length.max(14)];
                let piece = bytes.slice(length);
                frame[..piece.len()].copy_from_slice(piece);
                frame[0] |= choice & 1;
                let _ = m.device.uplink_receive(&mut m.host, &frame);
            }
            _ => {
                let length = usize::from(bytes.byte());
                let piece = bytes.slice(length).to_vec();
                let at = u64::from(bytes.word()) % (MEMORY as u64 - 256);
                m.host.write(FakeHost::base() + at, &piece);
            }
        }
        m.run(RUNS);
    }
});
