// SPDX-License-Identifier: GPL-2.0

//! Ports of an instance, which a net device can belong to.

use super::{
    lock::Memory,
    port_ops::{
        self,
        PortOps, //
    },
    Keep,
    Locked, //
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
    /// Port of the switch to a PF.
    PciPf {
        /// Controller that the PF belongs to, 0 if it is the one of this host.
        controller: u32,
        /// Number of the PF.
        pf: u16,
        /// It is another host's.
        external: bool,
    },
    /// Port of the switch to a VF.
    PciVf {
        /// Controller that the VF belongs to, 0 if it is the one of this host.
        controller: u32,
        /// Number of its PF.
        pf: u16,
        /// Number of the VF, from 0.
        vf: u16,
        /// It is another host's.
        external: bool,
    },
    /// Port of the switch to an SF.
    PciSf {
        /// Controller that the SF belongs to, 0 if it is the one of this host.
        controller: u32,
        /// Number of its PF.
        pf: u16,
        /// Number of the SF.
        sf: u32,
        /// It is another host's.
        external: bool,
    },
}

/// Largest length of the id of a switch.
pub const MAX_SWITCH_ID: usize = bindings::MAX_PHYS_ITEM_ID_LEN as usize;

/// What a port is, and which switch it belongs to.
pub struct PortAttributes {
    attrs: bindings::devlink_port_attrs,
}

impl PortAttributes {
    /// Describes a port that belongs to no switch.
    pub fn new(flavour: Flavour) -> Self {
        let mut attrs: bindings::devlink_port_attrs = pin_init::zeroed();
        match flavour {
            Flavour::Physical { number } => {
                attrs.flavour = bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_PHYSICAL;
                attrs.__bindgen_anon_1.phys.port_number = number;
            }
            Flavour::Virtual => {
                attrs.flavour = bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_VIRTUAL;
            }
            Flavour::PciPf {
                controller,
                pf,
                external,
            } => {
                attrs.flavour = bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_PCI_PF;
                let mut of_pf: bindings::devlink_port_pci_pf_attrs = pin_init::zeroed();
                of_pf.controller = controller;
                of_pf.pf = pf;
                of_pf.set_external(external.into());
                attrs.__bindgen_anon_1.pci_pf = of_pf;
            }
            Flavour::PciVf {
                controller,
                pf,
                vf,
                external,
            } => {
                attrs.flavour = bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_PCI_VF;
                let mut of_vf: bindings::devlink_port_pci_vf_attrs = pin_init::zeroed();
                of_vf.controller = controller;
                of_vf.pf = pf;
                of_vf.vf = vf;
                of_vf.set_external(external.into());
                attrs.__bindgen_anon_1.pci_vf = of_vf;
            }
            Flavour::PciSf {
                controller,
                pf,
                sf,
                external,
            } => {
                attrs.flavour = bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_PCI_SF;
                let mut of_sf: bindings::devlink_port_pci_sf_attrs = pin_init::zeroed();
                of_sf.controller = controller;
                of_sf.pf = pf;
                of_sf.sf = sf;
                of_sf.set_external(external.into());
                attrs.__bindgen_anon_1.pci_sf = of_sf;
            }
        }
        Self { attrs }
    }

    /// Makes it a port of the switch with this id, which all its ports have and no others: net
    /// devices show it as their `phys_switch_id`.
    ///
    /// # Errors
    ///
    /// `EINVAL` unless it has 1 to [`MAX_SWITCH_ID`] bytes.
    pub fn switch_id(mut self, id: &[u8]) -> Result<Self> {
        let room = self.attrs.switch_id.id.get_mut(..id.len());
        room.ok_or(EINVAL)?.copy_from_slice(id);
        if id.is_empty() {
            return Err(EINVAL);
        }
        // CAST: it is at most `MAX_SWITCH_ID`.
        self.attrs.switch_id.id_len = id.len() as u8;
        Ok(self)
    }
}

/// A port, registered or not any more.
///
/// A net device that belongs to it holds a reference; the memory lasts until it is gone.
///
/// # Invariants
///
/// While `port` is registered its [`PortRegistration`] lives, and holds an `Arc` of this and the one
/// that `data` is from, if it is not null.
#[pin_data]
pub struct Port {
    #[pin]
    port: Opaque<bindings::devlink_port>,
    index: u32,
    memory: Arc<Memory>,
    data: *const c_void,
}

// SAFETY: a `struct devlink_port` does not belong to a thread, and the `data` of one is `Send`.
unsafe impl Send for Port {}

// SAFETY: the functions on a `struct devlink_port` that are used lock it, and the `data` of one is
// `Sync`.
unsafe impl Sync for Port {}

impl Port {
    /// Returns the C port, for a net device that is about to be registered and holds an `Arc` of
    /// this.
    pub(crate) fn as_raw(&self) -> *mut bindings::devlink_port {
        self.port.get()
    }

