// SPDX-License-Identifier: GPL-2.0

//! Handlers of the commands about the port of a function.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    EnablePort,
    PortStats,
    QueryLink,
    QueryLinkDone,
    QueryStats,
    RssHash,
    RssTable,
    RxFilter,
    RxMode,
    SetMac,
    SetMtu,
    SetRss,
    SetRxMode,
    MAX_RSS_TABLE,
    MAX_RX_FILTER, //
};
use ferrite_abi::ids::{
    MAX_MTU,
    MIN_MTU, //
};
use ferrite_abi::wire::U32;

use super::{
    zero,
    Call,
    Handler,
    Named, //
};
use crate::mac::Mac;
use crate::rss::Rss;

/// All that a port can be told to receive.
const RX_MODES: RxMode = RxMode::PROMISCUOUS.with(RxMode::ALL_MULTICAST);
/// All that can be hashed.
const HASHES: RssHash = RssHash::IPV4
    .with(RssHash::IPV6)
    .with(RssHash::TCP)
    .with(RssHash::UDP);

impl Handler for QueryLink {
    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<QueryLinkDone, Status> {
        let (speed, up) = call.device.link();
        Ok(QueryLinkDone {
            speed: U32::new(speed),
            up: up.into(),
            rsvd: [0; 3],
        })
    }
}

impl Handler for EnablePort {
    const NAMES: Named = Named::InUse;

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

impl Handler for SetMac {
    const NAMES: Named = Named::InUse;

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
    const NAMES: Named = Named::InUse;

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
    const NAMES: Named = Named::InUse;

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
    fn handle(&self, call: &mut Call<'_>, data: &mut PortStats) -> Result<(), Status> {
        *data = call.function()?.port.stats;
        Ok(())
    }
}

impl Handler for SetRss {
    const NAMES: Named = Named::InUse;

    fn handle(&self, call: &mut Call<'_>, data: &mut RssTable) -> Result<(), Status> {
        let hash = RssHash(self.hash.get());
        let entries = usize::from(self.entries.get());
        let function = call.function()?;
        if hash == RssHash(0) {
            function.port.rss = None;
            return Ok(());
        }
        let possible =
            HASHES.contains(hash) && entries.is_power_of_two() && entries <= MAX_RSS_TABLE;
        let queues: Vec<_> = data
            .queues
            .iter()
            .take(entries)
            .map(|queue| queue.get())
            .collect();
        if !possible
            || queues
                .iter()
                .any(|queue| usize::from(*queue) >= function.rx.len())
        {
            return Err(Status::INVALID_FIELD);
        }
        function.port.rss = Some(Rss::new(hash, data.key, queues));
        Ok(())
    }
}
