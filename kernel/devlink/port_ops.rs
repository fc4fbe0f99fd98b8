// SPDX-License-Identifier: GPL-2.0

//! What a driver does for a port and the function behind it, and the C table of it.

use super::{
    lock::Operation,
    port::Port,
    ExtAck,
    Locked, //
};
use crate::{
    bindings,
    optional::optional, //
};
use core::marker::PhantomData;
use kernel::{
    error::from_result,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
};

/// Whether a function may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionState {
    /// It is being configured, and nobody's.
    Inactive,
    /// It is there for a driver.
    Active,
}

/// Whether a function is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpState {
    /// No driver has it.
    Detached,
    /// A driver has it: it must be waited for.
    Attached,
}

/// What a driver does for a port and the function behind it.
///
/// All operations are called in process context while the port is registered, and those that change
/// something with the lock of the instance held. They say in `extack` why they fail; the user may not have
/// asked for it.
///
/// Those that tell something should do so without asking the device: devlink calls them in the middle
/// of answers and notifications, for each port, and cannot say that they failed. It may do so when the
/// port's net device changes, with the RTNL held and not the lock of the instance.
/// [`not_supported`](super::not_supported) leaves the attribute out.
#[vtable]
pub trait PortOps: Send + Sync + 'static {
    /// Removes the port, by dropping its [`PortRegistration`](super::PortRegistration), and the
    /// function that was made for it.
    fn port_del(&self, locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        let _ = (locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells the MAC address that the function is provisioned with.
    fn hw_addr_get(&self, extack: &mut ExtAck<'_>) -> Result<[u8; 6]> {
        let _ = extack;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Provisions the function with a MAC address. devlink refuses a multicast address only if the port
    /// has a net device, and lets the zero address pass.
    fn hw_addr_set(
        &self,
        address: [u8; 6],
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (address, locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells whether the function may be used and whether it is.
    fn state_get(&self, extack: &mut ExtAck<'_>) -> Result<(FunctionState, OpState)> {
        let _ = extack;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Activates or deactivates the function, which may be in that state. If the user sets several
    /// attributes at once, this is called last.
    fn state_set(
        &self,
        state: FunctionState,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let _ = (state, locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells whether the function can be migrated. devlink asks for VFs only.
    fn migratable_get(&self, extack: &mut ExtAck<'_>) -> Result<bool> {
        let _ = extack;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Lets the function be migrated or not. devlink does so for VFs only.
    fn migratable_set(&self, enable: bool, locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        let _ = (enable, locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells whether the function has RDMA over converged Ethernet.
    fn roce_get(&self, extack: &mut ExtAck<'_>) -> Result<bool> {
        let _ = extack;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Lets the function have RDMA over converged Ethernet or not.
    fn roce_set(&self, enable: bool, locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        let _ = (enable, locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Tells the largest number of event queues that the function may have for its data path.
    fn max_io_eqs_get(&self, extack: &mut ExtAck<'_>) -> Result<u32> {
        let _ = extack;
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Sets the largest number of event queues that the function may have for its data path.
    fn max_io_eqs_set(&self, max: u32, locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        let _ = (max, locked, extack);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// The table of a port without operations.
pub(super) static NO_OPS: NoOps = NoOps(pin_init::zeroed());

/// A table without operations.
pub(super) struct NoOps(bindings::devlink_port_ops);

// SAFETY: nobody writes it.
unsafe impl Sync for NoOps {}

impl core::ops::Deref for NoOps {
    type Target = bindings::devlink_port_ops;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// The C table of the operations of a `P`.
///
/// All functions here are called by devlink only, with the lock held unless they only tell something, for
/// a registered port whose `data` is a `P` from an [`Arc`]; other arguments are valid until the functions
/// return, but that `extack` may be null.
pub(super) struct Table<P: PortOps>(PhantomData<P>);

/// A function of the table that tells something, by the operation of the same name.
macro_rules! getter {
    ($name:ident, |$told:ident| $($out:ident: $ty:ty = $value:expr),+) => {
        unsafe extern "C" fn $name(
            port: *mut bindings::devlink_port,
            $($out: *mut $ty,)+
            extack: *mut bindings::netlink_ext_ack,
        ) -> c_int {
            // SAFETY: as all arguments here are.
            let (data, mut extack) = unsafe { (Self::data(port), ExtAck::from_raw(extack)) };
            from_result(|| {
                let $told = data.$name(&mut extack)?;
                $(
                    // SAFETY: as all arguments here are.
                    unsafe { $out.write($value) };
                )+
                Ok(0)
            })
        }
    };
}

/// A function of the table that sets something, by the operation of the same name.
macro_rules! setter {
    ($name:ident, |$value:ident: $ty:ty, $extack:ident| $convert:expr) => {
        unsafe extern "C" fn $name(
            port: *mut bindings::devlink_port,
            $value: $ty,
            extack: *mut bindings::netlink_ext_ack,
        ) -> c_int {
            // SAFETY: as all arguments here are.
            let ((data, operation), mut $extack) =
                unsafe { (Self::begin(port), ExtAck::from_raw(extack)) };
            from_result(|| {
                let value = $convert;
                data.$name(value, &operation.locked(), &mut $extack)?;
                Ok(0)
            })
        }
    };
}

#[expect(
    clippy::missing_safety_doc,
    reason = "what holds for all of them is said at `Table`"
)]
impl<T: PortOps> Table<T> {
    const OPS: bindings::devlink_port_ops = bindings::devlink_port_ops {
        port_del: optional!(HAS_PORT_DEL, port_del),
        port_fn_hw_addr_get: optional!(HAS_HW_ADDR_GET, hw_addr_get),
        port_fn_hw_addr_set: optional!(HAS_HW_ADDR_SET, hw_addr_set),
        port_fn_roce_get: optional!(HAS_ROCE_GET, roce_get),
        port_fn_roce_set: optional!(HAS_ROCE_SET, roce_set),
        port_fn_migratable_get: optional!(HAS_MIGRATABLE_GET, migratable_get),
        port_fn_migratable_set: optional!(HAS_MIGRATABLE_SET, migratable_set),
        port_fn_state_get: optional!(HAS_STATE_GET, state_get),
        port_fn_state_set: optional!(HAS_STATE_SET, state_set),
        port_fn_max_io_eqs_get: optional!(HAS_MAX_IO_EQS_GET, max_io_eqs_get),
        port_fn_max_io_eqs_set: optional!(HAS_MAX_IO_EQS_SET, max_io_eqs_set),
        ..pin_init::zeroed()
    };
    pub(super) const OPS_REF: &'static bindings::devlink_port_ops = &Self::OPS;

    /// Returns the data of a port.
    unsafe fn data(port: *mut bindings::devlink_port) -> Arc<T> {
        // SAFETY: the port is registered and was made with this table.
        let port = unsafe { Port::from_raw(port) };
        // SAFETY: the `data` of the port is a `T` from an `Arc`, of which there is one by the
        // invariants of `Port`.
        unsafe { ArcBorrow::from_raw(port.data().cast::<T>()) }.into()
    }

    /// Returns the data of a port, and the operation that is called, which is none that only tells
    /// something.
    unsafe fn begin(port: *mut bindings::devlink_port) -> (Arc<T>, Operation) {
        // SAFETY: the port is registered and was made with this table.
        let memory = unsafe { Port::from_raw(port) }.memory().clone();
        // SAFETY: devlink holds the lock until the caller returns.
        let operation = unsafe { Operation::begin(memory) };
        // SAFETY: as all arguments here are.
        (unsafe { Self::data(port) }, operation)
    }

    unsafe extern "C" fn port_del(
        _devlink: *mut bindings::devlink,
        port: *mut bindings::devlink_port,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are.
        let ((data, operation), mut extack) =
            unsafe { (Self::begin(port), ExtAck::from_raw(extack)) };
        from_result(|| {
            data.port_del(&operation.locked(), &mut extack)?;
            Ok(0)
        })
    }

    getter!(roce_get, |told| enabled: bool = told);
    getter!(migratable_get, |told| enabled: bool = told);
    getter!(max_io_eqs_get, |told| max: u32 = told);
    getter!(
        state_get,
        |told| state: bindings::devlink_port_fn_state = match told.0 {
            FunctionState::Inactive => {
                bindings::devlink_port_fn_state_DEVLINK_PORT_FN_STATE_INACTIVE
            }
            FunctionState::Active => bindings::devlink_port_fn_state_DEVLINK_PORT_FN_STATE_ACTIVE,
        },
        opstate: bindings::devlink_port_fn_opstate = match told.1 {
            OpState::Detached => bindings::devlink_port_fn_opstate_DEVLINK_PORT_FN_OPSTATE_DETACHED,
            OpState::Attached => bindings::devlink_port_fn_opstate_DEVLINK_PORT_FN_OPSTATE_ATTACHED,
        }
    );

    setter!(roce_set, |enable: bool, extack| enable);
    setter!(migratable_set, |enable: bool, extack| enable);
    setter!(max_io_eqs_set, |max: u32, extack| max);
    setter!(state_set, |state: bindings::devlink_port_fn_state,
                        extack| match state {
        bindings::devlink_port_fn_state_DEVLINK_PORT_FN_STATE_ACTIVE => FunctionState::Active,
        _ => FunctionState::Inactive,
    });

    unsafe extern "C" fn hw_addr_get(
        port: *mut bindings::devlink_port,
        address: *mut u8,
        len: *mut c_int,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are.
        let (data, mut extack) = unsafe { (Self::data(port), ExtAck::from_raw(extack)) };
        from_result(|| {
            let told = data.hw_addr_get(&mut extack)?;
            // SAFETY: as all arguments here are; there is room for `MAX_ADDR_LEN` bytes.
            unsafe {
                address.cast::<[u8; 6]>().write(told);
                len.write(6);
            }
            Ok(0)
        })
    }

    unsafe extern "C" fn hw_addr_set(
        port: *mut bindings::devlink_port,
        address: *const u8,
        len: c_int,
        extack: *mut bindings::netlink_ext_ack,
    ) -> c_int {
        // SAFETY: as all arguments here are.
        let ((data, operation), mut extack) =
            unsafe { (Self::begin(port), ExtAck::from_raw(extack)) };
        from_result(|| {
            if len != 6 {
                extack.set(fmt!("the address must have 6 bytes, and not {len}"));
                return Err(EINVAL);
            }
            // SAFETY: as all arguments here are; it has as many bytes.
            let address = unsafe { address.cast::<[u8; 6]>().read() };
            data.hw_addr_set(address, &operation.locked(), &mut extack)?;
            Ok(0)
        })
    }
}
