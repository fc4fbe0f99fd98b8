// SPDX-License-Identifier: GPL-2.0

//! The admin queue: [`crate::logic::adminq`] with memory, a lock and somebody who waits.

use core::{
    mem::offset_of,
    task::Poll, //
};
use ferrite_abi::{
    admin::{
        Command,
        Completion as Answer,
        DataDirection,
        Status,
        Submission,
        MAX_DATA, //
    },
    ids::FunctionId,
    regs::RegisterInfo,
    wire::{
        IntoBytes,
        U32,
        U64, //
    },
};
use ferrite_aux::{
    Backend,
    CmdError,
    Data, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    fmt,
    new_mutex,
    new_spinlock,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex,
        SpinLock, //
    },
    time::{
        Instant,
        Monotonic,
        Msecs, //
    }, //
};
use kernel_ext::{
    completion::Completion,
    dma::{
        Buffer,
        Ring, //
    },
};
use zerocopy::FromZeros;

use crate::{
    bar::Bar,
    logic::{
        adminq::{
            self,
            Notice, //
        },
        failure::{
            Failure,
            FailureKind,
            Loss, //
        },
        identity::check_scratch,
        port::AdminRings,
        slot::{
            Nanos,
            SlotState,
            Tag,
            Unanswered, //
        },
    },
};

/// Commands that can be outstanding at a time.
pub(crate) const SLOTS: usize = 32;
/// The engine behind the queue.
pub(crate) type Engine = adminq::AdminQueue<SLOTS>;

/// Time that a command may take, unless the user says otherwise.
const DEFAULT_TIMEOUT: Msecs = 5000;
/// Longest and shortest time that the user can set.
const TIMEOUTS: core::ops::RangeInclusive<Msecs> = 10..=600_000;
/// How long to wait for an interrupt before looking after the device.
const PATIENCE: Msecs = 250;
/// How often to look for an answer while there is no interrupt.
const POLL: Msecs = 1;
/// Each failure up to this number is logged, and then those whose number is a power of two.
const LOGGED: u64 = 32;

const NANOS_PER_MSEC: Nanos = 1_000_000;

/// The rings.
struct Rings {
    submissions: Ring<Submission>,
    answers: Ring<Answer>,
}

impl AdminRings for Rings {
    fn bus(&self) -> (u64, u64) {
        (self.submissions.dma_address(), self.answers.dma_address())
    }

    fn post(&self, slot: usize, entry: &Submission) {
        // CAST: a slot is less than the depth of the ring, as in all that follow.
        self.submissions.write(slot as u32, entry);
    }

    fn completion(&self, slot: usize) -> Answer {
        let slot = slot as u32;
        // ORDERING: acquires the rest of the entry, which the device writes before `meta`.
        let meta = self.answers.load32::<{ offset_of!(Answer, meta) }>(slot);
        let mut answer = self.answers.read(slot);
        answer.meta = U32::new(meta);
        answer
    }

    fn clear(&self) {
        for slot in 0..SLOTS as u32 {
            self.submissions.write(slot, &Submission::new_zeroed());
            self.answers.write(slot, &Answer::default());
        }
    }
}

/// What the lock protects.
struct Locked {
    engine: Engine,
    /// How many failures were looked at for the log.
    logged: u64,
    /// How many callers wait for a slot.
    waiting: u32,
}

/// The admin queue of a PCI function.
///
/// Commands may be sent from any number of threads. The device writes to the memory of this until
/// [`AdminQueue::stop`].
#[pin_data]
pub(crate) struct AdminQueue {
    device: ARef<Device>,
    bar: Bar,
    rings: Rings,
    /// One data buffer for each slot: the device may write there for as long as it has not
    /// answered, which may be longer than the caller waits.
    buffers: KVec<Buffer>,
    epoch: Instant<Monotonic>,
    timeout: Atomic<Msecs>,
    /// How long to wait for an answer before looking for it.
    patience: Atomic<Msecs>,
    #[pin]
    locked: SpinLock<Locked>,
    /// For each slot: there is an outcome.
    #[pin]
    outcome: [Completion; SLOTS],
    /// There is a free slot, for those who are counted in `waiting`.
    #[pin]
    room: Completion,
    /// Held while the scratch register is used.
    #[pin]
    scratch: Mutex<()>,
}

