// SPDX-License-Identifier: GPL-2.0

//! The admin queue: commands out, answers in, nothing taken on trust.
//!
//! A command takes four steps: [`AdminQueue::reserve`] a slot, [`AdminQueue::post`] the command,
//! [`AdminQueue::poll`] until there is an outcome, [`AdminQueue::release`] the slot.
//! [`AdminQueue::reap`] takes in what the device answered; [`AdminQueue::tick`] looks after a
//! device that does not.

use core::task::Poll;

use ferrite_abi::admin::{
    Completion,
    Opcode,
    Status,
    Submission, //
};
use ferrite_abi::regs::{
    AdminControl,
    AdminCqBaseHi,
    AdminCqBaseLo,
    AdminCqHead,
    AdminError,
    AdminSize,
    AdminSqBaseHi,
    AdminSqBaseLo,
    AdminSqTail,
    AdminStatus,
    AdminVector,
    Heartbeat,
    Register,
    Status as FunctionStatus, //
};
use ferrite_abi::ring::{
    Depth,
    Index, //
};

use super::failure::{
    AdminCounters,
    Failure,
    FailureKind,
    Failures,
    Loss, //
};
use super::port::{
    AdminRings,
    Registers,
    ALL_ONES, //
};
use super::slot::{
    Nanos,
    Slot,
    SlotState,
    Tag,
    Unanswered, //
};

/// How long the heartbeat, which moves ten times a second, may stand still.
pub const HEARTBEAT_GRACE: Nanos = 2_000_000_000;

/// Whether the queue takes commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not yet, or not at the moment: those who want a slot wait.
    Stopped,
    /// Yes.
    Running,
    /// The device was given up.
    Lost(Loss),
}

/// What the driver ought to tell its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The queue was reset to get it going again.
    Reset {
        /// Commands that got no answer.
        unanswered: usize,
    },
    /// The device was given up.
    Lost(Loss),
}

/// When the heartbeat was last seen to move.
#[derive(Clone, Copy, Debug)]
struct Pulse {
    count: u32,
    since: Nanos,
}

/// An admin queue of `N` slots, with rings of as many entries.
#[derive(Debug)]
pub struct AdminQueue<const N: usize> {
    state: State,
    slots: [Slot; N],
    /// Slot to try first: slots are used in turn, so that a tag comes back as late as can be.
    cursor: usize,
    vector: Option<u16>,
    tail: Index,
    sq_head: Index,
    cq_head: Index,
    pulse: Option<Pulse>,
    counters: AdminCounters,
    failures: Failures,
    notice: Option<Notice>,
}

impl<const N: usize> AdminQueue<N> {
    /// Depth of the rings.
    pub const DEPTH: Depth = {
        let log2 = N.ilog2() as u8;
        assert!(N.is_power_of_two() && log2 >= 4 && log2 <= 8);
        match Depth::from_log2(log2) {
            Some(depth) => depth,
            None => panic!(),
        }
    };

    /// Returns a queue that is not started.
    pub const fn new() -> Self {
        Self {
            state: State::Stopped,
            slots: [Slot::UNUSED; N],
            cursor: 0,
            vector: None,
            tail: Index(0),
            sq_head: Index(0),
            cq_head: Index(0),
            pulse: None,
            counters: AdminCounters::ZERO,
            failures: Failures::NONE,
            notice: None,
        }
    }

    /// Starts the queue, without interrupt.
    pub fn start(&mut self, regs: &impl Registers, rings: &impl AdminRings) -> Result<(), Loss> {
        let started = self.enable(regs, rings);
        match started {
            Ok(()) => _ = self.sweep(Unanswered::Timeout),
            Err(loss) => self.state = State::Lost(loss),
        }
        started
    }

    /// Has the device raise `vector` after answers, or nothing at all.
    pub fn set_vector(&mut self, regs: &impl Registers, vector: Option<u16>) {
        self.vector = vector;
        let register = match vector {
            Some(vector) => AdminVector::default()
                .with_enable(1)
                .with_vector(vector.into()),
            None => AdminVector::default(),
        };
        regs.write(register);
    }

    /// Reserves a slot, if one is free and the queue runs. Fails once the device was given up.
    pub fn reserve(&mut self) -> Result<Option<Tag>, Unanswered> {
        match self.state {
            State::Running => {}
            State::Stopped => return Ok(None),
            State::Lost(_) => return Err(Unanswered::Gone),
        }
        let Some(index) = self.free_slot() else {
            self.counters.full += 1;
            return Ok(None);
        };
        self.cursor = (index + 1) % N;
        let slot = &mut self.slots[index];
        slot.generation = slot.generation.wrapping_add(1);
        slot.state = SlotState::Reserved;
        Ok(Some(Tag::new(index, slot.generation)))
    }

