// SPDX-License-Identifier: GPL-2.0

//! A device of which the test writes every answer by hand.

use std::cell::{
    Cell,
    RefCell, //
};
use std::collections::HashMap;

use ferrite_abi::admin::{
    Command,
    Completion,
    Opcode,
    Status,
    Submission, //
};
use ferrite_abi::cmd::Echo;
use ferrite_abi::ids::FunctionId;
use ferrite_abi::regs::{
    AdminControl,
    AdminSqTail,
    AdminStatus,
    Heartbeat,
    Register,
    Scratch,
    ScratchNot,
    REGISTERS, //
};
use ferrite_abi::ring::Index;
use ferrite_abi::wire::{
    FromBytes,
    IntoBytes,
    U16,
    U32,
    U64, //
};
use ferrite_core_logic::adminq::AdminQueue;
use ferrite_core_logic::port::{
    AdminRings,
    Registers, //
};
use ferrite_core_logic::slot::{
    Nanos,
    Tag, //
};

/// Slots of the queue under test.
pub const SLOTS: usize = 16;
/// The queue under test.
pub type Queue = AdminQueue<SLOTS>;
/// Time that a command of the tests gets.
pub const PATIENCE: Nanos = 1_000_000_000;

/// Registers that hold what is written, and rings that the test fills.
pub struct Bench {
    pub registers: RefCell<HashMap<u32, u32>>,
    pub writes: RefCell<Vec<(u32, u32)>>,
    pub vanished: Cell<bool>,
    pub refuses_to_start: Cell<bool>,
    /// Bits that the bus does not carry.
    pub stuck: Cell<u32>,
    submissions: RefCell<Vec<[u8; 64]>>,
    completions: RefCell<Vec<Completion>>,
    cq_tail: Cell<Index>,
}

impl Bench {
    pub fn new() -> Self {
        let reset = REGISTERS
            .iter()
            .map(|info| (info.offset, info.reset.unwrap_or(0)))
            .collect();
        Self {
            registers: RefCell::new(reset),
            writes: RefCell::new(Vec::new()),
            vanished: Cell::new(false),
            refuses_to_start: Cell::new(false),
            stuck: Cell::new(0),
            submissions: RefCell::new(vec![[0; 64]; SLOTS]),
            completions: RefCell::new(vec![Completion::default(); SLOTS]),
            cq_tail: Cell::new(Index(0)),
        }
    }

    /// Returns a bench and a queue that runs on it.
    pub fn started() -> (Self, Queue) {
        let bench = Self::new();
        let mut queue = Queue::new();
        queue.start(&bench, &bench).unwrap();
        (bench, queue)
    }

    pub fn set<R: Register>(&self, register: R) {
        self.registers
            .borrow_mut()
            .insert(R::OFFSET, register.raw());
    }

    /// Lets the heartbeat move.
    pub fn beat(&self) {
        let count = self.read::<Heartbeat>().count();
        self.set(Heartbeat(count + 1));
    }

    /// Returns the last value written to a register.
    pub fn written<R: Register>(&self) -> Option<u32> {
        let writes = self.writes.borrow();
        writes
            .iter()
            .rev()
            .find(|(offset, _)| *offset == R::OFFSET)
            .map(|(_, value)| *value)
    }

    /// Returns the submission in a slot of the ring.
    pub fn submission(&self, slot: usize) -> Submission {
        Submission::read_from_bytes(&self.submissions.borrow()[slot]).unwrap()
    }

    /// Writes an answer to the completion ring, as the device would: valid but for what the caller
    /// makes of it.
    pub fn answer(&self, tag: u16, opcode: Opcode, status: Status) {
        let tail = self.read::<AdminSqTail>().index();
        self.answer_raw(tag, opcode, status.0, tail as u16);
    }

    /// Writes an answer of which every field is given.
    pub fn answer_raw(&self, tag: u16, opcode: Opcode, status: u16, sq_head: u16) {
        let index = self.cq_tail.get();
        let entry = Completion {
            tag: U16::new(tag),
            opcode: U16::new(opcode.0),
            status: U16::new(status),
            sq_head: U16::new(sq_head),
            meta: U32::new(Queue::DEPTH.phase(index).into()),
            ..Completion::default()
        };
        self.completions.borrow_mut()[Queue::DEPTH.slot(index)] = entry;
        self.cq_tail.set(index.plus(1));
    }

    /// Fills the completion ring with any bytes.
    pub fn scribble(&self, bytes: &[u8]) {
        let mut ring = self.completions.borrow_mut();
        let size = bytes.len() / SLOTS;
        for (entry, bytes) in ring.iter_mut().zip(bytes.chunks(size)) {
            entry.as_mut_bytes()[..size].copy_from_slice(bytes);
        }
    }

    /// Posts an `Echo` that may take [`PATIENCE`] from `now` on.
    pub fn echo(&self, queue: &mut Queue, now: Nanos) -> Tag {
        let tag = queue.reserve().unwrap().expect("a free slot");
        let echo = Echo { value: U64::new(7) };
        let command = Submission::new(tag.0, FunctionId::PF, echo);
        queue
            .post(self, self, &command, now, now + PATIENCE)
            .unwrap();
        tag
    }
}

/// Opcode of the command that [`Bench::echo`] posts.
pub const ECHO: Opcode = Echo::OPCODE;

impl Registers for Bench {
    fn read<R: Register>(&self) -> R {
        if self.vanished.get() {
            return R::from_raw(u32::MAX);
        }
        R::from_raw(self.registers.borrow()[&R::OFFSET])
    }

    fn write<R: Register>(&self, register: R) {
        self.writes.borrow_mut().push((R::OFFSET, register.raw()));
        self.set(register);
        if R::OFFSET == Scratch::OFFSET {
            let value = register.raw() & !self.stuck.get();
            self.set(Scratch(value));
            self.set(ScratchNot(!value));
        }
        if R::OFFSET == AdminControl::OFFSET {
            let enabled = register.raw() & !u32::from(self.refuses_to_start.get());
            self.set(AdminStatus::default().with_enabled(enabled));
            self.cq_tail.set(Index(0));
        }
    }
}

impl AdminRings for Bench {
    fn bus(&self) -> (u64, u64) {
        (0x1_2345_6000, 0x2_3456_7000)
    }

    fn post(&self, slot: usize, entry: &Submission) {
        self.submissions.borrow_mut()[slot].copy_from_slice(entry.as_bytes());
    }

    fn completion(&self, slot: usize) -> Completion {
        self.completions.borrow()[slot]
    }

    fn clear(&self) {
        self.submissions.borrow_mut().fill([0; 64]);
        self.completions.borrow_mut().fill(Completion::default());
    }
}
