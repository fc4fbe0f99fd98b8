// SPDX-License-Identifier: GPL-2.0

//! A port: the driver's queues over memory of the fake host, and a driver for its admin queue.

use std::cell::{
    Cell,
    RefCell, //
};
use std::collections::VecDeque;
use std::mem::{
    offset_of,
    size_of, //
};
use std::rc::Rc;

use ferrite_abi::bar::Doorbell;
use ferrite_abi::cmd::{
    CreateQueue,
    DestroyQueue,
    InjectFault,
    QueueFlags,
    QueueKind,
    SetMac,
    SetMtu, //
};
use ferrite_abi::desc::{
    QueueState,
    RxCompletion,
    RxDesc,
    TxCompletion,
    TxDesc,
    TxStatus,
    HEADER_PLACE, //
};
use ferrite_abi::ring::{
    Depth,
    Index, //
};
use ferrite_abi::wire::{
    Wire,
    U16,
    U32,
    U64, //
};
use ferrite_model::testing::{
    Driver,
    Machine, //
};
use ferrite_model::{
    Config,
    PciFn, //
};
use ferrite_net_logic::memory::{
    Progress,
    QueueMemory, //
};
use ferrite_net_logic::ring::BadTail;
use ferrite_net_logic::rx::{
    Headers,
    PacketInfo,
    RxBuffer,
    RxFault,
    RxRing,
    Step, //
};
use ferrite_net_logic::tx::{
    InFlight,
    Offload,
    Segment,
    TxFault,
    TxPoster,
    TxReaper, //
};

/// The machine, as all that is plugged into it shares it.
pub type Shared = Rc<RefCell<Machine>>;

/// Makes a machine whose device can be told to fail.
pub fn machine() -> Shared {
    let config = Config {
        faults: true,
        ..Config::default()
    };
    Rc::new(RefCell::new(Machine::new(config)))
}

/// Memory of a queue, and how often its doorbell was rung.
pub struct Memory<D, C> {
    machine: Shared,
    function: PciFn,
    doorbell: Doorbell,
    descs: u64,
    completions: u64,
    state: u64,
    progress: Progress,
    pub rung: Cell<u32>,
    _entries: std::marker::PhantomData<(D, C)>,
}

impl<D: Wire, C: Wire> Memory<D, C> {
    /// Returns memory with `place` bytes for each completion behind all of them.
    fn new(
        machine: &Shared,
        function: PciFn,
        depth: Depth,
        doorbell: Doorbell,
        place: u32,
    ) -> Self {
        let host = &mut machine.borrow_mut().host;
        let entries = depth.entries() as usize;
        Self {
            machine: machine.clone(),
            function,
            doorbell,
            descs: host.alloc(entries * size_of::<D>()),
            completions: host.alloc(entries * (size_of::<C>() + place as usize)),
            state: host.alloc(size_of::<QueueState>()),
            progress: Progress::new(),
            rung: Cell::new(0),
            _entries: std::marker::PhantomData,
        }
    }

    /// Makes it as it was at first.
    fn reset(&self) {
        let host = &mut self.machine.borrow_mut().host;
        host.write(self.state, &[0; size_of::<QueueState>()]);
        self.progress.reset();
    }

    fn create(&self, kind: QueueKind, depth: Depth, flags: QueueFlags) -> CreateQueue {
        CreateQueue {
            ring_addr: U64::new(self.descs),
            cq_addr: U64::new(self.completions),
            state_addr: U64::new(self.state),
            kind: U16::new(kind.0),
            index: U16::new(0),
            vector: U16::new(1),
            moderation_usecs: U16::new(0),
            depth_log2: depth.log2(),
            flags: flags.0,
            moderation_packets: U16::new(0),
            coalesce_usecs: U16::new(0),
            split_above: U16::new(0),
        }
    }

    fn load(&self, offset: usize) -> Index {
        let host = &self.machine.borrow().host;
        Index(host.read32(self.state + offset as u64))
    }

    fn store(&self, offset: usize, index: Index) {
        let host = &mut self.machine.borrow_mut().host;
        host.write32(self.state + offset as u64, index.0);
    }
}

impl<D: Wire, C: Wire> QueueMemory for Memory<D, C> {
    type Desc = D;
    type Completion = C;

    fn progress(&self) -> &Progress {
        &self.progress
    }

