// SPDX-License-Identifier: GPL-2.0

//! A small driver: what a driver does, in the plainest way.

use std::mem::{
    offset_of,
    size_of, //
};

use ferrite_abi::admin::{
    Command,
    Completion,
    Status,
    Submission, //
};
use ferrite_abi::bar::{
    Doorbell,
    DOORBELL_PAGE, //
};
use ferrite_abi::cmd::{
    CreateEventQueue,
    CreateQueue,
    EnablePort,
    QueueKind, //
};
use ferrite_abi::desc::{
    QueueState,
    RxCompletion,
    RxDesc,
    RxFlags,
    TxCompletion,
    TxDesc,
    TxFlags,
    HEADER_PLACE, //
};
use ferrite_abi::event::Event;
use ferrite_abi::ids::FunctionId;
use ferrite_abi::regs::{
    AdminControl,
    AdminCqBaseHi,
    AdminCqBaseLo,
    AdminCqHead,
    AdminSize,
    AdminSqBaseHi,
    AdminSqBaseLo,
    AdminSqTail,
    AdminVector,
    EventHead, //
};
use ferrite_abi::ring::{
    need_event,
    Depth,
    Index, //
};
use ferrite_abi::wire::{
    FromBytes,
    IntoBytes,
    U16,
    U32,
    U64, //
};

use crate::host::PciFn;
use crate::testing::{
    FakeHost,
    Machine, //
};

/// Logarithm of the depth of the rings of this driver.
const DEPTH_LOG2: u8 = 6;

/// Size of the buffers of this driver's RX queues.
pub const BUFFER: u32 = 2048;

/// The driver of a PCI function: its admin queue and its event queue.
#[derive(Debug)]
pub struct Driver {
    /// The PCI function.
    pub function: PciFn,
    /// Address of the submission ring.
    pub sq: u64,
    /// Address of the completion ring.
    pub cq: u64,
    /// Depth of both.
    pub depth: Depth,
    sq_tail: Index,
    cq_head: Index,
    data: u64,
    events: u64,
    event_head: Index,
}

impl Driver {
    /// Sets the admin queue of a PCI function up.
    pub fn start(machine: &mut Machine, function: PciFn) -> Self {
        let depth = Depth::from_log2(DEPTH_LOG2).expect("depth");
        let entries = depth.entries() as usize;
        let sq = machine.host.alloc(entries * size_of::<Submission>());
        let cq = machine.host.alloc(entries * size_of::<Completion>());
        let events = machine.host.alloc(entries * size_of::<Event>());
        let data = machine.host.alloc(0x1000);
        machine.write(function, AdminSqBaseLo(sq as u32));
        machine.write(function, AdminSqBaseHi((sq >> 32) as u32));
        machine.write(function, AdminCqBaseLo(cq as u32));
        machine.write(function, AdminCqBaseHi((cq >> 32) as u32));
        machine.write(function, AdminSize(DEPTH_LOG2.into()));
        machine.write(function, AdminVector(0).with_enable(1));
        machine.write(function, AdminControl(1));
        Self {
            function,
            sq,
            cq,
            depth,
            sq_tail: Index(0),
            cq_head: Index(0),
            data,
            events,
            event_head: Index(0),
        }
    }

    /// Returns the id of the function itself.
    pub fn id(&self) -> FunctionId {
        FunctionId(self.function.0)
    }

    /// Puts an entry into the submission ring and rings.
    pub fn submit(&mut self, machine: &mut Machine, submission: &Submission) {
        let at = self.depth.slot(self.sq_tail) * size_of::<Submission>();
        machine
            .host
            .write(self.sq + at as u64, submission.as_bytes());
        self.sq_tail = self.sq_tail.plus(1);
        machine.write(self.function, AdminSqTail(self.sq_tail.0));
    }

    /// Takes the next completion, if there is one.
    pub fn poll(&mut self, machine: &mut Machine) -> Option<Completion> {
        let at = self.depth.slot(self.cq_head) * size_of::<Completion>();
        let completion: Completion = load(&machine.host, self.cq + at as u64);
        completion.is_new(self.depth, self.cq_head).then(|| {
            self.cq_head = self.cq_head.plus(1);
            machine.write(self.function, AdminCqHead(self.cq_head.0));
            completion
        })
    }

