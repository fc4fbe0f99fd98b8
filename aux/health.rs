// SPDX-License-Identifier: GPL-2.0

//! Health of the queues of a function: the core gives them reporters of devlink, and who knows of them is the client.
//!
//! A client [looks after](Function::look_after) its queues and [reports](Function::report) those that are not well. The
//! report reaches devlink from a work item, and devlink turns to the client for a dump and for recovery, unless the user
//! wants none. What devlink asks comes with the lock of its instance held, within which the client may take the RTNL.

use crate::{
    backend::Owner,
    error::CmdError,
    function::Function, //
};
use core::{
    fmt,
    marker::PhantomData, //
};
use ferrite_abi::{
    cmd::{
        one_queue,
        FaultKind,
        InjectFault,
        QueueKind,
        ANY_OPCODE, //
    },
    event::QueueSyndrome,
    ids::FunctionId,
    regs::Features,
    wire::{
        U16,
        U32, //
    },
};
use kernel::{
    impl_has_work, new_mutex, new_work,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    time::Msecs,
    workqueue::{
        Work,
        WorkItem, //
    },
};
use kernel_ext::{
    devlink::{
        self,
        not_supported,
        ExtAck,
        HealthReporter,
        Locked,
        Message,
        Reporter, //
    },
    work, //
};

/// Queues that fail again so soon after the end of a burst are left alone.
const GRACE: Msecs = 500;
/// One cause may stop many queues, one after the other.
const BURST: Msecs = 2000;

/// Queues of a function that have health in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its TX queues.
    Tx,
    /// Its RX queues.
    Rx,
    /// Its virtqueues.
    Virtio,
}

impl Part {
    /// Returns the part that queues of a kind belong to.
    pub fn of(kind: QueueKind) -> Option<Self> {
        match kind {
            QueueKind::TX => Some(Self::Tx),
            QueueKind::RX => Some(Self::Rx),
            QueueKind::VIRTIO => Some(Self::Virtio),
            _ => None,
        }
    }

    /// Returns of which kind the queues are.
    pub fn kind(self) -> QueueKind {
        match self {
            Self::Tx => QueueKind::TX,
            Self::Rx => QueueKind::RX,
            Self::Virtio => QueueKind::VIRTIO,
        }
    }

    /// Returns what one of its queues is called.
    pub fn queue(self) -> &'static str {
        match self {
            Self::Tx => "tx queue",
            Self::Rx => "rx queue",
            Self::Virtio => "virtqueue",
        }
    }
}

/// What is wrong with a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ailment {
    /// The device stopped it.
    Stopped(QueueSyndrome),
    /// The device wrote a completion that cannot be.
    Malformed,
    /// Nothing moves although there is something to do.
    Stuck,
}

impl fmt::Display for Ailment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped(syndrome) => write!(f, "stopped by the device, {syndrome:?}"),
            Self::Malformed => f.write_str("malformed completion"),
            Self::Stuck => f.write_str("no progress"),
        }
    }
}

impl kernel::fmt::Display for Ailment {
    fn fmt(&self, f: &mut kernel::fmt::Formatter<'_>) -> kernel::fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The last that a client said of a part, in a word that can be written in any context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Sick(u16, Ailment),
    Well,
}

impl News {
    const NONE: u64 = 0;
    const STOPPED: u64 = 1;
    const MALFORMED: u64 = 2;
    const STUCK: u64 = 3;
    const WELL: u64 = 4;

    fn pack(self) -> u64 {
        let (what, index, syndrome) = match self {
            Self::Sick(index, Ailment::Stopped(syndrome)) => (Self::STOPPED, index, syndrome.0),
            Self::Sick(index, Ailment::Malformed) => (Self::MALFORMED, index, 0),
            Self::Sick(index, Ailment::Stuck) => (Self::STUCK, index, 0),
            Self::Well => (Self::WELL, 0, 0),
        };
        what << 32 | u64::from(index) << 16 | u64::from(syndrome)
    }

