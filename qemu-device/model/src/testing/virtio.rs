// SPDX-License-Identifier: GPL-2.0

//! A small virtio-net driver: queues of both layouts, what goes through them, and the commands by
//! which the device is set up.

use std::collections::BTreeMap;

use ferrite_abi::admin::Status;
use ferrite_abi::bar::{
    Doorbell,
    DOORBELL_PAGE, //
};
use ferrite_abi::cmd::{
    CreateVirtio,
    DisableVirtqueue,
    EnableVirtqueue,
    QueryVirtioState,
    SetVirtioFeatures,
    SetVirtioStatus,
    VirtioState,
    VirtqueueState, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::wire::{
    U16,
    U64, //
};

use crate::host::PciFn;
use crate::testing::{
    Driver,
    Machine, //
};

/// Length of the header in front of each packet, without what [`feature::HASH_REPORT`] adds.
pub const HEADER: usize = 12;
/// Bytes that [`feature::HASH_REPORT`] adds.
const HASH: usize = 8;

/// Feature bits that the tests name.
#[allow(missing_docs, reason = "the names are those of the specification")]
pub mod feature {
    pub const CSUM: u64 = 1 << 0;
    pub const GUEST_CSUM: u64 = 1 << 1;
    pub const CTRL_GUEST_OFFLOADS: u64 = 1 << 2;
    pub const GUEST_TSO4: u64 = 1 << 7;
    pub const GUEST_TSO6: u64 = 1 << 8;
    pub const HOST_TSO4: u64 = 1 << 11;
    pub const HOST_TSO6: u64 = 1 << 12;
    pub const MRG_RXBUF: u64 = 1 << 15;
    pub const CTRL_VQ: u64 = 1 << 17;
    pub const CTRL_RX: u64 = 1 << 18;
    pub const CTRL_VLAN: u64 = 1 << 19;
    pub const MQ: u64 = 1 << 22;
    pub const CTRL_MAC_ADDR: u64 = 1 << 23;
    pub const INDIRECT_DESC: u64 = 1 << 28;
    pub const EVENT_IDX: u64 = 1 << 29;
    pub const VERSION_1: u64 = 1 << 32;
    pub const ACCESS_PLATFORM: u64 = 1 << 33;
    pub const RING_PACKED: u64 = 1 << 34;
    pub const IN_ORDER: u64 = 1 << 35;
    pub const GUEST_USO4: u64 = 1 << 54;
    pub const GUEST_USO6: u64 = 1 << 55;
    pub const HOST_USO: u64 = 1 << 56;
    pub const HASH_REPORT: u64 = 1 << 57;
    pub const RSS: u64 = 1 << 60;
}

/// Features without which no device works.
pub const NEEDED: u64 = feature::VERSION_1 | feature::ACCESS_PLATFORM;

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;
const AVAIL: u16 = 1 << 7;
const USED: u16 = 1 << 15;
const WRAP: u16 = 1 << 15;

/// A piece of a buffer: address, length, whether the device writes it.
pub type Piece = (u64, u32, bool);

/// A virtqueue as its driver sees it.
#[derive(Debug)]
pub struct Virtqueue {
    function: PciFn,
    /// Offset of the doorbell page.
    page: u64,
    features: u64,
    /// Index of the queue.
    pub index: u16,
    /// Number of entries.
    pub size: u16,
    /// Descriptor area.
    pub descriptors: u64,
    /// Driver area.
    pub driver: u64,
    /// Device area.
    pub device: u64,
    /// Split: free-running index; packed: position and wrap counter.
    pub avail: u16,
    used: u16,
    /// Descriptors that are not in use.
    free: Vec<u16>,
    /// Descriptors of the buffers that the device has, by id.
    out: BTreeMap<u16, Vec<u16>>,
    /// Notifications that were sent, and those that were not needed.
    pub notifications: (u32, u32),
}

impl Virtqueue {
    /// Allocates a queue of some function, which begins at its start.
    pub fn new(
        machine: &mut Machine,
        function: FunctionId,
        pci: PciFn,
        features: u64,
        (index, size): (u16, u16),
    ) -> Self {
        let packed = features & feature::RING_PACKED != 0;
        let start = if packed { WRAP } else { 0 };
        let page = function.doorbell_page().expect("no such function");
        Self {
            function: pci,
            page: u64::from(page) * u64::from(DOORBELL_PAGE),
            features,
            index,
            size,
            descriptors: machine.host.alloc(16 * usize::from(size)),
            driver: machine.host.alloc(6 + 2 * usize::from(size)),
            device: machine.host.alloc(6 + 8 * usize::from(size)),
            avail: start,
            used: start,
            free: (0..size).rev().collect(),
            out: BTreeMap::new(),
            notifications: (0, 0),
        }
    }

    fn has(&self, feature: u64) -> bool {
        self.features & feature != 0
    }

    /// Returns the command that makes the queue ready, with vector `1 + index`.
    pub fn command(&self) -> EnableVirtqueue {
        EnableVirtqueue {
            descriptors: U64::new(self.descriptors),
            driver: U64::new(self.driver),
            device: U64::new(self.device),
            index: U16::new(self.index),
            size: U16::new(self.size),
            vector: U16::new(1 + self.index),
            avail: U16::new(self.avail),
            used: U16::new(self.used),
            rsvd: [0; 6],
        }
    }

    /// Returns how many descriptors are free.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Makes a buffer available, by a table if the features have that and it has several pieces.
    /// Returns its id.
    ///
    /// # Panics
    ///
    /// When there are not enough free descriptors.
    pub fn add(&mut self, machine: &mut Machine, pieces: &[Piece]) -> u16 {
        if self.has(feature::INDIRECT_DESC) && pieces.len() > 1 {
            let table = machine.host.alloc(16 * pieces.len());
            for (at, piece) in (0u16..).zip(pieces) {
                let more = usize::from(at) + 1 < pieces.len() && !self.has(feature::RING_PACKED);
                let flags = flags(piece, more);
                let word = if self.has(feature::RING_PACKED) {
                    [0, flags]
                } else {
                    [flags, at + 1]
                };
                put(machine, table + 16 * u64::from(at), piece, word);
            }
            let one = (table, 16 * pieces.len() as u32, false);
            self.add_pieces(machine, &[one], INDIRECT)
        } else {
            self.add_pieces(machine, pieces, 0)
        }
    }

    fn add_pieces(&mut self, machine: &mut Machine, pieces: &[Piece], extra: u16) -> u16 {
        let descs: Vec<_> = pieces
            .iter()
            .map(|_| self.free.pop().expect("no free descriptor"))
            .collect();
        let id = descs[0];
        if self.has(feature::RING_PACKED) {
            let mut words = Vec::new();
            for (at, piece) in pieces.iter().enumerate() {
                let wrap = self.avail & WRAP != 0;
                let state = if wrap { AVAIL } else { USED };
                let flags = flags(piece, at + 1 < pieces.len()) | state | extra;
                words.push((self.avail & !WRAP, piece, [id, flags]));
                self.avail = advance(self.avail, 1, self.size);
            }
            // The first is made available last.
            for (slot, piece, words) in words.into_iter().rev() {
                put(
                    machine,
                    self.descriptors + 16 * u64::from(slot),
                    piece,
                    words,
                );
            }
        } else {
            for (at, piece) in pieces.iter().enumerate() {
                let next = descs.get(at + 1).copied();
                let flags = flags(piece, next.is_some()) | extra;
                let addr = self.descriptors + 16 * u64::from(descs[at]);
                put(machine, addr, piece, [flags, next.unwrap_or_default()]);
            }
            self.make_available(machine, id);
        }
        self.out.insert(id, descs);
        id
    }

    /// Puts a number into the available ring of a split queue.
    pub fn make_available(&mut self, machine: &mut Machine, head: u16) {
        let at = u64::from(self.avail % self.size);
        machine
            .host
            .write(self.driver + 4 + 2 * at, &head.to_le_bytes());
        self.avail = self.avail.wrapping_add(1);
        machine
            .host
            .write(self.driver + 2, &self.avail.to_le_bytes());
    }

    /// Notifies the device, if it wants that of the last `count` descriptors or buffers.
    pub fn notify(&mut self, machine: &mut Machine, count: u16) {
        let wanted = !self.has(feature::EVENT_IDX) || {
            if self.has(feature::RING_PACKED) {
                let word = machine.host.read32(self.device);
                let event = word as u16;
                let lap = if (event ^ self.avail) & WRAP == 0 {
                    0
                } else {
                    self.size
                };
                let new = self.avail & !WRAP;
                let at = (event & !WRAP).wrapping_sub(lap);
                word >> 16 != 2 || passes(at, new, new.wrapping_sub(count))
            } else {
                let event = self.device + 4 + 8 * u64::from(self.size);
                let event = read16(machine, event);
                passes(event, self.avail, self.avail.wrapping_sub(count))
            }
        };
        if wanted {
            self.notifications.0 += 1;
            self.ring(machine);
        } else {
            self.notifications.1 += 1;
        }
    }

    /// Notifies the device.
    pub fn ring(&self, machine: &mut Machine) {
        let offset = Doorbell::Virtio(self.index).offset();
        machine.ring_at(self.function, self.page + u64::from(offset));
    }

    /// Notifies the device as one does that has nothing but the page.
    pub fn ring_by_value(&self, machine: &mut Machine) {
        machine.notify_at(self.function, self.page, self.index.into());
    }

    /// Makes a buffer available, notifies if the device wants that, and runs it.
    pub fn post(&mut self, machine: &mut Machine, pieces: &[Piece]) -> u16 {
        let before = self.avail;
        let id = self.add(machine, pieces);
        let count = if self.has(feature::RING_PACKED) {
            let lap = if (before ^ self.avail) & WRAP == 0 {
                0
            } else {
                self.size
            };
            (self.avail & !WRAP) + lap - (before & !WRAP)
        } else {
            1
        };
        self.notify(machine, count);
        machine.settle();
        id
    }

    /// Takes the buffers that the device returned: id and bytes written. Asks for an interrupt with
    /// the next.
    ///
    /// # Panics
    ///
    /// When the device returns what it was not given.
    pub fn reap(&mut self, machine: &mut Machine) -> Vec<(u16, u32)> {
        let mut done = Vec::new();
        loop {
            let (id, len) = if self.has(feature::RING_PACKED) {
                let at = self.descriptors + 16 * u64::from(self.used & !WRAP);
                let word = machine.host.read32(at + 12);
                let flags = (word >> 16) as u16;
                let wrap = self.used & WRAP != 0;
                if (flags & AVAIL != 0) != wrap || (flags & USED != 0) != wrap {
                    break;
                }
                (word as u16, machine.host.read32(at + 8))
            } else {
                if read16(machine, self.device + 2) == self.used {
                    break;
                }
                let at = self.device + 4 + 8 * u64::from(self.used % self.size);
                let id = machine.host.read32(at);
                (id as u16, machine.host.read32(at + 4))
            };
            let descs = self.out.remove(&id).expect("a buffer that is not out");
            self.used = if self.has(feature::RING_PACKED) {
                advance(self.used, descs.len() as u16, self.size)
            } else {
                self.used.wrapping_add(1)
            };
            self.free.extend(descs);
            done.push((id, len));
        }
        self.arm(machine);
        done
    }

    /// Asks for an interrupt with the next buffer that the device returns.
    pub fn arm(&mut self, machine: &mut Machine) {
        if self.has(feature::RING_PACKED) {
            let flags = if self.has(feature::EVENT_IDX) { 2 } else { 0 };
            let word = u32::from(self.used) | flags << 16;
            machine.host.write32(self.driver, word);
        } else {
            let at = self.driver + 4 + 2 * u64::from(self.size);
            machine.host.write(at, &self.used.to_le_bytes());
        }
    }

    /// Takes over where the device said that it stands. What it did not take stays in the rings.
    pub fn assert_at(&self, state: &VirtqueueState) {
        assert_eq!(state.used.get(), self.used, "{state:?}");
    }
}

/// Returns the flags of a descriptor.
fn flags(piece: &Piece, next: bool) -> u16 {
    (if piece.2 { WRITE } else { 0 }) | (if next { NEXT } else { 0 })
}

/// Writes a descriptor: its last two words differ between the layouts.
fn put(machine: &mut Machine, addr: u64, piece: &Piece, words: [u16; 2]) {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&piece.0.to_le_bytes());
    bytes[8..12].copy_from_slice(&piece.1.to_le_bytes());
    bytes[12..14].copy_from_slice(&words[0].to_le_bytes());
    bytes[14..].copy_from_slice(&words[1].to_le_bytes());
    machine.host.write(addr, &bytes);
}

