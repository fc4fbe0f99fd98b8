// SPDX-License-Identifier: GPL-2.0

//! The devlink port of a provisioned function: how users configure it, activate it, and get rid of
//! it.

use ferrite_abi::{
    cmd::{
        ConfigureFunction,
        DestroySf,
        FunctionCaps,
        FunctionConfig,
        FunctionFields,
        QueryFunctionConfig,
        SetFunctionState, //
    },
    event::FunctionState,
    ids::FunctionId,
    wire::U16, //
};
use ferrite_aux::CmdError;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    }, //
};
use kernel_ext::{
    devlink::{
        self,
        ExtAck,
        Flavour,
        HealthReporter,
        Instance,
        Locked,
        OpState,
        PortAttributes,
        PortOps,
        PortRegistration,
        RateLeaf, //
    },
    gate::Inside, //
};

use crate::{
    auxdev::Lent,
    board::Board,
    devlink::Handle,
    eswitch::Representor,
    functions::Functions,
    logic::{
        function::{
            Consumer,
            Refusal,
            Stage,
            Step, //
        },
        request::{
            is_station_address,
            Request, //
        }, //
    },
    rate::Limited,
    sf,
    vf,
    vnic, //
};

/// What kind of function it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// An SF.
    Sf {
        /// Number that users know it by.
        number: u32,
    },
    /// A VF.
    Vf {
        /// Its number, from 0.
        index: u16,
        /// Whether a user added its port, and not `sriov_numvfs`.
        by_hand: bool,
    },
}

/// A provisioned function, and the port that stands for it.
///
/// All but what the getters need happens with the lock of the devlink instance held.
#[pin_data]
pub(crate) struct FunctionPort {
    functions: Arc<Functions>,
    /// Its id, another one after a reset of the PF.
    id: Atomic<u32>,
    kind: Kind,
    /// How the function was provisioned when its port was added.
    original: FunctionConfig,
    /// Held for moments only, and never around anything that takes another lock: devlink may ask at
    /// any time.
    #[pin]
    inner: Mutex<Inner>,
}

struct Inner {
    stage: Stage,
    /// What the device said last.
    state: FunctionState,
    config: FunctionConfig,
    /// What an SF's own devlink instance was told.
    told: sf::Told,
    /// What its next one is to be told, which comes after a reset.
    to_be_told: Option<sf::Told>,
    visible: Visible,
}

/// What there is of a function in Linux.
///
/// Dropped in this order: whatever uses the function, then what the switch has of it, then what
/// users name it by.
#[derive(Default)]
struct Visible {
    sf: Option<sf::Child>,
    /// By which the VFIO driver controls the VF that it has.
    migration: Option<Lent>,
    representor: Option<Representor>,
    rate: Option<RateLeaf<Limited>>,
    vnic: Option<HealthReporter>,
    port: Option<PortRegistration>,
}

/// Tells the user what the device did not do.
pub(crate) fn failed(extack: &mut ExtAck<'_>, what: &str, error: CmdError) -> Error {
    extack.set(fmt!("{what}: {error}"));
    error.into()
}

fn refused(extack: &mut ExtAck<'_>, refusal: Refusal) -> Error {
    extack.set(fmt!("{refusal}"));
    match refusal {
        Refusal::Absent => ENODEV,
        Refusal::Active | Refusal::Unconfirmed => EBUSY,
        Refusal::Exists => EIO,
    }
}

