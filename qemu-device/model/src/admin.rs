// SPDX-License-Identifier: GPL-2.0

//! The admin queue of a PCI function: its registers, its rings, its completions.

use std::collections::VecDeque;
use std::mem::{
    offset_of,
    size_of, //
};

use ferrite_abi::admin::{
    Completion,
    Status,
    Submission,
    ADMIN_DEPTH_LOG2, //
};
use ferrite_abi::cmd::FaultKind;
use ferrite_abi::desc::RING_ALIGN;
use ferrite_abi::event::{
    HealthChange,
    Syndrome, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::mig::AdminRecord;
use ferrite_abi::regs::{
    AdminError,
    AdminVector, //
};
use ferrite_abi::ring::{
    available,
    Depth,
    Index, //
};
use ferrite_abi::wire::{
    FromBytes,
    IntoBytes,
    U16,
    U32, //
};

use crate::cmd;
use crate::device::Device;
use crate::faults::Strike;
use crate::host::{
    BusError,
    DmaFault,
    GuestError,
    Host,
    PciFn,
    Trace, //
};
use crate::save::{
    saved,
    LoadError, //
};
use crate::slot::Slot;
use crate::timers::Timer;

/// Commands of one PCI function that are carried out before it is another's turn.
const TURN: usize = 32;

/// The admin queue: what its registers hold, and, while it is on, where it stands.
#[derive(Debug, Default)]
pub(crate) struct AdminQueue {
    /// Address of the submission ring.
    pub(crate) sq_addr: u64,
    /// Address of the completion ring.
    pub(crate) cq_addr: u64,
    /// `AdminSize`.
    pub(crate) size: u32,
    /// `AdminVector`.
    pub(crate) vector: u32,
    /// `AdminControl`.
    pub(crate) control: u32,
    /// Why it does not run.
    pub(crate) error: AdminError,
    /// Where it stands, while it runs.
    pub(crate) running: Option<Running>,
}

saved!(AdminQueue {
    sq_addr,
    cq_addr,
    size,
    vector,
    control,
    error,
    running
});

/// Where a running admin queue stands.
#[derive(Debug)]
pub(crate) struct Running {
    /// Depth of both rings.
    depth: Depth,
    /// Next submission that the device reads.
    sq_head: Index,
    /// Submissions before this are ready.
    sq_tail: Index,
    /// Completions before this were read by the driver.
    cq_head: Index,
    /// Next completion that the device writes.
    cq_tail: Index,
    /// Completions that wait for a slot of the ring.
    waiting: VecDeque<Completion>,
    /// Completions that wait for their time.
    delayed: Vec<(u64, Completion)>,
}

saved!(Running {
    depth,
    sq_head,
    sq_tail,
    cq_head,
    cq_tail,
    waiting,
    delayed
});

impl AdminQueue {
    /// Turns the queue on, with what the registers say.
    pub(crate) fn enable(&mut self) {
        match self.depth().filter(|depth| self.has_good_addresses(*depth)) {
            Some(depth) => {
                self.error = AdminError::NONE;
                self.running = Some(Running {
                    depth,
                    sq_head: Index(0),
                    sq_tail: Index(0),
                    cq_head: Index(0),
                    cq_tail: Index(0),
                    waiting: VecDeque::new(),
                    delayed: Vec::new(),
                });
            }
            None => self.error = AdminError::BAD_SETUP,
        }
    }

    /// Turns the queue off: commands under way are aborted. An error that a reset has to mend stays
    /// visible.
    pub(crate) fn disable(&mut self, well: bool) {
        self.running = None;
        if well {
            self.error = AdminError::NONE;
        }
    }

    /// Returns when delayed completions are due.
    pub(crate) fn delays(&self) -> impl Iterator<Item = u64> + '_ {
        self.running
            .iter()
            .flat_map(|running| running.delayed.iter().map(|(due, _)| *due))
    }

    /// Returns the depth that the register says.
    fn depth(&self) -> Option<Depth> {
        let log2 = u8::try_from(self.size).ok()?;
        Depth::from_log2(log2).filter(|_| ADMIN_DEPTH_LOG2.contains(&log2))
    }

    /// Returns whether both rings are aligned, not null, and within the address space.
    fn has_good_addresses(&self, depth: Depth) -> bool {
        let good = |addr: u64, entry: usize| {
            let size = u64::from(depth.entries()) * entry as u64;
            addr != 0 && addr % RING_ALIGN == 0 && addr.checked_add(size).is_some()
        };
        good(self.sq_addr, size_of::<Submission>()) && good(self.cq_addr, size_of::<Completion>())
    }

    /// Checks a queue that was loaded.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let entries = running.depth.entries();
        let outstanding = running.waiting.len() + running.delayed.len();
        let good = self.depth() == Some(running.depth)
            && self.has_good_addresses(running.depth)
            && running.sq_tail.since(running.sq_head) <= entries
            && running.cq_tail.since(running.cq_head) <= entries
            // Each may be written twice by a fault.
            && outstanding <= 2 * entries as usize;
        if good {
            Ok(())
        } else {
            Err(LoadError::Invalid("admin queue"))
        }
    }
}

