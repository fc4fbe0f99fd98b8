// SPDX-License-Identifier: GPL-2.0

//! What the records of a function hold: from its state.

use std::collections::{
    BTreeMap,
    BTreeSet, //
};

use ferrite_abi::ids::MAX_MTU;
use ferrite_abi::mig::{
    IdentityRecord,
    PortRecord,
    StreamHeader,
    StreamTag,
    OLDEST_STREAM,
    STREAM_MAGIC, //
};
use ferrite_abi::regs::AdminVector;
use ferrite_abi::ring::Depth;
use ferrite_abi::wire::{
    IntoBytes,
    U16,
    U32,
    U64, //
};

use crate::device::Device;
use crate::function::Function;
use crate::host::Host;
use crate::migration::saving::Key;
use crate::slot::Slot;
use crate::steering::{
    MAX_CONTEXTS,
    MAX_FILTERS, //
};

/// Size of an [`IdentityRecord`] in version 1.
pub(crate) const IDENTITY_1: usize = std::mem::offset_of!(IdentityRecord, uuid);

/// The records of a function, as they are now.
#[derive(Debug)]
pub(crate) struct Records {
    pub(crate) header: Vec<u8>,
    /// What its driver set up.
    pub(crate) setup: BTreeMap<Key, Vec<u8>>,
    /// What goes on with every packet and command, in the order of the stream.
    pub(crate) live: Vec<(Key, Vec<u8>)>,
}

impl Device {
    /// Returns the header of a stream of a function that has places for `queues` queues of each kind.
    pub(crate) fn stream_header(&self, slot: Slot, version: u16, queues: u16) -> StreamHeader {
        StreamHeader {
            magic: STREAM_MAGIC,
            version: U16::new(version),
            oldest_reader: U16::new(OLDEST_STREAM),
            abi_version: U32::new(ferrite_abi::ABI_VERSION),
            features: U64::new(self.config.features(slot.pci()).0),
            max_queues: U16::new(queues),
            vectors: U16::new(self.vectors(slot.pci())),
            // CAST: a small constant.
            rss_table: U16::new(ferrite_abi::cmd::MAX_RSS_TABLE as u16),
            max_mtu: U16::new(MAX_MTU),
            max_contexts: U16::new(MAX_CONTEXTS),
            max_filters: U16::new(MAX_FILTERS),
            max_depth_log2: *Depth::LOG2_RANGE.end(),
            rsvd: [0; 3],
        }
    }

    /// Returns the records of a function in a version of the stream.
    pub(crate) fn records(&self, host: &mut dyn Host, slot: Slot, version: u16) -> Records {
        let mut setup = BTreeMap::new();
        let mut live = Vec::new();
        if let Some(function) = self.function(slot) {
            let mut add = |tag: StreamTag, instance: u16, payload: Vec<u8>| {
                setup.insert((tag.0, instance), payload);
            };
            self.add_identity(slot, function, version, &mut add);
            add_setup(function, version, &mut add);
            let mut add = |tag: StreamTag, instance: u16, payload: Vec<u8>| {
                live.push(((tag.0, instance), payload));
            };
            self.add_live(host, slot, function, version, &mut add);
        }
        // CAST: no more queues than a number of 16 bits was asked for.
        let queues = self
            .function(slot)
            .map_or(0, |function| function.tx.len() as u16);
        Records {
            header: self
                .stream_header(slot, version, queues)
                .as_bytes()
                .to_vec(),
            setup,
            live,
        }
    }

    fn add_identity(
        &self,
        slot: Slot,
        function: &Function,
        version: u16,
        add: &mut dyn FnMut(StreamTag, u16, Vec<u8>),
    ) {
        let provision = &function.provision;
        let identity = IdentityRecord {
            mac: provision.mac.0,
            vlan: U16::new(provision.vlan),
            caps: U16::new(provision.caps.0),
            max_eqs: U16::new(provision.max_eqs),
            function: U16::new(self.known_as(slot.pci()).0),
            rsvd: [0; 2],
            rate: self.state.rates.rate_of(slot),
            uuid: self.uuid(slot),
        };
        let size = if version == 1 {
            IDENTITY_1
        } else {
            size_of::<IdentityRecord>()
        };
        add(StreamTag::IDENTITY, 0, identity.as_bytes()[..size].to_vec());
    }

