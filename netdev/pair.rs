// SPDX-License-Identifier: GPL-2.0

//! A queue pair: its memory, its queues in the device, its interrupt, from up to down.

use crate::{
    adaptive::{
        Adaptive,
        Tuner, //
    },
    logic::{
        geometry::RxGeometry,
        memory::Stall, //
    },
    memory::{
        Memory,
        RxMemory,
        Tuning, //
    },
    poll::{
        Interrupts,
        Pair,
        Vector, //
    },
    port::Port,
    rx::Receiver,
    stats::PairStats,
    tx::{
        self,
        Sender, //
    },
    watchdog::Watched, //
};
use ferrite_abi::{
    admin::Status,
    bar::Doorbell,
    cmd::{
        CreateQueue,
        DestroyQueue, //
    },
    desc::{
        RxCompletion,
        RxDesc,
        TxCompletion,
        TxDesc, //
    },
    ring::Depth, //
};
use ferrite_aux::{
    CmdError,
    Function, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    dim::Direction,
    irq,
    napi::{
        Instance,
        Napi, //
    },
    netdev::{
        Device,
        Lock, //
    },
    page_pool::Purpose,
    pci, //
};

/// How queue pairs are made.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    /// Depth of receive queues.
    pub(crate) rx_depth: Depth,
    /// Depth of transmit queues.
    pub(crate) tx_depth: Depth,
    /// How receive buffers are cut.
    pub(crate) geometry: RxGeometry,
    /// What receive buffers are for.
    pub(crate) purpose: Purpose,
    /// How receive queues are tuned.
    pub(crate) rx: Tuning,
    /// How transmit queues are tuned.
    pub(crate) tx: Tuning,
}

impl Setup {
    /// Returns whether the headers of received packets have places of their own.
    pub(crate) fn has_places(&self) -> bool {
        self.purpose == Purpose::Data
    }
}

/// A queue that may exist in the device for as long as this lives. After the drop the device does
/// not touch its memory.
struct Queue {
    function: Function,
    destroy: DestroyQueue,
}

impl Queue {
    fn create(function: &Function, command: CreateQueue) -> Result<Self, CmdError> {
        let result = function.send(command);
        match result {
            Ok(()) | Err(CmdError::Timeout) => {}
            Err(error) => return Err(error),
        }
        // If there was no answer the device may carry it out yet: the queue is dropped below.
        let queue = Self {
            function: function.clone(),
            destroy: DestroyQueue {
                kind: command.kind,
                index: command.index,
            },
        };
        result.map(|()| queue)
    }

    /// Destroys the queue; fails if it may still be there.
    fn destroy(&self) -> Result<(), CmdError> {
        match self.function.send(self.destroy) {
            // There is no such queue.
            Err(CmdError::Status(Status::BAD_STATE)) => Ok(()),
            result => result,
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // A second attempt tells whether the first, the answer to which was lost, did it.
        let Err(error) = self.destroy().or_else(|_| self.destroy()) else {
            return;
        };
        // The memory of the queue is about to be freed, and a device that does not answer may go on
        // writing to it. If it is out of reach, there is nothing to be done or feared.
        if let Ok(device) = self.function.dma_device() {
            pci::stop_dma(&device);
        }
        // Of a device that is lost the core has told already.
        if error != CmdError::Gone {
            pr_err!(
                "queue {} of function {:#x} cannot be destroyed: {}; the device is cut off\n",
                self.destroy.index.get(),
                self.function.id().0,
                error
            );
        }
    }
}

/// A queue pair that is up.
///
/// It is taken apart in the order of the fields: no more interrupts, no queues in the device, and
/// then what the NAPI instance has: the memory that the device knew of.
pub(crate) struct QueuePair {
    irq: irq::Registration,
    tx: Queue,
    /// [`None`] while it is stopped.
    rx: Option<Queue>,
    napi: Napi<Pair>,
    index: u16,
    interrupts: Arc<Interrupts>,
    stats: Arc<PairStats>,
    rx_memory: Arc<RxMemory>,
    rx_tuner: Arc<Tuner<RxDesc, RxCompletion>>,
    tx_tuner: Arc<Tuner<TxDesc, TxCompletion>>,
}

impl QueuePair {
    /// Makes queue pair `index` and lets it run, but for sending, for which the [`Sender`] is to be
    /// installed.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENOSPC` if there is no vector, and those of [`CmdError`].
    pub(crate) fn start(
        device: &Device<Port>,
        lock: &Lock,
        index: u16,
        setup: &Setup,
        stats: &Arc<PairStats>,
    ) -> Result<(Self, Sender)> {
        let function = &device.data().get_ref().function;
        let tx_memory = Arc::new(
            Memory::new(function, setup.tx_depth, Doorbell::Tx(index))?,
            GFP_KERNEL,
        )?;
        let rx_memory = Arc::new(
            RxMemory::of_rx(function, setup.rx_depth, index, setup.has_places())?,
            GFP_KERNEL,
        )?;
        let (sender, cleaner) = tx::ends(device, &tx_memory, setup.tx_depth, stats)?;
        let interrupts = Arc::pin_init(
            Interrupts::new(tx_memory.clone(), rx_memory.clone()),
            GFP_KERNEL,
        )?;
        let tx_tuner = Tuner::new(function, &tx_memory, Direction::Tx, stats, setup.tx)?;
        let rx_tuner = Tuner::new(function, &rx_memory, Direction::Rx, stats, setup.rx)?;
        let mut receiver = Receiver::new(device, lock, index, &rx_memory, setup)?;
        let mut napi = Napi::new(lock, index, |instance| {
            receiver.attach(device, instance)?;
            let pair = Pair {
                tx: cleaner,
                rx: Some(receiver),
                tx_adaptive: Adaptive::new(&tx_tuner)?,
                rx_adaptive: Adaptive::new(&rx_tuner)?,
                index,
                device: device.into(),
                interrupts: interrupts.clone(),
                stats: stats.clone(),
            };
            Ok((pair, interrupts.clone()))
        })?;
        let scheduler = napi.scheduler();
        let handler = Vector {
            scheduler: scheduler.clone(),
            interrupts: interrupts.clone(),
        };
        let handler = Arc::new(handler, GFP_KERNEL)?;
        let name = device.name();
        let irq = function.request_vector(index, fmt!("{}-{}", name, index), handler)?;
        let vector = irq.vector();
        let tx = Queue::create(function, tx_memory.create(vector, &setup.tx))?;
        let rx = Queue::create(function, rx_memory.create(vector, &setup.rx))?;
        napi.with_poller(fill);
        napi.bind(lock, index)?;
        // From here on nothing fails: an interrupt that was told of must be forgotten first.
        // One notifier of its affinity is all that an interrupt can have.
        if irq.is_alone() {
            napi.set_irq(lock, irq.irq());
        }
        napi.enable(lock);
        // Looks for what came before it was enabled.
        scheduler.schedule();
        let pair = Self {
            irq,
            tx,
            rx: Some(rx),
            napi: napi.keep(),
            index,
            interrupts,
            stats: stats.clone(),
            rx_memory,
            rx_tuner,
            tx_tuner,
        };
        Ok((pair, sender))
    }