    /// Sends an entry and waits for its completion.
    ///
    /// # Panics
    ///
    /// When there is none, or one of another command.
    pub fn call(&mut self, machine: &mut Machine, submission: &Submission) -> Completion {
        self.submit(machine, submission);
        machine.settle();
        let completion = self.poll(machine).expect("no completion");
        assert_eq!(
            completion.tag, submission.tag,
            "another command's completion"
        );
        completion
    }

    /// Carries out a command about the function itself, without data.
    ///
    /// # Errors
    ///
    /// Returns the status if it is not `OK`.
    pub fn send<C: Command>(
        &mut self,
        machine: &mut Machine,
        command: C,
    ) -> Result<C::Done, Status> {
        let submission = Submission::new(self.tag(), self.id(), command);
        done::<C>(&self.call(machine, &submission))
    }

    /// Carries out a command about some function, without data.
    ///
    /// # Errors
    ///
    /// Returns the status if it is not `OK`.
    pub fn send_about<C: Command>(
        &mut self,
        machine: &mut Machine,
        function: FunctionId,
        command: C,
    ) -> Result<C::Done, Status> {
        let submission = Submission::new(self.tag(), function, command);
        done::<C>(&self.call(machine, &submission))
    }

    /// Carries out a command that carries data to the device.
    ///
    /// # Errors
    ///
    /// Returns the status if it is not `OK`.
    pub fn send_with<C: Command>(
        &mut self,
        machine: &mut Machine,
        command: C,
        data: &C::Data,
    ) -> Result<C::Done, Status> {
        machine.host.write(self.data, data.as_bytes());
        let submission = self.with_data(command);
        done::<C>(&self.call(machine, &submission))
    }

    /// Carries out a command about some function that carries data to the device.
    ///
    /// # Errors
    ///
    /// Returns the status if it is not `OK`.
    pub fn send_about_with<C: Command>(
        &mut self,
        machine: &mut Machine,
        function: FunctionId,
        command: C,
        data: &C::Data,
    ) -> Result<C::Done, Status> {
        machine.host.write(self.data, data.as_bytes());
        let mut submission = self.with_data(command);
        submission.function = U16::new(function.0);
        done::<C>(&self.call(machine, &submission))
    }

    /// Carries out a command about some function that carries data from the device.
    ///
    /// # Errors
    ///
    /// Returns the status if it is not `OK`.
    pub fn fetch_about<C: Command>(
        &mut self,
        machine: &mut Machine,
        function: FunctionId,
        command: C,
    ) -> Result<(C::Done, C::Data), Status> {
        let mut submission = self.with_data(command);
        submission.function = U16::new(function.0);
        let result = done::<C>(&self.call(machine, &submission))?;
        Ok((result, load(&machine.host, self.data)))
    }

    /// Carries out a command that carries data from the device.
    ///
    /// # Errors
    ///
    /// Returns the status if it is not `OK`.
    pub fn fetch<C: Command>(
        &mut self,
        machine: &mut Machine,
        command: C,
    ) -> Result<(C::Done, C::Data), Status> {
        let submission = self.with_data(command);
        let result = done::<C>(&self.call(machine, &submission))?;
        Ok((result, load(&machine.host, self.data)))
    }

    /// Returns the entry of a command with the driver's data buffer.
    pub fn with_data<C: Command>(&self, command: C) -> Submission {
        let mut submission = Submission::new(self.tag(), self.id(), command);
        submission.data_addr = U64::new(self.data);
        submission.data_len = U32::new(size_of::<C::Data>() as u32);
        submission
    }

    /// Creates the event queue, with vector 0.
    ///
    /// # Panics
    ///
    /// When the device refuses.
    pub fn create_event_queue(&mut self, machine: &mut Machine) {
        let command = CreateEventQueue {
            ring_addr: U64::new(self.events),
            vector: U16::new(0),
            depth_log2: DEPTH_LOG2,
            rsvd: [0; 5],
        };
        self.send(machine, command).expect("no event queue");
    }

    /// Takes the next event, if there is one, without telling the device.
    pub fn peek_event(&mut self, machine: &Machine) -> Option<Event> {
        let at = self.depth.slot(self.event_head) * size_of::<Event>();
        let event: Event = load(&machine.host, self.events + at as u64);
        event.is_new(self.depth, self.event_head).then(|| {
            self.event_head = self.event_head.plus(1);
            event
        })
    }