    fn write(&self, slot: usize, desc: &D) {
        let addr = self.descs + (slot * size_of::<D>()) as u64;
        self.machine.borrow_mut().host.write(addr, desc.as_bytes());
    }

    fn publish_tail(&self, tail: Index) {
        self.store(offset_of!(QueueState, tail), tail);
    }

    fn doorbell_event(&self) -> Index {
        self.load(offset_of!(QueueState, doorbell_event))
    }

    fn ring(&self) {
        self.rung.set(self.rung.get() + 1);
        self.machine.borrow_mut().ring(self.function, self.doorbell);
    }

    fn cq_tail(&self) -> Index {
        self.load(offset_of!(QueueState, cq_tail))
    }

    fn read(&self, slot: usize) -> C {
        let addr = self.completions + (slot * size_of::<C>()) as u64;
        let mut entry = C::new_zeroed();
        self.machine.borrow().host.read(addr, entry.as_mut_bytes());
        entry
    }

    fn publish_arm(&self, index: Index) {
        self.store(offset_of!(QueueState, arm), index);
    }
}

/// A receive buffer; `id` tells it from all others.
#[derive(Debug, PartialEq, Eq)]
pub struct Buffer {
    pub id: u32,
    addr: u64,
    size: u32,
}

impl RxBuffer for Buffer {
    fn addr(&self) -> u64 {
        self.addr
    }

    fn size(&self) -> u32 {
        self.size
    }
}

/// Packets under way: the end of each, and its number.
#[derive(Default)]
pub struct UnderWay(VecDeque<(Index, u64)>);

impl InFlight for UnderWay {
    type Packet = u64;

    fn front_end(&self) -> Option<Index> {
        self.0.front().map(|(end, _)| *end)
    }

    fn pop(&mut self) -> Option<u64> {
        self.0.pop_front().map(|(_, number)| number)
    }
}

/// A packet that was received.
#[derive(Debug, PartialEq, Eq)]
pub struct Packet {
    pub bytes: Vec<u8>,
    /// How many of them came in a place for headers.
    pub headers: u16,
    pub info: PacketInfo,
    pub buffers: u32,
}

/// What a poll of the receive queue found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Received {
    pub packets: Vec<Packet>,
    pub faults: Vec<RxFault>,
}

impl Received {
    /// Returns the bytes of all packets.
    pub fn frames(&self) -> Vec<Vec<u8>> {
        self.packets
            .iter()
            .map(|packet| packet.bytes.clone())
            .collect()
    }
}

type TxMemory = Memory<TxDesc, TxCompletion>;
type RxMemory = Memory<RxDesc, RxCompletion>;

/// How a port is made.
#[derive(Clone, Copy)]
pub struct Setup {
    pub depth: Depth,
    pub buffer_size: u32,
    pub mtu: u16,
    /// Headers are in places of their own.
    pub has_places: bool,
}

impl Setup {
    fn rx_flags(&self) -> QueueFlags {
        if self.has_places {
            QueueFlags::SPLIT.with(QueueFlags::HEADERS)
        } else {
            QueueFlags(0)
        }
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            depth: Depth::from_log2(7).unwrap(),
            buffer_size: 1664,
            mtu: 1500,
            has_places: false,
        }
    }
}

/// A function's port with one queue pair that is up.
pub struct Port {
    machine: Shared,
    setup: Setup,
    pub admin: Driver,
    pub tx: Rc<TxMemory>,
    pub rx: Rc<RxMemory>,
    poster: TxPoster<Rc<TxMemory>>,
    reaper: TxReaper<Rc<TxMemory>>,
    under_way: UnderWay,
    pub ring: RxRing<Rc<RxMemory>, Vec<Option<Buffer>>>,
    pub spare: Vec<Buffer>,
    partial: Option<Packet>,
    next_packet: u64,
    /// Numbers of the packets that were sent, in order, and what became of them.
    pub sent: Vec<(u64, TxStatus)>,
}