    /// Returns the index of the pair.
    pub(crate) fn index(&self) -> u16 {
        self.index
    }

    /// Returns its interrupts.
    pub(crate) fn interrupts(&self) -> Arc<Interrupts> {
        self.interrupts.clone()
    }

    /// Returns the memory of the receive queue, which it is created anew with.
    pub(crate) fn rx_memory(&self) -> &Arc<RxMemory> {
        &self.rx_memory
    }

    /// Tunes the queues while they work.
    ///
    /// # Errors
    ///
    /// Those of [`CmdError`].
    pub(crate) fn tune(&self, rx: &Tuning, tx: &Tuning) -> Result<(), CmdError> {
        self.rx_tuner.set(rx)?;
        self.tx_tuner.set(tx)
    }

    /// Returns what the watchdog looks at.
    pub(crate) fn watched(&self) -> Watched {
        Watched {
            scheduler: self.napi.scheduler(),
            interrupts: self.interrupts.clone(),
            stats: self.stats.clone(),
            tx: Stall::default(),
            rx: Stall::default(),
        }
    }

    /// Stops the receive queue, and with it the NAPI instance: what was sent is not seen to until it is started again.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is stopped already.
    pub(crate) fn stop_rx(&mut self, lock: &Lock) -> Result<Receiver> {
        self.napi.quiesce(lock);
        drop(self.rx.take());
        let take = |pair: &mut Pair, napi: &Instance| {
            let mut receiver = pair.rx.take()?;
            receiver.detach(napi);
            Some(receiver)
        };
        self.napi.with_poller(take).flatten().ok_or(EINVAL)
    }

    /// Starts the receive queue, which is stopped, with the memory of [`Self::rx_memory`], and the NAPI instance.
    ///
    /// # Errors
    ///
    /// `ENOMEM` and those of [`CmdError`], with what it was to be started with.
    pub(crate) fn start_rx(
        &mut self,
        device: &Device<Port>,
        lock: &Lock,
        mut receiver: Receiver,
    ) -> Result<(), (Error, Receiver)> {
        let attach = |_: &mut Pair, napi: &Instance| receiver.attach(device, napi);
        let attached = self.napi.with_poller(attach).unwrap_or(Err(EBUSY));
        let function = &device.data().get_ref().function;
        let created = attached.and_then(|()| {
            let (vector, tuning) = (self.irq.vector(), self.rx_tuner.tuning());
            Ok(Queue::create(
                function,
                self.rx_memory.create(vector, &tuning),
            )?)
        });
        match created {
            Ok(queue) => self.rx = Some(queue),
            Err(error) => {
                self.napi.with_poller(|_, napi| receiver.detach(napi));
                return Err((error, receiver));
            }
        }
        self.napi.with_poller(|pair, napi| {
            pair.rx = Some(receiver);
            fill(pair, napi);
        });
        self.interrupts.mend_rx();
        self.napi.enable(lock);
        self.napi.scheduler().schedule();
        Ok(())
    }

    /// Takes the pair down. Nothing is sent any more.
    pub(crate) fn stop(mut self, lock: &Lock) {
        self.napi.disable(lock);
        self.napi.clear_irq(lock);
        let Self {
            irq, tx, rx, napi, ..
        } = self;
        drop(irq);
        drop(tx);
        drop(rx);
        napi.delete(lock);
    }
}

/// Gives the device buffers. What there is no memory for comes with the first poll.
fn fill(pair: &mut Pair, napi: &Instance) {
    if let Some(rx) = &mut pair.rx {
        rx.refill(napi);
    }
}
