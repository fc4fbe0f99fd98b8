// SPDX-License-Identifier: GPL-2.0

//! A network function: the PF, a VF, an SF or a representor.

use ferrite_abi::cmd::FunctionCaps;
use ferrite_abi::event::{
    FunctionState,
    QueueSyndrome, //
};

use crate::backlog::Pool;
use crate::config::Config;
use crate::port::Port;
use crate::provision::Provision;
use crate::queue::{
    Kind,
    Queue, //
};
use crate::rx::RxQueue;
use crate::save::{
    saved,
    LoadError, //
};
use crate::slot::Slot;
use crate::tx::TxQueue;
use crate::virtio::Virtio;

/// A function that is provisioned.
#[derive(Debug)]
pub(crate) struct Function {
    /// Where it is in its life.
    pub(crate) state: FunctionState,
    /// What it was given, and has after a reset.
    pub(crate) provision: Provision,
    pub(crate) port: Port,
    /// Its TX queues, by index; as many places as it may have queues.
    pub(crate) tx: Vec<Option<Box<TxQueue>>>,
    /// Its RX queues, likewise.
    pub(crate) rx: Vec<Option<Box<RxQueue>>>,
    /// The virtio-net device that it is, if it is one; it has no other queues then.
    pub(crate) virtio: Option<Box<Virtio>>,
}

saved!(Function {
    state,
    provision,
    port,
    tx,
    rx,
    virtio
});

impl Function {
    /// Makes a function with room for `queues` queues of each kind.
    pub(crate) fn new(state: FunctionState, provision: Provision, queues: u16) -> Self {
        Self {
            state,
            provision,
            port: Port::new(provision.mac),
            tx: (0..queues).map(|_| None).collect(),
            rx: (0..queues).map(|_| None).collect(),
            virtio: None,
        }
    }

    /// Returns to what was provisioned, with room for `queues` queues, but for the counters. Nobody
    /// uses the function then.
    pub(crate) fn reset(&mut self, queues: u16, pool: &mut Pool) {
        for index in 0..self.rx.len() {
            // CAST: no more queues than a number of 16 bits was asked for.
            self.destroy(Kind::Rx, index as u16, pool);
        }
        if let Some(mut virtio) = self.virtio.take() {
            self.port.stats.rx_no_buffer += virtio.drop_queues(pool);
        }
        self.tx.clear();
        self.tx.resize_with(queues.into(), || None);
        self.rx.resize_with(queues.into(), || None);
        self.port.reset(self.provision.mac);
        if self.state == FunctionState::IN_USE {
            self.state = FunctionState::ACTIVE;
        }
    }

    /// Returns whether it may send from its own address only, in legacy mode.
    pub(crate) fn checks_source(&self) -> bool {
        self.provision.caps.contains(FunctionCaps::SPOOF_CHECK) && !self.is_trusted()
    }

    /// Returns whether it may receive what is not for it, in legacy mode.
    pub(crate) fn is_trusted(&self) -> bool {
        self.provision.caps.contains(FunctionCaps::TRUSTED)
    }

    /// Returns whether packets may pass between it and the switch.
    pub(crate) fn has_link(&self) -> bool {
        !self.provision.caps.contains(FunctionCaps::LINK_DOWN)
    }

    /// Opens or closes the port. What waits for buffers while it closes is dropped.
    pub(crate) fn set_open(&mut self, open: bool, pool: &mut Pool) {
        self.port.open = open;
        if !open {
            self.drop_waiting(pool);
        }
    }

    /// Drops what waits for buffers.
    pub(crate) fn drop_waiting(&mut self, pool: &mut Pool) {
        for rx in self.rx.iter_mut().flatten() {
            self.port.stats.rx_closed += rx.drop_waiting(pool);
        }
    }

