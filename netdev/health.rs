// SPDX-License-Identifier: GPL-2.0

//! Health of the queues: which are not well, what there is to see of them, and how one is made anew while the others go on.

use crate::{
    logic::memory::QueueMemory,
    memory::Memory,
    pair::QueuePair,
    port::{
        self,
        Port,
        RESET,
        RESTART, //
    },
    restart,
    stats::PairStats, //
};
use ferrite_abi::{
    bar::Doorbell,
    cmd::QueryQueue,
    event::QueueSyndrome,
    wire::U16, //
};
use ferrite_aux::{
    Ailment,
    Caretaker,
    CmdError,
    Function,
    Part, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        }, //
    },
    time::Msecs, //
};
use kernel_ext::{
    completion::Completion,
    devlink::{
        ExtAck,
        Message, //
    },
    dma::Entry,
    netdev::{
        Device,
        Locks, //
    },
};

/// Parts of the function that this driver looks after.
pub(crate) const PARTS: &[Part] = &[Part::Tx, Part::Rx];

/// Milliseconds that it may take until queues were made anew.
const PATIENCE: Msecs = 30_000;

/// Entries of each ring that a dump has, from the next one on that is due.
const DUMPED: u32 = 8;

/// Which queues are not well.
#[pin_data]
pub(crate) struct Sick {
    /// A bit for each TX queue.
    tx: Atomic<u64>,
    /// A bit for each RX queue.
    rx: Atomic<u64>,
    /// Queues that were not well when it was asked for are made anew, or it was tried.
    #[pin]
    seen_to: Completion,
}

impl Sick {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            tx: Atomic::new(0),
            rx: Atomic::new(0),
            seen_to <- Completion::new(),
        })
    }

    fn of(&self, part: Part) -> &Atomic<u64> {
        match part {
            Part::Rx => &self.rx,
            Part::Tx | Part::Virtio => &self.tx,
        }
    }

    fn add(&self, part: Part, index: u16) {
        let sick = self.of(part);
        let bit = 1_u64.checked_shl(index.into()).unwrap_or(0);
        let mut before = sick.load(Relaxed);
        while let Err(now) = sick.cmpxchg(before, before | bit, Relaxed) {
            before = now;
        }
    }

    fn is_sick(&self, part: Part, index: u16) -> bool {
        self.of(part).load(Relaxed) & 1_u64.checked_shl(index.into()).unwrap_or(0) != 0
    }

    /// Takes the TX queues and the RX queues that are not well.
    fn take(&self) -> (u64, u64) {
        (self.tx.xchg(0, Relaxed), self.rx.xchg(0, Relaxed))
    }
}

impl Port {
    /// Takes note that a queue is not well, and has it mended. May be called in any context but that of hard interrupts.
    pub(crate) fn fell_ill(device: &Device<Self>, part: Part, index: u16, ailment: Ailment) {
        let port = device.data().get_ref();
        port.sick.add(part, index);
        // devlink has it mended, or the user does. Who has no reporter does it at once.
        if !port.function.report(part, index, ailment) {
            device.schedule_work(RESTART);
        }
    }

    /// Takes note that all queues are as good as new.
    pub(crate) fn is_well(&self) {
        if self.sick.take() != (0, 0) {
            PARTS
                .iter()
                .for_each(|part| self.function.report_well(*part));
        }
    }

    /// Makes the queues anew that are not well: a receive queue alone, a transmit queue with its pair. That is [`RESTART`]. If it
    /// fails, all queues are made anew.
    pub(crate) fn restart_sick(device: &Device<Self>, locks: &Locks) {
        let port = device.data().get_ref();
        let lock = locks.device_lock();
        let mut control = port.control.lock();
        let (tx, rx) = port.sick.take();
        // If the port went down meanwhile, all of them did with it.
        let up = control.is_up();
        for index in (0..u64::BITS as u16).filter(|index| up && (tx | rx) & 1 << index != 0) {
            let part = if tx & 1 << index == 0 {
                Part::Rx
            } else {
                Part::Tx
            };
            let allowed = port.may_reset(&mut control);
            let renewed = match part {
                _ if !allowed => Err(EIO),
                Part::Rx => restart::renew(device, lock, &mut control, index),
                _ => port::restart(device, lock, &mut control, index),
            };
            match renewed {
                Ok(()) => dev_info!(device, "{} {}: made anew\n", part.queue(), index),
                Err(error) => {
                    let queue = part.queue();
                    dev_err!(
                        device,
                        "{} {}: cannot be made anew: {:?}\n",
                        queue,
                        index,
                        error
                    );
                    port.sick.add(part, index);
                    device.schedule_work(RESET);
                }
            }
        }
        drop(control);
        port.sick.seen_to.complete();
    }
}

/// Looks after the queues of a port.
pub(crate) struct Nurse(pub(crate) ARef<Device<Port>>);