impl Port {
    /// Brings the port of a PCI function up.
    pub fn new(machine: &Shared, function: PciFn, mac: [u8; 6], setup: Setup) -> Self {
        let place = if setup.has_places { HEADER_PLACE } else { 0 };
        let depth = setup.depth;
        let tx = Rc::new(Memory::new(machine, function, depth, Doorbell::Tx(0), 0));
        let rx = Rc::new(Memory::new(
            machine,
            function,
            depth,
            Doorbell::Rx(0),
            place,
        ));
        let mut admin = Driver::start(&mut machine.borrow_mut(), function);
        {
            let machine = &mut *machine.borrow_mut();
            let mtu = U16::new(setup.mtu);
            admin.send(machine, SetMtu { mtu, rsvd: [0; 2] }).unwrap();
            admin.send(machine, SetMac { mac, rsvd: [0; 2] }).unwrap();
            let queues = [
                tx.create(QueueKind::TX, depth, QueueFlags(0)),
                rx.create(QueueKind::RX, depth, setup.rx_flags()),
            ];
            for queue in queues {
                admin.send(machine, queue).unwrap();
            }
            admin.open(machine);
        }
        let entries = setup.depth.entries();
        let spare = (0..entries)
            .map(|id| Buffer {
                id,
                addr: machine.borrow_mut().host.alloc(setup.buffer_size as usize),
                size: setup.buffer_size,
            })
            .collect();
        let slots = (0..entries).map(|_| None).collect();
        let mut port = Self {
            machine: machine.clone(),
            setup,
            admin,
            poster: TxPoster::new(tx.clone(), setup.depth),
            reaper: TxReaper::new(tx.clone(), setup.depth),
            ring: RxRing::new(rx.clone(), depth, slots, 18)
                .unwrap()
                .with_places(setup.has_places),
            tx,
            rx,
            under_way: UnderWay::default(),
            spare,
            partial: None,
            next_packet: 0,
            sent: Vec::new(),
        };
        port.refill();
        port.settle();
        port
    }

    /// Destroys the receive queue, with what is in it, and makes it anew.
    pub fn restart_rx(&mut self) {
        let destroy = DestroyQueue {
            kind: U16::new(QueueKind::RX.0),
            index: U16::new(0),
        };
        let flags = self.setup.rx_flags();
        let create = self.rx.create(QueueKind::RX, self.setup.depth, flags);
        self.admin
            .send(&mut self.machine.borrow_mut(), destroy)
            .unwrap();
        self.rx.reset();
        self.ring.reset();
        self.partial = None;
        let machine = &mut *self.machine.borrow_mut();
        self.admin.send(machine, create).unwrap();
        // The ring let go of the others.
        let size = self.setup.buffer_size;
        self.spare = (0..self.setup.depth.entries())
            .map(|id| Buffer {
                id,
                addr: machine.host.alloc(size as usize),
                size,
            })
            .collect();
    }

    /// Lets the device run until it has nothing to do.
    pub fn settle(&self) {
        self.machine.borrow_mut().settle();
    }

    /// Gives the device all spare buffers.
    pub fn refill(&mut self) {
        let Self { ring, spare, .. } = self;
        ring.refill(|| spare.pop());
    }

    /// Arms a fault.
    pub fn inject(&mut self, fault: InjectFault) {
        let machine = &mut *self.machine.borrow_mut();
        self.admin.send(machine, fault).unwrap();
    }

    /// Returns how many descriptors are free for sending.
    pub fn free(&self) -> u32 {
        self.poster.free()
    }

    /// Posts a frame as segments of these lengths, the last of which takes the rest.
    pub fn post(&mut self, frame: &[u8], cuts: &[usize], offload: Offload) -> u64 {
        let (number, segments) = self.place(frame, cuts);
        let end = self.poster.post(&offload, segments.into_iter());
        self.under_way.0.push_back((end, number));
        number
    }

