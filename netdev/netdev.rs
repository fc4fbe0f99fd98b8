// SPDX-License-Identifier: GPL-2.0

//! The operations of the network device.

use crate::{
    diagnostics,
    ethtool,
    link,
    port::{
        self,
        Port,
        LINK,
        RESET,
        RESTART,
        RULES, //
    },
    tc,
    tx::Sender,
    vf,
    xdp, //
};
use ferrite_abi::{
    cmd::{
        RxFilter,
        RxMode,
        SetMac,
        SetRxMode,
        MAX_RX_FILTER, //
    },
    regs,
    wire::U16, //
};
use ferrite_aux::{
    Ailment,
    Function,
    Part, //
};
use kernel::{
    prelude::*,
    sync::atomic::Relaxed, //
};
use kernel_ext::{
    devlink::ExtAck,
    flow,
    netdev::{
        AddressLists,
        Device,
        Features,
        Locks,
        Operations,
        QueueStats,
        Rtnl,
        Stamps,
        Stats,
        TxQueue,
        VfChange,
        VfConfig, //
    },
    skb::SkBuff,
    xdp::{
        Frame,
        Program, //
    },
};

/// Returns what the function can do if users want that.
pub(crate) fn optional_features(function: &Function) -> Features {
    let mut features = Features::NONE;
    if function.has(regs::Features::COALESCE) {
        features = features.with(Features::GRO_HW);
    }
    if function.has(regs::Features::LOOPBACK) {
        features = features.with(Features::LOOPBACK);
    }
    features
}

/// Returns what the network stack may leave to the function: what users can turn off, and what is
/// always on.
pub(crate) fn features(function: &Function) -> (Features, Features) {
    let mut changeable = Features::NONE;
    let mut fixed = Features::HIGHDMA;
    for (has, changes, is_fixed) in [
        (regs::Features::SCATTER_GATHER, Features::SG, Features::NONE),
        (regs::Features::CSUM_TX, Features::HW_CSUM, Features::NONE),
        (regs::Features::CSUM_RX, Features::RXCSUM, Features::NONE),
        (regs::Features::RSS, Features::RXHASH, Features::NONE),
        (regs::Features::FILTERS, Features::NONE, Features::NTUPLE),
        (regs::Features::TSO, Features::SEGMENTATION, Features::NONE),
        // The device strips tags without being asked.
        (regs::Features::VLAN, Features::VLAN_TX, Features::VLAN_RX),
    ] {
        if function.has(has) {
            changeable = changeable.with(changes);
            fixed = fixed.with(is_fixed);
        }
    }
    (changeable.with(tc::feature(function)), fixed)
}

#[vtable]
impl Operations for Port {
    type TxQueue = Sender;

    fn open(device: &Device<Self>, locks: &Locks) -> Result {
        port::up(device, locks, &mut device.data().control.lock())
    }

    fn stop(device: &Device<Self>, locks: &Locks) {
        port::down(device, locks, &mut device.data().control.lock());
    }

    #[inline]
    fn start_xmit(
        _device: &Device<Self>,
        sender: &mut Sender,
        queue: TxQueue<'_>,
        skb: SkBuff,
    ) -> Result<(), SkBuff> {
        sender.send(queue, skb)
    }

    fn get_stats64(device: &Device<Self>, stats: &mut Stats) {
        let sum = sum(device);
        let mut errors = 0;
        let mut dropped = 0;
        let mut tx_errors = 0;
        let mut tx_dropped = 0;
        for pair in &device.data().stats {
            errors += pair.rx_bad_completion.get() + pair.rx_unwritten.get();
            dropped += pair.rx_dropped.get() + pair.rx_no_memory.get();
            tx_errors += pair.tx_refused.get() + pair.tx_bad_completion.get();
            tx_dropped += pair.tx_unmapped.get();
        }
        stats
            .rx_packets(sum.rx_packets)
            .rx_bytes(sum.rx_bytes)
            .rx_errors(errors)
            .rx_dropped(dropped)
            .tx_packets(sum.tx_packets)
            .tx_bytes(sum.tx_bytes)
            .tx_errors(tx_errors)
            .tx_dropped(tx_dropped);
    }

    fn set_rx_mode(device: &Device<Self>, lists: &AddressLists<'_>) -> Result {
        let mut mode = RxMode::default();
        let mut filter = RxFilter {
            addresses: [[0; 6]; MAX_RX_FILTER],
        };
        let mut count = 0;
        // What does not fit in the filter is received with all others of its kind.
        let room = MAX_RX_FILTER - lists.unicast.len().min(MAX_RX_FILTER);
        if lists.promiscuous || lists.unicast.len() > MAX_RX_FILTER {
            mode = mode.with(RxMode::PROMISCUOUS);
        } else {
            for address in lists.unicast.iter() {
                filter.addresses[count] = address;
                count += 1;
            }
        }
        if lists.all_multicast || lists.multicast.len() > room {
            mode = mode.with(RxMode::ALL_MULTICAST);
        } else if !mode.contains(RxMode::PROMISCUOUS) {
            for address in lists.multicast.iter() {
                filter.addresses[count] = address;
                count += 1;
            }
        }
        let command = SetRxMode {
            mode: U16::new(mode.0),
            // CAST: at most `MAX_RX_FILTER`.
            count: U16::new(count as u16),
        };
        Ok(device.data().function.send_with(command, &filter)?)
    }

