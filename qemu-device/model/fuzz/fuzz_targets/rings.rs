// SPDX-License-Identifier: GPL-2.0

//! Rings with any contents: descriptors, state blocks, doorbells, and frames from the uplink.

#![no_main]

use ferrite_abi::bar::Doorbell;
use ferrite_abi::cmd::{
    AddRule,
    CreateQueue,
    EswitchMode,
    QueueKind,
    Rule,
    RuleActionKind,
    RxMode,
    SetEswitchMode,
    SetRxMode,
    UPLINK, //
};
use ferrite_abi::wire::{
    FromBytes,
    U16, //
};
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

/// Has the switch follow rules, mostly good ones.
fn follow_rules(machine: &mut Machine, driver: &mut Driver, bytes: &mut Bytes<'_>) {
    const PORTS: [u16; 6] = [0, 1, 2, 0x8001, 0x8002, UPLINK];
    let port = |bytes: &mut Bytes<'_>| PORTS[usize::from(bytes.byte()) % PORTS.len()];
    let mode = SetEswitchMode {
        mode: U16::new(EswitchMode::SWITCHDEV.0),
        rsvd: [0; 2],
    };
    driver.send(machine, mode).expect("no switchdev mode");
    for _ in 0..bytes.byte() % 8 {
        let array = bytes.array::<{ size_of::<Rule>() }>();
        let mut rule = Rule::read_from_bytes(&array).expect("size of a rule");
        rule.in_port = U16::new(port(bytes));
        rule.rsvd = [0; 2];
        for key in [&mut rule.key, &mut rule.mask] {
            (key.rsvd, key.rsvd2) = ([0; 3], [0; 2]);
        }
        for action in &mut rule.actions {
            let kind = RuleActionKind(action.kind.get() % 4);
            action.kind = U16::new(kind.0);
            if kind != RuleActionKind::PUSH_VLAN {
                action.argument = U16::new(0);
            }
            if kind == RuleActionKind::FORWARD {
                action.argument = U16::new(port(bytes));
            }
        }
        let _ = driver.send_with(machine, AddRule {}, &rule);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes::new(data);
    let mut machine = machine();
    let m = &mut machine;
    let usecs: u16 = bytes.byte().into();
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
        if function == PciFn::PF && usecs & 0x80 != 0 {
            follow_rules(m, &mut driver, &mut bytes);
        }
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