impl AdminQueue {
    /// Allocates the queue. It does not run yet.
    pub(crate) fn new(parent: &Device<Bound>, bar: Bar) -> impl PinInit<Self, Error> + '_ {
        try_pin_init!(Self {
            device: parent.into(),
            bar,
            rings: Rings {
                submissions: Ring::new(parent, SLOTS as u32)?,
                answers: Ring::new(parent, SLOTS as u32)?,
            },
            buffers: buffers(parent)?,
            epoch: Instant::now(),
            timeout: Atomic::new(DEFAULT_TIMEOUT),
            patience: Atomic::new(POLL),
            locked <- new_spinlock!(
                Locked { engine: Engine::new(), logged: 0, waiting: 0 },
                "ferrite_adminq"
            ),
            outcome <- pin_init::pin_init_array_from_fn(|_| Completion::new()),
            room <- Completion::new(),
            scratch <- new_mutex!((), "ferrite_core_scratch"),
        })
    }

    /// Starts the queue. Answers are polled for until [`Self::use_vector`].
    pub(crate) fn start(&self) -> Result<(), Loss> {
        self.with_engine(|engine| engine.start(&self.bar, &self.rings))
    }

    /// Stops the queue until it is started again; callers wait for that. Returns how many commands
    /// got no answer.
    pub(crate) fn pause(&self) -> usize {
        self.with_engine(|engine| engine.pause(&self.bar))
    }

    /// Gives the device up.
    pub(crate) fn lose(&self, loss: Loss) {
        self.with_engine(|engine| engine.lose(loss));
    }

    /// Has the device raise a vector, whose handler calls [`Self::reap`].
    pub(crate) fn use_vector(&self, vector: u16) {
        self.locked
            .lock()
            .engine
            .set_vector(&self.bar, Some(vector));
        self.patience.store(PATIENCE, Relaxed);
    }

    /// Goes back to polling.
    pub(crate) fn use_polling(&self) {
        self.patience.store(POLL, Relaxed);
        self.locked.lock().engine.set_vector(&self.bar, None);
    }

    /// Stops the queue for good: nobody waits any more, and the device leaves the memory alone.
    pub(crate) fn stop(&self) {
        self.with_engine(|engine| engine.stop(&self.bar));
    }

    /// Sends a command without data buffer about `function`.
    pub(crate) fn send<C: Command>(
        &self,
        function: FunctionId,
        command: C,
    ) -> Result<C::Done, CmdError> {
        const { assert!(matches!(C::DATA, DataDirection::None)) };
        let answer = self.execute(Submission::new(0, function, command), Data::None)?;
        Ok(answer.done::<C>())
    }

    /// Sends a command about `function` together with `data`.
    pub(crate) fn send_with<C: Command>(
        &self,
        function: FunctionId,
        command: C,
        data: &C::Data,
    ) -> Result<C::Done, CmdError> {
        const { assert!(matches!(C::DATA, DataDirection::ToDevice)) };
        let data = Data::ToDevice(data.as_bytes());
        let answer = self.execute(Submission::new(0, function, command), data)?;
        Ok(answer.done::<C>())
    }

    /// Sends a command about `function`, for the device to fill `data`.
    pub(crate) fn fetch<C: Command>(
        &self,
        function: FunctionId,
        command: C,
        data: &mut C::Data,
    ) -> Result<C::Done, CmdError> {
        const { assert!(matches!(C::DATA, DataDirection::FromDevice)) };
        data.zero();
        let data = Data::FromDevice(data.as_mut_bytes());
        let answer = self.execute(Submission::new(0, function, command), data)?;
        Ok(answer.done::<C>())
    }

    /// Takes in what the device answered.
    pub(crate) fn reap(&self) {
        let now = self.now();
        self.with_engine(|engine| engine.reap(&self.bar, &self.rings, now));
    }

    /// Looks after the device.
    pub(crate) fn tick(&self) {
        let now = self.now();
        self.with_engine(|engine| engine.tick(&self.bar, &self.rings, now));
    }

    /// Lets `look` look at the engine.
    pub(crate) fn inspect<R>(&self, look: impl FnOnce(&Engine) -> R) -> R {
        look(&self.locked.lock().engine)
    }

    /// Returns the time that failures and slots are stamped with.
    pub(crate) fn now(&self) -> Nanos {
        // CAST: time that has passed is not negative.
        self.epoch.elapsed().as_nanos() as Nanos
    }

    /// Returns the addresses of both rings for the device.
    pub(crate) fn bus(&self) -> (u64, u64) {
        self.rings.bus()
    }

    /// Returns the byte at this offset of both rings, the submission ring first.
    pub(crate) fn ring_byte(&self, offset: usize) -> u8 {
        let Rings {
            submissions,
            answers,
        } = &self.rings;
        let (size, rest) = (size_of::<Submission>(), size_of::<Answer>());
        // CAST: a slot is less than the depth of the ring.
        match offset.checked_sub(SLOTS * size) {
            None => submissions.read((offset / size) as u32).as_bytes()[offset % size],
            Some(offset) => answers.read((offset / rest) as u32).as_bytes()[offset % rest],
        }
    }

    /// Returns the time that a command may take.
    pub(crate) fn timeout(&self) -> Msecs {
        self.timeout.load(Relaxed)
    }

    /// Sets the time that a command may take, for commands to come.
    ///
    /// # Errors
    ///
    /// `ERANGE` for less than 10 milliseconds or more than 10 minutes.
    pub(crate) fn set_timeout(&self, timeout: Msecs) -> Result {
        if !TIMEOUTS.contains(&timeout) {
            return Err(ERANGE);
        }
        self.timeout.store(timeout, Relaxed);
        Ok(())
    }

    /// Does something that may give outcomes, and lets those know who wait for them.
    fn with_engine<R>(&self, work: impl FnOnce(&mut Engine) -> R) -> R {
        let mut locked = self.locked.lock();
        let result = work(&mut locked.engine);
        self.report(&mut locked);
        for (slot, outcome) in locked.engine.slots().iter().zip(&self.outcome) {
            if let SlotState::Done(_) = slot.state {
                outcome.complete();
            }
        }
        self.let_in(&mut locked);
        result
    }

    /// Wakes everybody who waits for a slot, if it is worth their while.
    fn let_in(&self, locked: &mut Locked) {
        if locked.waiting > 0 && locked.engine.has_room() {
            for _ in 0..core::mem::take(&mut locked.waiting) {
                self.room.complete();
            }
        }
    }

    /// Logs what the engine has to say.
    fn report(&self, locked: &mut Locked) {
        let failures = locked.engine.failures();
        for (number, failure) in failures.since(locked.logged) {
            if number >= LOGGED && !number.is_power_of_two() {
                continue;
            }
            match failure.kind {
                // An answer like others: whoever sent the command knows what it means.
                FailureKind::Refused(_) => dev_info!(self.device, "admin command {failure}\n"),
                _ => dev_warn!(self.device, "admin command {failure}\n"),
            }
        }
        locked.logged = failures.total();
        match locked.engine.take_notice() {
            Some(Notice::Reset { unanswered }) => {
                dev_warn!(
                    self.device,
                    "admin queue reset, {unanswered} commands got no answer\n"
                );
            }
            Some(Notice::Lost(loss)) => {
                dev_err!(
                    self.device,
                    "device lost: {loss}; all commands fail until it is reset\n"
                );
            }
            None => {}
        }
    }

    /// Reserves a slot, waiting for one until `deadline`.
    fn reserve(&self, deadline: Nanos) -> Result<Ticket<'_>, Unanswered> {
        let mut watch = Watch::new(self);
        loop {
            {
                let mut locked = self.locked.lock();
                if let Some(tag) = locked.engine.reserve()? {
                    return Ok(Ticket { queue: self, tag });
                }
                if self.now() >= deadline {
                    return Err(Unanswered::Timeout);
                }
                locked.waiting += 1;
            }
            if !self.room.wait_timeout(self.patience.load(Relaxed)) {
                {
                    // Whoever wakes us after this wakes somebody else a little early.
                    let mut locked = self.locked.lock();
                    locked.waiting = locked.waiting.saturating_sub(1);
                }
                watch.look(self);
            }
        }
    }

    /// Posts a command and waits for its outcome.
    fn run(&self, tag: Tag, command: &Submission, deadline: Nanos) -> Result<Answer, Unanswered> {
        let outcome = &self.outcome[tag.slot()];
        // What is left from the last use of the slot.
        while outcome.try_wait() {}
        let posted = self.now();
        {
            let mut locked = self.locked.lock();
            locked
                .engine
                .post(&self.bar, &self.rings, command, posted, deadline)?;
        }
        let mut watch = Watch::new(self);
        loop {
            let polled = {
                let mut locked = self.locked.lock();
                let polled = locked.engine.poll(tag, self.now());
                self.report(&mut locked);
                polled
            };
            if let Poll::Ready(answer) = polled {
                return answer;
            }
            if !outcome.wait_timeout(self.patience.load(Relaxed)) {
                watch.look(self);
            }
        }
    }
}

