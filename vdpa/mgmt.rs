// SPDX-License-Identifier: GPL-2.0

//! The management device: makes the function a virtio-net device and back.

use crate::{
    device::{
        ConfigCallback,
        Net, //
    },
    health::Nurse, //
};
use ferrite_abi::{
    cmd::{
        CreateVirtio,
        DestroyVirtio,
        ModifyVirtio,
        QueryVirtioDone,
        VirtioFields, //
    },
    wire::{
        U16,
        U64, //
    },
};
use ferrite_aux::Function;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::vdpa::{
    Config,
    Management, //
};

/// Bit of the feature to have several queue pairs.
const MQ: u64 = 1 << 22;
/// Bit of the feature to have packets hashed as the driver says.
const RSS: u64 = 1 << 60;
/// Bit of the feature to be told the MTU.
const MTU: u64 = 1 << 3;

/// Makes vDPA devices of a function: one at a time.
pub(crate) struct Manager {
    function: Function,
    able: QueryVirtioDone,
    callback: Arc<ConfigCallback>,
    nurse: Arc<Nurse>,
}

impl Manager {
    pub(crate) fn new(
        function: Function,
        able: QueryVirtioDone,
        callback: Arc<ConfigCallback>,
        nurse: Arc<Nurse>,
    ) -> Self {
        Self {
            function,
            able,
            callback,
            nurse,
        }
    }

    /// Returns how many queues a device can have.
    pub(crate) fn max_queues(&self) -> u32 {
        2 * u32::from(self.able.max_pairs.get()) + 1
    }
}

impl Management for Manager {
    type Device = Net;

    fn add(&self, config: &Config) -> Result<(Net, u32)> {
        let able = &self.able;
        let pairs = config.pairs.unwrap_or(able.max_pairs.get());
        let mut features = config.features.unwrap_or(able.features.get());
        if config.features.is_none() && pairs == 1 {
            features &= !(MQ | RSS);
        }
        if config.mtu.is_some() && features & MTU == 0 {
            return Err(EINVAL);
        }
        let create = CreateVirtio {
            features: U64::new(features),
            mac: config.mac.unwrap_or_default(),
            mtu: U16::new(config.mtu.unwrap_or(self.function.description().mtu)),
            pairs: U16::new(pairs),
            rsvd: [0; 6],
        };
        self.function.send(create)?;
        let queues = 2 * u32::from(pairs) + 1;
        let callback = self.callback.clone();
        let net = Net::new(self.function.clone(), able, features, queues, callback)
            .inspect_err(|_| self.destroy())?;
        self.nurse.look_after(Some(net.queues()));
        Ok((net, queues))
    }

    fn set(&self, _device: &Net, config: &Config) -> Result {
        let Some(mac) = config.mac else {
            return Err(EINVAL);
        };
        if config.mtu.is_some() || config.pairs.is_some() || config.features.is_some() {
            return Err(EINVAL);
        }
        let mask = U16::new(VirtioFields::MAC.0);
        Ok(self.function.send(ModifyVirtio { mask, mac })?)
    }

    fn remove(&self, device: &Net) {
        self.nurse.look_after(None);
        device.shut_down();
        self.destroy();
    }
}

impl Manager {
    /// Ends the virtio-net device. A device that does not answer is reset when the driver of the
    /// function notices.
    fn destroy(&self) {
        let _ = self.function.send(DestroyVirtio {});
    }
}
