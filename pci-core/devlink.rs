// SPDX-License-Identifier: GPL-2.0

//! The devlink instance of a PCI function: what it tells of the device, its own port, and, if it is a
//! PF, the functions that users add and the mode of the switch.

use ferrite_abi::{
    cmd::{
        ActivateFirmware,
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
    sync::{
        Arc,
        SetOnce, //
    }, //
};
use kernel_ext::{
    devlink::{
        info::versions,
        not_supported,
        EswitchMode,
        ExtAck,
        Flash,
        Flavour,
        Guard,
        HealthReporter,
        Info,
        Instance,
        Locked,
        NewPort,
        Ops,
        Outcome,
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
    flash,
    functions::Functions,
    life::Life,
    logic::identity::text,
    resource,
    trap::{
        self,
        Traps, //
    },
    vnic, //
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
    /// By which firmware is activated.
    life: SetOnce<Gate<Life>>,
    /// What tells of packets that the switch drops.
    traps: SetOnce<Arc<Traps>>,
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

/// Tells the user who the device is; `board` is the device if its firmware can be written.
pub(crate) fn tell_identity(
    admin: &AdminQueue,
    function: FunctionId,
    board: Option<&Board>,
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
    if let Some(board) = board {
        return flash::tell(board, info);
    }
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

    /// Returns the traps; there are none to ask about without.
    fn traps(&self) -> Result<&Arc<Traps>> {
        self.traps.as_ref().ok_or(ENODEV)
    }

    /// Enters a device whose firmware can be written.
    fn flash_of(&self, extack: &mut ExtAck<'_>) -> Result<Inside<'_, Board>> {
        let board = self.board(extack)?;
        if !flash::is_offered(&board) {
            extack.set(fmt!(
                "firmware is written through the PF, if the device has it written at all"
            ));
            return Err(not_supported());
        }
        Ok(board)
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
        let flash = flash::is_offered(&board).then_some(&*board);
        tell_identity(&board.admin, board.own(), flash, info, extack)
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

    fn flash(&self, flash: &Flash<'_>, _locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        let board = self.flash_of(extack)?;
        flash::write(&board, flash, extack)
    }

    fn activate(&self, locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        let board = self.flash_of(extack)?;
        let life = self.life.as_ref().and_then(Gate::enter);
        let life = life.ok_or_else(|| {
            extack.set(fmt!("the driver is being unbound"));
            ENODEV
        })?;
        board
            .admin
            .send(board.own(), ActivateFirmware {})
            .map_err(|error| {
                extack.set(fmt!("the device does not activate its firmware: {error}"));
                Error::from(error)
            })?;
        life.restart(life.device(), locked, extack)
    }

    fn trap_set(
        &self,
        trap: u16,
        trapped: bool,
        _locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        self.traps()?.set(trap, trapped, extack)
    }

    fn trap_drops(&self, trap: u16, _locked: &Locked<'_>) -> Result<u64> {
        self.traps()?.drops(trap)
    }

    fn trap_group_set(
        &self,
        group: u16,
        policer: u32,
        _locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        self.traps()?.set_group(group, policer, extack)
    }

    fn trap_policer_set(
        &self,
        policer: u32,
        rate: u64,
        burst: u64,
        _locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        self.traps()?.set_policer(policer, rate, burst, extack)
    }

    fn trap_policer_drops(&self, policer: u32, _locked: &Locked<'_>) -> Result<u64> {
        self.traps()?.policer_drops(policer)
    }

    fn test_flash(&self, _locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Outcome {
        match self.flash_of(extack) {
            Ok(board) => flash::test(&board, extack),
            Err(_) => Outcome::Skipped,
        }
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
    _vnic: HealthReporter,
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
        let handle = Arc::new(
            Handle {
                board: Gate::new(device, board.clone())?,
                functions: functions.clone(),
                life: SetOnce::new(),
                traps: SetOnce::new(),
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
        let vnic = vnic::of_own(device, board, port.port(), &instance.lock())?;
        let resources = match &functions {
            Some(functions) => Some(resource::show(&instance.lock(), functions)?),
            None => None,
        };
        Ok(Self {
            _resources: resources,
            _vnic: vnic,
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

    /// Shows users what the switch drops, by `traps`, until what is returned is dropped.
    pub(crate) fn trap_by(&self, traps: Arc<Traps>) -> Result<trap::Reporting> {
        self.instance.traps.populate(traps.clone());
        let registered =
            self.instance
                .add_traps(&trap::reasons(), &trap::GROUPS, &trap::policers())?;
        Ok(traps.report_to(registered, self.port()))
    }

    /// Lets users activate firmware, by restarting the device, until what is returned is dropped.
    pub(crate) fn restarts_by(
        self: &Arc<Self>,
        device: &Device<Bound>,
        life: Arc<Life>,
    ) -> Result<Restarts> {
        self.instance.life.populate(Gate::new(device, life)?);
        Ok(Restarts(self.clone()))
    }

    /// Makes the instance visible, until what is returned is dropped.
    pub(crate) fn register(&self) -> Result<Registration> {
        self.instance.register()
    }
}

/// The firmware can be activated for as long as this lives.
pub(crate) struct Restarts(Arc<Devlink>);

impl Drop for Restarts {
    fn drop(&mut self) {
        if let Some(life) = self.0.instance.life.as_ref() {
            life.close();
        }
    }
}
