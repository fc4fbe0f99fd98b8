// SPDX-License-Identifier: GPL-2.0

//! devlink: instances, what they tell of a device, ports and the functions behind them, parameters,
//! resources, rates, regions, health reporters, firmware, packet traps.
//!
//! A driver implements [`Ops`] for its data and makes an [`Instance`] of it. Each operation that the
//! driver implements shows in the C table of operations; others stay empty, so that devlink itself
//! answers that they are not supported.
//!
//! # The lock
//!
//! An instance has a lock, which is held while any operation runs. The operation is passed a
//! [`Locked`] to show for it; elsewhere, [`Instance::lock`] makes one. Things that come and go under
//! the lock are added with it and removed by dropping them, in operations and elsewhere alike: the
//! drop takes the lock if the thread does not have it. Other locks that are held around such a drop,
//! or around [`Instance::lock`], must not be taken in an operation.
//!
//! Operations `reload_down` and `reload_up` run with the lock of the instance's device held, too,
//! which is taken first. The instance of a function, such as an SF, is locked after the one of its
//! parent or not together with it.
//!
//! C header: [`include/net/devlink.h`](srctree/include/net/devlink.h)

mod extack;
mod flash;
mod health;
pub mod info;
mod lock;
mod ops;
mod param;
mod port;
mod port_ops;
mod rate;
mod region;
mod resource;
#[cfg(CONFIG_KUNIT = "y")]
mod tests;
mod trap;

pub use extack::ExtAck;
pub use flash::Flash;
pub use health::{
    HealthReporter,
    Message,
    Reporter, //
};
pub use info::Info;
pub(crate) use lock::Memory;
pub use lock::{
    Guard,
    Locked, //
};
pub use ops::{
    EswitchMode,
    NewFlavour,
    NewPort,
    Ops,
    Outcome, //
};
pub use param::{
    BoolParam,
    Params, //
};
pub use port::{
    Flavour,
    Port,
    PortAttributes,
    PortRegistration,
    MAX_SWITCH_ID, //
};
pub use port_ops::{
    FunctionState,
    OpState,
    PortOps, //
};
pub use rate::{
    Member,
    RateLeaf,
    RateOps,
    Setting,
    TRAFFIC_CLASSES, //
};
pub use region::{
    Region,
    RegionRegistration, //
};
pub use resource::{
    Occupancy,
    Resource,
    Resources, //
};
pub use trap::{
    TrapGroup,
    TrapPolicer,
    TrapReason,
    Traps, //
};

use crate::bindings;
use core::{
    any::TypeId,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};
use ops::{
    Private,
    Table, //
};

/// Returns the errno of what devlink or the driver does not do.
pub fn not_supported() -> Error {
    // CAST: errno values are small.
    Error::from_errno(-(kernel::bindings::EOPNOTSUPP as c_int))
}

/// An instance that is allocated and perhaps not registered: ports can be added to it.
pub struct Instance<T: Ops> {
    memory: Arc<Memory>,
    data: Arc<T>,
    /// Written with the lock held.
    registered: Atomic<bool>,
    /// Written with the lock held.
    nested: Atomic<bool>,
}

impl<T: Ops> Instance<T> {
    /// Allocates an instance for `device`, which `data` operates.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(device: &Device<Bound>, data: Arc<T>) -> Result<Self> {
        // SAFETY: the table is one of the operations of a `T`.
        unsafe { Self::with_table(device, data, Table::<T>::OPS_REF, None) }
    }

    /// As [`Instance::new`], for an instance whose ports have [rates](RateOps).
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn with_rates(device: &Device<Bound>, data: Arc<T>) -> Result<Self>
    where
        T: RateOps,
    {
        // SAFETY: the table is one of the operations of a `T`.
        unsafe {
            let table = rate::Table::<T>::OPS_REF;
            Self::with_table(device, data, table, Some(TypeId::of::<T>()))
        }
    }

    /// # Safety
    ///
    /// What `table` lists may be called with an instance whose private part is a `Private<T>`.
    unsafe fn with_table(
        device: &Device<Bound>,
        data: Arc<T>,
        table: &'static bindings::devlink_ops,
        rates: Option<TypeId>,
    ) -> Result<Self> {
        // SAFETY: the table lives for ever and `device` is valid; devlink takes a reference to it.
        let devlink = unsafe {
            bindings::ferrite_helper_devlink_alloc(
                table,
                size_of::<Private<T>>(),
                // CAST: `Device` is a transparent wrapper of `struct device`.
                core::ptr::from_ref(device).cast_mut().cast(),
            )
        };
        let devlink = NonNull::new(devlink).ok_or(ENOMEM)?;
        // SAFETY: it was just allocated.
        let memory = Arc::new(unsafe { Memory::new(devlink, rates) }, GFP_KERNEL)?;
        let private = Private {
            data: Arc::as_ptr(&data),
            memory: Arc::as_ptr(&memory),
        };
        // SAFETY: the private part is as large as was asked for and aligned for pointers, and nobody
        // else knows of it yet.
        unsafe {
            bindings::devlink_priv(devlink.as_ptr())
                .cast::<Private<T>>()
                .write(private)
        };
        Ok(Self {
            memory,
            data,
            registered: Atomic::new(false),
            nested: Atomic::new(false),
        })
    }

    /// Takes the instance's lock. A thread that has it already gets it once more.
    pub fn lock(&self) -> Guard<'_> {
        self.memory.lock()
    }

    /// Makes the instance visible to users, until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it was made visible before.
    pub fn register(&self) -> Result<Registration> {
        let locked = self.lock();
        if self.registered.load(Relaxed) {
            return Err(EBUSY);
        }
        self.registered.store(true, Relaxed);
        // SAFETY: the instance was never registered, and the lock is held. The data is kept until
        // it is unregistered.
        unsafe { bindings::devl_register(locked.as_raw()) };
        drop(locked);
        Ok(Registration {
            memory: self.memory.clone(),
            _data: self.data.clone(),
        })
    }

    /// Shows the instance as the one of the function behind `port`, a [`Flavour::PciSf`] of another
    /// instance, for as long as this one is registered. Takes the lock of this instance and not that
    /// of the port's.
    ///
    /// The port must not be removed meanwhile: it is not while its function's device is there.
    ///
    /// # Errors
    ///
    /// `EBUSY` if this instance is registered or was nested before, `EINVAL` if the port is none of
    /// an SF of this host, `ENODEV` if it was removed, `ENOMEM`.
    pub fn nest_in(&self, port: &Port) -> Result {
        let locked = self.lock();
        if self.registered.load(Relaxed) || self.nested.load(Relaxed) {
            return Err(EBUSY);
        }
        port.nest(&locked)?;
        self.nested.store(true, Relaxed);
        Ok(())
    }
}

impl<T: Ops> Deref for Instance<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

/// An instance is visible to users for as long as this lives.
///
/// Must not be dropped in an operation of this very instance, which devlink goes on with.
pub struct Registration {
    memory: Arc<Memory>,
    // What operations are called with.
    _data: Arc<dyn Keep>,
}

/// Anything that can be kept alive.
trait Keep: Send + Sync {}
impl<T: Send + Sync> Keep for T {}

impl Drop for Registration {
    fn drop(&mut self) {
        let locked = self.memory.lock();
        // SAFETY: `register` registered it and nobody has unregistered it; the lock is held. Users
        // cannot make rate nodes any more, and what was made must not outlive the data.
        unsafe {
            bindings::devl_unregister(locked.as_raw());
            bindings::devl_rate_nodes_destroy(locked.as_raw());
        }
    }
}
