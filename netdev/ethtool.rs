// SPDX-License-Identifier: GPL-2.0

//! What users see and set with ethtool.

use crate::{
    logic::geometry::ring_depth,
    memory,
    port::Port,
    stats::PairStats, //
};
use ferrite_abi::cmd::{
    PortStats,
    QueryStats,
    RSS_KEY, //
};
use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};
use kernel_ext::{
    devlink::ExtAck,
    ethtool::{
        Coalesce,
        DrvInfo,
        Moderation,
        Operations,
        Rings,
        Statistics, //
    },
    netdev::{
        Device,
        Rtnl, //
    },
};

#[vtable]
impl Operations for Port {
    fn drvinfo(device: &Device<Self>, info: &mut DrvInfo<'_>) {
        let firmware = &device.data().get_ref().firmware;
        let text = firmware.split(|byte| *byte == 0).next().unwrap_or_default();
        info.driver(format_args!("ferrite_net"))
            .firmware(format_args!(
                "{}",
                core::str::from_utf8(text).unwrap_or("?")
            ));
    }

    fn statistics_count(device: &Device<Self>) -> usize {
        PortStats::NAMES.len() + device.data().stats.len() * PairStats::NAMES.len()
    }

    fn statistics(device: &Device<Self>, statistics: &mut dyn Statistics) {
        let port = device.data().get_ref();
        // A device that does not answer has counted nothing that one could know.
        let counters = if statistics.wants_values() {
            let answer = port.function.fetch(QueryStats {});
            answer.map_or_else(|_| PortStats::default(), |((), counters)| counters)
        } else {
            PortStats::default()
        };
        for (name, value) in PortStats::NAMES.iter().zip(counters.values()) {
            statistics.put(format_args!("port_{name}"), value);
        }
        for (index, pair) in port.stats.iter().enumerate() {
            for (name, value) in PairStats::NAMES.iter().zip(pair.values()) {
                statistics.put(format_args!("q{index}_{name}"), value);
            }
        }
    }

    fn rings(device: &Device<Self>) -> Rings {
        let port = device.data().get_ref();
        let config = port.control.lock().config;
        Rings {
            rx: config.rx_depth.entries(),
            tx: config.tx_depth.entries(),
            max: port.function.max_depth().entries(),
        }
    }

    fn set_rings(
        device: &Device<Self>,
        rtnl: &Rtnl,
        rx: u32,
        tx: u32,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let max_log2 = device.data().function.max_depth().log2();
        let depths = ring_depth(rx, max_log2).zip(ring_depth(tx, max_log2));
        let Some((rx_depth, tx_depth)) = depths else {
            extack.set(format_args!(
                "a ring has at most {} entries",
                1u32 << max_log2
            ));
            return Err(EINVAL);
        };
        Port::reconfigure(device, rtnl, |config| {
            config.rx_depth = rx_depth;
            config.tx_depth = tx_depth;
        })
    }

    fn channels(device: &Device<Self>) -> (u16, u16) {
        let port = device.data().get_ref();
        let pairs = port.control.lock().config.pairs;
        (pairs, port.max_pairs())
    }

    fn set_channels(
        device: &Device<Self>,
        rtnl: &Rtnl,
        count: u16,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let max = device.data().max_pairs();
        if count > max {
            extack.set(format_args!("there are {max} queue pairs"));
            return Err(EINVAL);
        }
        Port::reconfigure(device, rtnl, |config| config.pairs = count)
    }

    fn link_speed(device: &Device<Self>) -> Option<u32> {
        Some(device.data().speed.load(Relaxed)).filter(|speed| *speed != 0)
    }

    fn coalesce(device: &Device<Self>) -> Coalesce {
        let config = device.data().control.lock().config;
        let of = |moderation: memory::Moderation| Moderation {
            usecs: moderation.usecs.into(),
            packets: moderation.packets.into(),
        };
        Coalesce {
            rx: of(config.rx_moderation),
            tx: of(config.tx_moderation),
        }
    }

    fn set_coalesce(
        device: &Device<Self>,
        _rtnl: &Rtnl,
        coalesce: Coalesce,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let of = |moderation: Moderation| {
            Some(memory::Moderation {
                usecs: u16::try_from(moderation.usecs).ok()?,
                packets: u16::try_from(moderation.packets).ok()?,
            })
        };
        let Some((rx, tx)) = of(coalesce.rx).zip(of(coalesce.tx)) else {
            extack.set(format_args!(
                "at most {0} microseconds and {0} frames",
                u16::MAX
            ));
            return Err(EINVAL);
        };
        Port::tune(device, |config| {
            config.rx_moderation = rx;
            config.tx_moderation = tx;
        })
    }

    fn rss_size(device: &Device<Self>) -> (u32, u32) {
        let port = device.data().get_ref();
        // CAST: a few hundred at most.
        match port.control.lock().rss.table.len() as u32 {
            0 => (0, 0),
            entries => (entries, RSS_KEY as u32),
        }
    }

    fn rss(device: &Device<Self>, table: &mut [u32], key: &mut [u8]) {
        let port = device.data().get_ref();
        let control = port.control.lock();
        for (to, queue) in table.iter_mut().zip(&control.rss.table) {
            *to = (*queue).into();
        }
        for (to, byte) in key.iter_mut().zip(control.rss.key) {
            *to = byte;
        }
    }

    fn set_rss(
        device: &Device<Self>,
        _rtnl: &Rtnl,
        table: Option<&[u32]>,
        key: Option<&[u8]>,
        _extack: &mut ExtAck<'_>,
    ) -> Result {
        let port = device.data().get_ref();
        let mut control = port.control.lock();
        control.rss.set(table, key)?;
        if control.is_up() {
            control.rss.apply(&port.function)?;
        }
        Ok(())
    }
}
