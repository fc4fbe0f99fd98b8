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
    napi::Napi,
    netdev::{
        Device,
        Rtnl, //
    },
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
    /// XDP programs may run.
    pub(crate) xdp: bool,
    /// How receive queues are tuned.
    pub(crate) rx: Tuning,
    /// How transmit queues are tuned.
    pub(crate) tx: Tuning,
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
/// The order of the fields is that of the drop: no more interrupts, no queues in the device, and
/// then what the NAPI instance has: the memory that the device knew of.
pub(crate) struct QueuePair {
    _irq: irq::Registration,
    _tx: Queue,
    _rx: Queue,
    napi: Napi<Pair>,
    index: u16,
    interrupts: Arc<Interrupts>,
    stats: Arc<PairStats>,
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
        rtnl: &Rtnl,
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
            Memory::new(function, setup.rx_depth, Doorbell::Rx(index))?,
            GFP_KERNEL,
        )?;
        let (sender, cleaner) = tx::ends(device, &tx_memory, setup.tx_depth, stats)?;
        let interrupts = Arc::pin_init(
            Interrupts::new(tx_memory.clone(), rx_memory.clone()),
            GFP_KERNEL,
        )?;
        let tx_tuner = Tuner::new(function, &tx_memory, Direction::Tx, stats, setup.tx)?;
        let rx_tuner = Tuner::new(function, &rx_memory, Direction::Rx, stats, setup.rx)?;
        let mut napi = Napi::new(device, index, |instance| {
            let rx = Receiver::new(device, instance, index, &rx_memory, setup, stats)?;
            let pair = Pair {
                tx: cleaner,
                rx,
                tx_adaptive: Adaptive::new(&tx_tuner)?,
                rx_adaptive: Adaptive::new(&rx_tuner)?,
                index,
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
        // What there is no memory for comes with the first poll.
        napi.with_poller(|pair, instance| pair.rx.refill(instance));
        napi.bind(rtnl, index)?;
        // From here on nothing fails: an interrupt that was told of must be forgotten first.
        // One notifier of its affinity is all that an interrupt can have.
        if irq.is_alone() {
            napi.set_irq(irq.irq());
        }
        napi.enable();
        // Looks for what came before it was enabled.
        scheduler.schedule();
        Ok((
            Self {
                _irq: irq,
                _tx: tx,
                _rx: rx,
                napi,
                index,
                interrupts,
                stats: stats.clone(),
                rx_tuner,
                tx_tuner,
            },
            sender,
        ))
    }

    /// Returns the index of the pair.
    pub(crate) fn index(&self) -> u16 {
        self.index
    }

    /// Returns its interrupts.
    pub(crate) fn interrupts(&self) -> Arc<Interrupts> {
        self.interrupts.clone()
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

    /// Takes the pair down. Nothing is sent any more.
    pub(crate) fn stop(mut self, rtnl: &Rtnl) {
        self.napi.disable();
        self.napi.clear_irq();
        self.napi.unbind(rtnl);
    }
}
