// SPDX-License-Identifier: GPL-2.0

//! What users see and set with ethtool.

use crate::{
    logic::geometry::{
        ring_depth,
        MIN_DEPTH, //
    },
    memory,
    port::Port,
    stats::PairStats, //
};
use ferrite_abi::{
    cmd::{
        PortStats,
        QueryStats,
        MAX_RSS_TABLE, //
    },
    regs::Features, //
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
        Link,
        Moderation,
        Operations,
        Rings,
        RingsChange,
        Statistics, //
    },
    flow::not_supported,
    netdev::{
        Device,
        Lock,
        Locks, //
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
            split: config.splits,
            max_split_above: port.function.description().max_mtu.into(),
        }
    }

    fn set_rings(
        device: &Device<Self>,
        locks: &Locks,
        wanted: RingsChange,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let RingsChange {
            rx,
            tx,
            split,
            split_above,
        } = wanted;
        if split && !device.data().function.has(Features::HEADER_SPLIT) {
            extack.set(format_args!("the device does not split headers from data"));
            return Err(not_supported());
        }
        let split_above = u16::try_from(split_above)?;
        if rx < MIN_DEPTH || tx < MIN_DEPTH {
            extack.set(format_args!("a ring has at least {MIN_DEPTH} entries"));
            return Err(EINVAL);
        }
        let max_log2 = device.data().function.max_depth().log2();
        let depths = ring_depth(rx, max_log2).zip(ring_depth(tx, max_log2));
        let Some((rx_depth, tx_depth)) = depths else {
            extack.set(format_args!(
                "a ring has at most {} entries",
                1u32 << max_log2
            ));
            return Err(EINVAL);
        };
        Port::reconfigure(device, locks, |config| {
            config.rx_depth = rx_depth;
            config.tx_depth = tx_depth;
            config.splits = split;
            config.split_above = split_above;
            // What is joined is not split.
            config.joins &= !split;
        })?;
        device.update_features(locks);
        Ok(())
    }

    fn channels(device: &Device<Self>) -> (u16, u16) {
        let port = device.data().get_ref();
        let pairs = port.control.lock().config.pairs;
        (pairs, port.max_pairs())
    }

    fn set_channels(
        device: &Device<Self>,
        locks: &Locks,
        count: u16,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let classes = device.data().control.lock().config.classes;
        if count < classes.into() {
            extack.set(format_args!(
                "there are {classes} classes of traffic (mqprio), each with a queue"
            ));
            return Err(EINVAL);
        }
        set_pairs(device, locks, count, extack)
    }

    fn link_speed(device: &Device<Self>) -> Option<u32> {
        Some(device.data().speed.load(Relaxed)).filter(|speed| *speed != 0)
    }

    fn set_link(device: &Device<Self>, _lock: &Lock, wanted: Link) -> Result {
        // The cable has the speed that the machine was started with, and nothing to negotiate: users can
        // ask for what there is.
        let speed = device.data().speed.load(Relaxed);
        let is_so = wanted.speed.is_none_or(|wanted| speed == wanted);
        if is_so && wanted.full_duplex && !wanted.autoneg {
            Ok(())
        } else {
            Err(not_supported())
        }
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
            rx_adaptive: config.rx_adaptive,
            tx_adaptive: config.tx_adaptive,
        }
    }

    fn set_coalesce(
        device: &Device<Self>,
        _lock: &Lock,
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
            config.rx_adaptive = coalesce.rx_adaptive;
            config.tx_adaptive = coalesce.tx_adaptive;
        })
    }
}

/// Sets the number of queue pairs in use.
///
/// # Errors
///
/// `EINVAL`, with the reason, if there are not so many, or they are too few, and those of
/// [`Port::reconfigure`].
pub(crate) fn set_pairs(
    device: &Device<Port>,
    locks: &Locks,
    count: u16,
    extack: &mut ExtAck<'_>,
) -> Result {
    let max = device.data().max_pairs();
    if count > max {
        extack.set(format_args!("there are {max} queue pairs"));
        return Err(EINVAL);
    }
    let resized = check_tables(device, locks.device_lock(), count, extack)?;
    Port::reconfigure(device, locks, |config| config.pairs = count)?;
    match resized {
        Some(entries) => device.resize_rss_contexts(locks.device_lock(), entries),
        None => Ok(()),
    }
}

/// Finds out whether `count` queue pairs are enough for contexts and filters, and whether tables can have
/// the size for them. Returns the new size of the tables that the core has, if they get another one.
fn check_tables(
    device: &Device<Port>,
    lock: &Lock,
    count: u16,
    extack: &mut ExtAck<'_>,
) -> Result<Option<u32>> {
    let control = device.data().get_ref().control.lock();
    let steering = &control.steering;
    let highest = steering.highest_queue(device.is_rss_table_set(lock));
    if highest >= count.into() {
        extack.set(format_args!("queue {highest} is in a table or filter"));
        return Err(EINVAL);
    }
    let (before, entries) = (steering.entries(), steering.entries_for(count));
    if before == entries {
        return Ok(None);
    }
    let mut table = [0; MAX_RSS_TABLE];
    let own = steering
        .context(0)
        .map_or(&[][..], |main| main.table(before));
    for (to, queue) in table.iter_mut().zip(own) {
        *to = (*queue).into();
    }
    if !device.can_resize_rss_table(lock, &table[..own.len()], entries.into()) {
        extack.set(format_args!(
            "the indirection table has {before} entries and cannot have {entries}, reset it first"
        ));
        return Err(EINVAL);
    }
    if !steering.has_contexts() {
        return Ok(None);
    }
    drop(control);
    if device
        .can_resize_rss_contexts(lock, entries.into())
        .is_err()
    {
        extack.set(format_args!(
            "the indirection table of a context cannot have {entries} entries"
        ));
        return Err(EINVAL);
    }
    Ok(Some(entries.into()))
}