fn read16(machine: &Machine, addr: u64) -> u16 {
    let mut bytes = [0; 2];
    machine.host.read(addr, &mut bytes);
    u16::from_le_bytes(bytes)
}

fn advance(position: u16, by: u16, size: u16) -> u16 {
    let next = (position & !WRAP) + by;
    if next >= size {
        (next - size) | (position & WRAP) ^ WRAP
    } else {
        next | position & WRAP
    }
}

fn passes(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}

/// A virtio-net device with its driver.
#[derive(Debug)]
pub struct VirtioNet {
    /// The function.
    pub function: FunctionId,
    pci: PciFn,
    /// Features that were accepted.
    pub features: u64,
    /// Its queues, by index.
    pub queues: Vec<Virtqueue>,
}

impl VirtioNet {
    /// Makes a function a virtio-net device with so many queue pairs and this address, and starts
    /// it with all its queues.
    ///
    /// # Errors
    ///
    /// Returns the status of the first command that fails.
    pub fn start(
        driver: &mut Driver,
        machine: &mut Machine,
        function: FunctionId,
        (features, pairs, size): (u64, u16, u16),
        mac: [u8; 6],
    ) -> Result<Self, Status> {
        let features = features | NEEDED;
        let create = CreateVirtio {
            features: U64::new(features),
            mac,
            mtu: U16::new(1500),
            pairs: U16::new(pairs),
            rsvd: [0; 6],
        };
        driver.send_about(machine, function, create)?;
        let pci = driver.function;
        let mut net = Self {
            function,
            pci,
            features,
            queues: Vec::new(),
        };
        net.begin(driver, machine, size)?;
        Ok(net)
    }