    fn add_live(
        &self,
        host: &mut dyn Host,
        slot: Slot,
        function: &Function,
        version: u16,
        add: &mut dyn FnMut(StreamTag, u16, Vec<u8>),
    ) {
        let pci = &self.state.pci[usize::from(slot.pci().0)];
        let registers = pci.record(self.now);
        add(StreamTag::REGISTERS, 0, registers.as_bytes().to_vec());
        if let Some(running) = &pci.admin.running {
            add(
                StreamTag::ADMIN_QUEUE,
                0,
                running.record().as_bytes().to_vec(),
            );
            for completion in running.unwritten() {
                add(
                    StreamTag::ADMIN_COMPLETION,
                    0,
                    completion.as_bytes().to_vec(),
                );
            }
        }
        if let Some(events) = &pci.events {
            add(
                StreamTag::EVENT_QUEUE,
                0,
                events.record().as_bytes().to_vec(),
            );
        }
        for tx in function.tx.iter().flatten() {
            let record = tx.record(self.now);
            add(
                StreamTag::TX_STATE,
                tx.queue.index,
                record.as_bytes().to_vec(),
            );
        }
        for rx in function.rx.iter().flatten() {
            let record = rx.record(self.now);
            add(
                StreamTag::RX_STATE,
                rx.queue.index,
                record.as_bytes().to_vec(),
            );
            for packet in rx.waiting() {
                let payload = [packet.about.as_bytes(), &packet.bytes].concat();
                add(StreamTag::RX_PACKET, rx.queue.index, payload);
            }
        }
        if version > 1 {
            let owed = self.owed(host, slot, function);
            let vectors: Vec<u8> = owed
                .iter()
                .flat_map(|vector| vector.to_le_bytes())
                .collect();
            add(StreamTag::INTERRUPTS, 0, vectors);
        }
        add(StreamTag::STATS, 0, function.port.stats.as_bytes().to_vec());
        if version > 2 {
            let frames = function.port.frames;
            add(StreamTag::FRAMES, 0, frames.as_bytes().to_vec());
        }
    }

    /// Returns the vectors whose interrupt was raised and not delivered, as they are masked.
    fn owed(&self, host: &mut dyn Host, slot: Slot, function: &Function) -> BTreeSet<u16> {
        let mut owed = self.migration(slot).owed.clone();
        for vector in self.vectors_in_use(slot, function) {
            if host.is_pending(slot.pci(), vector) {
                owed.insert(vector);
            }
        }
        owed
    }

    /// Returns the vectors that a function may raise.
    pub(crate) fn vectors_in_use(&self, slot: Slot, function: &Function) -> BTreeSet<u16> {
        let pci = &self.state.pci[usize::from(slot.pci().0)];
        let mut vectors: BTreeSet<u16> = function.queues().map(|queue| queue.vector()).collect();
        vectors.extend(pci.events.iter().map(|events| events.vector));
        let vector = AdminVector(pci.admin.vector);
        if pci.admin.running.is_some() && vector.enable() == 1 {
            // CAST: the field has 16 bits.
            vectors.insert(vector.vector() as u16);
        }
        let count = function.provision.vectors;
        vectors.retain(|vector| *vector < count);
        vectors
    }
}

/// Adds what a driver set up.
fn add_setup(function: &Function, version: u16, add: &mut dyn FnMut(StreamTag, u16, Vec<u8>)) {
    let port = &function.port;
    let record = PortRecord {
        mac: port.mac.0,
        mtu: U16::new(port.mtu),
        mode: U16::new(port.mode.0),
        open: port.open.into(),
        loops: (version > 2 && port.loops).into(),
    };
    add(StreamTag::PORT, 0, record.as_bytes().to_vec());
    let addresses = port.filter.iter().flat_map(|mac| mac.0).collect();
    add(StreamTag::ADDRESSES, 0, addresses);
    for (number, rss) in port.steering.contexts() {
        let (record, queues) = rss.record();
        let table = queues.iter().flat_map(|queue| queue.to_le_bytes());
        let payload = record.as_bytes().iter().copied().chain(table).collect();
        add(StreamTag::RSS_CONTEXT, number, payload);
    }
    for filter in port.steering.filters() {
        let record = filter.record();
        add(
            StreamTag::FILTER,
            filter.location,
            record.as_bytes().to_vec(),
        );
    }
    for queue in function.queues() {
        let tag = match queue.kind {
            crate::queue::Kind::Tx => StreamTag::TX_QUEUE,
            crate::queue::Kind::Rx => StreamTag::RX_QUEUE,
        };
        add(tag, queue.index, queue.command().as_bytes().to_vec());
    }
}
