// SPDX-License-Identifier: GPL-2.0

//! Active SFs: the auxiliary device `ferrite_core.sf.N` of each, and the driver of these devices,
//! which gives an SF a devlink instance of its own and hands it to the client that the user chose.

use ferrite_abi::{
    cmd::AttachFunction,
    event::FunctionState, //
};
use ferrite_aux::{
    names,
    CmdError,
    Owner, //
};
use kernel::{
    auxiliary,
    device::{
        Bound,
        Core,
        Device, //
    },
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    types::ForLt, //
};
use kernel_ext::{
    auxiliary::Attribute,
    devlink::{
        BoolParam,
        ExtAck,
        Flavour,
        HealthReporter,
        Info,
        Instance,
        Locked,
        Ops,
        Params,
        PortRegistration,
        Registration, //
    },
    gate::Gate, //
};

use crate::{
    auxdev::{
        self,
        Number,
        Published,
        Role, //
    },
    devlink::tell_identity,
    logic::function::{
        Consumer,
        Stage, //
    },
    port::{
        failed,
        FunctionPort, //
    },
    routes::Handed,
    vnic, //
};

/// Index of the Ethernet port of an SF in its own instance.
const OWN_PORT: u32 = 0;

/// What the auxiliary device of an SF carries.
pub(crate) struct Handle(Arc<FunctionPort>);

type HandleLt = ForLt!(Handle);

/// Name of the file that shows the number of an SF.
struct SfNum;

impl Attribute for SfNum {
    const NAME: &'static CStr = c"sfnum";
}

/// The auxiliary device of an active SF. Its number is free again when it is gone.
pub(crate) struct Child {
    _device: kernel_ext::auxiliary::Registration,
    _number: Number,
}

impl Child {
    /// Makes the device of `function` below its PF. A driver is probed before this returns.
    pub(crate) fn new(
        function: Arc<FunctionPort>,
        sfnum: u32,
        parent: &Device<Bound>,
    ) -> Result<Self> {
        let number = auxdev::SF.take()?;
        let device = kernel_ext::auxiliary::Registration::with_number::<HandleLt, SfNum>(
            parent,
            names::CORE,
            names::SF,
            number.get(),
            Handle(function),
            sfnum,
        )?;
        Ok(Self {
            _device: device,
            _number: number,
        })
    }
}

/// An SF is in use for as long as this lives.
struct Attached(Arc<FunctionPort>);

impl Attached {
    fn new(function: &Arc<FunctionPort>) -> Result<Self, CmdError> {
        order(function, true)?;
        Ok(Self(function.clone()))
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        if self.0.stage() != Stage::Absent {
            // If it fails, that is in the log, and deactivating the SF does it.
            let _ = order(&self.0, false);
        }
    }
}

fn order(function: &FunctionPort, attach: bool) -> Result<(), CmdError> {
    let board = function.functions().board().enter().ok_or(CmdError::Gone)?;
    let command = AttachFunction {
        attach: attach.into(),
        rsvd: [0; 3],
    };
    board.admin.send(function.id(), command)?;
    function.note(if attach {
        FunctionState::IN_USE
    } else {
        FunctionState::ACTIVE
    });
    Ok(())
}

/// What an SF is used as.
///
/// Dropped in this order: the client's device, then what tells of its health, then the port of its net device, then what it
/// was handed.
struct Up {
    _client: Published,
    _heard: Heard,
    _vnic: Option<HealthReporter>,
    _port: Option<PortRegistration>,
    handed: Handed,
}

/// devlink hears of the client's queues while this lives. To be dropped without the lock of the instance, or after
/// [`Owner::try_silence`].
struct Heard(Arc<Owner>);

impl Heard {
    /// No client was handed the function yet.
    fn new(
        owner: &Arc<Owner>,
        port: Option<&PortRegistration>,
        locked: &Locked<'_>,
    ) -> Result<Self> {
        match port {
            Some(port) => owner.report_queues(locked, port.port())?,
            None => owner.report_vdpa(locked)?,
        }
        Ok(Self(owner.clone()))
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.0.silence();
    }
}

/// What there is of an SF that its driver is bound to.
///
/// Dropped in this order: what uses the function before the function is let go of.
#[derive(Default)]
struct State {
    up: Option<Up>,
    attached: Option<Attached>,
}

/// What users tell the devlink instance of an SF with its parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    ethernet: bool,
    vnet: bool,
}

/// What the devlink instance of an SF operates on.
#[pin_data]
struct Sf {
    /// Open while the auxiliary device is bound.
    here: Gate<FunctionPort>,
    function: Arc<FunctionPort>,
    #[pin]
    state: Mutex<State>,
}

impl Sf {
    /// Takes the function into use.
    fn attach(&self) -> Result<(), CmdError> {
        let attached = Attached::new(&self.function)?;
        self.state.lock().attached = Some(attached);
        Ok(())
    }

    /// Takes the function from its client and lets go of it.
    fn detach(&self) {
        let (up, attached) = {
            let mut state = self.state.lock();
            (state.up.take(), state.attached.take())
        };
        drop(up);
        drop(attached);
    }

