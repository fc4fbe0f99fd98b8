// SPDX-License-Identifier: GPL-2.0

//! The driver of the auxiliary devices `ferrite_core.vnet.N`: each is a management device.

use crate::{
    device::{
        ConfigCallback,
        Events, //
    },
    health::{
        Nurse,
        PARTS, //
    },
    mgmt::Manager, //
};
use ferrite_abi::cmd::QueryVirtio;
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
    sync::Arc, //
};
use kernel_ext::vdpa::Registration;

kernel::auxiliary_device_table!(
    TABLE,
    MODULE_TABLE,
    <Driver as auxiliary::Driver>::IdInfo,
    [(names::id(names::VNET), ())]
);

/// The driver.
pub(crate) struct Driver;

/// What the driver has for a device it is bound to.
///
/// Dropped in this order: nobody asks for the health of queues any more; the management device goes, with the vDPA device that
/// was made of it; then there are no more events.
pub(crate) struct Bind {
    _care: Care,
    _management: Registration<Manager>,
    _events: Subscription,
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
    let able = function.send(QueryVirtio {})?;
    let callback = Arc::pin_init(ConfigCallback::new(), GFP_KERNEL)?;
    let nurse = Nurse::new(function.clone())?;
    let events = Events {
        config: callback.clone(),
        nurse: nurse.clone(),
    };
    let subscription = function.subscribe(Arc::new(events, GFP_KERNEL)?)?;
    let care = function.look_after(PARTS, nurse.clone());
    let manager = Manager::new(function.clone(), able, callback, nurse);
    let registration = {
        let dma = function.dma_device()?;
        // Users know the function by its PCI function, or by the SF's auxiliary device.
        let (features, queues) = (able.features.get(), manager.max_queues());
        Registration::new(adev.parent(), &dma, features, queues, manager)?
    };
    Ok(Bind {
        _care: care,
        _management: registration,
        _events: subscription,
    })
}
