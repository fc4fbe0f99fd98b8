// SPDX-License-Identifier: GPL-2.0

//! The PCI driver: what is put together when a PF or VF is probed, and in which order it is taken
//! apart.

use ferrite_abi::{
    ids::{
        PCI_DEVICE_PF,
        PCI_DEVICE_VF,
        PCI_VENDOR, //
    },
    regs::Features, //
};
use ferrite_aux::Owner;
use kernel::{
    debugfs::Scope,
    device::{
        Bound,
        Core,
        Device, //
    },
    pci,
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    devlink,
    pci::{
        self as pci_ext,
        ChannelState,
        Recovery, //
    },
};

use crate::{
    adminq::AdminQueue,
    auxdev::{
        Published,
        Role, //
    },
    bar::Bar,
    board::Board,
    debugfs,
    devlink::{
        identify,
        Devlink,
        Restarts, //
    },
    eventq::{
        self,
        EventQueue, //
    },
    functions::Functions,
    health::{
        Health,
        Reporting, //
    },
    irq::{
        self,
        Interrupt, //
    },
    life::Life,
    logic::{
        failure::Loss,
        identity::Unfit, //
    },
    reporters::Reporters,
    retire::Retirement,
    routes::{
        Handed,
        Routes, //
    },
    sriov,
    trap::{
        self,
        Traps, //
    }, //
};

/// The PCI driver.
pub(crate) struct Driver;

const _: () = assert!(pci::Vendor::REDHAT_QUMRANET.as_raw() == PCI_VENDOR);

kernel::pci_device_table!(
    PCI_TABLE,
    MODULE_PCI_TABLE,
    <Driver as pci::Driver>::IdInfo,
    [
        (
            pci::DeviceId::from_id(pci::Vendor::REDHAT_QUMRANET, PCI_DEVICE_PF as u32),
            ()
        ),
        (
            pci::DeviceId::from_id(pci::Vendor::REDHAT_QUMRANET, PCI_DEVICE_VF as u32),
            ()
        ),
    ]
);

/// What the driver has of a device that it is bound to.
///
/// Fields are dropped in this order, the reverse of that in which they were made: first what users
/// can see, then what answers them, last the device itself.
pub(crate) struct Data<'bound> {
    _debugfs: Pin<KBox<Scope<debugfs::View>>>,
    provisioned: Provisioned,
    _ethernet: Published,
    _heard: Heard,
    _reporting: Reporting,
    _restarts: Restarts,
    _traps: Option<trap::Reporting>,
    _visible: devlink::Registration,
    _health: Health,
    /// From here on admin answers are polled for.
    _interrupt: Interrupt,
    /// With it the event queue goes.
    life: Arc<Life>,
    /// The port, which the net device had until `_ethernet` was dropped.
    devlink: Arc<Devlink>,
    /// The handles that clients have of the function are dead when this was dropped.
    _own: Handed,
    board: Arc<Board>,
    admin: Running,
    quiet: Quiet<'bound>,
}

/// The functions that a PF provisions. There are none any more when this was dropped.
struct Provisioned {
    functions: Option<Arc<Functions>>,
    devlink: Arc<Devlink>,
}

impl Drop for Provisioned {
    fn drop(&mut self) {
        if let Some(functions) = &self.functions {
            functions.close(&self.devlink.lock());
        }
    }
}

/// devlink hears of the queues that a client has of the function, while this lives.
struct Heard(Arc<Owner>);

impl Heard {
    fn queues(owner: &Arc<Owner>, devlink: &Devlink) -> Result<Self> {
        owner.report_queues(&devlink.lock(), &devlink.port())?;
        Ok(Self(owner.clone()))
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.0.silence();
    }
}

/// The admin queue runs while this lives.
struct Running(Arc<AdminQueue>);

