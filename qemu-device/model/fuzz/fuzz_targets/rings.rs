// SPDX-License-Identifier: GPL-2.0

//! Rings with any contents: descriptors, state blocks, doorbells, and frames from the uplink.

#![no_main]

use ferrite_abi::bar::Doorbell;
use ferrite_abi::cmd::{
    CreateQueue,
    QueueKind,
    RxMode,
    SetRxMode, //
};
use ferrite_abi::wire::U16;
use ferrite_model::testing::{
    Driver,
    FakeHost,
    Machine,
    Rings, //
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

/// A queue whose memory the fuzzer writes.
struct Queue {
    function: PciFn,
    rings: Rings,
    kind: QueueKind,
    doorbell: Doorbell,
}

impl Queue {
    fn create(machine: &mut Machine, driver: &mut Driver, kind: QueueKind, usecs: u16) -> Self {
        let rings = Rings::unborn(driver.function, machine, kind, 0, 4);
        let command = CreateQueue {
            moderation_usecs: U16::new(usecs),
            ..rings.command(kind, 0)
        };
        driver.send(machine, command).expect("no queue");
        let doorbell = if kind == QueueKind::TX {
            Doorbell::Tx(0)
        } else {
            Doorbell::Rx(0)
        };
        Self {
            function: driver.function,
            rings,
            kind,
            doorbell,
        }
    }

    /// Writes a descriptor with an address that is likely good.
    fn write(&self, machine: &mut Machine, bytes: &mut Bytes<'_>) {
        let slot = u64::from(bytes.byte() % 16);
        let size = if self.kind == QueueKind::TX { 32 } else { 16 };
        let mut desc = bytes.array::<32>();
        let addr = FakeHost::base() + u64::from(bytes.word()) % MEMORY as u64;
        desc[..8].copy_from_slice(&addr.to_le_bytes());
        if desc[9] & 0x80 == 0 {
            // A likely length, and nothing in the reserved bytes.
            desc[9] &= 0x07;
            desc[10..12].fill(0);
            desc[28..].fill(0);
        }
        machine
            .host
            .write(self.rings.ring + slot * size, &desc[..size as usize]);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes::new(data);
    let mut machine = machine();
    let m = &mut machine;
    let usecs = bytes.byte().into();
    let mut queues = Vec::new();
    for function in [PciFn::PF, PciFn::vf(0)] {
        let mut driver = Driver::start(m, function);
        driver.create_event_queue(m);
        for kind in [QueueKind::TX, QueueKind::RX] {
            queues.push(Queue::create(m, &mut driver, kind, usecs));
        }
        let mode = SetRxMode {
            mode: U16::new(RxMode::PROMISCUOUS.0),
            count: U16::new(0),
        };
        driver.send(m, mode).expect("not promiscuous");
        driver.open(m);
    }
    while !bytes.is_empty() {
        let choice = bytes.byte();
        let queue = &mut queues[usize::from(choice & 3)];
        match choice >> 2 & 7 {
            0..=2 => queue.write(m, &mut bytes),
            3 => {
                // A few more descriptors, as a driver would.
                let tail = queue
                    .rings
                    .word(m, 0)
                    .wrapping_add(u32::from(bytes.byte() % 20));
                m.host.write32(queue.rings.state, tail);
                m.ring(queue.function, queue.doorbell);
            }
            4 => {
                // Anything, anywhere in the state block.
                let offset = u64::from(bytes.byte() % 32) * 4;
                m.host.write32(queue.rings.state + offset, bytes.word());
                m.ring(queue.function, queue.doorbell);
            }
            5 => disturb(m, &mut bytes),
            6 => {
                let length = usize::from(bytes.half() % 2000);
                let frame = bytes.slice(length).to_vec();
                let _ = m.device.uplink_receive(&mut m.host, &frame);
            }
            _ => {
                let length = usize::from(bytes.byte());
                let piece = bytes.slice(length).to_vec();
                let at = u64::from(bytes.half()) % (MEMORY as u64 - 256);
                m.host.write(FakeHost::base() + at, &piece);
            }
        }
        m.run(RUNS);
    }
});