    /// Returns its index, by which users name it.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Returns the port of a C port.
    ///
    /// # Safety
    ///
    /// [`Locked::add_port`] or [`Locked::add_port_of`] made it, and it is registered for `'a`.
    pub(super) unsafe fn from_raw<'a>(port: *mut bindings::devlink_port) -> &'a Self {
        let port = Opaque::cast_from(port);
        // SAFETY: by the requirements of this function it is that field of a `Port`, which by the
        // invariants of this type is alive.
        unsafe { &*kernel::container_of!(port.cast_mut(), Self, port) }
    }

    pub(super) fn data(&self) -> *const c_void {
        self.data
    }

    pub(super) fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    fn is_registered(&self) -> bool {
        // SAFETY: the port is valid, and devlink writes the bits of this byte with the lock of the
        // instance held.
        unsafe { (*self.as_raw()).registered() != 0 }
    }

    /// Returns whether it is registered with the instance that is locked, and so stays.
    pub(super) fn is_in(&self, locked: &Locked<'_>) -> bool {
        locked.is_of(&self.memory) && self.is_registered()
    }

    /// Nests the instance that is locked, which is not registered and in no other.
    pub(super) fn nest(&self, nested: &Locked<'_>) -> Result {
        if !self.is_registered() {
            return Err(ENODEV);
        }
        // SAFETY: the port is valid and its attributes do not change.
        let of_own_sf = unsafe {
            let attrs = &(*self.as_raw()).attrs;
            attrs.flavour == bindings::devlink_port_flavour_DEVLINK_PORT_FLAVOUR_PCI_SF
                && attrs.__bindgen_anon_1.pci_sf.external() == 0
        };
        if !of_own_sf {
            return Err(EINVAL);
        }
        // SAFETY: the port is one of an SF of this host. It is in memory, with its instance, and
        // nothing of them is kept but their indices. The nested instance is locked and, as the caller
        // says, not registered.
        to_result(unsafe { bindings::devl_port_fn_devlink_set(self.as_raw(), nested.as_raw()) })
    }
}

impl Locked<'_> {
    /// Adds a port to the instance, until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the index is taken, `ENOMEM`.
    pub fn add_port(&self, index: u32, flavour: Flavour) -> Result<PortRegistration> {
        let attributes = PortAttributes::new(flavour);
        // SAFETY: there are no operations.
        unsafe {
            self.register(
                index,
                &attributes,
                core::ptr::null(),
                None,
                &port_ops::NO_OPS,
            )
        }
    }

    /// Adds a port that users operate the function behind it by: what they ask of it, `data` does. It
    /// is in the instance until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the index is taken, `ENOMEM`.
    pub fn add_port_of<P: PortOps>(
        &self,
        index: u32,
        attributes: &PortAttributes,
        data: Arc<P>,
    ) -> Result<PortRegistration> {
        let pointer = Arc::as_ptr(&data).cast();
        // SAFETY: the pointer is from an `Arc` of a `P`.
        unsafe {
            self.register(
                index,
                attributes,
                pointer,
                Some(data),
                port_ops::Table::<P>::OPS_REF,
            )
        }
    }

    /// # Safety
    ///
    /// The operations may be called with a registered port whose `data` is this pointer, which `keep`
    /// keeps valid.
    unsafe fn register(
        &self,
        index: u32,
        attributes: &PortAttributes,
        data: *const c_void,
        keep: Option<Arc<dyn Keep>>,
        ops: &'static bindings::devlink_port_ops,
    ) -> Result<PortRegistration> {
        // INVARIANT: it is not registered.
        let port = Arc::pin_init(
            pin_init!(Port {
                // All zeros is what devlink expects before registration.
                port <- Opaque::zeroed(),
                index,
                memory: self.keep(),
                data,
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: the port is zeroed and nobody else's, the attributes are copied.
        unsafe { bindings::devlink_port_attrs_set(port.as_raw(), &attributes.attrs) };
        // INVARIANT: the port gets registered while this lives, and its drop unregisters it.
        let registration = PortRegistration { port, _data: keep };
        // SAFETY: the lock of the instance is held, which the port keeps alive. The operations live
        // for ever and may be called by the requirements of this function. The port is unregistered
        // before it is freed, by `PortRegistration`.
        let result = to_result(unsafe {
            bindings::devl_port_register_with_ops(
                self.as_raw(),
                registration.port.as_raw(),
                index,
                ops,
            )
        });
        result.map(|()| registration)
    }
}

/// A port is in its instance for as long as this lives.
///
/// Its net device must be gone before this is dropped. That can be done in an operation, such as
/// [`PortOps::port_del`].
pub struct PortRegistration {
    port: Arc<Port>,
    // What operations are called with.
    _data: Option<Arc<dyn Keep>>,
}

impl PortRegistration {
    /// Returns the port.
    pub fn port(&self) -> &Arc<Port> {
        &self.port
    }
}

impl Drop for PortRegistration {
    fn drop(&mut self) {
        let locked = self.port.memory.lock();
        // If it is not in the instance, registering it failed.
        if self.port.is_in(&locked) {
            // SAFETY: it is registered and the lock is held.
            unsafe { bindings::devl_port_unregister(self.port.as_raw()) };
        }
    }
}
