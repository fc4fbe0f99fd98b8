// SPDX-License-Identifier: GPL-2.0

//! devlink: instances, what they tell of a device, ports.
//!
//! A driver implements [`Ops`] for its data and makes an [`Instance`] of it. Each operation that the
//! driver implements shows in the C table of operations; others stay empty, so that devlink itself
//! answers that they are not supported.
//!
//! C header: [`include/net/devlink.h`](srctree/include/net/devlink.h)

mod extack;
pub mod info;
mod port;

pub use extack::ExtAck;
pub use info::Info;
pub use port::{
    Flavour,
    Port,
    PortRegistration, //
};

use crate::bindings;
use core::{
    marker::PhantomData,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    error::from_result,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        Arc, //
    },
};

/// What a driver does for a devlink instance. All operations are called in process context.
#[vtable]
pub trait Ops: Send + Sync + 'static {
    /// Tells of the device and its firmware. Called with the instance's lock held.
    fn info_get(&self, info: &mut Info<'_>, extack: &mut ExtAck<'_>) -> Result {
        let _ = (info, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// The C table of the operations of a `T`.
struct Table<T: Ops>(PhantomData<T>);

impl<T: Ops> Table<T> {
    const OPS: bindings::devlink_ops = bindings::devlink_ops {
        info_get: if T::HAS_INFO_GET {
            Some(Self::info_get)
        } else {
            None
        },
        ..pin_init::zeroed()
    };
    const OPS_REF: &'static bindings::devlink_ops = &Self::OPS;

    /// # Safety
    ///
    /// `devlink` was made by [`Instance::new`] with this table, and is registered for `'a`.
    unsafe fn data<'a>(devlink: *mut bindings::devlink) -> &'a T {
        // SAFETY: by the requirements of this function, `devlink` is valid and its private part
        // holds a pointer to the `T` that `Registration` keeps until it has unregistered it.
        unsafe { &**bindings::devlink_priv(devlink).cast::<*const T>() }
    }

    /// # Safety
    ///
    /// `devlink` is as for [`Table::data`]; `req` is being answered and `extack` is null or valid,
    /// both until this returns.
    unsafe extern "C" fn info_get(
        devlink: *mut bindings::devlink,
        req: *mut bindings::devlink_info_req,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: by the requirements of this function.
        let data = unsafe { Self::data(devlink) };
        // SAFETY: by the requirements of this function.
        let (mut info, mut extack) = unsafe { (Info::from_raw(req), ExtAck::from_raw(extack)) };
        from_result(|| data.info_get(&mut info, &mut extack).map(|()| 0))
    }
}

/// The memory of an instance. Nothing of the driver's belongs to it, so that its module can go
/// while a port is kept.
///
/// # Invariants
///
/// `devlink` is an allocated instance.
pub(crate) struct Memory {
    devlink: NonNull<bindings::devlink>,
}

// SAFETY: a `struct devlink` does not belong to a thread.
unsafe impl Send for Memory {}

// SAFETY: the functions on a `struct devlink` that are used lock it.
unsafe impl Sync for Memory {}

impl Memory {
    pub(crate) fn as_raw(&self) -> *mut bindings::devlink {
        self.devlink.as_ptr()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: by the invariants of this type. Whoever registered it, or a port of it, held a
        // reference to this and has unregistered that.
        unsafe { bindings::devlink_free(self.as_raw()) };
    }
}

/// An instance that is allocated and perhaps not registered: ports can be added to it.
pub struct Instance<T: Ops> {
    memory: Arc<Memory>,
    data: Arc<T>,
    registered: Atomic<bool>,
}

impl<T: Ops> Instance<T> {
    /// Allocates an instance for `device`, which `data` operates.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(device: &Device<Bound>, data: Arc<T>) -> Result<Self> {
        // SAFETY: the table lives for ever and `device` is valid; devlink takes a reference to it.
        let devlink = unsafe {
            bindings::ferrite_helper_devlink_alloc(
                Table::<T>::OPS_REF,
                size_of::<*const T>(),
                // CAST: `Device` is a transparent wrapper of `struct device`.
                core::ptr::from_ref(device).cast_mut().cast(),
            )
        };
        let devlink = NonNull::new(devlink).ok_or(ENOMEM)?;
        // SAFETY: the private part is as large as was asked for, aligned for a pointer, and nobody
        // else knows of it yet.
        unsafe {
            bindings::devlink_priv(devlink.as_ptr())
                .cast::<*const T>()
                .write(Arc::as_ptr(&data))
        };
        // INVARIANT: as just allocated.
        let memory = Memory { devlink };
        Ok(Self {
            memory: Arc::new(memory, GFP_KERNEL)?,
            data,
            registered: Atomic::new(false),
        })
    }

    /// Takes the instance's lock, under which ports come and go.
    pub fn lock(&self) -> Locked<'_> {
        Locked::new(&self.memory)
    }

    /// Makes the instance visible to users, until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it was made visible before.
    pub fn register(&self) -> Result<Registration> {
        let locked = self.lock();
        if self.registered.xchg(true, Full) {
            return Err(EBUSY);
        }
        // SAFETY: the instance was never registered, and the lock is held. The data is kept until
        // it is unregistered.
        unsafe { bindings::devl_register(locked.as_raw()) };
        drop(locked);
        Ok(Registration {
            memory: self.memory.clone(),
            _data: self.data.clone(),
        })
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
/// Must not be dropped with the lock of the instance held.
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
        // SAFETY: `register` registered it and nobody has unregistered it.
        unsafe { bindings::devlink_unregister(self.memory.as_raw()) };
    }
}

/// The lock of an instance, held.
pub struct Locked<'a>(&'a Arc<Memory>);

impl<'a> Locked<'a> {
    fn new(memory: &'a Arc<Memory>) -> Self {
        // SAFETY: by the invariants of `Memory`.
        unsafe { bindings::devl_lock(memory.as_raw()) };
        Self(memory)
    }

    fn as_raw(&self) -> *mut bindings::devlink {
        self.0.as_raw()
    }

    fn memory(&self) -> &Arc<Memory> {
        self.0
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: `new` took the lock.
        unsafe { bindings::devl_unlock(self.as_raw()) };
    }
}