    fn unpack(word: u64) -> Option<Self> {
        // CAST: each has 16 bits.
        let (index, syndrome) = ((word >> 16) as u16, word as u16);
        match word >> 32 {
            Self::STOPPED => Some(Self::Sick(index, Ailment::Stopped(QueueSyndrome(syndrome)))),
            Self::MALFORMED => Some(Self::Sick(index, Ailment::Malformed)),
            Self::STUCK => Some(Self::Sick(index, Ailment::Stuck)),
            Self::WELL => Some(Self::Well),
            _ => None,
        }
    }
}

/// What a client does for the health of its queues.
///
/// All is called in process context, with the lock of the devlink instance held. The RTNL may be taken; who holds it must
/// neither begin nor end to [look after](Function::look_after) queues.
pub trait Caretaker: Send + Sync + 'static {
    /// Mends the queues of a part that are not well, and leaves the others alone. Says in `extack` why it fails.
    fn recover(&self, part: Part, extack: &mut ExtAck<'_>) -> Result;

    /// Tells how the queues of a part do.
    fn diagnose(&self, part: Part, message: &mut Message<'_>) -> Result;

    /// Writes down what helps to find out what happened to the queues of a part.
    fn dump(&self, part: Part, message: &mut Message<'_>) -> Result;

    /// Has the device stop a queue of a part, by `stop`, which is passed its index, and then look at it.
    fn test(
        &self,
        part: Part,
        stop: &dyn Fn(u16) -> Result<(), CmdError>,
        extack: &mut ExtAck<'_>,
    ) -> Result;
}

/// The health of a part of a function.
#[pin_data]
pub(crate) struct Health {
    part: Part,
    #[pin]
    caretaker: Mutex<Option<Arc<dyn Caretaker>>>,
    /// Held around a report, and with it around the lock of the instance.
    #[pin]
    reporter: Mutex<Option<HealthReporter>>,
    /// Whether there is a reporter. Written with its lock held.
    listens: Atomic<bool>,
    news: Atomic<u64>,
    #[pin]
    work: Work<Health>,
}

impl_has_work! {
    impl HasWork<Self> for Health { self.work }
}

impl Health {
    pub(crate) fn new(part: Part) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                part,
                caretaker <- new_mutex!(None, "ferrite_caretaker"),
                reporter <- new_mutex!(None, "ferrite_reporter"),
                listens: Atomic::new(false),
                news: Atomic::new(News::NONE),
                work <- new_work!("ferrite_report"),
            }),
            GFP_KERNEL,
        )
    }

    /// Has devlink told soon. Returns whether there is a reporter to tell.
    fn say(self: &Arc<Self>, news: News) -> bool {
        if !self.listens.load(Relaxed) {
            return false;
        }
        self.news.store(news.pack(), Relaxed);
        // If it is queued already, it says the last.
        let _ = work::queue().enqueue(self.clone());
        true
    }

    fn care<R>(&self, ask: impl FnOnce(&dyn Caretaker) -> Result<R>) -> Result<R> {
        match &*self.caretaker.lock() {
            Some(caretaker) => ask(&**caretaker),
            None => Err(ENODEV),
        }
    }
}

impl WorkItem for Health {
    type Pointer = Arc<Health>;

    fn run(this: Arc<Health>) {
        let news = News::unpack(this.news.xchg(News::NONE, Full));
        let reporter = this.reporter.lock();
        match (&*reporter, news) {
            (Some(reporter), Some(News::Sick(index, ailment))) => {
                let queue = this.part.queue();
                // What comes of it is in the state of the reporter.
                let _ = reporter.report(fmt!("{queue} {index}: {ailment}"));
            }
            (Some(reporter), Some(News::Well)) => reporter.healthy(),
            _ => {}
        }
    }
}

/// Health of all parts of a function.
pub(crate) struct Parts([Arc<Health>; 3]);

impl Parts {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self([
            Health::new(Part::Tx)?,
            Health::new(Part::Rx)?,
            Health::new(Part::Virtio)?,
        ]))
    }

    fn of(&self, part: Part) -> &Arc<Health> {
        let [tx, rx, virtio] = &self.0;
        match part {
            Part::Tx => tx,
            Part::Rx => rx,
            Part::Virtio => virtio,
        }
    }
}

