// SPDX-License-Identifier: GPL-2.0

//! Functions as virtio-net devices: both layouts of queues, packets, the control queue, memory.

mod control;
mod hostile;
mod memory;
mod packets;
mod setup;

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
                let data = bytes.split_off(self.virtio.header());
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