    /// Gives the device a command whose tag was reserved. Its time is over at `deadline`.
    pub fn post(
        &mut self,
        regs: &impl Registers,
        rings: &impl AdminRings,
        command: &Submission,
        now: Nanos,
        deadline: Nanos,
    ) -> Result<(), Unanswered> {
        match self.state {
            State::Running => {}
            State::Stopped => return Err(Unanswered::Timeout),
            State::Lost(_) => return Err(Unanswered::Gone),
        }
        let Some(slot) = self.slot_mut(Tag(command.tag.get())) else {
            return Err(Unanswered::Gone);
        };
        slot.opcode = Opcode(command.opcode.get());
        slot.posted = now;
        slot.deadline = deadline;
        slot.state = SlotState::Pending;
        rings.post(Self::DEPTH.slot(self.tail), command);
        self.tail = self.tail.plus(1);
        regs.write(AdminSqTail(self.tail.0));
        self.counters.posted += 1;
        Ok(())
    }

    /// Takes in what the device answered. Returns whether anybody's outcome, or a free slot, is
    /// there now that was not before.
    pub fn reap(&mut self, regs: &impl Registers, rings: &impl AdminRings, now: Nanos) -> bool {
        if self.state != State::Running {
            return false;
        }
        let first = self.cq_head;
        let mut progress = false;
        // A device that answers faster than it is asked must not keep the driver here.
        for _ in 0..N {
            let entry = rings.completion(Self::DEPTH.slot(self.cq_head));
            if !entry.is_new(Self::DEPTH, self.cq_head) {
                break;
            }
            self.cq_head = self.cq_head.plus(1);
            progress |= self.take_in(&entry, now);
        }
        if self.cq_head != first {
            regs.write(AdminCqHead(self.cq_head.0));
        }
        progress
    }

    /// Returns the outcome of a command, once there is one. Past its deadline that is
    /// [`Unanswered::Timeout`].
    pub fn poll(&mut self, tag: Tag, now: Nanos) -> Poll<Result<Completion, Unanswered>> {
        let Some(slot) = self.slot_mut(tag) else {
            // Only the owner of a tag asks, and asks no more once it had an outcome.
            return Poll::Ready(Err(Unanswered::Gone));
        };
        let opcode = slot.opcode;
        match slot.state {
            SlotState::Done(outcome) => return Poll::Ready(outcome),
            SlotState::Pending if now < slot.deadline => return Poll::Pending,
            SlotState::Pending => slot.state = SlotState::Quarantined,
            SlotState::Quarantined => return Poll::Ready(Err(Unanswered::Timeout)),
            SlotState::Free | SlotState::Reserved => return Poll::Ready(Err(Unanswered::Gone)),
        }
        self.counters.timed_out += 1;
        self.fail(now, tag.0, opcode, FailureKind::TimedOut);
        Poll::Ready(Err(Unanswered::Timeout))
    }

    /// Gives a slot back, collected or not. Its data buffer must not be used afterwards.
    pub fn release(&mut self, tag: Tag) {
        if let Some(slot) = self.slot_mut(tag) {
            slot.state = match slot.state {
                SlotState::Pending | SlotState::Quarantined => SlotState::Quarantined,
                SlotState::Free | SlotState::Reserved | SlotState::Done(_) => SlotState::Free,
            };
        }
    }

    /// Looks after a device that has not answered for a while: takes in answers whose interrupt was
    /// lost, gives up a device that is gone, resets a queue that stopped or is full of commands
    /// without answer. Returns whether there is something to collect, as [`Self::reap`] does.
    pub fn tick(&mut self, regs: &impl Registers, rings: &impl AdminRings, now: Nanos) -> bool {
        if self.state != State::Running {
            return false;
        }
        let answered = self.counters.answered;
        let progress = self.reap(regs, rings, now);
        if self.vector.is_some() {
            self.counters.polled += self.counters.answered - answered;
        }
        if let Some(loss) = self.examine(regs, now) {
            self.lose(loss);
            return true;
        }
        let status = regs.read::<AdminStatus>();
        if status.enabled() == 0 || status.error() != 0 || self.is_clogged() {
            self.reset(regs, rings);
            return true;
        }
        progress
    }

