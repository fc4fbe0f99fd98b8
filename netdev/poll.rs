// SPDX-License-Identifier: GPL-2.0

//! What the NAPI instance of a queue pair does.

use crate::{
    adaptive::Adaptive,
    logic::memory::{
        rearm,
        Stall, //
    },
    memory::{
        RxMemory,
        TxMemory, //
    },
    port::Port,
    rx::Receiver,
    stats::PairStats,
    tx::Cleaner, //
};
use ferrite_abi::desc::{
    RxCompletion,
    RxDesc,
    TxCompletion,
    TxDesc, //
};
use ferrite_aux::{
    Ailment,
    Part, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    irq::{
        Handler,
        IrqReturn, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    time::Msecs, //
};
use kernel_ext::{
    completion::Completion,
    napi::{
        Context,
        Poller,
        Rearm,
        Scheduler, //
    },
    netdev, //
};

/// A queue pair, as its NAPI instance has it.
pub(crate) struct Pair {
    pub(crate) tx: Cleaner,
    /// [`None`] while it is stopped.
    pub(crate) rx: Option<Receiver>,
    pub(crate) tx_adaptive: Adaptive<TxDesc, TxCompletion>,
    pub(crate) rx_adaptive: Adaptive<RxDesc, RxCompletion>,
    pub(crate) index: u16,
    pub(crate) device: ARef<netdev::Device<Port>>,
    pub(crate) interrupts: Arc<Interrupts>,
    pub(crate) stats: Arc<PairStats>,
}

impl Poller for Pair {
    type Rearm = Arc<Interrupts>;

    fn poll(&mut self, cx: &Context<'_>) -> u32 {
        self.stats.polls.add(1);
        if self.interrupts.is_broken() {
            return 0;
        }
        if let Err(fault) = self.tx.clean(cx, self.index) {
            self.stats.tx_bad_completion.add(1);
            self.give_up(cx, Part::Tx, &fault);
            return 0;
        }
        // Without budget this is netpoll, which wants packets sent and none received.
        let is_wanted = cx.budget() > 0 && !self.interrupts.is_rx_broken();
        let Some(rx) = self.rx.as_mut().filter(|_| is_wanted) else {
            return 0;
        };
        let received = rx.receive(cx);
        rx.finish(cx);
        let received = match received {
            Ok(received) => received,
            Err(fault) => {
                self.stats.rx_bad_completion.add(1);
                self.give_up(cx, Part::Rx, &fault);
                return 0;
            }
        };
        let interrupts = self.interrupts.count();
        self.tx_adaptive.sample(interrupts);
        self.rx_adaptive.sample(interrupts);
        if rx.refill(cx) {
            received
        } else {
            cx.budget()
        }
    }
}

impl Pair {
    /// Stops serving a queue: the device does not make sense. It is to be made anew; a transmit queue with its pair.
    fn give_up(&self, cx: &Context<'_>, part: Part, fault: &dyn core::fmt::Debug) {
        match part {
            Part::Rx => self.interrupts.break_rx(),
            Part::Tx | Part::Virtio => self.interrupts.broken.store(true, Relaxed),
        }
        if cx.device().may_report() {
            dev_err!(
                cx.device(),
                "{} {}: malformed completion: {:?}\n",
                part.queue(),
                self.index,
                fault
            );
        }
        Port::fell_ill(&self.device, part, self.index, Ailment::Malformed);
    }
}

/// Asks for the interrupts of a queue pair, and counts them.
#[pin_data]
pub(crate) struct Interrupts {
    pub(crate) tx: Arc<TxMemory>,
    pub(crate) rx: Arc<RxMemory>,
    broken: Atomic<bool>,
    /// The receive queue is, and the other one is not.
    rx_broken: Atomic<bool>,
    count: Atomic<u32>,
    /// Somebody waits for the next one.
    expected: Atomic<bool>,
    #[pin]
    came: Completion,
}

impl Interrupts {
    /// Returns those of the queues with this memory.
    pub(crate) fn new(tx: Arc<TxMemory>, rx: Arc<RxMemory>) -> impl PinInit<Self> {
        pin_init!(Self {
            tx,
            rx,
            broken: Atomic::new(false),
            rx_broken: Atomic::new(false),
            count: Atomic::new(0),
            expected: Atomic::new(false),
            came <- Completion::new(),
        })
    }

    /// Takes note of one.
    #[inline]
    fn note(&self) {
        self.count.fetch_add(1, Relaxed);
        if self.expected.load(Relaxed) {
            self.came.complete();
        }
    }

    /// Has [`Interrupts::came`] wait for an interrupt from now on.
    pub(crate) fn expect(&self) {
        while self.came.try_wait() {}
        self.expected.store(true, Relaxed);
    }

    /// Waits for an interrupt, `timeout` milliseconds at most. Returns whether one came.
    pub(crate) fn came(&self, timeout: Msecs) -> bool {
        let came = self.came.wait_timeout(timeout);
        self.expected.store(false, Relaxed);
        came
    }

    /// Returns how many there were, but for what does not fit.
    fn count(&self) -> u16 {
        // CAST: the rest is not wanted.
        self.count.load(Relaxed) as u16
    }

    /// Looks at both queues, and returns whether one of them stands still although there is
    /// something to do. Queues that were given up are to stand still.
    pub(crate) fn is_stalled(&self, tx: &mut Stall, rx: &mut Stall) -> bool {
        let tx = tx.look(&*self.tx);
        let rx = rx.look(&*self.rx) && !self.is_rx_broken();
        !self.is_broken() && (tx || rx)
    }

    /// Takes note that the receive queue is to be made anew.
    pub(crate) fn break_rx(&self) {
        self.rx_broken.store(true, Relaxed);
    }

    /// Takes note that it was.
    pub(crate) fn mend_rx(&self) {
        self.rx_broken.store(false, Relaxed);
    }

    /// Returns whether the receive queue is to be made anew.
    pub(crate) fn is_rx_broken(&self) -> bool {
        self.rx_broken.load(Relaxed)
    }

    fn is_broken(&self) -> bool {
        self.broken.load(Relaxed)
    }
}

impl Rearm for Interrupts {
    fn rearm(&self) -> bool {
        if self.is_broken() {
            return false;
        }
        let tx = rearm(&*self.tx);
        let rx = !self.is_rx_broken() && rearm(&*self.rx);
        tx || rx
    }
}

/// Handles the interrupts of a queue pair.
pub(crate) struct Vector {
    pub(crate) scheduler: Scheduler,
    pub(crate) interrupts: Arc<Interrupts>,
}

impl Handler for Vector {
    #[inline]
    fn handle(&self, _device: &Device<Bound>) -> IrqReturn {
        self.interrupts.note();
        self.scheduler.schedule();
        IrqReturn::Handled
    }
}