    /// Hands the function to `consumer`.
    fn hand_out(
        &self,
        consumer: Consumer,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result<Up> {
        let here = self.here.enter().ok_or(ENODEV)?;
        let board = self.function.functions().board().enter().ok_or(ENODEV)?;
        let (role, port) = match consumer {
            Consumer::Netdev => {
                let port = locked.add_port(OWN_PORT, Flavour::Virtual)?;
                (Role::Ethernet, Some(port))
            }
            Consumer::Vdpa => (Role::Vnet, None),
            Consumer::Vfio => {
                extack.set(fmt!("an SF cannot be handed to VFIO"));
                return Err(EINVAL);
            }
        };
        let of_netdev = port.as_ref().map(|port| port.port().clone());
        let handed = board
            .hand_out(board.device(), self.function.id(), of_netdev)
            .inspect_err(|error| extack.set(fmt!("cannot use the function: {error:?}")))?;
        let vnic = match &port {
            Some(port) => Some(vnic::of_provisioned(
                self.function.clone(),
                port.port(),
                locked,
            )?),
            None => None,
        };
        let heard = Heard::new(handed.owner(), port.as_ref(), locked)?;
        let client = Published::new(handed.owner(), here.device(), role)
            .inspect_err(|error| extack.set(fmt!("cannot make its device: {error:?}")))?;
        Ok(Up {
            _client: client,
            _heard: heard,
            _vnic: vnic,
            _port: port,
            handed,
        })
    }

    /// Returns what clients are handed, if it is handed to one.
    fn owner(&self) -> Option<Arc<Owner>> {
        let state = self.state.lock();
        Some(state.up.as_ref()?.handed.owner().clone())
    }
}

#[vtable]
impl Ops for Sf {
    fn info_get(&self, info: &mut Info<'_>, extack: &mut ExtAck<'_>) -> Result {
        let board = self.function.functions().board().enter().ok_or(ENODEV)?;
        tell_identity(&board.admin, self.function.id(), None, info, extack)
    }

    fn reload_down(
        &self,
        netns_change: bool,
        _locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        if netns_change {
            extack.set(fmt!("move the net device to the namespace, not the SF"));
            return Err(kernel_ext::devlink::not_supported());
        }
        if let Some(owner) = self.owner() {
            owner
                .try_silence()
                .inspect_err(|_| extack.set(fmt!("its queues are being seen to; try again")))?;
        }
        self.detach();
        Ok(())
    }

    fn reload_up(&self, locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        let told = Told {
            ethernet: locked.param(BoolParam::EnableEth)?,
            vnet: locked.param(BoolParam::EnableVnet)?,
        };
        let consumer = Consumer::of_sf(told.ethernet, told.vnet).map_err(|conflict| {
            extack.set(fmt!("{conflict}"));
            EINVAL
        })?;
        self.function.tell(told);
        self.attach()
            .map_err(|error| failed(extack, "cannot take the function into use", error))?;
        if let Some(consumer) = consumer {
            let up = self
                .hand_out(consumer, locked, extack)
                .inspect_err(|_| self.detach())?;
            self.state.lock().up = Some(up);
        }
        Ok(())
    }
}

/// What the driver has of a device that it is bound to.
///
/// Dropped in this order: nothing is reported any more, users see the instance no more, then the function is let go of.
pub(crate) struct Bind {
    _quiet: Quiet,
    _visible: Registration,
    _using: Using,
    _params: Params,
    _instance: Instance<Sf>,
}

/// Silences who tells of the queues when it is dropped; from then on the function is handed to nobody.
struct Quiet(Arc<Sf>);

impl Drop for Quiet {
    fn drop(&mut self) {
        self.0.here.close();
        if let Some(owner) = self.0.owner() {
            owner.silence();
        }
    }
}

/// The function is in use while this lives, and its client is there if the user chose one.
struct Using(Arc<Sf>);

impl Drop for Using {
    fn drop(&mut self) {
        self.0.detach();
    }
}

impl Bind {
    fn new(adev: &auxiliary::Device<Bound>) -> Result<Self> {
        let device: &Device<Bound> = adev.as_ref();
        let function = adev.registration_data::<HandleLt>()?.get_ref().0.clone();
        let sf = Arc::pin_init(
            try_pin_init!(Sf {
                here: Gate::new(device, function.clone())?,
                function,
                state <- new_mutex!(State::default(), "ferrite_sf"),
            }? Error),
            GFP_KERNEL,
        )?;
        let instance = Instance::new(device, sf.clone())?;
        let using = Using(sf);
        let sf = &using.0;
        sf.attach()
            .inspect_err(|error| dev_err!(device, "taking the function into use: {error}\n"))?;
        // Nothing to begin with: the user says what the function is for, and after a reset has said it.
        let told = sf.function.tell_anew();
        let params = instance.add_params(&[
            (BoolParam::EnableEth, told.ethernet),
            (BoolParam::EnableVnet, told.vnet),
        ])?;
        let port = sf.function.port().ok_or(ENODEV)?;
        instance.nest_in(&port)?;
        // Before there is a client, which may report.
        let visible = instance.register()?;
        let quiet = Quiet(sf.clone());
        if let Ok(Some(consumer)) = Consumer::of_sf(told.ethernet, told.vnet) {
            match sf.hand_out(consumer, &instance.lock(), &mut ExtAck::none()) {
                Ok(up) => sf.state.lock().up = Some(up),
                Err(error) => dev_warn!(device, "not used as before the reset: {error:?}\n"),
            }
        }
        Ok(Self {
            _quiet: quiet,
            _visible: visible,
            _using: using,
            _params: params,
            _instance: instance,
        })
    }
}

kernel::auxiliary_device_table!(
    TABLE,
    MODULE_SF_TABLE,
    <Driver as auxiliary::Driver>::IdInfo,
    [(names::id(names::SF), ())]
);

/// The driver of SFs.
pub(crate) struct Driver;

impl auxiliary::Driver for Driver {
    type IdInfo = ();
    type Data<'bound> = Bind;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Bind::new(adev)
    }
}
