// SPDX-License-Identifier: GPL-2.0

//! What the kernel side of the driver does around the logic, with the model in place of hardware.

use std::cell::{
    RefCell,
    RefMut, //
};
use std::task::Poll;

use ferrite_abi::admin::{
    Command,
    Completion,
    DataDirection,
    Status,
    Submission,
    MAX_DATA, //
};
use ferrite_abi::cmd::{
    ClearFaults,
    Echo,
    FaultKind,
    InjectFault, //
};
use ferrite_abi::event::Event;
use ferrite_abi::ids::FunctionId;
use ferrite_abi::regs::{
    Control,
    Register, //
};
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
    EventRing,
    Registers, //
};
use ferrite_core_logic::slot::{
    Nanos,
    Tag,
    Unanswered, //
};
use ferrite_model::testing::Machine;
use ferrite_model::{
    Config,
    PciFn,
    Trace, //
};

/// Slots of the queue, as many as the driver has.
pub const SLOTS: usize = 32;
pub type Queue = AdminQueue<SLOTS>;

pub const MS: Nanos = 1_000_000;
/// Time that a command gets.
pub const TIMEOUT: Nanos = 1000 * MS;
/// How often the driver looks after the device while it waits.
pub const TICK: Nanos = 250 * MS;

/// Size of a slot's data buffer.
const DATA: u64 = MAX_DATA as u64;

/// The device, and the memory that it shares with the driver.
pub struct Board {
    machine: RefCell<Machine>,
    sq: u64,
    cq: u64,
    pub eq: u64,
    data: u64,
}

impl Board {
    pub fn new() -> Self {
        let config = Config {
            faults: true,
            ..Config::default()
        };
        let mut machine = Machine::new(config);
        let mut alloc = |size| machine.host.alloc(size);
        Self {
            sq: alloc(SLOTS * size_of::<Submission>()),
            cq: alloc(SLOTS * size_of::<Completion>()),
            eq: alloc(0x1000),
            data: alloc(SLOTS * MAX_DATA as usize),
            machine: RefCell::new(machine),
        }
    }

    pub fn machine(&self) -> RefMut<'_, Machine> {
        self.machine.borrow_mut()
    }

    pub fn now(&self) -> Nanos {
        self.machine.borrow().host.now
    }

    /// Lets the device work until it has nothing more to do.
    pub fn run(&self) {
        self.machine().settle();
    }

    /// Lets time pass, and the device do what becomes due.
    pub fn pass(&self, time: Nanos) {
        self.machine().advance(time);
    }

    /// Returns what the device holds against the driver.
    pub fn complaints(&self) -> Vec<Trace> {
        let machine = self.machine.borrow();
        let complaint = |trace: &&Trace| matches!(trace, Trace::GuestError { .. });
        machine
            .host
            .traces
            .iter()
            .filter(complaint)
            .copied()
            .collect()
    }

    fn load<T: FromBytes>(&self, addr: u64) -> T {
        let mut bytes = vec![0; size_of::<T>()];
        self.machine.borrow().host.read(addr, &mut bytes);
        T::read_from_bytes(&bytes).unwrap()
    }

    fn store(&self, addr: u64, bytes: &[u8]) {
        self.machine().host.write(addr, bytes);
    }
}

impl Registers for Board {
    fn read<R: Register>(&self) -> R {
        self.machine().read(PciFn::PF)
    }

    fn write<R: Register>(&self, register: R) {
        self.machine().write(PciFn::PF, register);
    }
}

impl AdminRings for Board {
    fn bus(&self) -> (u64, u64) {
        (self.sq, self.cq)
    }

    fn post(&self, slot: usize, entry: &Submission) {
        self.store(
            self.sq + (slot * size_of::<Submission>()) as u64,
            entry.as_bytes(),
        );
    }

    fn completion(&self, slot: usize) -> Completion {
        self.load(self.cq + (slot * size_of::<Completion>()) as u64)
    }

    fn clear(&self) {
        self.store(self.sq, &[0; SLOTS * size_of::<Submission>()]);
        self.store(self.cq, &[0; SLOTS * size_of::<Completion>()]);
    }
}

impl EventRing for Board {
    fn event(&self, slot: usize) -> Event {
        self.load(self.eq + (slot * size_of::<Event>()) as u64)
    }
}

/// A board and a running queue.
pub struct Rig {
    pub board: Board,
    pub queue: Queue,
}