    /// Takes all events.
    pub fn events(&mut self, machine: &mut Machine) -> Vec<Event> {
        let events = std::iter::from_fn(|| self.peek_event(machine)).collect();
        machine.write(self.function, EventHead(self.event_head.0));
        events
    }

    /// Opens the port.
    ///
    /// # Panics
    ///
    /// When the device refuses.
    pub fn open(&mut self, machine: &mut Machine) {
        self.open_of(machine, self.id());
    }

    /// Opens the port of some function.
    ///
    /// # Panics
    ///
    /// When the device refuses.
    pub fn open_of(&mut self, machine: &mut Machine, function: FunctionId) {
        let enable = EnablePort {
            enable: 1,
            rsvd: [0; 3],
        };
        self.send_about(machine, function, enable)
            .expect("port stays closed");
    }

    /// Creates a TX queue, with vector `1 + index`.
    pub fn tx_queue(&mut self, machine: &mut Machine, index: u16) -> TxQueue {
        self.tx_queue_of(machine, self.id(), index)
    }

    /// Creates a TX queue of some function, with vector `1 + index`.
    pub fn tx_queue_of(
        &mut self,
        machine: &mut Machine,
        function: FunctionId,
        index: u16,
    ) -> TxQueue {
        let kind = QueueKind::TX;
        TxQueue(Rings::of(self, machine, function, kind, index, DEPTH_LOG2))
    }

    /// Creates an RX queue, with vector `1 + index`.
    pub fn rx_queue(&mut self, machine: &mut Machine, index: u16) -> RxQueue {
        self.rx_queue_of(machine, self.id(), index)
    }

    /// Creates an RX queue of some function, with vector `1 + index`.
    pub fn rx_queue_of(
        &mut self,
        machine: &mut Machine,
        function: FunctionId,
        index: u16,
    ) -> RxQueue {
        let kind = QueueKind::RX;
        let rings = Rings::of(self, machine, function, kind, index, DEPTH_LOG2);
        let buffers = machine
            .host
            .alloc(rings.depth.entries() as usize * BUFFER as usize);
        RxQueue { rings, buffers }
    }

    fn tag(&self) -> u16 {
        // CAST: any tag will do that is not in use.
        self.sq_tail.0 as u16
    }
}

/// Returns the result of a command, or its status.
fn done<C: Command>(completion: &Completion) -> Result<C::Done, Status> {
    match Status(completion.status.get()) {
        Status::OK => Ok(completion.done::<C>()),
        status => Err(status),
    }
}

/// Reads a value from memory.
fn load<T: FromBytes + IntoBytes>(host: &FakeHost, addr: u64) -> T {
    let mut value = T::new_zeroed();
    host.read(addr, value.as_mut_bytes());
    value
}

/// The memory of a TX or RX queue.
#[derive(Debug)]
pub struct Rings {
    /// The PCI function in whose BAR its doorbell is.
    pub function: PciFn,
    /// Offset in the doorbell BAR.
    doorbell: u64,
    /// Address of the ring of descriptors.
    pub ring: u64,
    /// Address of the ring of completions.
    pub cq: u64,
    /// Address of the state block.
    pub state: u64,
    /// Depth of both rings.
    pub depth: Depth,
    /// Next descriptor to write.
    pub tail: Index,
    /// Next completion to read.
    pub cq_head: Index,
    /// Doorbells that were rung, and those that were not needed.
    pub doorbells: (u32, u32),
}

impl Rings {
    /// Allocates rings and creates a queue with them.
    ///
    /// # Panics
    ///
    /// When the device refuses.
    pub fn new(
        driver: &mut Driver,
        machine: &mut Machine,
        kind: QueueKind,
        index: u16,
        depth_log2: u8,
    ) -> Self {
        Self::of(driver, machine, driver.id(), kind, index, depth_log2)
    }