    /// Sets the device up from its reset on, with new queues.
    ///
    /// # Errors
    ///
    /// Returns the status of the first command that fails.
    pub fn begin(
        &mut self,
        driver: &mut Driver,
        machine: &mut Machine,
        size: u16,
    ) -> Result<(), Status> {
        let features = SetVirtioFeatures {
            features: U64::new(self.features),
        };
        driver.send_about(machine, self.function, features)?;
        self.set_status(driver, machine, 0xb)?;
        let state = self.state(driver, machine)?;
        let many = self.features & (feature::MQ | feature::RSS) != 0;
        let control = (state.control.get() != u16::MAX).then_some(state.control.get());
        let data = match control {
            Some(control) => control,
            None if many => unreachable!("many queues without control"),
            None => 2,
        };
        self.queues = (0..data)
            .chain(control)
            .map(|index| {
                let place = (index, size);
                Virtqueue::new(machine, self.function, self.pci, self.features, place)
            })
            .collect();
        for queue in &mut self.queues {
            queue.arm(machine);
            driver.send_about(machine, self.function, queue.command())?;
        }
        self.set_status(driver, machine, 0xf)
    }

    /// Sets the device status.
    ///
    /// # Errors
    ///
    /// Returns the status of the command.
    pub fn set_status(
        &self,
        driver: &mut Driver,
        machine: &mut Machine,
        status: u8,
    ) -> Result<(), Status> {
        let rsvd = [0; 3];
        driver.send_about(machine, self.function, SetVirtioStatus { status, rsvd })
    }