impl Running {
    /// Returns where the queue stands, as a record of a stream.
    pub(crate) fn record(&self) -> AdminRecord {
        AdminRecord {
            sq_head: U32::new(self.sq_head.0),
            sq_tail: U32::new(self.sq_tail.0),
            cq_head: U32::new(self.cq_head.0),
            cq_tail: U32::new(self.cq_tail.0),
            depth_log2: self.depth.log2(),
            rsvd: [0; 7],
        }
    }

    /// Returns the completions that are not written yet.
    pub(crate) fn unwritten(&self) -> impl Iterator<Item = &Completion> {
        let delayed = self.delayed.iter().map(|(_, completion)| completion);
        self.waiting.iter().chain(delayed)
    }

    /// Takes up where a record of a stream says, if there is such a depth.
    pub(crate) fn restore(
        record: &AdminRecord,
        unwritten: impl Iterator<Item = Completion>,
    ) -> Option<Self> {
        Some(Self {
            depth: Depth::from_log2(record.depth_log2)?,
            sq_head: Index(record.sq_head.get()),
            sq_tail: Index(record.sq_tail.get()),
            cq_head: Index(record.cq_head.get()),
            cq_tail: Index(record.cq_tail.get()),
            waiting: unwritten.collect(),
            delayed: Vec::new(),
        })
    }

    /// Moves the tail to where the driver says it is. Returns whether that can be.
    pub(crate) fn set_tail(&mut self, tail: Index) -> bool {
        let possible = available(self.depth, self.sq_head, tail).is_some();
        if possible {
            self.sq_tail = tail;
        }
        possible
    }

    /// Moves the completion head to where the driver says it is. Returns whether that can be.
    pub(crate) fn set_head(&mut self, head: Index) -> bool {
        let possible = self.cq_tail.since(head) <= self.cq_tail.since(self.cq_head);
        if possible {
            self.cq_head = head;
        }
        possible
    }

    /// Returns the number of slots of the completion ring that are neither unread nor promised to
    /// a command.
    fn room(&self) -> usize {
        let used = self.cq_tail.since(self.cq_head) as usize;
        let promised = self.waiting.len() + self.delayed.len();
        (self.depth.entries() as usize).saturating_sub(used + promised)
    }

    /// Returns the number of commands that can be carried out now.
    fn runnable(&self) -> usize {
        (self.sq_tail.since(self.sq_head) as usize).min(self.room())
    }

    /// Returns whether there is anything to read or to write now.
    fn has_work(&self, now: u64) -> bool {
        let due = self.delayed.iter().any(|(due, _)| *due <= now);
        self.runnable() > 0 || !self.waiting.is_empty() || due
    }

    /// Lets completions wait for a slot whose time has come.
    fn release(&mut self, now: u64) {
        let waiting = &mut self.waiting;
        self.delayed.retain(|(due, completion)| {
            if *due <= now {
                waiting.push_back(*completion);
            }
            *due > now
        });
    }
}

/// What faults make of the completion of a command.
#[derive(Clone, Copy, Debug, Default)]
struct Twist {
    lose: bool,
    twice: bool,
    /// Delay in milliseconds.
    delay: Option<u32>,
    tag: Option<u32>,
    opcode: Option<u32>,
}

impl Device {
    /// Carries out the commands of all PCI functions, as far as their turn goes. Returns whether
    /// there are more.
    pub(crate) fn run_admin(&mut self, host: &mut dyn Host) -> bool {
        let (mut more, now) = (false, self.now);
        for function in self.pci_functions() {
            if self
                .admin(function)
                .is_some_and(|running| running.has_work(now))
            {
                more |= self.run_admin_queue(host, function);
            }
        }
        more
    }

    /// Carries out commands of a PCI function. Returns whether there are more.
    fn run_admin_queue(&mut self, host: &mut dyn Host, function: PciFn) -> bool {
        let mut entries = [[0; size_of::<Submission>()]; TURN];
        let count = match self.fetch_commands(host, function, &mut entries) {
            Ok(count) => count,
            Err(addr) => return self.admin_fault(host, function, addr),
        };
        for entry in &entries[..count] {
            // A command may have taken the queue away, as a fault that it set off.
            let Some(running) = self.admin(function) else {
                return false;
            };
            running.sq_head = running.sq_head.plus(1);
            // PANIC: the entry has just the size.
            let submission = Submission::read_from_bytes(entry).expect("size of a submission");
            self.carry_out(host, function, &submission);
        }
        if let Err(addr) = self.complete_commands(host, function) {
            return self.admin_fault(host, function, addr);
        }
        self.admin(function)
            .is_some_and(|running| running.runnable() > 0)
    }

