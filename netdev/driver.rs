// SPDX-License-Identifier: GPL-2.0

//! The driver of the auxiliary devices `ferrite_core.eth.N`, and of representors,
//! `ferrite_core.rep.N`.

use crate::{
    clock::{
        self,
        DeviceClock, //
    },
    health::{
        Nurse,
        PARTS, //
    },
    link::Events,
    logic::geometry::mtu_range,
    netdev::{
        features,
        optional_features, //
    },
    port::{
        max_pairs,
        Port,
        LINK, //
    },
};
use ferrite_abi::desc::MAX_TX_PACKET;
use ferrite_aux::{
    names,
    Care,
    Function,
    Subscription, //
};
use kernel::{
    auxiliary,
    device::{
        Bound,
        Core, //
    },
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};
use kernel_ext::{
    netdev::{
        Builder,
        Registration, //
    },
    ptp, //
};

/// Milliseconds without progress after which a transmit queue is taken to hang.
const TX_TIMEOUT: u32 = 5000;

kernel::auxiliary_device_table!(
    TABLE,
    MODULE_TABLE,
    <Driver as auxiliary::Driver>::IdInfo,
    [(names::id(names::ETH), ()), (names::id(names::REP), ())]
);

/// The driver.
pub(crate) struct Driver;

/// What the driver has for a device it is bound to.
///
/// Dropped in this order: no more events and questions, then the network device goes, and last its clock.
pub(crate) struct Bind {
    _events: Subscription,
    _care: Care,
    _netdev: Registration<Port>,
    _clock: Option<ptp::Registration<DeviceClock>>,
}

impl auxiliary::Driver for Driver {
    type IdInfo = ();
    type Data<'bound> = Bind;

    const ID_TABLE: auxiliary::IdTable<Self::IdInfo> = &TABLE;

    fn probe<'bound>(
        adev: &'bound auxiliary::Device<Core<'_>>,
        _info: &'bound Self::IdInfo,
    ) -> impl PinInit<Self::Data<'bound>, Error> + 'bound {
        probe(adev)
    }
}

fn probe(adev: &auxiliary::Device<Bound>) -> Result<Bind> {
    let function = Function::of(adev)?;
    let description = function.description();
    let (min_mtu, max_mtu) = mtu_range(description.max_mtu);
    let (changeable, fixed) = features(&function);
    let registration = {
        // Users find the device below what it is of: the PCI function, or the SF's auxiliary device.
        let parent = adev.parent();
        let dma_device = function.dma_device()?;
        let port = Port::new(function.clone())?;
        let builder = Builder::new(parent, max_pairs(&function), port)?
            .real_queues(Port::default_pairs(&function))?
            .mac(description.mac)
            .mtu(description.mtu.into(), min_mtu, max_mtu)
            .features(changeable, fixed)
            .optional_features(optional_features(&function))
            .spread_interrupts()
            .tso_max_size(MAX_TX_PACKET)
            .unicast_filter()
            .tx_timeout(TX_TIMEOUT)
            .ethtool()
            .port(function.devlink_port())
            .restarts_queues(&dma_device);
        builder.register()?
    };
    let clock = clock::register(&function)?;
    if let Some(clock) = &clock {
        let port = registration.device().data().get_ref();
        port.clock_index.store(clock.index(), Relaxed);
    }
    let events = Arc::new(Events(registration.device().clone()), GFP_KERNEL)?;
    let nurse = Arc::new(Nurse(registration.device().clone()), GFP_KERNEL)?;
    let care = function.look_after(PARTS, nurse);
    let subscription = function.subscribe(events)?;
    // The link may have changed since it was opened.
    registration.device().schedule_work(LINK);
    Ok(Bind {
        _events: subscription,
        _care: care,
        _netdev: registration,
        _clock: clock,
    })
}