    fn set_mac_address(device: &Device<Self>, _locks: &Locks, address: [u8; 6]) -> Result {
        Ok(device.data().function.send(SetMac {
            mac: address,
            rsvd: [0; 2],
        })?)
    }

    fn change_mtu(device: &Device<Self>, locks: &Locks, mtu: u32) -> Result {
        Port::set_mtu(device, locks, mtu)
    }

    fn vf_config(device: &Device<Self>, _rtnl: &Rtnl, vf: u16) -> Result<VfConfig> {
        vf::config(device, vf)
    }

    fn set_vf(device: &Device<Self>, _rtnl: &Rtnl, vf: u16, change: VfChange) -> Result {
        vf::set(device, vf, change)
    }

    fn flow(device: &Device<Self>, _rtnl: &Rtnl, command: flow::Command<'_>) -> Result {
        tc::command(device, command)
    }

    fn set_classes(
        device: &Device<Self>,
        locks: &Locks,
        count: u8,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let pairs = device.data().control.lock().config.pairs;
        // A packet that has to wait for those of another class is not to hold up others.
        if pairs < count.into() {
            ethtool::set_pairs(device, locks, count.into(), extack)?;
        }
        device.data().control.lock().config.classes = count;
        Ok(())
    }

    fn tx_timeout(device: &Device<Self>, queue: u16) {
        dev_err!(device, "tx queue {}: no progress\n", queue);
        Port::fell_ill(device, Part::Tx, queue, Ailment::Stuck);
    }

    fn work(device: &Device<Self>, locks: &Locks, events: usize) {
        if events & RESET != 0 {
            Port::reset(device, locks);
        }
        if events & RESTART != 0 {
            Port::restart_sick(device, locks);
        }
        if events & RULES != 0 {
            tc::restore(device);
        }
        if events & LINK != 0 && device.data().control.lock().is_up() {
            link::update(device);
        }
    }

    fn fix_features(device: &Device<Self>, features: Features) -> Features {
        // Programs are to see packets as they came, and what is joined is not split.
        let splits = device.data().control.lock().config.splits;
        if device.data().xdp.is_empty() && !splits {
            features
        } else {
            features.without(Features::GRO_HW)
        }
    }

    fn set_features(device: &Device<Self>, locks: &Locks, features: Features) -> Result {
        tc::check_features(device, features)?;
        set_loopback(device, features.contains(Features::LOOPBACK))?;
        let joins = features.contains(Features::GRO_HW);
        if device.data().control.lock().config.joins == joins {
            return Ok(());
        }
        Port::reconfigure(device, locks, |config| config.joins = joins)
    }

    fn stamps(device: &Device<Self>) -> Stamps {
        let port = device.data().get_ref();
        Stamps {
            rx: port.control.lock().config.stamps,
            tx: port.tx_stamps.load(Relaxed),
        }
    }

    fn clock_index(device: &Device<Self>) -> i32 {
        device.data().clock_index.load(Relaxed)
    }

    fn set_stamps(
        device: &Device<Self>,
        _locks: &Locks,
        stamps: Stamps,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let port = device.data().get_ref();
        if (stamps.rx || stamps.tx) && !port.function.has(regs::Features::TIMESTAMP) {
            extack.set(format_args!("the device has no clock"));
            return Err(EINVAL);
        }
        Port::tune(device, |config| config.stamps = stamps.rx)?;
        port.tx_stamps.store(stamps.tx, Relaxed);
        Ok(())
    }

    fn xdp_setup(
        device: &Device<Self>,
        locks: &Locks,
        program: Option<Program>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        xdp::setup(device, locks, program, extack)
    }

    #[inline]
    fn xdp_xmit(sender: &mut Sender, frame: Frame) -> Result<(), Frame> {
        sender.send_frame(frame)
    }

    #[inline]
    fn xdp_kick(sender: &mut Sender) {
        sender.kick();
    }

    fn queue_stats(device: &Device<Self>, queue: u16) -> QueueStats {
        let stats = &device.data().get_ref().stats;
        stats
            .get(usize::from(queue))
            .map_or_else(QueueStats::default, |pair| pair.queue())
    }

    fn base_stats(device: &Device<Self>) -> QueueStats {
        let port = device.data().get_ref();
        let used = usize::from(port.control.lock().config.pairs);
        port.stats
            .iter()
            .skip(used)
            .fold(QueueStats::default(), |sum, pair| sum.plus(&pair.queue()))
    }
}

/// Turns the port around, or back, if it is not so.
///
/// # Errors
///
/// Those of `CmdError`.
fn set_loopback(device: &Device<Port>, on: bool) -> Result {
    let mut control = device.data().get_ref().control.lock();
    if control.config.loops == on {
        return Ok(());
    }
    if control.is_up() {
        diagnostics::set_loopback(device, on)?;
        link::update(device);
    }
    control.config.loops = on;
    Ok(())
}

/// Returns the counters of all queue pairs, those not in use too.
fn sum(device: &Device<Port>) -> QueueStats {
    device
        .data()
        .stats
        .iter()
        .fold(QueueStats::default(), |sum, pair| sum.plus(&pair.queue()))
}
