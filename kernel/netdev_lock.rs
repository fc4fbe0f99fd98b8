// SPDX-License-Identifier: GPL-2.0

//! The lock of a network device, under which all of its operations for configuration run.
//!
//! Devices of a [`Builder`](crate::netdev::Builder) are what the stack calls ops locked: most
//! operations run under the RTNL as well, those for queues and most of ethtool's under this lock alone.
//!
//! C header: [`include/net/netdev_lock.h`](srctree/include/net/netdev_lock.h)

use crate::{
    bindings,
    netdev::NetDevice,
    netdev_rtnl::Rtnl, //
};
use core::ops::Deref;
use kernel::types::NotThreadSafe;

/// Proof that the current thread holds the lock of a network device.
///
/// # Invariants
///
/// The device is valid, and the thread holds its lock for as long as this exists.
pub struct Lock {
    device: *mut bindings::net_device,
    _not_send: NotThreadSafe,
}

impl Lock {
    /// Returns the proof.
    ///
    /// # Safety
    ///
    /// `device` was made by a [`Builder`](crate::netdev::Builder), and the current thread holds its lock
    /// for as long as what is returned exists.
    pub(crate) unsafe fn assume(device: *mut bindings::net_device) -> Self {
        // INVARIANT: the caller promises it.
        Self {
            device,
            _not_send: NotThreadSafe,
        }
    }

    /// Returns the device.
    pub fn device(&self) -> &NetDevice {
        // SAFETY: the device is valid, by the type's invariants, and of a builder; `NetDevice` is a
        // transparent wrapper.
        unsafe { &*self.device.cast() }
    }

    /// Returns whether it is the lock of `device`.
    pub(crate) fn is_of(&self, device: &NetDevice) -> bool {
        self.device == device.as_ptr()
    }
}

/// Proof that the current thread holds both the RTNL and the lock of a network device.
pub struct Locks {
    rtnl: Rtnl,
    device: Lock,
}

impl Locks {
    /// Returns the proof.
    ///
    /// # Safety
    ///
    /// As [`Lock::assume`]; the thread holds the RTNL for as long as well.
    pub(crate) unsafe fn assume(device: *mut bindings::net_device) -> Self {
        // SAFETY: by the requirements of this function.
        unsafe {
            Self {
                rtnl: Rtnl::held(),
                device: Lock::assume(device),
            }
        }
    }

    /// Returns the proof that the lock of the device is held.
    pub fn device_lock(&self) -> &Lock {
        &self.device
    }
}

impl Deref for Locks {
    type Target = Rtnl;

    fn deref(&self) -> &Rtnl {
        &self.rtnl
    }
}