/// What a reporter is called.
trait Named: Send + Sync + 'static {
    const NAME: &'static CStr;
}

struct TxQueues;

impl Named for TxQueues {
    const NAME: &'static CStr = c"tx";
}

struct RxQueues;

impl Named for RxQueues {
    const NAME: &'static CStr = c"rx";
}

struct Vdpa;

impl Named for Vdpa {
    const NAME: &'static CStr = c"vdpa";
}

/// The reporter of a part of a function.
struct Queues<N> {
    health: Arc<Health>,
    /// Knows the function itself: the reporter goes before the function.
    function: Function,
    _name: PhantomData<N>,
}

#[vtable]
impl<N: Named> Reporter for Queues<N> {
    const NAME: &'static CStr = N::NAME;
    const GRACE: Msecs = GRACE;
    const BURST: Msecs = BURST;

    fn recover(&self, _locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        let part = self.health.part;
        self.health
            .care(|caretaker| caretaker.recover(part, extack))
    }

    fn dump(
        &self,
        message: &mut Message<'_>,
        _locked: &Locked<'_>,
        _extack: &mut ExtAck<'_>,
    ) -> Result {
        let part = self.health.part;
        self.health.care(|caretaker| caretaker.dump(part, message))
    }

    fn diagnose(
        &self,
        message: &mut Message<'_>,
        _locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let part = self.health.part;
        let told = self
            .health
            .care(|caretaker| caretaker.diagnose(part, message));
        told.inspect_err(|error| {
            if *error == ENODEV {
                extack.set(fmt!("no driver has the function"));
            }
        })
    }

    fn test(&self, _locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        if !self.function.has(Features::FAULTS) {
            extack.set(fmt!(
                "the device fails on command of its PF only, and if it was made with faults=on"
            ));
            return Err(not_supported());
        }
        let part = self.health.part;
        let stop = |index| {
            self.function.about(FunctionId::PF).send(InjectFault {
                kind: U16::new(FaultKind::STOP_QUEUE.0),
                opcode: U16::new(ANY_OPCODE),
                count: U32::new(1),
                param: U32::new(one_queue(self.function.id(), part.kind(), index)),
                ..InjectFault::default()
            })
        };
        self.health
            .care(|caretaker| caretaker.test(part, &stop, extack))
    }
}

impl Owner {
    /// Gives `port`, the one of the function, reporters of its TX and RX queues: to be done before a client has the function.
    /// They are to be [silenced](Self::silence) before the instance is no more visible, or the port removed.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the port is not in the instance that is locked, `EEXIST` if it has such reporters, `ENOMEM`.
    pub fn report_queues(&self, locked: &Locked<'_>, port: &Arc<devlink::Port>) -> Result {
        let added = self
            .listen(Part::Tx, |tx| {
                locked.add_port_reporter(port, self.queues::<TxQueues>(tx)?)
            })
            .and_then(|()| {
                self.listen(Part::Rx, |rx| {
                    locked.add_port_reporter(port, self.queues::<RxQueues>(rx)?)
                })
            });
        added.inspect_err(|_| self.silence())
    }

    /// Gives the instance that is locked a reporter of the function's virtqueues, as [`Self::report_queues`].
    ///
    /// # Errors
    ///
    /// `EEXIST` if it has such a reporter, `ENOMEM`.
    pub fn report_vdpa(&self, locked: &Locked<'_>) -> Result {
        self.listen(Part::Virtio, |virtio| {
            locked.add_reporter(self.queues::<Vdpa>(virtio)?)
        })
    }

    fn queues<N: Named>(&self, health: &Arc<Health>) -> Result<Arc<Queues<N>>> {
        let queues = Queues {
            health: health.clone(),
            function: Function::clone(self),
            _name: PhantomData,
        };
        Ok(Arc::new(queues, GFP_KERNEL)?)
    }

