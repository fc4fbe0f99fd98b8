// SPDX-License-Identifier: GPL-2.0

//! The devlink instance of a PCI function: what it tells of the device, and its port.

use ferrite_abi::{
    cmd::{
        Identify,
        Identity, //
    },
    ids::FunctionId, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    pci,
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    devlink::{
        info::versions,
        ExtAck,
        Flavour,
        Info,
        Instance,
        Ops,
        Port,
        PortRegistration,
        Registration, //
    },
    gate::Gate,
    pci::is_vf, //
};
use zerocopy::FromZeros;

use crate::{
    adminq::AdminQueue,
    logic::identity::text, //
};

/// Index of the port of the function itself.
const OWN_PORT: u32 = 0;
/// What a field shows that the device filled with anything but text.
const UNREADABLE: &str = "unreadable";

/// What the instance operates on.
///
/// A net device may hold on to its port, and so to this, for longer than the device is bound.
struct Handle {
    admin: Gate<AdminQueue>,
    function: FunctionId,
}

#[vtable]
impl Ops for Handle {
    fn info_get(&self, info: &mut Info<'_>, extack: &mut ExtAck<'_>) -> Result {
        let admin = self.admin.enter().ok_or(ENODEV)?;
        let mut identity = Identity::new_zeroed();
        admin
            .fetch(self.function, Identify {}, &mut identity)
            .inspect_err(|error| {
                extack.set(fmt!("the device does not identify itself: {error}"));
            })?;
        let field = |bytes| text(bytes).unwrap_or(UNREADABLE);
        let revision = identity.asic_revision.get();
        info.serial_number(fmt!("{}", field(&identity.serial)))?;
        info.fixed(versions::ASIC_ID, fmt!("{}", field(&identity.asic)))?;
        info.fixed(versions::ASIC_REV, fmt!("{revision}"))?;
        info.running(versions::FW, fmt!("{}", field(&identity.fw_running)))?;
        info.stored(versions::FW, fmt!("{}", field(&identity.fw_stored)))
    }
}

/// The instance with its port, not visible yet.
///
/// The port goes before the instance.
pub(crate) struct Devlink {
    port: PortRegistration,
    instance: Instance<Handle>,
}

impl Devlink {
    /// Makes the instance of a function: the uplink is the PF's, a VF only has a place that its own
    /// user sees.
    pub(crate) fn new(
        pdev: &pci::Device<Bound>,
        admin: Arc<AdminQueue>,
        function: FunctionId,
    ) -> Result<Self> {
        let device: &Device<Bound> = pdev.as_ref();
        let admin = Gate::new(device, admin)?;
        let handle = Arc::new(Handle { admin, function }, GFP_KERNEL)?;
        let instance = Instance::new(device, handle)?;
        let flavour = if is_vf(pdev) {
            Flavour::Virtual
        } else {
            Flavour::Physical { number: 0 }
        };
        let port = instance.lock().add_port(OWN_PORT, flavour)?;
        Ok(Self { port, instance })
    }

    /// Returns the port of the function itself.
    pub(crate) fn port(&self) -> Arc<Port> {
        self.port.port().clone()
    }

    /// Makes the instance visible, until what is returned is dropped.
    pub(crate) fn register(&self) -> Result<Registration> {
        self.instance.register()
    }
}
