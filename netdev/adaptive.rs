// SPDX-License-Identifier: GPL-2.0

//! Moderation of interrupts that follows the traffic of a queue.

use crate::{
    memory::{
        Memory,
        Moderation,
        Tuning, //
    },
    stats::PairStats, //
};
use ferrite_aux::{
    CmdError,
    Function, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
};
use kernel_ext::{
    dim::{
        Apply,
        Decision,
        Direction,
        Moderator, //
    },
    dma::Entry, //
};

/// Tunes a queue in the device. Users and the moderator may want that at the same time.
#[pin_data]
pub(crate) struct Tuner<D: Entry, C: Entry> {
    function: Function,
    memory: Arc<Memory<D, C>>,
    direction: Direction,
    stats: Arc<PairStats>,
    /// As in `tuning`, for those that have no time to wait for that.
    adaptive: Atomic<bool>,
    /// How the queue is tuned. Held while the device is told.
    #[pin]
    tuning: Mutex<Tuning>,
}

impl<D: Entry, C: Entry> Tuner<D, C> {
    /// Returns what tunes the queue with this memory, which is made with `tuning`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(
        function: &Function,
        memory: &Arc<Memory<D, C>>,
        direction: Direction,
        stats: &Arc<PairStats>,
        tuning: Tuning,
    ) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                function: function.clone(),
                memory: memory.clone(),
                direction,
                stats: stats.clone(),
                adaptive: Atomic::new(tuning.adaptive),
                tuning <- new_mutex!(tuning, "ferrite_net_tuning"),
            }),
            GFP_KERNEL,
        )
    }

    /// Returns how the queue is tuned.
    pub(crate) fn tuning(&self) -> Tuning {
        *self.tuning.lock()
    }

    /// Tunes the queue while it works. What the moderator found stays if it may go on.
    ///
    /// # Errors
    ///
    /// Those of [`CmdError`]. All is then as it was, as far as the device answers.
    pub(crate) fn set(&self, wanted: &Tuning) -> Result<(), CmdError> {
        let mut tuning = self.tuning.lock();
        let mut wanted = *wanted;
        if wanted.adaptive && tuning.adaptive {
            wanted.moderation = tuning.moderation;
        }
        self.function.send(self.memory.modify(&wanted))?;
        *tuning = wanted;
        self.adaptive.store(wanted.adaptive, Relaxed);
        Ok(())
    }
}

impl<D: Entry, C: Entry> Apply for Tuner<D, C>
where
    Memory<D, C>: Send + Sync,
{
    fn apply(&self, decision: Decision) {
        let mut tuning = self.tuning.lock();
        // The user may have changed their mind meanwhile.
        if !tuning.adaptive {
            return;
        }
        let wanted = Tuning {
            moderation: Moderation {
                usecs: decision.usecs,
                packets: decision.packets,
            },
            ..*tuning
        };
        // If the device does not answer, or has no such queue any more, it stays as it is.
        if self.function.send(self.memory.modify(&wanted)).is_ok() {
            *tuning = wanted;
            match self.direction {
                Direction::Rx => self.stats.rx_adapted.add(1),
                Direction::Tx => self.stats.tx_adapted.add(1),
            }
        }
    }
}

/// Moderates the interrupts of a queue, as its NAPI instance has it.
pub(crate) struct Adaptive<D: Entry, C: Entry>
where
    Memory<D, C>: Send + Sync,
{
    moderator: Moderator<Tuner<D, C>>,
    tuner: Arc<Tuner<D, C>>,
}

impl<D: Entry, C: Entry> Adaptive<D, C>
where
    Memory<D, C>: Send + Sync,
{
    /// Returns what moderates the queue of `tuner`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(tuner: &Arc<Tuner<D, C>>) -> Result<Self> {
        Ok(Self {
            moderator: Moderator::new(tuner.direction, tuner.clone())?,
            tuner: tuner.clone(),
        })
    }

    /// Takes note of the traffic so far, if that is wanted.
    #[inline]
    pub(crate) fn sample(&mut self, interrupts: u16) {
        if !self.tuner.adaptive.load(Relaxed) {
            return;
        }
        let stats = &self.tuner.stats;
        let (packets, bytes) = match self.tuner.direction {
            Direction::Rx => (stats.rx_packets.get(), stats.rx_bytes.get()),
            Direction::Tx => (stats.tx_packets.get(), stats.tx_bytes.get()),
        };
        self.moderator.sample(interrupts, packets, bytes);
    }
}
