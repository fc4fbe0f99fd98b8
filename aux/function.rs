// SPDX-License-Identifier: GPL-2.0

//! The handle that clients have of a function.

use crate::{
    backend::{
        Backend,
        Data,
        Description, //
    },
    error::CmdError,
    event::{
        EventHandler,
        Subscribers,
        Subscription, //
    },
    health::Parts,
};
use core::ops::Deref;
use ferrite_abi::{
    admin::{
        Command,
        Completion,
        DataDirection,
        Submission, //
    },
    bar::Doorbell,
    ids::{
        FunctionId,
        FunctionKind, //
    },
    regs::{
        Features,
        RegisterInfo, //
    },
    ring::Depth,
    wire::IntoBytes, //
};
use kernel::{
    auxiliary,
    device::{
        Bound,
        Device, //
    },
    fmt,
    irq::Handler,
    prelude::*,
    sync::Arc,
    types::ForLt, //
};
use kernel_ext::{
    devlink,
    gate::{
        Gate,
        Inside, //
    },
    iomap::Window,
    irq::{
        self,
        Vectors, //
    },
};
use zerocopy::FromZeros;

/// What the auxiliary devices carry.
pub type FunctionLt = ForLt!(Function);

/// What the owner and the clients of a function share.
pub(crate) struct Shared {
    pub(crate) description: Description,
    pub(crate) doorbells: Window,
    pub(crate) vectors: Arc<Vectors>,
    pub(crate) port: Option<Arc<devlink::Port>>,
    pub(crate) subscribers: Arc<Subscribers>,
    pub(crate) health: Parts,
    pub(crate) backend: Gate<dyn Backend>,
}

/// Handle of a function of the DPU.
#[derive(Clone)]
pub struct Function {
    shared: Arc<Shared>,
}

impl Function {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Returns the function that `adev` carries.
    ///
    /// # Errors
    ///
    /// `EINVAL` or `ENOENT` if `adev` was not published by [`Owner::publish`].
    ///
    /// [`Owner::publish`]: crate::Owner::publish
    pub fn of(adev: &auxiliary::Device<Bound>) -> Result<Self> {
        Ok(adev.registration_data::<FunctionLt>()?.get_ref().clone())
    }

    /// Returns its id.
    pub fn id(&self) -> FunctionId {
        self.shared.description.id
    }

    /// Returns whether both are functions of the same PCI function, as the representors of a switch
    /// and its PF are. Not, once the device is gone.
    pub fn is_beside(&self, other: &Self) -> bool {
        match (self.dma_device(), other.dma_device()) {
            (Ok(one), Ok(other)) => core::ptr::eq::<Device<Bound>>(&*one, &*other),
            _ => false,
        }
    }

    /// Returns what it can do.
    pub fn features(&self) -> Features {
        self.shared.description.features
    }

    /// Returns whether it can do all of `features`.
    pub fn has(&self, features: Features) -> bool {
        self.features().contains(features)
    }

    /// Returns what was known of it when it was published.
    pub fn description(&self) -> &Description {
        &self.shared.description
    }

    /// Returns the largest depth that a queue of it can have.
    pub fn max_depth(&self) -> Depth {
        self.shared.description.max_depth
    }

    /// Sends a command that has no data buffer and returns its result. May sleep.
    ///
    /// # Errors
    ///
    /// Those of [`CmdError`].
    pub fn send<C: Command>(&self, command: C) -> Result<C::Done, CmdError> {
        const { assert!(matches!(C::DATA, DataDirection::None)) };
        let completion = self.execute(self.id(), command, Data::None)?;
        Ok(completion.done::<C>())
    }

    /// Sends a command together with `data` and returns its result. May sleep.
    ///
    /// # Errors
    ///
    /// Those of [`CmdError`].
    pub fn send_with<C: Command>(&self, command: C, data: &C::Data) -> Result<C::Done, CmdError> {
        const { assert!(matches!(C::DATA, DataDirection::ToDevice)) };
        let completion = self.execute(self.id(), command, Data::ToDevice(data.as_bytes()))?;
        Ok(completion.done::<C>())
    }

    /// Sends a command and returns its result and the data that the device wrote. May sleep.
    ///
    /// # Errors
    ///
    /// Those of [`CmdError`].
    pub fn fetch<C: Command>(&self, command: C) -> Result<(C::Done, C::Data), CmdError> {
        const {
            assert!(matches!(C::DATA, DataDirection::FromDevice));
            // The data is on the stack.
            assert!(size_of::<C::Data>() <= 1024);
        }
        let mut data = C::Data::new_zeroed();
        let data_buffer = Data::FromDevice(data.as_mut_bytes());
        let completion = self.execute(self.id(), command, data_buffer)?;
        Ok((completion.done::<C>(), data))
    }

    fn execute<C: Command>(
        &self,
        about: FunctionId,
        command: C,
        data: Data<'_>,
    ) -> Result<Completion, CmdError> {
        let backend = self.shared.backend.enter().ok_or(CmdError::Gone)?;
        backend.execute(Submission::new(0, about, command), data)
    }