    /// Turns the queue off and on again: commands that wait end with [`Unanswered::Timeout`], and
    /// quarantined slots are free, since the device does no DMA for a command of the past.
    pub fn reset(&mut self, regs: &impl Registers, rings: &impl AdminRings) {
        if self.state != State::Running {
            return;
        }
        self.counters.resets += 1;
        match self.enable(regs, rings) {
            Ok(()) => {
                let unanswered = self.sweep(Unanswered::Timeout);
                self.notice = Some(Notice::Reset { unanswered });
            }
            Err(loss) => self.lose(loss),
        }
    }

    /// Turns the queue off until it is started again: the device is about to be reset. Commands that
    /// wait end with [`Unanswered::Timeout`]. Returns how many that were.
    pub fn pause(&mut self, regs: &impl Registers) -> usize {
        regs.write(AdminControl::default());
        self.state = State::Stopped;
        self.sweep(Unanswered::Timeout)
    }

    /// Gives the device up: every command, waiting or to come, ends with [`Unanswered::Gone`].
    ///
    /// Quarantined slots stay so: nobody knows what the device still does.
    pub fn lose(&mut self, loss: Loss) {
        if matches!(self.state, State::Lost(_)) {
            return;
        }
        self.state = State::Lost(loss);
        for slot in &mut self.slots {
            if let SlotState::Pending = slot.state {
                slot.state = SlotState::Done(Err(Unanswered::Gone));
            }
        }
        self.notice = Some(Notice::Lost(loss));
    }

    /// Turns the queue off for good. The device uses no memory of it when this returns.
    pub fn stop(&mut self, regs: &impl Registers) {
        regs.write(AdminControl::default());
        self.lose(Loss::Unbound);
        self.notice = None;
    }

    /// Returns whether [`Self::reserve`] would do anything but ask the caller to wait.
    pub fn has_room(&self) -> bool {
        match self.state {
            State::Running => self.free_slot().is_some(),
            State::Stopped => false,
            State::Lost(_) => true,
        }
    }

