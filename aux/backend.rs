// SPDX-License-Identifier: GPL-2.0

//! The core's side of a [`Function`]: what it must provide, and how it hands one out.

use crate::{
    controlled::{
        Controlled,
        ControlledLt, //
    },
    error::CmdError,
    event::Subscribers,
    function::{
        Function,
        FunctionLt,
        Shared, //
    },
    health::Parts,
};
use core::ops::Deref;
use ferrite_abi::{
    admin::{
        Completion,
        Submission, //
    },
    event::Event,
    ids::FunctionId,
    regs::{
        Features,
        RegisterInfo, //
    },
    ring::Depth, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    auxiliary,
    devlink,
    gate::Gate,
    iomap::Window,
    irq::Vectors, //
};

/// Data buffer of a command.
pub enum Data<'a> {
    /// There is none.
    None,
    /// Sent along with the command.
    ToDevice(&'a [u8]),
    /// Filled by the device.
    FromDevice(&'a mut [u8]),
}

/// What the core does for a function's clients.
pub trait Backend: Send + Sync + 'static {
    /// Carries out an admin command. May sleep.
    ///
    /// The backend puts in the tag and the address and length of the data buffer. The completion
    /// that it returns belongs to this very command, and its status is `OK`.
    ///
    /// # Errors
    ///
    /// Those of [`CmdError`].
    fn execute(&self, submission: Submission, data: Data<'_>) -> Result<Completion, CmdError>;

    /// Reads a register of the PCI function that carries the function.
    fn register(&self, register: &RegisterInfo) -> u32;

    /// Returns whether registers hold what is written to them. May sleep.
    fn bus_works(&self) -> bool;
}

/// What is known of a function when it is handed out.
pub struct Description {
    /// Its id.
    pub id: FunctionId,
    /// What it can do.
    pub features: Features,
    /// Its MAC address.
    pub mac: [u8; 6],
    /// Its MTU.
    pub mtu: u16,
    /// Largest MTU that can be set.
    pub max_mtu: u16,
    /// Largest number of TX queues, and of RX queues, and of vectors.
    pub max_queues: u16,
    /// Entries of the RSS indirection table.
    pub rss_table: u16,
    /// Largest depth of a queue.
    pub max_depth: Depth,
}

/// A function, as its owner has it: the core.
///
/// Dropping it, or [`Owner::close`], turns all handles to it into dead ones and waits for calls
/// under way. Drop the devices that [`Owner::publish`] returned first, or their drivers find the
/// function dead when they want to clean up.
pub struct Owner(Function);

impl Owner {
    /// Makes a function of the PCI device `dma`.
    ///
    /// `doorbells` is its doorbell page, `vectors` are those of `dma`, `port` is the devlink port that its Ethernet port belongs to.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(
        dma: &Device<Bound>,
        description: Description,
        doorbells: Window,
        vectors: Arc<Vectors>,
        port: Option<Arc<devlink::Port>>,
        backend: Arc<dyn Backend>,
    ) -> Result<Self> {
        let shared = Shared {
            description,
            doorbells,
            vectors,
            port,
            subscribers: Arc::pin_init(Subscribers::new(), GFP_KERNEL)?,
            health: Parts::new()?,
            backend: Gate::new(dma, backend)?,
        };
        Ok(Self(Function::new(Arc::new(shared, GFP_KERNEL)?)))
    }

    /// Publishes the function to a client: makes the auxiliary device `ferrite_core.<kind>.<id>` below
    /// `parent`, which exists for as long as what is returned, and no longer than `parent` is bound.
    /// Its driver is probed before this returns.
    ///
    /// `parent` may be another device than the one that does DMA, such as the auxiliary device of an
    /// SF.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EEXIST` if there is such a device.
    pub fn publish(
        &self,
        parent: &Device<Bound>,
        kind: &'static CStr,
        id: u32,
    ) -> Result<auxiliary::Registration> {
        let function = self.0.clone();
        auxiliary::Registration::new::<FunctionLt>(parent, crate::names::CORE, kind, id, function)
    }

    /// As [`Owner::publish`], for an SF: the device shows its number in the file `sfnum`.
    ///
    /// # Errors
    ///
    /// Those of [`Owner::publish`].
    pub fn publish_sf(
        &self,
        parent: &Device<Bound>,
        id: u32,
        sfnum: u32,
    ) -> Result<auxiliary::Registration> {
        /// Name of the file.
        struct SfNum;

        impl auxiliary::Attribute for SfNum {
            const NAME: &'static CStr = c"sfnum";
        }

        auxiliary::Registration::with_number::<FunctionLt, SfNum>(
            parent,
            crate::names::CORE,
            crate::names::SF,
            id,
            self.0.clone(),
            sfnum,
        )
    }

    /// Publishes a VF of this PF to who controls it from outside: makes the auxiliary device
    /// `ferrite_core.vfio_mig.<id>` below `parent`, as [`Owner::publish`]. Who gets it can subscribe to what is told
    /// `subscribers`.
    ///
    /// # Errors
    ///
    /// Those of [`Owner::publish`].
    pub fn publish_controlled(
        &self,
        parent: &Device<Bound>,
        id: u32,
        vf: FunctionId,
        subscribers: Arc<Subscribers>,
    ) -> Result<auxiliary::Registration> {
        auxiliary::Registration::new::<ControlledLt>(
            parent,
            crate::names::CORE,
            crate::names::VFIO_MIG,
            id,
            Controlled::new(self.0.clone(), vf, subscribers),
        )
    }

    /// Passes an event about the function on to its clients. May sleep.
    pub fn deliver(&self, event: &Event) {
        self.0.shared().subscribers.deliver(event);
    }

    /// Turns all handles to the function into dead ones and waits for calls under way.
    pub fn close(&self) {
        self.0.shared().backend.close();
    }
}

impl Deref for Owner {
    type Target = Function;

    fn deref(&self) -> &Function {
        &self.0
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}