impl Nurse {
    /// Does something with each queue pair that is up.
    fn each(&self, message: &mut Message<'_>, part: Part, tell: Tell) -> Result {
        let port = self.0.data().get_ref();
        let control = port.control.lock();
        message.flag(c"up", control.is_up());
        message.list(c"queues", control.pairs(), |entry, pair| {
            let (sick, index) = (port.sick.is_sick(part, pair.index()), pair.index());
            entry.number(c"index", index.into());
            let state = if sick { "not well" } else { "well" };
            entry.text(c"state", fmt!("{state}"))?;
            ask(&port.function, part, index, entry)?;
            tell(entry, part, pair, &port.stats[usize::from(index)])
        })
    }
}

/// How something is told of a queue.
type Tell = fn(&mut Message<'_>, Part, &QueuePair, &PairStats) -> Result;

/// Tells where the device says that a queue stands.
fn ask(function: &Function, part: Part, index: u16, message: &mut Message<'_>) -> Result {
    let query = QueryQueue {
        kind: U16::new(part.kind().0),
        index: U16::new(index),
    };
    message.object(c"device", |told| {
        let state = match function.send(query) {
            Ok(state) => state,
            Err(error) => return told.text(c"refused", fmt!("{error}")),
        };
        let syndrome = QueueSyndrome(state.syndrome.get());
        told.text(c"syndrome", fmt!("{syndrome:?}"))?;
        told.number(c"head", state.head.get().into());
        told.number(c"cq_tail", state.cq_tail.get().into());
        Ok(())
    })
}

/// Tells where the driver stands.
fn position(message: &mut Message<'_>, part: Part, pair: &QueuePair, _stats: &PairStats) -> Result {
    let interrupts = pair.interrupts();
    match part {
        Part::Rx => interrupts.rx.tell(message),
        Part::Tx | Part::Virtio => interrupts.tx.tell(message),
    }
}

/// As [`position`], with the counters of the queue pair and what is next in the rings.
fn everything(
    message: &mut Message<'_>,
    part: Part,
    pair: &QueuePair,
    stats: &PairStats,
) -> Result {
    position(message, part, pair, stats)?;
    let interrupts = pair.interrupts();
    match part {
        Part::Rx => interrupts.rx.show(message),
        Part::Tx | Part::Virtio => interrupts.tx.show(message),
    }?;
    message.object(c"counters", |counters| {
        for (name, count) in PairStats::NAMES.iter().zip(stats.values()) {
            counters.number(&CString::try_from_fmt(fmt!("{name}"))?, count);
        }
        Ok(())
    })
}

impl<D: Entry, C: Entry> Memory<D, C> {
    /// Tells how far the driver is.
    fn tell(&self, message: &mut Message<'_>) -> Result {
        let progress = self.progress();
        message.object(c"driver", |driver| {
            driver.number(c"depth", self.depth().entries().into());
            driver.number(c"tail", progress.tail().0.into());
            driver.number(c"head", progress.head().0.into());
            driver.number(c"cq_head", progress.cq_head().0.into());
            driver.number(c"cq_tail", self.cq_tail().0.into());
            Ok(())
        })
    }

    /// Shows what is next in the rings.
    fn show(&self, message: &mut Message<'_>) -> Result {
        let (head, cq_head) = (self.progress().head(), self.progress().cq_head());
        message.list(c"next", 0..DUMPED, |entry, nth| {
            let (desc, completion) = self.entries(head.plus(nth), cq_head.plus(nth));
            entry.bytes(c"descriptor", desc.as_bytes());
            entry.bytes(c"completion", completion.as_bytes());
            Ok(())
        })
    }
}

impl Caretaker for Nurse {
    fn recover(&self, part: Part, extack: &mut ExtAck<'_>) -> Result {
        let port = self.0.data().get_ref();
        while port.sick.seen_to.try_wait() {}
        self.0.schedule_work(RESTART);
        if !port.sick.seen_to.wait_timeout(PATIENCE) {
            extack.set(fmt!("the net device is not to be had; try again"));
            return Err(EBUSY);
        }
        if port.sick.of(part).load(Relaxed) != 0 {
            extack.set(fmt!("the queues could not be made anew"));
            return Err(EIO);
        }
        Ok(())
    }

    fn diagnose(&self, part: Part, message: &mut Message<'_>) -> Result {
        self.each(message, part, position)
    }

    fn dump(&self, part: Part, message: &mut Message<'_>) -> Result {
        self.each(message, part, everything)
    }

    fn test(
        &self,
        part: Part,
        stop: &dyn Fn(u16) -> Result<(), CmdError>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let port = self.0.data().get_ref();
        if !port.control.lock().is_up() {
            extack.set(fmt!("the net device is down, it has no queues"));
            return Err(EAGAIN);
        }
        stop(0).map_err(|error| {
            extack.set(fmt!("the device does not take the order to fail: {error}"));
            Error::from(error)
        })?;
        port.function.ring(match part {
            Part::Rx => Doorbell::Rx(0),
            Part::Tx | Part::Virtio => Doorbell::Tx(0),
        });
        Ok(())
    }
}