/// Allocates a data buffer for each slot.
fn buffers(device: &Device<Bound>) -> Result<KVec<Buffer>> {
    let mut buffers = KVec::with_capacity(SLOTS, GFP_KERNEL)?;
    for _ in 0..SLOTS {
        buffers.push(Buffer::new(device, MAX_DATA as usize)?, GFP_KERNEL)?;
    }
    Ok(buffers)
}

/// What somebody does who has waited in vain for a while.
struct Watch {
    /// When to look after the device, not only for answers.
    tick: Nanos,
}

impl Watch {
    fn new(queue: &AdminQueue) -> Self {
        Self {
            tick: queue.now() + Nanos::from(PATIENCE) * NANOS_PER_MSEC,
        }
    }

    fn look(&mut self, queue: &AdminQueue) {
        if queue.now() < self.tick {
            queue.reap();
        } else {
            queue.tick();
            *self = Self::new(queue);
        }
    }
}

/// A slot of the queue, with its data buffer.
struct Ticket<'a> {
    queue: &'a AdminQueue,
    tag: Tag,
}

impl Ticket<'_> {
    fn buffer(&self) -> &Buffer {
        // PANIC: there is one for each slot.
        &self.queue.buffers[self.tag.slot()]
    }

    fn write(&self, data: &[u8]) -> Result<(), CmdError> {
        self.buffer().write(0, data).map_err(|_| CmdError::Memory)
    }

    fn read(&self, data: &mut [u8]) -> Result<(), CmdError> {
        self.buffer().read(0, data).map_err(|_| CmdError::Memory)
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        let mut locked = self.queue.locked.lock();
        locked.engine.release(self.tag);
        self.queue.let_in(&mut locked);
    }
}