    /// Returns what the user ought to be told, once.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.notice.take()
    }

    /// Returns whether the queue takes commands.
    pub fn state(&self) -> State {
        self.state
    }

    /// Returns the counters.
    pub fn counters(&self) -> &AdminCounters {
        &self.counters
    }

    /// Returns the last failures.
    pub fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Returns the slots, for people.
    pub fn slots(&self) -> &[Slot; N] {
        &self.slots
    }

    /// Returns the indices for people: submission tail, submission head as far as known, completion
    /// head.
    pub fn indices(&self) -> (Index, Index, Index) {
        (self.tail, self.sq_head, self.cq_head)
    }

    /// Returns the slot to use next, if one is free and so is an entry of the submission ring.
    fn free_slot(&self) -> Option<usize> {
        let room = self.tail.since(self.sq_head) < Self::DEPTH.entries();
        (0..N)
            .map(|n| (self.cursor + n) % N)
            .find(|slot| room && matches!(self.slots[*slot].state, SlotState::Free))
    }

    fn slot_mut(&mut self, tag: Tag) -> Option<&mut Slot> {
        self.slots
            .get_mut(tag.slot())
            .filter(|slot| slot.generation == tag.generation())
    }

    fn fail(&mut self, at: Nanos, tag: u16, opcode: Opcode, kind: FailureKind) {
        self.failures.remember(Failure {
            at,
            tag,
            opcode,
            kind,
        });
    }

    /// Sets up the registers and turns the queue on, with both rings empty.
    fn enable(&mut self, regs: &impl Registers, rings: &impl AdminRings) -> Result<(), Loss> {
        regs.write(AdminControl::default());
        if !regs.alive() {
            return Err(Loss::Vanished);
        }
        rings.clear();
        (self.tail, self.sq_head, self.cq_head) = (Index(0), Index(0), Index(0));
        let (sq, cq) = rings.bus();
        regs.write(AdminSqBaseLo(sq as u32));
        regs.write(AdminSqBaseHi((sq >> 32) as u32));
        regs.write(AdminCqBaseLo(cq as u32));
        regs.write(AdminCqBaseHi((cq >> 32) as u32));
        regs.write(AdminSize::default().with_depth_log2(Self::DEPTH.log2().into()));
        self.set_vector(regs, self.vector);
        regs.write(AdminControl::default().with_enable(1));
        let status = regs.read::<AdminStatus>();
        if status.raw() == ALL_ONES {
            return Err(Loss::Vanished);
        }
        if status.enabled() == 0 || status.error() != 0 {
            return Err(Loss::Refused(AdminError(status.error() as u8)));
        }
        self.pulse = None;
        self.state = State::Running;
        Ok(())
    }

    /// Ends all commands that the device had when it was stopped. Returns how many there were.
    fn sweep(&mut self, reason: Unanswered) -> usize {
        let mut unanswered = 0;
        for slot in &mut self.slots {
            slot.state = match slot.state {
                SlotState::Pending => SlotState::Done(Err(reason)),
                SlotState::Quarantined => SlotState::Free,
                SlotState::Free | SlotState::Reserved | SlotState::Done(_) => continue,
            };
            unanswered += 1;
        }
        unanswered
    }

    /// Takes in one answer. Returns whether it changed a slot.
    fn take_in(&mut self, entry: &Completion, now: Nanos) -> bool {
        let tag = Tag(entry.tag.get());
        let opcode = Opcode(entry.opcode.get());
        self.take_in_head(entry, now);

        if tag.slot() >= N {
            self.counters.unknown_tag += 1;
            self.fail(now, tag.0, opcode, FailureKind::UnknownTag);
            return false;
        }
        let slot = &mut self.slots[tag.slot()];
        let expected = slot.opcode;
        if slot.generation != tag.generation() {
            self.counters.stale += 1;
            self.fail(now, tag.0, opcode, FailureKind::Stale);
            return false;
        }
        match slot.state {
            SlotState::Pending | SlotState::Quarantined if opcode != expected => {
                self.counters.wrong_opcode += 1;
                self.fail(now, tag.0, opcode, FailureKind::WrongOpcode { expected });
                false
            }
            SlotState::Pending => {
                slot.state = SlotState::Done(Ok(*entry));
                self.counters.answered += 1;
                let status = Status(entry.status.get());
                if status != Status::OK {
                    self.counters.refused += 1;
                    self.counters.unknown_status += u64::from(status.name().is_none());
                    self.fail(now, tag.0, opcode, FailureKind::Refused(status));
                }
                true
            }
            SlotState::Quarantined => {
                slot.state = SlotState::Free;
                self.counters.late += 1;
                self.fail(now, tag.0, opcode, FailureKind::Late);
                true
            }
            SlotState::Free | SlotState::Reserved | SlotState::Done(_) => {
                self.counters.stale += 1;
                self.fail(now, tag.0, opcode, FailureKind::Stale);
                false
            }
        }
    }

    /// Takes in how far the device says it has read the submission ring, if that can be true.
    fn take_in_head(&mut self, entry: &Completion, now: Nanos) {
        let claimed = entry.sq_head.get();
        let advance = u32::from(claimed.wrapping_sub(self.sq_head.0 as u16));
        if advance <= self.tail.since(self.sq_head) {
            self.sq_head = self.sq_head.plus(advance);
        } else if u32::from((self.sq_head.0 as u16).wrapping_sub(claimed)) > Self::DEPTH.entries() {
            // Anything less far behind was true when a delayed answer was made.
            self.counters.bad_sq_head += 1;
            let (tag, opcode) = (entry.tag.get(), Opcode(entry.opcode.get()));
            self.fail(now, tag, opcode, FailureKind::BadSqHead { claimed });
        }
    }

    /// Returns why the device must be given up, if it must.
    fn examine(&mut self, regs: &impl Registers, now: Nanos) -> Option<Loss> {
        if !regs.alive() {
            return Some(Loss::Vanished);
        }
        if regs.read::<FunctionStatus>().fatal() != 0 {
            return Some(Loss::Fatal);
        }
        let count = regs.read::<Heartbeat>().count();
        match self.pulse {
            Some(pulse) if pulse.count == count => {
                (now.saturating_sub(pulse.since) > HEARTBEAT_GRACE).then_some(Loss::Hung)
            }
            _ => {
                self.pulse = Some(Pulse { count, since: now });
                None
            }
        }
    }

    /// Returns whether quarantined slots are in the way: half of all are, and a reset would cost
    /// nobody an answer.
    fn is_clogged(&self) -> bool {
        let count = |wanted: fn(&SlotState) -> bool| {
            self.slots.iter().filter(|slot| wanted(&slot.state)).count()
        };
        count(|state| matches!(state, SlotState::Quarantined)) >= N / 2
            && count(|state| matches!(state, SlotState::Pending)) == 0
    }
}

impl<const N: usize> Default for AdminQueue<N> {
    fn default() -> Self {
        Self::new()
    }
}