impl FunctionPort {
    /// Adds a port for a function that the device has provisioned, with a representor if the switch
    /// is to have one.
    pub(crate) fn add(
        functions: &Arc<Functions>,
        board: &Inside<'_, Board>,
        (id, kind): (FunctionId, Kind),
        request: &Request,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result<Arc<Self>> {
        let config = board
            .admin
            .send(id, QueryFunctionConfig {})
            .map_err(|error| failed(extack, "cannot ask how the function is provisioned", error))?;
        let state = FunctionState(config.state.get());
        let steps: &[Step] = match state {
            FunctionState::INACTIVE => &[Step::Created],
            FunctionState::ACTIVE | FunctionState::IN_USE => {
                &[Step::Created, Step::Activate, Step::Confirmed]
            }
            _ => {
                extack.set(fmt!("the device says that the function is {state:?}"));
                return Err(EIO);
            }
        };
        let stage = steps
            .iter()
            .try_fold(Stage::Absent, |stage, step| stage.after(*step))
            .map_err(|refusal| refused(extack, refusal))?;
        let this = Arc::pin_init(
            pin_init!(Self {
                functions: functions.clone(),
                id: Atomic::new(id.0.into()),
                kind,
                original: config,
                inner <- new_mutex!(
                    Inner {
                        stage,
                        state,
                        config,
                        told: sf::Told::default(),
                        to_be_told: None,
                        visible: Visible::default(),
                    },
                    "ferrite_function"
                ),
            }),
            GFP_KERNEL,
        )?;
        let (controller, pf, external) = (0, 0, false);
        let flavour = match kind {
            Kind::Sf { number: sf } => Flavour::PciSf {
                controller,
                pf,
                sf,
                external,
            },
            Kind::Vf { index: vf, .. } => Flavour::PciVf {
                controller,
                pf,
                vf,
                external,
            },
        };
        let attributes = PortAttributes::new(flavour).switch_id(functions.switch_id())?;
        let mut added = Err(EBUSY);
        for index in request.indices_for(id) {
            added = locked.add_port_of(index, &attributes, this.clone());
            if !matches!(&added, Err(error) if *error == EBUSY) {
                break;
            }
        }
        let registration = added.inspect_err(|error| {
            if *error == EBUSY {
                extack.set(fmt!("the port index is in use; use another or none"));
            }
        })?;
        let port = registration.port().clone();
        let rate =
            Instance::<Handle>::add_rate_leaf_locked(locked, &registration, Limited::leaf(id)?)?;
        let vnic = vnic::of_provisioned(this.clone(), &port, locked)?;
        {
            let mut inner = this.inner.lock();
            inner.visible.port = Some(registration);
            inner.visible.rate = Some(rate);
            inner.visible.vnic = Some(vnic);
        }
        let representor = Representor::new(board, id, port).inspect_err(|error| {
            extack.set(fmt!("cannot make the representor: {error:?}"));
            this.vanish();
        })?;
        this.inner.lock().visible.representor = Some(representor);
        Ok(this)
    }

    /// Returns its id.
    pub(crate) fn id(&self) -> FunctionId {
        // CAST: it is one of 16 bits.
        FunctionId(self.id.load(Relaxed) as u16)
    }

    /// Returns what kind of function it is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns the devlink port, while there is one.
    pub(crate) fn port(&self) -> Option<Arc<devlink::Port>> {
        let inner = self.inner.lock();
        Some(inner.visible.port.as_ref()?.port().clone())
    }

    /// Makes an SF anew that a reset of the PF ended, with its configuration and a representor, but inactive.
    /// Nobody finds it by its id meanwhile.
    ///
    /// Returns whether it was active.
    pub(crate) fn make_again(&self, board: &Inside<'_, Board>) -> Result<bool> {
        let Kind::Sf { number } = self.kind else {
            return Err(EINVAL);
        };
        let (child, representor, config, stage) = {
            let mut inner = self.inner.lock();
            inner.to_be_told = Some(inner.told);
            let visible = &mut inner.visible;
            let (child, representor) = (visible.sf.take(), visible.representor.take());
            (child, representor, inner.config, inner.stage)
        };
        // It is a step from each stage. The driver of the SF need not let go of what is gone.
        let _ = self.step(Step::Gone);
        drop(child);
        drop(representor);
        let anew = Functions::create_sf(board, number)?;
        self.id.store(anew.0.into(), Relaxed);
        {
            let mut inner = self.inner.lock();
            inner.stage = inner.stage.after(Step::Created).map_err(|_| EIO)?;
            inner.state = FunctionState::INACTIVE;
        }
        let made = self.configure_as(board, &config).map_err(Error::from);
        let made = made.and_then(|()| {
            self.limit_again(board)?;
            let port = self.port().ok_or(ENODEV)?;
            let representor = Representor::new(board, anew, port)?;
            self.inner.lock().visible.representor = Some(representor);
            Ok(matches!(stage, Stage::Active | Stage::Activating))
        });
        made.inspect_err(|_| {
            // If it fails, that is in the log.
            let _ = board.admin.send(anew, DestroySf {});
        })
    }

    /// Takes note of what the SF's own devlink instance was told.
    pub(crate) fn tell(&self, told: sf::Told) {
        self.inner.lock().told = told;
    }

    /// Returns what a new devlink instance of the SF is told: nothing, unless the one before ended in a reset.
    pub(crate) fn tell_anew(&self) -> sf::Told {
        let mut inner = self.inner.lock();
        inner.told = inner.to_be_told.take().unwrap_or_default();
        inner.told
    }

    /// Returns the set that it belongs to.
    pub(crate) fn functions(&self) -> &Arc<Functions> {
        &self.functions
    }

    /// Returns where it is in its life, and what the device said last.
    pub(crate) fn look(&self) -> (Stage, FunctionState) {
        let inner = self.inner.lock();
        (inner.stage, inner.state)
    }

    /// Returns where it is in its life.
    pub(crate) fn stage(&self) -> Stage {
        self.inner.lock().stage
    }

    /// Takes note of the state that the device says the function is in.
    pub(crate) fn note(&self, state: FunctionState) {
        self.inner.lock().state = state;
    }

    /// Asks the device for that state, and for the address of the function: one that was loaded may have brought its own.
    pub(crate) fn ask(&self, board: &Board) {
        let before = self.inner.lock().config.mac;
        let Ok(config) = board.admin.send(self.id(), QueryFunctionConfig {}) else {
            return;
        };
        let mut inner = self.inner.lock();
        inner.state = FunctionState(config.state.get());
        // Unless a user gave it another meanwhile.
        if inner.config.mac == before {
            inner.config.mac = config.mac;
        }
    }

    fn step(&self, step: Step) -> Result<Stage, Refusal> {
        let mut inner = self.inner.lock();
        inner.stage = inner.stage.after(step)?;
        Ok(inner.stage)
    }

    fn has(&self, cap: FunctionCaps) -> bool {
        self.inner.lock().config.caps.get() & cap.0 != 0
    }

    /// Enters the device, for as long as the PF is bound.
    fn enter(&self, extack: &mut ExtAck<'_>) -> Result<Inside<'_, Board>> {
        self.functions.board().enter().ok_or_else(|| {
            extack.set(fmt!("the driver of the PF is being unbound"));
            ENODEV
        })
    }

    /// Asks the device for a state.
    fn order(&self, board: &Board, state: FunctionState) -> Result<(), CmdError> {
        let command = SetFunctionState {
            state: U16::new(state.0),
            rsvd: [0; 2],
        };
        let result = board.admin.send(self.id(), command);
        match result {
            Ok(()) => {
                let mut inner = self.inner.lock();
                if let Ok(stage) = inner.stage.after(Step::Confirmed) {
                    inner.stage = stage;
                }
                if state == FunctionState::INACTIVE || inner.state == FunctionState::INACTIVE {
                    inner.state = state;
                }
            }
            Err(CmdError::Status(_)) => {
                // The step is one that leads somewhere from each stage that there can be here.
                let _ = self.step(Step::Denied);
            }
            // It may have been done or not: the next order shows.
            Err(_) => {}
        }
        result
    }

    fn child(&self, number: u32, parent: &Device<Bound>) -> Result<sf::Child> {
        let this = self.functions.find(self.id()).ok_or(ENODEV)?;
        sf::Child::new(this, number, parent)
    }

    /// Activates the function, and lets a driver have it.
    pub(crate) fn activate(&self, extack: &mut ExtAck<'_>) -> Result {
        if self.stage() == Stage::Active {
            return Ok(());
        }
        let board = self.enter(extack)?;
        self.step(Step::Activate)
            .map_err(|refusal| refused(extack, refusal))?;
        self.order(&board, FunctionState::ACTIVE)
            .map_err(|error| failed(extack, "cannot activate the function", error))?;
        self.give(&board, extack).inspect_err(|_| {
            // If that fails as well, the user can try.
            let _ = self.step(Step::Deactivate);
            let _ = self.order(&board, FunctionState::INACTIVE);
        })
    }

    /// Lets the driver that shall have the function have it.
    fn give(&self, board: &Inside<'_, Board>, extack: &mut ExtAck<'_>) -> Result {
        let result = match self.kind {
            Kind::Sf { number } => self.child(number, board.device()).map(|child| {
                self.inner.lock().visible.sf = Some(child);
            }),
            Kind::Vf { index, .. } if self.is_for_vfio() => {
                return self.give_to_vfio(board, index, extack);
            }
            Kind::Vf { index, .. } => vf::attach(board.device(), index),
        };
        result.inspect_err(|error| {
            extack.set(fmt!("cannot make the function's device: {error:?}"));
        })
    }

    /// Returns whether it is a VF that shall be driven through VFIO.
    pub(crate) fn is_for_vfio(&self) -> bool {
        let migratable = self.has(FunctionCaps::MIGRATABLE);
        matches!(self.kind, Kind::Vf { .. }) && Consumer::of_vf(migratable) == Consumer::Vfio
    }

    /// Lets the VFIO driver have a VF, and control it.
    fn give_to_vfio(
        &self,
        board: &Inside<'_, Board>,
        index: u16,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let pf = board.routes.get(board.own()).ok_or(ENODEV)?;
        // The driver looks for it when it is probed for the VF.
        let lent = board
            .routes
            .control(self.id())
            .and_then(|control| Lent::new(&pf, board.device(), control))
            .inspect_err(|error| extack.set(fmt!("cannot publish the VF: {error:?}")))?;
        match vf::attach_to_vfio(board.device(), index) {
            Ok(true) => {
                self.inner.lock().visible.migration = Some(lent);
                Ok(())
            }
            Ok(false) => {
                extack.set(fmt!(
                    "no VFIO driver for Ferrite; load ferrite_vfio or set migratable to disable"
                ));
                Err(devlink::not_supported())
            }
            Err(error) => {
                extack.set(fmt!("cannot hand the VF to VFIO: {error:?}"));
                Err(error)
            }
        }
    }

    /// Takes the function away from its driver, and deactivates it.
    fn deactivate(&self, extack: &mut ExtAck<'_>) -> Result {
        if self.stage() == Stage::Inactive {
            return Ok(());
        }
        let board = self.enter(extack)?;
        self.step(Step::Deactivate)
            .map_err(|refusal| refused(extack, refusal))?;
        match self.kind {
            Kind::Sf { .. } => {
                let child = {
                    let mut inner = self.inner.lock();
                    inner.told = sf::Told::default();
                    inner.to_be_told = None;
                    inner.visible.sf.take()
                };
                drop(child);
            }
            Kind::Vf { index, .. } if self.is_for_vfio() => {
                vf::release_from_vfio(board.device(), index);
                let lent = self.inner.lock().visible.migration.take();
                drop(lent);
            }
            Kind::Vf { index, .. } => vf::release(board.device(), index),
        }
        self.order(&board, FunctionState::INACTIVE)
            .map_err(|error| failed(extack, "cannot deactivate the function", error))
    }

    /// Takes all away that users see of the function, and leaves the device alone.
    pub(crate) fn vanish(&self) {
        let Visible {
            sf,
            migration,
            representor,
            rate,
            vnic,
            port,
        } = core::mem::take(&mut self.inner.lock().visible);
        drop(sf);
        drop(migration);
        drop(representor);
        if let Some(rate) = rate {
            self.free(rate.get());
        }
        drop(vnic);
        drop(port);
    }

    /// Takes the limits of the function's rate away: a VF stays, and nodes must not.
    fn free(&self, rate: &Limited) {
        if self.stage() == Stage::Absent {
            return;
        }
        let Some(board) = self.functions.board().enter() else {
            return;
        };
        if let Err(error) = rate.free(&board) {
            dev_warn!(
                board.device(),
                "function {:#x} keeps its rate: {error}\n",
                self.id().0
            );
        }
    }

    /// As [`Self::vanish`], when the device has no such function any more.
    pub(crate) fn gone(&self, board: &Board) {
        self.note(FunctionState::ABSENT);
        // It is a step from each stage.
        let _ = self.step(Step::Gone);
        self.cut_off(board);
        self.vanish();
    }

    /// Makes the handles dead that clients have of the function and its representor, since there is
    /// nothing, or soon will be, that they could clean up.
    pub(crate) fn cut_off(&self, board: &Board) {
        for id in [Some(self.id()), self.id().representor()]
            .into_iter()
            .flatten()
        {
            if let Some(owner) = board.routes.get(id) {
                owner.close();
            }
        }
    }

    /// Ends an SF, whose port is gone. Returns whether the device confirmed that.
    pub(crate) fn destroy(&self, device: &Device<Bound>, board: &Board) -> bool {
        match board.admin.send(self.id(), DestroySf {}) {
            Ok(()) => true,
            Err(error) => {
                dev_warn!(
                    device,
                    "ending function {:#x}: {error}; its id stays out of use\n",
                    self.id().0
                );
                false
            }
        }
    }

    /// Configures a VF as it was when its port was added, for the next one.
    pub(crate) fn restore(&self, board: &Board) -> Result<(), CmdError> {
        self.configure_as(board, &self.original)
    }

    /// Limits the rates of the function as they were before a reset of the device.
    fn limit_again(&self, board: &Board) -> Result<(), CmdError> {
        let rate = {
            let inner = self.inner.lock();
            inner.visible.rate.as_ref().map(|rate| rate.get().clone())
        };
        rate.map_or(Ok(()), |rate| {
            rate.rename(self.id());
            rate.order_again(board)
        })
    }

    /// Configures the function anew, after a reset of the device, and returns it to its state.
    pub(crate) fn provision_again(&self, board: &Board) -> Result<(), CmdError> {
        let (config, stage) = {
            let inner = self.inner.lock();
            (inner.config, inner.stage)
        };
        self.configure_as(board, &config)?;
        self.limit_again(board)?;
        if matches!(stage, Stage::Active | Stage::Activating) {
            self.note(FunctionState::ACTIVE);
            return Ok(());
        }
        self.order(board, FunctionState::INACTIVE)
    }

    fn configure_as(&self, board: &Board, config: &FunctionConfig) -> Result<(), CmdError> {
        let fields = FunctionFields::MAC.0 | FunctionFields::CAPS.0 | FunctionFields::MAX_EQS.0;
        let command = ConfigureFunction {
            mask: U16::new(fields),
            mac: config.mac,
            caps: config.caps,
            max_eqs: config.max_eqs,
            ..ConfigureFunction::default()
        };
        board.admin.send(self.id(), command)
    }

    /// Changes one field of the configuration.
    fn configure(
        &self,
        field: FunctionFields,
        change: impl FnOnce(&mut FunctionConfig),
        what: &str,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let board = self.enter(extack)?;
        let mut config = self.inner.lock().config;
        change(&mut config);
        let command = ConfigureFunction {
            mask: U16::new(field.0),
            mac: config.mac,
            caps: config.caps,
            max_eqs: config.max_eqs,
            ..ConfigureFunction::default()
        };
        board
            .admin
            .send(self.id(), command)
            .map_err(|error| failed(extack, what, error))?;
        self.inner.lock().config = config;
        Ok(())
    }

    fn set_cap(
        &self,
        cap: FunctionCaps,
        enable: bool,
        what: &str,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let change = |config: &mut FunctionConfig| {
            let others = config.caps.get() & !cap.0;
            config
                .caps
                .set(if enable { others | cap.0 } else { others });
        };
        self.configure(FunctionFields::CAPS, change, what, extack)
    }
}

#[vtable]
impl PortOps for FunctionPort {
    fn port_del(&self, _locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        if let Kind::Vf { by_hand: false, .. } = self.kind {
            extack.set(fmt!(
                "sriov_numvfs made this port; write 0 there to remove its VFs"
            ));
            return Err(devlink::not_supported());
        }
        self.deactivate(extack)?;
        self.step(Step::Destroy)
            .map_err(|refusal| refused(extack, refusal))?;
        let board = self.enter(extack)?;
        self.functions.forget(self, &board);
        Ok(())
    }

    fn hw_addr_get(&self, _extack: &mut ExtAck<'_>) -> Result<[u8; 6]> {
        Ok(self.inner.lock().config.mac)
    }

    fn hw_addr_set(
        &self,
        address: [u8; 6],
        _locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        if !is_station_address(address) {
            extack.set(fmt!(
                "use an address that is neither zero nor a multicast address"
            ));
            return Err(EINVAL);
        }
        self.configure(
            FunctionFields::MAC,
            |config| config.mac = address,
            "cannot set the address",
            extack,
        )
    }

    fn state_get(&self, _extack: &mut ExtAck<'_>) -> Result<(devlink::FunctionState, OpState)> {
        let (active, used) = {
            let inner = self.inner.lock();
            inner.stage.shown(inner.state)
        };
        let state = if active {
            devlink::FunctionState::Active
        } else {
            devlink::FunctionState::Inactive
        };
        let opstate = if used {
            OpState::Attached
        } else {
            OpState::Detached
        };
        Ok((state, opstate))
    }

    fn state_set(
        &self,
        state: devlink::FunctionState,
        _locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        match state {
            devlink::FunctionState::Active => self.activate(extack),
            devlink::FunctionState::Inactive => self.deactivate(extack),
        }
    }

    fn migratable_get(&self, _extack: &mut ExtAck<'_>) -> Result<bool> {
        Ok(self.has(FunctionCaps::MIGRATABLE))
    }

    fn migratable_set(
        &self,
        enable: bool,
        _locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        if self.stage() != Stage::Inactive {
            // It says who drives the function.
            return Err(refused(extack, Refusal::Active));
        }
        self.set_cap(
            FunctionCaps::MIGRATABLE,
            enable,
            "cannot set migratable",
            extack,
        )
    }

    fn roce_get(&self, _extack: &mut ExtAck<'_>) -> Result<bool> {
        Ok(self.has(FunctionCaps::ROCE))
    }

    fn roce_set(&self, enable: bool, _locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        self.set_cap(FunctionCaps::ROCE, enable, "cannot set roce", extack)
    }

    fn max_io_eqs_get(&self, _extack: &mut ExtAck<'_>) -> Result<u32> {
        Ok(self.inner.lock().config.max_eqs.get().into())
    }

    fn max_io_eqs_set(&self, max: u32, _locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        let largest = self.original.max_eqs.get();
        let max = match u16::try_from(max) {
            Ok(max) if (1..=largest).contains(&max) => max,
            _ => {
                extack.set(fmt!("use a number from 1 to {largest}"));
                return Err(EINVAL);
            }
        };
        self.configure(
            FunctionFields::MAX_EQS,
            |config| config.max_eqs = U16::new(max),
            "cannot set max_io_eqs",
            extack,
        )
    }
}