impl Running {
    fn new(device: &Device<Bound>, bar: Bar) -> Result<Self> {
        let admin = Arc::pin_init(AdminQueue::new(device, bar), GFP_KERNEL)?;
        admin.start().map_err(|loss| {
            dev_err!(device, "starting the admin queue: {loss}\n");
            EIO
        })?;
        Ok(Self(admin))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Resets the function when dropped, so that nothing of it writes to memory any more; only then
/// lets go of the memory that it wrote to, even if it never said that it was done with it.
struct Quiet<'bound> {
    device: &'bound Device<Bound>,
    bar: Bar,
    admin: Option<Arc<AdminQueue>>,
    events: Option<Arc<EventQueue>>,
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // A device that does not come back from it is reported when it is probed again.
        if self.bar.reset().is_err() {
            pci_ext::stop_dma(self.device);
        }
    }
}

impl<'bound> Data<'bound> {
    fn new(pdev: &'bound pci::Device<Core<'_>>) -> Result<Self> {
        let device: &'bound Device<Bound> = pdev.as_ref();
        pci_ext::enable(pdev)?;
        let bar = Bar::map(pdev)?;
        let basics = bar.bring_up().map_err(|unfit| {
            match unfit {
                // The PF keeps it from drivers.
                Unfit::Inactive => dev_dbg!(pdev, "the function is inactive\n"),
                _ => dev_err!(pdev, "no usable device: {unfit}\n"),
            }
            ENODEV
        })?;
        let mut quiet = Quiet {
            device,
            bar: bar.clone(),
            admin: None,
            events: None,
        };
        let admin = Running::new(device, bar.clone())?;
        let queue = &admin.0;
        quiet.admin = Some(queue.clone());
        let vectors = irq::alloc(pdev, basics.vectors)?;
        let routes = Routes::new()?;
        let board = Board::new(
            pdev,
            &bar,
            basics,
            queue.clone(),
            vectors.clone(),
            routes.clone(),
        )?;
        let functions = if pci_ext::is_vf(pdev) {
            None
        } else {
            let identity = identify(queue, board.own())
                .inspect_err(|error| dev_err!(pdev, "identifying the device: {error}\n"))?;
            Some(Functions::new(device, board.clone(), &identity)?)
        };
        let devlink = Devlink::new(device, board.clone(), functions.clone())?;
        let devlink = Arc::new(devlink, GFP_KERNEL)?;
        let provisioned = Provisioned {
            functions: functions.clone(),
            devlink: devlink.clone(),
        };
        if let Some(functions) = &functions {
            functions.retire_by(Retirement::new(functions.clone(), devlink.clone())?);
        }
        let own = board.hand_out(device, board.own(), Some(devlink.port()))?;
        let traps = match &functions {
            Some(functions) if board.features.contains(Features::TRAPS) => {
                Some(Traps::new(queue.clone(), functions.clone(), board.own())?)
            }
            _ => None,
        };
        let events = EventQueue::new(
            device,
            bar.clone(),
            board.own(),
            routes,
            functions.clone(),
            traps.clone(),
        )?;
        quiet.events = Some(events.clone());
        let enabled = eventq::Enabled::new(events.clone(), queue.clone(), board.own(), irq::OWN)
            .inspect_err(|error| dev_err!(pdev, "creating the event queue: {error}\n"))?;
        let interrupt = Interrupt::new(pdev, &vectors, queue.clone(), events.clone())?;
        let life = Life::new(
            bar.clone(),
            queue.clone(),
            board.clone(),
            functions.clone(),
            traps.clone(),
            enabled,
        )?;
        let health = Health::new(queue.clone())?;
        let reporters = Reporters::new(device, bar, board.clone(), life.clone(), &devlink.lock())?;
        let trapping = match traps {
            Some(traps) => Some(devlink.trap_by(traps)?),
            None => None,
        };
        let restarts = devlink.restarts_by(device, life.clone())?;
        let visible = devlink.register()?;
        let reporting = health.report_to(reporters);
        let heard = Heard::queues(own.owner(), &devlink)?;
        let ethernet = Published::new(own.owner(), device, Role::Ethernet)?;
        let debugfs = debugfs::publish(device, events, &board, functions)?;
        Ok(Self {
            _debugfs: debugfs,
            provisioned,
            _ethernet: ethernet,
            _heard: heard,
            _reporting: reporting,
            _restarts: restarts,
            _traps: trapping,
            _visible: visible,
            _health: health,
            _interrupt: interrupt,
            life,
            devlink,
            _own: own,
            board,
            admin,
            quiet,
        })
    }
}

