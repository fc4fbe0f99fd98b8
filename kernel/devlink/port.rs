// SPDX-License-Identifier: GPL-2.0

//! Ports of an instance, which a net device can belong to.

use super::{
    Locked,
    Memory, //
};
use crate::bindings;
use kernel::{
    error::to_result,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// What a port is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The uplink of the card; `number` is the one on its label.
    Physical {
        /// Number of the port.
        number: u32,
    },
    /// A port without a place in the switch, such as that of a VF as its own user sees it.
    Virtual,
}

/// A port, registered or not any more.
///
/// A net device that belongs to it holds a reference; the memory lasts until it is gone.
#[pin_data]
pub struct Port {
    #[pin]
    port: Opaque<bindings::devlink_port>,
    instance: Arc<Memory>,
}

// SAFETY: a `struct devlink_port` does not belong to a thread.
unsafe impl Send for Port {}

// SAFETY: the functions on a `struct devlink_port` that are used lock it.
unsafe impl Sync for Port {}

impl Port {
    /// Returns the C port, for a net device that is about to be registered and holds an `Arc` of
    /// this.
    pub(crate) fn as_raw(&self) -> *mut bindings::devlink_port {
        self.port.get()
    }
}

impl Locked<'_> {
    /// Adds a port to the instance, until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the index is taken, `ENOMEM`.
    pub fn add_port(&self, index: u32, flavour: Flavour) -> Result<PortRegistration> {
        let port = Arc::pin_init(
            pin_init!(Port {
                // All zeros is what devlink expects before registration.
                port <- Opaque::zeroed(),
                instance: self.memory().clone(),
            }),
            GFP_KERNEL,
        )?;

        let mut attrs: bindings::devlink_port_attrs = pin_init::zeroed();
        match flavour {
            Flavour::Physical { number } => {
                attrs.flavour = bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_PHYSICAL;
                attrs.__bindgen_anon_1.phys.port_number = number;
            }
            Flavour::Virtual => {
                attrs.flavour = bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_VIRTUAL;
            }
        }
        // SAFETY: the port is zeroed and nobody else's, the attributes are copied.
        unsafe { bindings::devlink_port_attrs_set(port.port.get(), &attrs) };

        // SAFETY: the lock of the instance is held, which `port` keeps alive. The operations live
        // for ever. The port is unregistered before it is freed, by `PortRegistration`.
        to_result(unsafe {
            bindings::devl_port_register_with_ops(
                self.as_raw(),
                port.port.get(),
                index,
                &raw const NO_OPS.0,
            )
        })?;
        Ok(PortRegistration { port })
    }
}

struct NoOps(bindings::devlink_port_ops);

// SAFETY: a table without operations, which nobody writes.
unsafe impl Sync for NoOps {}

static NO_OPS: NoOps = NoOps(pin_init::zeroed());

/// A port is in its instance for as long as this lives.
///
/// Its net device must be gone before this is dropped, and the lock of the instance not held.
pub struct PortRegistration {
    port: Arc<Port>,
}

impl PortRegistration {
    /// Returns the port.
    pub fn port(&self) -> &Arc<Port> {
        &self.port
    }
}

impl Drop for PortRegistration {
    fn drop(&mut self) {
        let locked = Locked::new(&self.port.instance);
        // SAFETY: `add_port` registered it and nobody has unregistered it; the lock is held.
        unsafe { bindings::devl_port_unregister(self.port.port.get()) };
        drop(locked);
    }
}