    /// Puts a frame into memory in pieces, and numbers it.
    fn place(&mut self, frame: &[u8], cuts: &[usize]) -> (u64, Vec<Segment>) {
        let mut segments = Vec::new();
        let mut rest = frame;
        for cut in cuts {
            let (segment, later) = rest.split_at((*cut).clamp(1, rest.len()));
            segments.push(segment);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        if !rest.is_empty() {
            segments.push(rest);
        }
        let host = &mut self.machine.borrow_mut().host;
        let segments = segments.into_iter().map(|bytes| {
            let addr = host.alloc(bytes.len());
            host.write(addr, bytes);
            Segment {
                addr,
                len: bytes.len() as u32,
            }
        });
        let segments: Vec<_> = segments.collect();
        let number = self.next_packet;
        self.next_packet += 1;
        (number, segments)
    }

    /// Tells the device of what was posted; returns whether that took a doorbell.
    pub fn kick(&mut self) -> bool {
        self.poster.kick()
    }

    /// Sends a frame as one segment, and lets the device run.
    pub fn send(&mut self, frame: &[u8]) {
        self.post(frame, &[], Offload::default());
        self.kick();
        self.settle();
    }

    /// Reaps what was sent.
    pub fn reap(&mut self) -> Result<(), TxFault> {
        let Self {
            reaper,
            under_way,
            sent,
            ..
        } = self;
        reaper.reap(under_way, |number, status, _| sent.push((number, status)))
    }

    /// Receives up to `budget` buffers and gives them back to the device.
    pub fn receive_some(&mut self, budget: u32) -> Result<Received, BadTail> {
        let mut received = Received::default();
        for _ in 0..self.ring.ready()?.min(budget) {
            let Some(step) = self.ring.step() else { break };
            self.take(step, &mut received);
        }
        self.refill();
        Ok(received)
    }

    /// Receives all there is.
    pub fn receive(&mut self) -> Result<Received, BadTail> {
        self.receive_some(u32::MAX)
    }

    fn take(&mut self, step: Step<Buffer>, received: &mut Received) {
        let (buffer, is_end) = match step {
            Step::Start {
                buffer,
                len,
                headers,
                info,
                end,
            } => {
                assert!(self.partial.is_none(), "a packet within a packet");
                let mut bytes = headers.map_or_else(Vec::new, |headers| self.headers(headers));
                bytes.extend(self.bytes(&buffer, len));
                self.partial = Some(Packet {
                    bytes,
                    headers: headers.map_or(0, |headers| headers.len),
                    info,
                    buffers: 1,
                });
                (buffer, end)
            }
            Step::More { buffer, len, end } => {
                let bytes = self.bytes(&buffer, len);
                let packet = self.partial.as_mut().expect("a part without start");
                packet.bytes.extend(bytes);
                packet.buffers += 1;
                (buffer, end)
            }
            Step::Drop { buffer, fault } => {
                self.partial = None;
                received.faults.extend(fault);
                (buffer, false)
            }
        };
        if is_end {
            received.packets.extend(self.partial.take());
        }
        self.spare.push(buffer);
    }

    fn headers(&self, headers: Headers) -> Vec<u8> {
        let completions = self.setup.depth.entries() as usize * size_of::<RxCompletion>();
        let offset = completions + headers.slot * HEADER_PLACE as usize;
        let mut bytes = vec![0; headers.len.into()];
        let host = &self.machine.borrow().host;
        host.read(self.rx.completions + offset as u64, &mut bytes);
        bytes
    }

    fn bytes(&self, buffer: &Buffer, len: u32) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        self.machine.borrow().host.read(buffer.addr, &mut bytes);
        bytes
    }
}

/// Returns a fault that happens `count` times from now on.
pub fn fault(kind: ferrite_abi::cmd::FaultKind, param: u32, count: u32) -> InjectFault {
    InjectFault {
        kind: U16::new(kind.0),
        opcode: U16::new(u16::MAX),
        skip: U32::new(0),
        count: U32::new(count),
        param: U32::new(param),
        ..InjectFault::default()
    }
}

/// Address of the PF.
pub const PF_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Address of the VF.
pub const VF_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// Brings a PF and a VF of one device up, between which the embedded switch is.
pub fn pair(setup: Setup) -> (Shared, Port, Port) {
    let machine = machine();
    machine.borrow_mut().set_vfs(1);
    let pf = Port::new(&machine, PciFn::PF, PF_MAC, setup);
    let vf = Port::new(&machine, PciFn::vf(0), VF_MAC, setup);
    (machine, pf, vf)
}

/// Returns a frame that is not IP, of `len` bytes, with contents that depend on `seed`.
pub fn frame(to: [u8; 6], from: [u8; 6], len: usize, seed: u32) -> Vec<u8> {
    let payload: Vec<u8> = (0..len.saturating_sub(14) as u32)
        .map(|index| (index.wrapping_mul(31).wrapping_add(seed.wrapping_mul(7919))) as u8)
        .collect();
    ferrite_model::testing::frame::plain(to, from, &payload)
}