    /// Returns the state of the device.
    ///
    /// # Errors
    ///
    /// Returns the status of the command.
    pub fn state(&self, driver: &mut Driver, machine: &mut Machine) -> Result<VirtioState, Status> {
        driver.send_about(machine, self.function, QueryVirtioState {})
    }

    /// Makes a queue not ready, and returns where it stood.
    ///
    /// # Errors
    ///
    /// Returns the status of the command.
    pub fn disable(
        &self,
        driver: &mut Driver,
        machine: &mut Machine,
        index: u16,
    ) -> Result<VirtqueueState, Status> {
        let disable = DisableVirtqueue {
            index: U16::new(index),
            rsvd: [0; 2],
        };
        driver.send_about(machine, self.function, disable)
    }

    /// Returns the length of the header in front of each packet.
    pub fn header(&self) -> usize {
        if self.features & feature::HASH_REPORT != 0 {
            HEADER + HASH
        } else {
            HEADER
        }
    }

    /// Transmits a frame behind a header, in pieces of at most `piece` bytes.
    pub fn transmit(
        &mut self,
        machine: &mut Machine,
        pair: u16,
        header: [u8; HEADER],
        frame: &[u8],
        piece: usize,
    ) {
        let rest = vec![0; self.header() - HEADER];
        let bytes = [&header[..], &rest, frame].concat();
        let pieces: Vec<_> = bytes
            .chunks(piece)
            .map(|bytes| {
                let addr = machine.host.alloc(bytes.len());
                machine.host.write(addr, bytes);
                (addr, bytes.len() as u32, false)
            })
            .collect();
        self.queues[usize::from(2 * pair + 1)].post(machine, &pieces);
    }

    /// Gives a receive queue a buffer of so many bytes; returns its id and where it is.
    pub fn give(&mut self, machine: &mut Machine, pair: u16, size: u32) -> (u16, u64) {
        let addr = machine.host.alloc(size as usize);
        let queue = &mut self.queues[usize::from(2 * pair)];
        (queue.post(machine, &[(addr, size, true)]), addr)
    }

    /// Sends a command to the control queue. Returns whether it was carried out.
    ///
    /// # Panics
    ///
    /// When there is no answer.
    pub fn control(&mut self, machine: &mut Machine, class: u8, command: u8, data: &[u8]) -> bool {
        let bytes = [&[class, command], data].concat();
        let addr = machine.host.alloc(bytes.len() + 1);
        machine.host.write(addr, &bytes);
        let ack = addr + bytes.len() as u64;
        machine.host.write(ack, &[0xff]);
        let queue = self.queues.last_mut().expect("no control queue");
        queue.post(
            machine,
            &[(addr, bytes.len() as u32, false), (ack, 1, true)],
        );
        assert_eq!(queue.reap(machine).len(), 1, "no answer");
        let mut answer = [0];
        machine.host.read(ack, &mut answer);
        match answer {
            [0] => true,
            [1] => false,
            other => panic!("answer {other:?}"),
        }
    }
}