impl Data<'_> {
    /// As [`Life::before_reset`].
    fn before_reset(&self, announced: bool) {
        self.life
            .before_reset(self.quiet.device, announced, &self.devlink.lock());
    }

    /// As [`Life::after_reset`].
    fn after_reset(&self) -> Result<(), Loss> {
        self.life
            .after_reset(self.quiet.device, &self.devlink.lock())
    }
}

impl pci::Driver for Driver {
    type IdInfo = ();
    type Data<'bound> = Data<'bound>;
    const ID_TABLE: pci::IdTable<Self::IdInfo> = &PCI_TABLE;

    fn probe<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        Data::new(pdev)
    }

    fn unbind<'bound>(pdev: &'bound pci::Device<Core<'_>>, data: Pin<&Self::Data<'bound>>) {
        if let Some(functions) = &data.provisioned.functions {
            functions.close(&data.devlink.lock());
            if let Some(retirement) = functions.retirement() {
                retirement.cancel(pdev);
            }
        }
        sriov::remove(pdev);
    }
}

#[vtable]
impl pci_ext::Driver for Driver {
    const DMA_BITS: u32 = 64;

    fn sriov_configure<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
        vfs: u16,
    ) -> Result<u16> {
        let functions = data.provisioned.functions.as_ref().ok_or(ENODEV)?;
        sriov::configure(pdev, functions, &data.devlink.lock(), vfs)
    }

    fn sriov_total_vectors<'bound>(
        _pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
    ) -> u32 {
        let functions = data.provisioned.functions.as_ref();
        functions.map_or(0, |functions| functions.vf_vectors().total())
    }

    fn sriov_set_vectors<'bound>(
        pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
        vf: u16,
        vectors: u16,
    ) -> Result {
        let functions = data.provisioned.functions.as_ref().ok_or(ENODEV)?;
        functions
            .vf_vectors()
            .deal(&data.board, vf, vectors)
            .inspect_err(|error| {
                dev_warn!(pdev, "VF {vf} cannot have {vectors} vectors: {error:?}\n")
            })
    }

    fn reset_prepare<'bound>(
        _pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
    ) {
        data.before_reset(true);
    }

    fn reset_done<'bound>(
        _pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
    ) {
        // What it ends with is in the log.
        let _ = data.after_reset();
    }

    fn error_detected<'bound>(
        _pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
        state: ChannelState,
    ) -> Recovery {
        match state {
            // One transaction failed, and the device is as it was: what it had to do with finds out.
            ChannelState::Normal => Recovery::Recovered,
            ChannelState::Frozen => {
                // Whoever has the lock may wait for an answer that does not come.
                data.admin.0.pause();
                data.before_reset(false);
                Recovery::NeedReset
            }
            ChannelState::PermanentFailure => {
                data.admin.0.lose(Loss::Vanished);
                Recovery::Disconnect
            }
        }
    }

    fn slot_reset<'bound>(
        _pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
    ) -> Recovery {
        // Another function may have asked for the reset, which nobody told us of.
        data.before_reset(false);
        match data.after_reset() {
            Ok(()) => Recovery::Recovered,
            Err(_) => Recovery::Disconnect,
        }
    }

    fn sleep<'bound>(
        _pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
    ) -> Result {
        // The queues of the clients are gone with this; what they hold is theirs until the machine goes on.
        data.before_reset(false);
        // A device that does not answer is found out when the machine goes on.
        let _ = data.quiet.bar.reset();
        Ok(())
    }

    fn wake<'bound>(
        _pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
    ) -> Result {
        data.after_reset().map_err(|_| EIO)
    }

    fn shutdown<'bound>(
        _pdev: &'bound pci::Device<Core<'_>>,
        data: Pin<&'bound Self::Data<'bound>>,
    ) {
        data.admin.0.stop();
        // The next kernel finds out what became of it.
        let _ = data.quiet.bar.reset();
    }
}