impl Rig {
    pub fn new() -> Self {
        let board = Board::new();
        let mut queue = Queue::new();
        queue.start(&board, &board).expect("a queue that starts");
        Self { board, queue }
    }

    /// Posts a command about the PF, with its slot's page as data buffer if it has one.
    pub fn post<C: Command>(&mut self, command: C) -> Option<Tag> {
        self.post_to(FunctionId::PF, command)
    }

    /// As [`Rig::post`], about `function`.
    fn post_to<C: Command>(&mut self, function: FunctionId, command: C) -> Option<Tag> {
        let tag = self.queue.reserve().ok()??;
        let mut entry = Submission::new(tag.0, function, command);
        if C::DATA != DataDirection::None {
            entry.data_addr = U64::new(self.data(tag));
            entry.data_len = U32::new(size_of::<C::Data>() as u32);
        }
        let now = self.board.now();
        self.queue
            .post(&self.board, &self.board, &entry, now, now + TIMEOUT)
            .ok()?;
        Some(tag)
    }

    pub fn reap(&mut self) -> bool {
        self.queue.reap(&self.board, &self.board, self.board.now())
    }

    pub fn tick(&mut self) -> bool {
        self.queue.tick(&self.board, &self.board, self.board.now())
    }

    pub fn poll(&mut self, tag: Tag) -> Poll<Result<Completion, Unanswered>> {
        self.queue.poll(tag, self.board.now())
    }

    /// Waits as a caller in the kernel does: for answers, and looking after the device meanwhile.
    pub fn wait(&mut self, tag: Tag) -> Result<Completion, Unanswered> {
        loop {
            self.board.run();
            self.reap();
            if let Poll::Ready(outcome) = self.poll(tag) {
                self.queue.release(tag);
                return outcome;
            }
            self.board.pass(TICK);
            self.tick();
        }
    }

    /// Sends a command and returns its result.
    pub fn send<C: Command>(&mut self, command: C) -> Result<C::Done, Unanswered> {
        let tag = self.post(command).ok_or(Unanswered::Gone)?;
        let answer = self.wait(tag)?;
        assert_eq!(answer.status.get(), 0, "{:?}", C::OPCODE);
        Ok(answer.done::<C>())
    }

    /// Sends a command about `function` and returns its result, or why the device refused it.
    pub fn send_to<C: Command>(
        &mut self,
        function: FunctionId,
        command: C,
    ) -> Result<Result<C::Done, Status>, Unanswered> {
        let tag = self.post_to(function, command).ok_or(Unanswered::Gone)?;
        let answer = self.wait(tag)?;
        Ok(match Status(answer.status.get()) {
            Status::OK => Ok(answer.done::<C>()),
            status => Err(status),
        })
    }

    /// Resets the PF and starts its queue anew.
    pub fn reset(&mut self) {
        self.queue.pause(&self.board);
        self.board.write(Control::default().with_reset(1));
        self.board.pass(TICK);
        self.queue
            .start(&self.board, &self.board)
            .expect("a queue that starts");
    }

    /// Sends a command and returns the data that the device wrote.
    pub fn fetch<C: Command>(&mut self, command: C) -> Result<C::Data, Unanswered> {
        let tag = self.post(command).ok_or(Unanswered::Gone)?;
        let answer = self.wait(tag)?;
        assert_eq!(answer.status.get(), 0, "{:?}", C::OPCODE);
        Ok(self.board.load(self.data(tag)))
    }

    fn data(&self, tag: Tag) -> u64 {
        self.board.data + tag.slot() as u64 * DATA
    }

    /// Sends an `Echo` and checks that it comes back.
    pub fn echo(&mut self, value: u64) -> Result<(), Unanswered> {
        let done = self.send(Echo {
            value: U64::new(value),
        })?;
        assert_eq!(done.value.get(), value);
        Ok(())
    }

    /// Arms a fault that strikes commands with the opcode of `Echo`, `count` times.
    pub fn arm(&mut self, kind: FaultKind, count: u32, param: u32) {
        let fault = InjectFault {
            kind: U16::new(kind.0),
            opcode: U16::new(Echo::OPCODE.0),
            skip: U32::new(0),
            count: U32::new(count),
            param: U32::new(param),
            ..InjectFault::default()
        };
        self.send(fault).expect("a fault that arms");
    }

    pub fn disarm(&mut self) -> Result<(), Unanswered> {
        self.send(ClearFaults {})
    }
}