    fn listen(
        &self,
        part: Part,
        add: impl FnOnce(&Arc<Health>) -> Result<HealthReporter>,
    ) -> Result {
        let health = self.shared().health.of(part);
        let reporter = add(health)?;
        // Nobody reports yet, and who did once has nothing to say.
        *health.reporter.try_lock().ok_or(EBUSY)? = Some(reporter);
        health.listens.store(true, Relaxed);
        Ok(())
    }

    /// Takes the reporters away, if there are some. With the lock of the instance held it fails while a report is under way,
    /// which waits for that lock.
    ///
    /// # Errors
    ///
    /// `EBUSY`. All is then as it was.
    pub fn try_silence(&self) -> Result {
        let [tx, rx, virtio] = &self.shared().health.0;
        let guards = [tx, rx, virtio].map(|health| health.reporter.try_lock());
        let [Some(mut tx_reporter), Some(mut rx_reporter), Some(mut virtio_reporter)] = guards
        else {
            return Err(EBUSY);
        };
        let reporters = [
            tx_reporter.take(),
            rx_reporter.take(),
            virtio_reporter.take(),
        ];
        for health in [tx, rx, virtio] {
            health.listens.store(false, Relaxed);
        }
        drop((tx_reporter, rx_reporter, virtio_reporter));
        drop(reporters);
        Ok(())
    }

    /// Takes the reporters away, if there are some, and waits for a report that is under way: not with the lock of the
    /// instance held, unless nobody has reported yet.
    pub fn silence(&self) {
        if self.try_silence().is_ok() {
            return;
        }
        for health in &self.shared().health.0 {
            let reporter = {
                let mut reporter = health.reporter.lock();
                health.listens.store(false, Relaxed);
                reporter.take()
            };
            drop(reporter);
        }
    }
}

impl Function {
    /// Has `caretaker` look after the queues of these parts, until what is returned is dropped. That waits for what it is
    /// asked, and must not be done with the RTNL held.
    pub fn look_after(&self, parts: &'static [Part], caretaker: Arc<dyn Caretaker>) -> Care {
        for part in parts {
            *self.shared().health.of(*part).caretaker.lock() = Some(caretaker.clone());
        }
        Care {
            function: self.clone(),
            parts,
        }
    }

    /// Reports that a queue is not well. May be called in any context but that of hard interrupts.
    ///
    /// Returns whether somebody was told, who will have the caretaker mend it if the user wants that: the client then does
    /// nothing itself.
    pub fn report(&self, part: Part, index: u16, ailment: Ailment) -> bool {
        self.shared()
            .health
            .of(part)
            .say(News::Sick(index, ailment))
    }

    /// Reports that the queues of a part are well again, although nobody asked the caretaker to mend them. As
    /// [`Self::report`].
    pub fn report_well(&self, part: Part) {
        self.shared().health.of(part).say(News::Well);
    }
}

/// Parts of a function are looked after for as long as this lives.
pub struct Care {
    function: Function,
    parts: &'static [Part],
}

impl Drop for Care {
    fn drop(&mut self) {
        for part in self.parts {
            let caretaker = self
                .function
                .shared()
                .health
                .of(*part)
                .caretaker
                .lock()
                .take();
            drop(caretaker);
        }
    }
}

#[kunit_tests(ferrite_aux_health)]
mod tests {
    use super::*;

    #[test]
    fn news_come_out_as_they_went_in() {
        let all = [
            News::Sick(63, Ailment::Stopped(QueueSyndrome::BAD_CHAIN)),
            News::Sick(0, Ailment::Stopped(QueueSyndrome(0xffff))),
            News::Sick(128, Ailment::Malformed),
            News::Sick(1, Ailment::Stuck),
            News::Well,
        ];
        for news in all {
            assert_eq!(News::unpack(news.pack()), Some(news));
        }
        assert_eq!(News::unpack(News::NONE), None);
    }

    #[test]
    fn nobody_is_told_without_reporter() -> Result {
        let health = Health::new(Part::Tx)?;
        assert!(!health.say(News::Sick(0, Ailment::Stuck)));
        assert_eq!(health.care(|_| Ok(())), Err(ENODEV));
        Ok(())
    }
}
