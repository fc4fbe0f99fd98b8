// SPDX-License-Identifier: GPL-2.0

//! The devlink instance of a PCI function: what it tells of the device, its own port, and, if it is a
//! PF, the functions that users add and the mode of the switch.

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
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    devlink::{
        info::versions,
        not_supported,
        EswitchMode,
        ExtAck,
        Flavour,
        Guard,
        Info,
        Instance,
        Locked,
        NewPort,
        Ops,
        Port,
        PortAttributes,
        PortOps,
        PortRegistration,
        Registration,
        Resources, //
    },
    gate::{
        Gate,
        Inside, //
    }, //
};
use zerocopy::FromZeros;

use crate::{
    adminq::AdminQueue,
    board::Board,
    functions::Functions,
    logic::identity::text,
    resource, //
};

/// Index of the port of the function itself.
const OWN_PORT: u32 = 0;
/// What a field shows that the device filled with anything but text.
const UNREADABLE: &str = "unreadable";

/// What the instance operates on.
///
/// A net device may hold on to its port, and so to this, for longer than the device is bound.
pub(crate) struct Handle {
    board: Gate<Board>,
    /// What only a PF has.
    functions: Option<Arc<Functions>>,
}

/// Asks the device who it is.
pub(crate) fn identify(
    admin: &AdminQueue,
    function: FunctionId,
) -> Result<Identity, ferrite_aux::CmdError> {
    let mut identity = Identity::new_zeroed();
    admin.fetch(function, Identify {}, &mut identity)?;
    Ok(identity)
}

/// Tells the user who the device is.
pub(crate) fn tell_identity(
    admin: &AdminQueue,
    function: FunctionId,
    info: &mut Info<'_>,
    extack: &mut ExtAck<'_>,
) -> Result {
    let identity = identify(admin, function).inspect_err(|error| {
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

impl Handle {
    /// Returns the functions of a PF.
    pub(crate) fn functions(&self, extack: &mut ExtAck<'_>) -> Result<&Arc<Functions>> {
        self.functions.as_ref().ok_or_else(|| {
            extack.set(fmt!("this is a VF; use the devlink instance of its PF"));
            not_supported()
        })
    }

    /// Enters the device, for as long as it is bound.
    pub(crate) fn board(&self, extack: &mut ExtAck<'_>) -> Result<Inside<'_, Board>> {
        self.board.enter().ok_or_else(|| {
            extack.set(fmt!("the driver is being unbound"));
            ENODEV
        })
    }
}

#[vtable]
impl Ops for Handle {
    fn info_get(&self, info: &mut Info<'_>, extack: &mut ExtAck<'_>) -> Result {
        let board = self.board.enter().ok_or(ENODEV)?;
        tell_identity(&board.admin, board.own(), info, extack)
    }

    fn port_new(
        &self,
        new: &NewPort,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result<Arc<Port>> {
        self.functions(extack)?.add(new, locked, extack)
    }

    fn eswitch_mode_get(&self, _locked: &Locked<'_>) -> Result<EswitchMode> {
        let functions = self.functions.as_ref().ok_or_else(not_supported)?;
        Ok(functions.mode())
    }

    fn eswitch_mode_set(
        &self,
        mode: EswitchMode,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        self.functions(extack)?.set_mode(mode, locked, extack)
    }
}

/// The port of the function itself, which there is nothing to do about.
struct OwnPort;

#[vtable]
impl PortOps for OwnPort {}

/// The instance with its port, not visible yet.
///
/// What it has goes before the instance.
pub(crate) struct Devlink {
    _resources: Option<Resources>,
    port: PortRegistration,
    instance: Instance<Handle>,
}

impl Devlink {
    /// Makes the instance of a function: the uplink is the PF's, a VF only has a place that its own
    /// user sees.
    pub(crate) fn new(
        device: &Device<Bound>,
        board: Arc<Board>,
        functions: Option<Arc<Functions>>,
    ) -> Result<Self> {
        let attributes = match &functions {
            Some(functions) => PortAttributes::new(Flavour::Physical { number: 0 })
                .switch_id(functions.switch_id())?,
            None => PortAttributes::new(Flavour::Virtual),
        };
        let board = Gate::new(device, board)?;
        let handle = Arc::new(
            Handle {
                board,
                functions: functions.clone(),
            },
            GFP_KERNEL,
        )?;
        let instance = if functions.is_some() {
            Instance::with_rates(device, handle)?
        } else {
            Instance::new(device, handle)?
        };
        let port =
            instance
                .lock()
                .add_port_of(OWN_PORT, &attributes, Arc::new(OwnPort, GFP_KERNEL)?)?;
        let resources = match &functions {
            Some(functions) => Some(resource::show(&instance.lock(), functions)?),
            None => None,
        };
        Ok(Self {
            _resources: resources,
            port,
            instance,
        })
    }

    /// Returns the port of the function itself.
    pub(crate) fn port(&self) -> Arc<Port> {
        self.port.port().clone()
    }

    /// Takes the lock of the instance.
    pub(crate) fn lock(&self) -> Guard<'_> {
        self.instance.lock()
    }

    /// Makes the instance visible, until what is returned is dropped.
    pub(crate) fn register(&self) -> Result<Registration> {
        self.instance.register()
    }
}