    /// Returns where the admin queue of a PCI function stands, if it runs and the device can work
    /// on it.
    fn admin(&mut self, function: PciFn) -> Option<&mut Running> {
        let suspended = Slot::of_pci(function).is_some_and(|slot| !self.may_initiate(slot));
        let pci = &mut self.state.pci[usize::from(function.0)];
        let works = pci.is_ready(self.now)
            && pci.bus_master
            && !suspended
            && !self.state.vanished
            && self.state.hung_at.is_none();
        pci.admin.running.as_mut().filter(|_| works)
    }

    /// Reads the commands of a turn. Returns how many there are, or the address that could not be
    /// read.
    fn fetch_commands(
        &mut self,
        host: &mut dyn Host,
        function: PciFn,
        entries: &mut [[u8; size_of::<Submission>()]; TURN],
    ) -> Result<usize, u64> {
        let sq_addr = self.state.pci[usize::from(function.0)].admin.sq_addr;
        let Some(running) = self.admin(function) else {
            return Ok(0);
        };
        let count = running.runnable().min(TURN);
        let start = running.depth.slot(running.sq_head);
        let until_wrap = count.min(running.depth.entries() as usize - start);
        let (first, second) = entries[..count].split_at_mut(until_wrap);
        for (entries, slot) in [(first, start), (second, 0)] {
            if !entries.is_empty() {
                let addr = sq_addr + (slot * size_of::<Submission>()) as u64;
                self.bus(host, function)
                    .read(addr, entries.as_flattened_mut())
                    .map_err(|DmaFault| addr)?;
            }
        }
        Ok(count)
    }

    /// Carries out a command and lets its completion wait.
    fn carry_out(&mut self, host: &mut dyn Host, function: PciFn, submission: &Submission) {
        let opcode = submission.opcode.get();
        if self
            .strikes_command(host, FaultKind::VANISH, opcode)
            .is_some()
        {
            return self.vanish(host);
        }
        let sender = Slot::of_pci(function).map_or(FunctionId::PF, Slot::id);
        self.state.trail.begin(submission, sender.0, self.now);
        if self
            .strikes_command(host, FaultKind::HANG, opcode)
            .is_some()
        {
            self.state.hung_at = Some(self.now);
            let (firmware, _) = self.state.firmware.versions();
            self.state.trail.crash(firmware, self.now);
            return;
        }
        if let Some(param) = self.strikes_command(host, FaultKind::BUS_ERROR, opcode) {
            host.report_error(function, BusError::of(param));
        }
        let mut strikes = |kind| self.strikes_command(host, kind, opcode);
        let fail = strikes(FaultKind::FAIL_COMMAND);
        let garbage = strikes(FaultKind::GARBAGE_ANSWER);
        let twist = Twist {
            lose: strikes(FaultKind::LOSE_COMPLETION).is_some(),
            twice: strikes(FaultKind::DUPLICATE_COMPLETION).is_some(),
            delay: strikes(FaultKind::DELAY_COMPLETION),
            tag: strikes(FaultKind::WRONG_TAG),
            opcode: strikes(FaultKind::WRONG_OPCODE),
        };
        let (status, result) = match fail {
            // CAST: a status has 16 bits.
            Some(param) => (Status(param as u16), Default::default()),
            None => cmd::carry_out(self, host, function, submission, garbage),
        };
        self.state.trail.end(status);
        host.trace(&Trace::Command {
            function,
            opcode,
            tag: submission.tag.get(),
            status: status.0,
        });
        let completion = Completion {
            tag: submission.tag,
            opcode: submission.opcode,
            status: U16::new(status.0),
            result,
            ..Completion::default()
        };
        self.promise(function, completion, twist);
    }

    /// Lets a completion wait for its slot, as faults would have it.
    fn promise(&mut self, function: PciFn, mut completion: Completion, twist: Twist) {
        let now = self.now;
        let Some(running) = self.admin(function) else {
            return;
        };
        if twist.lose {
            return;
        }
        // CAST: tag and opcode have 16 bits.
        if let Some(param) = twist.tag {
            completion.tag = U16::new(param as u16);
        }
        if let Some(param) = twist.opcode {
            completion.opcode = U16::new(param as u16);
        }
        let times = if twist.twice { 2 } else { 1 };
        let due = twist
            .delay
            .map(|ms| now.saturating_add(u64::from(ms) * 1_000_000));
        for _ in 0..times {
            match due {
                Some(due) => running.delayed.push((due, completion)),
                None => running.waiting.push_back(completion),
            }
        }
        if let Some(due) = due {
            self.timers.add(due, Timer::Admin(function));
        }
    }