impl Backend for AdminQueue {
    fn execute(&self, mut command: Submission, data: Data<'_>) -> Result<Answer, CmdError> {
        let timeout = Nanos::from(self.timeout()) * NANOS_PER_MSEC;
        let deadline = self.now() + timeout;
        let ticket = self.reserve(deadline).map_err(error)?;
        command.tag.set(ticket.tag.0);
        let len = match &data {
            Data::None => 0,
            Data::ToDevice(bytes) => {
                ticket.write(bytes)?;
                bytes.len()
            }
            Data::FromDevice(room) => {
                // `room` is zeroed: what the device does not write must not be what an earlier
                // command left there.
                ticket.write(room)?;
                room.len()
            }
        };
        if len > 0 {
            command.data_addr = U64::new(ticket.buffer().dma_address());
            // CAST: no more than `MAX_DATA` fits.
            command.data_len = U32::new(len as u32);
        }
        let answer = self.run(ticket.tag, &command, deadline).map_err(error)?;
        let status = Status(answer.status.get());
        if status != Status::OK {
            return Err(CmdError::Status(status));
        }
        if let Data::FromDevice(room) = data {
            ticket.read(room)?;
        }
        Ok(answer)
    }

    fn register(&self, register: &RegisterInfo) -> u32 {
        self.bar.raw(register)
    }

    fn bus_works(&self) -> bool {
        let _alone = self.scratch.lock();
        check_scratch(&self.bar).is_ok()
    }
}

fn error(reason: Unanswered) -> CmdError {
    match reason {
        Unanswered::Timeout => CmdError::Timeout,
        Unanswered::Gone => CmdError::Gone,
    }
}

/// Lets the kernel's macros print what the logic has to say.
macro_rules! printable {
    ($($ty:ty),* $(,)?) => {
        $(
            impl fmt::Display for $ty {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    core::fmt::Display::fmt(self, f)
                }
            }
        )*
    };
}

printable!(
    Failure,
    Loss,
    crate::logic::function::Conflict,
    crate::logic::function::Refusal,
    crate::logic::identity::Unfit,
    crate::logic::rate::BadRate,
    crate::logic::request::BadRequest,
);
