// SPDX-License-Identifier: GPL-2.0

//! The function's own interrupt: admin answers and events. All other vectors belong to clients.

use kernel::{
    device::{
        Bound,
        Device, //
    },
    irq::{
        IrqReturn,
        ThreadedHandler, //
    },
    pci,
    prelude::*,
    sync::Arc, //
};
use kernel_ext::irq::{
    self,
    Vectors, //
};

use crate::{
    adminq::AdminQueue,
    eventq::EventQueue, //
};

/// Vector of admin answers and events.
pub(crate) const OWN: u16 = 0;

/// Allocates the own vector; the others, up to the `limit` of the device, are taken by clients as they
/// open queues, and shared when the machine has no more: some 200 for each CPU.
pub(crate) fn alloc(pdev: &pci::Device<Bound>, limit: u16) -> Result<Arc<Vectors>> {
    Vectors::alloc(pdev, OWN + 1, limit)
        .inspect_err(|_| dev_err!(pdev, "no interrupt vector to be had\n"))
}

struct Handler {
    admin: Arc<AdminQueue>,
    events: Arc<EventQueue>,
}

impl ThreadedHandler for Handler {
    fn handle_threaded(&self, _device: &Device<Bound>) -> IrqReturn {
        self.admin.reap();
        self.events.kick();
        IrqReturn::Handled
    }
}

/// The own interrupt is handled while this lives; without it, admin answers are polled for.
pub(crate) struct Interrupt {
    admin: Arc<AdminQueue>,
    _registration: irq::Registration,
}

impl Interrupt {
    /// Takes the own vector, and has the device raise it.
    pub(crate) fn new(
        pdev: &pci::Device<Bound>,
        vectors: &Arc<Vectors>,
        admin: Arc<AdminQueue>,
        events: Arc<EventQueue>,
    ) -> Result<Self> {
        let device: &Device<Bound> = pdev.as_ref();
        let handler = Handler {
            admin: admin.clone(),
            events,
        };
        let registration = vectors.request_threaded(
            device,
            OWN,
            fmt!("ferrite_core@{}", device.name()),
            Arc::new(handler, GFP_KERNEL)?,
        )?;
        admin.use_vector(OWN);
        Ok(Self {
            admin,
            _registration: registration,
        })
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        // Before the registration goes: whoever waits now must look for himself.
        self.admin.use_polling();
    }
}