    /// Reads a register of the PCI function that carries the function: its own, or that of the PF if it is
    /// an SF or a representor. A device that is gone reads as all ones.
    ///
    /// # Errors
    ///
    /// [`CmdError::Gone`].
    pub fn register(&self, register: &RegisterInfo) -> Result<u32, CmdError> {
        let backend = self.shared.backend.enter().ok_or(CmdError::Gone)?;
        Ok(backend.register(register))
    }

    /// Returns whether registers hold what is written to them. May sleep.
    ///
    /// # Errors
    ///
    /// [`CmdError::Gone`].
    pub fn bus_works(&self) -> Result<bool, CmdError> {
        let backend = self.shared.backend.enter().ok_or(CmdError::Gone)?;
        Ok(backend.bus_works())
    }

    /// Returns another function of the same PCI function, to send commands about: `function`, which is
    /// the PF for commands about the switch, or a VF for those that provision it.
    pub fn about(&self, function: FunctionId) -> About<'_> {
        About {
            sender: self,
            function,
        }
    }

    /// Rings a doorbell; does nothing once the device is gone. May be called in any context.
    ///
    /// Writes to memory that come before it are seen by the device when it hears the bell.
    #[inline]
    pub fn ring(&self, doorbell: Doorbell) {
        self.shared.doorbells.write32(doorbell.offset(), 0);
    }

    /// Returns the device to allocate DMA memory from, bound for as long as the guard lives. The
    /// guard delays the removal of the device: do not keep it.
    ///
    /// # Errors
    ///
    /// [`CmdError::Gone`].
    pub fn dma_device(&self) -> Result<DmaDevice<'_>, CmdError> {
        let inside = self.shared.backend.enter().ok_or(CmdError::Gone)?;
        Ok(DmaDevice(inside))
    }

    /// Lets `handler` handle the interrupts of one of the function's vectors, until what is returned is
    /// dropped. There is one for each queue pair that it can have: `index` is less than
    /// [`Description::max_queues`].
    ///
    /// [`irq::Registration::vector`] is the number that the device knows it by, for commands such as
    /// [`CreateQueue`](ferrite_abi::cmd::CreateQueue). It is taken from the PCI function that does DMA
    /// for this one, and shared if that has no more: the handler may be called for nothing. A PF or VF
    /// shares none of its vectors while there are enough.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the function has no such vector, `ENODEV` if the device is gone, `ENOSPC` if there
    /// is no vector to share, `ENOMEM`.
    pub fn request_vector(
        &self,
        index: u16,
        name: fmt::Arguments<'_>,
        handler: Arc<dyn Handler + Send>,
    ) -> Result<irq::Registration> {
        if index >= self.shared.description.max_queues {
            return Err(EINVAL);
        }
        let device = self.dma_device()?;
        let alone = matches!(
            self.id().kind(),
            Some(FunctionKind::Pf | FunctionKind::Vf(_))
        );
        let vectors = &self.shared.vectors;
        vectors.request_any(&device, alone, name, handler)
    }

    /// Returns the devlink port that the function's Ethernet port belongs to, if there is one.
    pub fn devlink_port(&self) -> Option<Arc<devlink::Port>> {
        self.shared.port.clone()
    }

    /// Passes events about the function to `handler`, until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn subscribe(&self, handler: Arc<dyn EventHandler>) -> Result<Subscription> {
        self.shared.subscribers.clone().add(handler)
    }
}

/// A function that another one sends commands about.
pub struct About<'a> {
    sender: &'a Function,
    function: FunctionId,
}

impl About<'_> {
    /// Sends a command that has no data buffer, as [`Function::send`].
    ///
    /// # Errors
    ///
    /// Those of [`CmdError`]; the device lets no VF send commands about others.
    pub fn send<C: Command>(&self, command: C) -> Result<C::Done, CmdError> {
        const { assert!(matches!(C::DATA, DataDirection::None)) };
        let completion = self.sender.execute(self.function, command, Data::None)?;
        Ok(completion.done::<C>())
    }

    /// Sends a command together with `data`, as [`Function::send_with`].
    ///
    /// # Errors
    ///
    /// As [`About::send`].
    pub fn send_with<C: Command>(&self, command: C, data: &C::Data) -> Result<C::Done, CmdError> {
        const { assert!(matches!(C::DATA, DataDirection::ToDevice)) };
        let data = Data::ToDevice(data.as_bytes());
        let completion = self.sender.execute(self.function, command, data)?;
        Ok(completion.done::<C>())
    }

    /// Sends a command for the device to fill `data`, which may be larger than what fits on the stack.
    ///
    /// # Errors
    ///
    /// As [`About::send`].
    pub fn fetch<C: Command>(&self, command: C, data: &mut C::Data) -> Result<C::Done, CmdError> {
        const { assert!(matches!(C::DATA, DataDirection::FromDevice)) };
        data.zero();
        let data = Data::FromDevice(data.as_mut_bytes());
        let completion = self.sender.execute(self.function, command, data)?;
        Ok(completion.done::<C>())
    }
}

/// The device that does DMA for a function. It is bound while this lives.
pub struct DmaDevice<'a>(Inside<'a, dyn Backend>);

impl Deref for DmaDevice<'_> {
    type Target = Device<Bound>;

    fn deref(&self) -> &Self::Target {
        self.0.device()
    }
}