    /// Allocates rings and creates a queue of some function with them.
    ///
    /// # Panics
    ///
    /// When the device refuses.
    pub fn of(
        driver: &mut Driver,
        machine: &mut Machine,
        function: FunctionId,
        kind: QueueKind,
        index: u16,
        depth_log2: u8,
    ) -> Self {
        let mut rings = Self::unborn(driver.function, machine, kind, index, depth_log2);
        let page = function.doorbell_page().expect("no such function");
        rings.doorbell += u64::from(page) * u64::from(DOORBELL_PAGE);
        let command = rings.command(kind, index);
        driver
            .send_about(machine, function, command)
            .expect("no queue");
        rings
    }

    /// Allocates rings.
    pub fn unborn(
        function: PciFn,
        machine: &mut Machine,
        kind: QueueKind,
        index: u16,
        depth_log2: u8,
    ) -> Self {
        let depth = Depth::from_log2(depth_log2).expect("depth");
        let entries = depth.entries() as usize;
        let (doorbell, desc, completion) = if kind == QueueKind::TX {
            (
                Doorbell::Tx(index),
                size_of::<TxDesc>(),
                size_of::<TxCompletion>(),
            )
        } else {
            (
                Doorbell::Rx(index),
                size_of::<RxDesc>(),
                // The places for headers follow the ring.
                size_of::<RxCompletion>() + HEADER_PLACE as usize,
            )
        };
        Self {
            function,
            doorbell: doorbell.offset().into(),
            ring: machine.host.alloc(entries * desc),
            cq: machine.host.alloc(entries * completion),
            state: machine.host.alloc(size_of::<QueueState>()),
            depth,
            tail: Index(0),
            cq_head: Index(0),
            doorbells: (0, 0),
        }
    }

    /// Returns the command that creates the queue, with vector `1 + index`.
    pub fn command(&self, kind: QueueKind, index: u16) -> CreateQueue {
        CreateQueue {
            ring_addr: U64::new(self.ring),
            cq_addr: U64::new(self.cq),
            state_addr: U64::new(self.state),
            kind: U16::new(kind.0),
            index: U16::new(index),
            vector: U16::new(1 + index),
            moderation_usecs: U16::new(0),
            depth_log2: self.depth.log2(),
            flags: 0,
            moderation_packets: U16::new(0),
            coalesce_usecs: U16::new(0),
            split_above: U16::new(0),
        }
    }

    /// Returns the address of the place for headers that belongs to an RX completion.
    fn place(&self, index: Index) -> u64 {
        let places = self.cq + (self.depth.entries() as usize * size_of::<RxCompletion>()) as u64;
        places + self.depth.slot(index) as u64 * u64::from(HEADER_PLACE)
    }

    /// Writes descriptors, publishes them, and rings if the device wants to be told.
    pub fn post<D: IntoBytes + ferrite_abi::wire::Immutable>(
        &mut self,
        machine: &mut Machine,
        descs: &[D],
    ) {
        for desc in descs {
            let at = self.depth.slot(self.tail) * size_of::<D>();
            machine.host.write(self.ring + at as u64, desc.as_bytes());
            self.tail = self.tail.plus(1);
        }
        let old = self.tail.plus((descs.len() as u32).wrapping_neg());
        machine.host.write32(
            self.state + offset_of!(QueueState, tail) as u64,
            self.tail.0,
        );
        let event = self.word(machine, offset_of!(QueueState, doorbell_event));
        if need_event(Index(event), self.tail, old) {
            self.doorbells.0 += 1;
            machine.ring_at(self.function, self.doorbell);
        } else {
            self.doorbells.1 += 1;
        }
    }

    /// Takes all completions, and asks for an interrupt with the next.
    pub fn reap<C: FromBytes + IntoBytes>(&mut self, machine: &mut Machine) -> Vec<C> {
        let completions = self.take(machine);
        self.arm(machine);
        completions
    }

    /// Takes all completions.
    pub fn take<C: FromBytes + IntoBytes>(&mut self, machine: &Machine) -> Vec<C> {
        let tail = Index(self.word(machine, offset_of!(QueueState, cq_tail)));
        let mut completions = Vec::new();
        while self.cq_head != tail {
            let at = self.depth.slot(self.cq_head) * size_of::<C>();
            completions.push(load(&machine.host, self.cq + at as u64));
            self.cq_head = self.cq_head.plus(1);
        }
        completions
    }

    /// Asks for an interrupt with the next completion.
    pub fn arm(&mut self, machine: &mut Machine) {
        machine.host.write32(
            self.state + offset_of!(QueueState, arm) as u64,
            self.cq_head.0,
        );
    }