    /// Writes the completions that there are slots for, and interrupts. Returns the address that
    /// could not be written, if any.
    pub(crate) fn complete_commands(
        &mut self,
        host: &mut dyn Host,
        function: PciFn,
    ) -> Result<(), u64> {
        let now = self.now;
        let admin = &self.state.pci[usize::from(function.0)].admin;
        let (cq_addr, vector) = (admin.cq_addr, AdminVector(admin.vector));
        if let Some(running) = self.admin(function) {
            running.release(now);
        }
        let mut written = false;
        while let Some(running) = self.admin(function) {
            let index = running.cq_tail;
            if index.since(running.cq_head) >= running.depth.entries() {
                break;
            }
            let Some(mut completion) = running.waiting.pop_front() else {
                break;
            };
            running.cq_tail = index.plus(1);
            // CAST: the low half, as the entry has it.
            completion.sq_head = U16::new(running.sq_head.0 as u16);
            completion.meta = U32::new(running.depth.phase(index).into());
            let addr = cq_addr + (running.depth.slot(index) * size_of::<Completion>()) as u64;
            let meta = offset_of!(Completion, meta);
            let mut bus = self.bus(host, function);
            // ORDERING: the store publishes the rest of the completion to the driver.
            bus.write(addr, &completion.as_bytes()[..meta])
                .and_then(|()| bus.store(addr + meta as u64, completion.meta.get()))
                .map_err(|DmaFault| addr)?;
            written = true;
        }
        if written && vector.enable() == 1 {
            // CAST: the field has 16 bits.
            self.bus(host, function).raise(vector.vector() as u16);
        }
        Ok(())
    }

    /// Writes all completions that there are slots for, those that wait for their time as well.
    /// Returns the address that could not be written, if any.
    pub(crate) fn complete_all_commands(
        &mut self,
        host: &mut dyn Host,
        function: PciFn,
    ) -> Result<(), u64> {
        if let Some(running) = self.admin(function) {
            running.release(u64::MAX);
        }
        self.complete_commands(host, function)
    }

    /// Stops an admin queue whose memory cannot be accessed. Returns that there is nothing to do.
    pub(crate) fn admin_fault(&mut self, host: &mut dyn Host, function: PciFn, addr: u64) -> bool {
        self.blame(host, function, GuestError::AdminDma, addr);
        self.fail_admin(host, function, AdminError::DMA_FAULT);
        false
    }

    /// Writes delayed completions that are due.
    pub(crate) fn admin_is_due(&mut self, host: &mut dyn Host, function: PciFn) {
        if let Err(addr) = self.complete_commands(host, function) {
            self.admin_fault(host, function, addr);
        }
    }

    /// Stops the admin queue of a PCI function after an error that only a reset mends.
    pub(crate) fn fail_admin(&mut self, host: &mut dyn Host, function: PciFn, error: AdminError) {
        let pci = &mut self.state.pci[usize::from(function.0)];
        pci.admin.running = None;
        pci.admin.error = error;
        let syndrome = match error {
            AdminError::BAD_TAIL => Syndrome::ADMIN_BAD_TAIL,
            _ => Syndrome::ADMIN_DMA_FAULT,
        };
        pci.syndrome = syndrome;
        host.trace(&Trace::AdminQueue {
            function,
            enabled: false,
            error: error.0,
        });
        let Some(slot) = Slot::of_pci(function) else {
            return;
        };
        for listener in self.pci_functions() {
            let health = HealthChange {
                syndrome: U32::new(syndrome.0),
            };
            self.post_event(host, listener, slot.id(), health);
        }
    }

    /// Takes an opportunity for a fault to strike a command; returns its parameter if it does.
    fn strikes_command(
        &mut self,
        host: &mut dyn Host,
        kind: FaultKind,
        opcode: u16,
    ) -> Option<u32> {
        self.strike_at(host, kind, opcode)
            .map(|strike| strike.param)
    }

    /// Takes an opportunity for a fault to strike a command, or a register by its offset.
    pub(crate) fn strike_at(
        &mut self,
        host: &mut dyn Host,
        kind: FaultKind,
        opcode: u16,
    ) -> Option<Strike> {
        let strike = self.state.faults.strike_at(kind, opcode)?;
        host.trace(&Trace::Fault {
            kind: kind.0,
            param: strike.param,
        });
        Some(strike)
    }
}