    /// Destroys a queue, and drops what waits in it. Returns it as far as both kinds are the same,
    /// or [`None`] if there is no such queue.
    pub(crate) fn destroy(&mut self, kind: Kind, index: u16, pool: &mut Pool) -> Option<Queue> {
        let index = usize::from(index);
        match kind {
            Kind::Tx => self.tx.get_mut(index)?.take().map(|tx| tx.queue),
            Kind::Rx => {
                let mut rx = self.rx.get_mut(index)?.take()?;
                self.port.stats.rx_no_buffer += rx.discard(pool);
                Some(rx.queue)
            }
        }
    }

    /// Stops a queue after an error, and drops what waits in it. Returns it as far as both kinds
    /// are the same, or [`None`] if there is no such queue.
    pub(crate) fn stop(
        &mut self,
        kind: Kind,
        index: u16,
        syndrome: QueueSyndrome,
        pool: &mut Pool,
    ) -> Option<&Queue> {
        if kind == Kind::Rx {
            let rx = self.rx.get_mut(usize::from(index))?.as_mut()?;
            self.port.stats.rx_no_buffer += rx.discard(pool);
        }
        let queue = self.queue_mut(kind, index)?;
        queue.syndrome = syndrome;
        Some(queue)
    }

    /// Returns a queue.
    pub(crate) fn queue(&self, kind: Kind, index: u16) -> Option<&Queue> {
        let index = usize::from(index);
        match kind {
            Kind::Tx => self.tx.get(index)?.as_ref().map(|tx| &tx.queue),
            Kind::Rx => self.rx.get(index)?.as_ref().map(|rx| &rx.queue),
        }
    }

    /// Returns a queue, to change it.
    pub(crate) fn queue_mut(&mut self, kind: Kind, index: u16) -> Option<&mut Queue> {
        let index = usize::from(index);
        match kind {
            Kind::Tx => self.tx.get_mut(index)?.as_mut().map(|tx| &mut tx.queue),
            Kind::Rx => self.rx.get_mut(index)?.as_mut().map(|rx| &mut rx.queue),
        }
    }

    /// Returns all queues.
    pub(crate) fn queues(&self) -> impl Iterator<Item = &Queue> {
        let tx = self.tx.iter().flatten().map(|tx| &tx.queue);
        tx.chain(self.rx.iter().flatten().map(|rx| &rx.queue))
    }

    /// Checks a function that was loaded into `slot`.
    pub(crate) fn check(&self, slot: Slot, config: &Config, vectors: u16) -> Result<(), LoadError> {
        self.provision.check(config, slot)?;
        let places = usize::from(self.provision.queues(config, slot));
        if self.tx.len() != places || self.rx.len() != places {
            return Err(LoadError::Setup("number of queues"));
        }
        let possible = match self.state {
            FunctionState::INACTIVE => !slot.is_pf() && !slot.is_representor(),
            FunctionState::ACTIVE => !slot.is_representor(),
            FunctionState::IN_USE => true,
            _ => false,
        };
        // Queues of a PCI function outlive its admin queue.
        let may_have_queues = match self.state {
            FunctionState::ACTIVE => !slot.is_sf(),
            FunctionState::INACTIVE => false,
            _ => true,
        };
        if !possible || !may_have_queues && self.queues().next().is_some() {
            return Err(LoadError::Invalid("state of a function"));
        }
        let tx = self.tx.iter().enumerate();
        for (index, queue) in tx.filter_map(|(index, tx)| Some((index, tx.as_ref()?))) {
            queue.queue.check(slot, Kind::Tx, index, vectors)?;
            queue.check()?;
        }
        let rx = self.rx.iter().enumerate();
        for (index, queue) in rx.filter_map(|(index, rx)| Some((index, rx.as_ref()?))) {
            queue.queue.check(slot, Kind::Rx, index, vectors)?;
        }
        if let Some(virtio) = &self.virtio {
            if self.queues().next().is_some() || !may_have_queues || slot.is_representor() {
                return Err(LoadError::Invalid("virtio device"));
            }
            virtio.check(places, vectors)?;
        }
        self.port.check(places)
    }
}