    /// Reads a word of the state block.
    pub fn word(&self, machine: &Machine, offset: usize) -> u32 {
        machine.host.read32(self.state + offset as u64)
    }
}

/// A TX queue.
#[derive(Debug)]
pub struct TxQueue(pub Rings);

impl TxQueue {
    /// Puts a frame into memory and returns its descriptor.
    pub fn place(machine: &mut Machine, frame: &[u8]) -> TxDesc {
        let addr = machine.host.alloc(frame.len());
        machine.host.write(addr, frame);
        TxDesc {
            addr: U64::new(addr),
            len: U32::new(frame.len() as u32),
            flags: U16::new(TxFlags::END.0),
            ..TxDesc::default()
        }
    }

    /// Sends a frame as one segment, and runs the device.
    pub fn send(&mut self, machine: &mut Machine, frame: &[u8]) {
        let desc = Self::place(machine, frame);
        self.post(machine, &[desc]);
    }

    /// Posts descriptors, and runs the device.
    pub fn post(&mut self, machine: &mut Machine, descs: &[TxDesc]) {
        self.0.post(machine, descs);
        machine.settle();
    }

    /// Takes all completions: index and status of each.
    pub fn reap(&mut self, machine: &mut Machine) -> Vec<(u32, u16)> {
        let completions: Vec<TxCompletion> = self.0.reap(machine);
        completions
            .iter()
            .map(|done| (done.index.get(), done.status.get()))
            .collect()
    }
}

/// A received packet.
#[derive(Clone, Debug)]
pub struct RxPacket {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// What is said of it.
    pub about: RxCompletion,
    /// Number of buffers that it takes.
    pub buffers: usize,
}

impl RxPacket {
    /// Returns whether it has a flag.
    pub fn has(&self, flag: RxFlags) -> bool {
        RxFlags(self.about.flags.get()).contains(flag)
    }
}

/// An RX queue, with a buffer for each entry; the cookie of a buffer is its slot.
#[derive(Debug)]
pub struct RxQueue {
    /// Its rings.
    pub rings: Rings,
    buffers: u64,
}

impl RxQueue {
    /// Puts `count` buffers in, and runs the device.
    pub fn post(&mut self, machine: &mut Machine, count: u32) {
        self.post_sized(machine, count, BUFFER);
    }

    /// Puts `count` buffers of `size` bytes in, and runs the device.
    pub fn post_sized(&mut self, machine: &mut Machine, count: u32, size: u32) {
        let descs: Vec<_> = (0..count)
            .map(|n| {
                let slot = self.rings.depth.slot(self.rings.tail.plus(n)) as u32;
                RxDesc {
                    addr: U64::new(self.buffer(slot)),
                    len: U32::new(size),
                    cookie: U32::new(slot),
                }
            })
            .collect();
        self.rings.post(machine, &descs);
        machine.settle();
    }

    /// Returns the address of the buffer of a slot.
    pub fn buffer(&self, slot: u32) -> u64 {
        self.buffers + u64::from(slot) * u64::from(BUFFER)
    }

    /// Takes all packets.
    ///
    /// # Panics
    ///
    /// When the last packet is not whole.
    pub fn reap(&mut self, machine: &mut Machine) -> Vec<RxPacket> {
        let mut index = self.rings.cq_head;
        let completions: Vec<RxCompletion> = self.rings.reap(machine);
        let mut packets = Vec::new();
        let mut packet: Option<RxPacket> = None;
        for completion in completions {
            let packet_now = packet.get_or_insert_with(|| {
                let mut bytes = vec![0; completion.header_len.get().into()];
                machine.host.read(self.rings.place(index), &mut bytes);
                RxPacket {
                    bytes,
                    about: completion,
                    buffers: 0,
                }
            });
            index = index.plus(1);
            let mut bytes = vec![0; completion.len.get() as usize];
            machine
                .host
                .read(self.buffer(completion.cookie.get()), &mut bytes);
            packet_now.bytes.extend(bytes);
            packet_now.buffers += 1;
            if RxFlags(completion.flags.get()).contains(RxFlags::END) {
                packets.extend(packet.take());
            }
        }
        assert!(packet.is_none(), "a packet without end");
        packets
    }
}
