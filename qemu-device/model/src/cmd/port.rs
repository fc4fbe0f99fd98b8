// SPDX-License-Identifier: GPL-2.0

//! Handlers of the commands about the port of a function.

use std::mem::offset_of;

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    EnablePort,
    FrameStats,
    PortStats,
    QueryFrames,
    QueryLink,
    QueryLinkDone,
    QueryStats,
    RxFilter,
    RxMode,
    SetLoopback,
    SetMac,
    SetMtu,
    SetRxMode,
    MAX_RX_FILTER, //
};
use ferrite_abi::ids::{
    MAX_MTU,
    MIN_MTU, //
};
use ferrite_abi::regs::Features;
use ferrite_abi::wire::U32;

use super::{
    zero,
    Call,
    Handler,
    Named, //
};
use crate::mac::Mac;

/// All that a port can be told to receive.
const RX_MODES: RxMode = RxMode::PROMISCUOUS.with(RxMode::ALL_MULTICAST);

impl Handler for QueryLink {
    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<QueryLinkDone, Status> {
        let (speed, up) = call.device.link_of(call.target);
        Ok(QueryLinkDone {
            speed: U32::new(speed),
            up: up.into(),
            rsvd: [0; 3],
        })
    }
}

impl Handler for EnablePort {
    const NAMES: Named = Named::Ethernet;
    const CHANGES: bool = true;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let open = match self.enable {
            0 => false,
            1 => true,
            _ => return Err(Status::INVALID_FIELD),
        };
        call.device.set_open(call.target, open);
        Ok(())
    }
}

impl Handler for SetLoopback {
    const NEEDS: Features = Features::LOOPBACK;
    const NAMES: Named = Named::Ethernet;
    const CHANGES: bool = true;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        call.function()?.port.loops = match self.enable {
            0 => false,
            1 => true,
            _ => return Err(Status::INVALID_FIELD),
        };
        Ok(())
    }
}

impl Handler for SetMac {
    const NAMES: Named = Named::Ethernet;
    const CHANGES: bool = true;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let mac = Mac(self.mac);
        if !mac.is_station() {
            return Err(Status::INVALID_FIELD);
        }
        call.device.change_port(call.target, |port| port.mac = mac);
        Ok(())
    }
}

impl Handler for SetMtu {
    const NAMES: Named = Named::Ethernet;
    const CHANGES: bool = true;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let mtu = self.mtu.get();
        if !(MIN_MTU..=MAX_MTU).contains(&mtu) {
            return Err(Status::INVALID_FIELD);
        }
        call.function()?.port.mtu = mtu;
        Ok(())
    }
}

impl Handler for SetRxMode {
    const NAMES: Named = Named::Ethernet;
    const CHANGES: bool = true;

    fn least_data(&self) -> usize {
        let count = usize::from(self.count.get()).min(MAX_RX_FILTER);
        count * size_of::<Mac>()
    }

    fn handle(&self, call: &mut Call<'_>, data: &mut RxFilter) -> Result<(), Status> {
        let mode = RxMode(self.mode.get());
        let addresses = data.addresses.get(..usize::from(self.count.get()));
        let (true, Some(addresses)) = (RX_MODES.contains(mode), addresses) else {
            return Err(Status::INVALID_FIELD);
        };
        call.device.change_port(call.target, |port| {
            port.mode = mode;
            port.filter.clear();
            port.filter.extend(addresses.iter().copied().map(Mac));
        });
        Ok(())
    }
}

impl Handler for QueryStats {
    fn least_data(&self) -> usize {
        // Those of the first version of the contract.
        offset_of!(PortStats, rx_filtered)
    }

    fn handle(&self, call: &mut Call<'_>, data: &mut PortStats) -> Result<(), Status> {
        *data = call.function()?.port.stats;
        Ok(())
    }
}

impl Handler for QueryFrames {
    const NEEDS: Features = Features::FRAME_COUNTERS;

    fn handle(&self, call: &mut Call<'_>, data: &mut FrameStats) -> Result<(), Status> {
        *data = call.function()?.port.frames;
        Ok(())
    }
}
