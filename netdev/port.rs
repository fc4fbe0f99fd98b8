// SPDX-License-Identifier: GPL-2.0

//! The Ethernet port of a function: what it has up or down, and the way from one to the other.

use crate::{
    diagnostics,
    health::Sick,
    link,
    logic::{
        geometry::{
            ring_depth,
            RxGeometry,
            COALESCE_USECS,
            RX_DEPTH_LOG2,
            TX_DEPTH_LOG2, //
        },
        reset::Resets, //
    },
    memory::{
        Moderation,
        Tuning, //
    },
    pair::{
        QueuePair,
        Setup, //
    },
    stats::PairStats,
    steering::Steering,
    tc::Rules,
    watchdog::Watchdog, //
};
use ferrite_abi::{
    cmd::{
        EnablePort,
        Identify,
        QueueFlags,
        SetMac,
        SetMtu, //
    },
    regs::Features,
    ring::Depth,
    wire::U16, //
};
use ferrite_aux::{
    CmdError,
    Function, //
};
use kernel::{
    cpu::nr_cpu_ids,
    new_mutex,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::Atomic,
        Arc,
        Mutex, //
    },
    time::{
        Instant,
        Monotonic, //
    },
};
use kernel_ext::{
    netdev::{
        Device,
        Lock,
        Locks, //
    },
    page_pool::{
        self,
        Purpose, //
    },
    xdp, //
};

/// Work to do under the RTNL: make the queues anew.
pub(crate) const RESET: usize = 1 << 0;
/// Work to do under the RTNL: ask for the state of the link.
pub(crate) const LINK: usize = 1 << 1;
/// Work to do under the RTNL: tell the switch the rules that it carries out.
pub(crate) const RULES: usize = 1 << 2;
/// Work to do under the RTNL: make the queues anew that are not well.
pub(crate) const RESTART: usize = 1 << 3;

/// What the driver keeps in the network device.
#[pin_data]
pub(crate) struct Port {
    pub(crate) function: Function,
    /// Version of the firmware, as text padded with zeros.
    pub(crate) firmware: [u8; 32],
    /// Counters of all queue pairs that there can be.
    pub(crate) stats: KVec<Arc<PairStats>>,
    /// Speed of the link in Mbit/s, 0 if there is none.
    pub(crate) speed: Atomic<u32>,
    born: Instant<Monotonic>,
    watchdog: Arc<Watchdog>,
    #[pin]
    pub(crate) sick: Sick,
    /// The XDP program, if there is one.
    pub(crate) xdp: xdp::Slot,
    /// Number of the clock of the device, -1 for none.
    pub(crate) clock_index: Atomic<i32>,
    /// Packets that ask for it are stamped when they are sent.
    pub(crate) tx_stamps: Atomic<bool>,
    #[pin]
    pub(crate) control: Mutex<Control>,
    /// Rules that the switch carries out.
    #[pin]
    pub(crate) rules: Rules,
}

/// What only changes under the RTNL, and what is up.
pub(crate) struct Control {
    pairs: KVec<QueuePair>,
    pub(crate) config: Config,
    pub(crate) steering: Steering,
    resets: Resets,
}

/// What users set.
#[derive(Clone, Copy)]
pub(crate) struct Config {
    /// Queue pairs in use.
    pub(crate) pairs: u16,
    /// Classes of traffic, each with queues of its own.
    pub(crate) classes: u8,
    /// Depth of receive queues.
    pub(crate) rx_depth: Depth,
    /// Depth of transmit queues.
    pub(crate) tx_depth: Depth,
    /// Interrupts of receive queues.
    pub(crate) rx_moderation: Moderation,
    /// Interrupts of transmit queues.
    pub(crate) tx_moderation: Moderation,
    /// Interrupts of receive queues follow their traffic.
    pub(crate) rx_adaptive: bool,
    /// Interrupts of transmit queues follow their traffic.
    pub(crate) tx_adaptive: bool,
    /// Received segments are joined.
    pub(crate) joins: bool,
    /// The data of received segments is split from their headers.
    pub(crate) splits: bool,
    /// Longest packet that is not.
    pub(crate) split_above: u16,
    /// Received packets are stamped.
    pub(crate) stamps: bool,
    /// What is sent comes back.
    pub(crate) loops: bool,
    /// The MTU.
    pub(crate) mtu: u32,
    /// There is room for an XDP program.
    pub(crate) xdp: bool,
}

impl Config {
    /// Returns how receive queues are tuned.
    fn rx(&self) -> Tuning {
        let mut flags = QueueFlags(0);
        if self.joins {
            flags = flags.with(QueueFlags::COALESCE);
        }
        if self.splits {
            flags = flags.with(QueueFlags::SPLIT);
        }
        if self.purpose() == Purpose::Data {
            flags = flags.with(QueueFlags::HEADERS);
        }
        if self.stamps {
            flags = flags.with(QueueFlags::TIMESTAMP);
        }
        Tuning {
            moderation: self.rx_moderation,
            adaptive: self.rx_adaptive,
            flags,
            // What has to wait for an interrupt can as well wait for others.
            coalesce_usecs: self.rx_moderation.usecs.max(COALESCE_USECS),
            split_above: self.split_above,
        }
    }

    /// Returns what receive buffers are for. Programs see headers and data together.
    fn purpose(&self) -> Purpose {
        if self.xdp {
            Purpose::Programs
        } else if self.splits {
            Purpose::Data
        } else {
            Purpose::Packets
        }
    }

    /// Returns how transmit queues are tuned.
    fn tx(&self) -> Tuning {
        Tuning {
            moderation: self.tx_moderation,
            adaptive: self.tx_adaptive,
            ..Tuning::default()
        }
    }
}

impl Port {
    /// Returns a port that is down.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if the function has no queue or no vector, `EINVAL` if its queues are too short,
    /// `ENOMEM`.
    pub(crate) fn new(function: Function) -> Result<impl PinInit<Self, Error>> {
        let description = function.description();
        let max_pairs = max_pairs(&function);
        if max_pairs == 0 {
            return Err(ENOSPC);
        }
        let mut stats = KVec::with_capacity(max_pairs.into(), GFP_KERNEL)?;
        for _ in 0..max_pairs {
            stats.push(Arc::new(PairStats::new(), GFP_KERNEL)?, GFP_KERNEL)?;
        }
        let max_log2 = description.max_depth.log2();
        let depth = |log2: u8| ring_depth(1 << log2.min(max_log2), max_log2).ok_or(EINVAL);
        let config = Config {
            pairs: Self::default_pairs(&function),
            classes: 0,
            rx_depth: depth(RX_DEPTH_LOG2)?,
            tx_depth: depth(TX_DEPTH_LOG2)?,
            rx_moderation: Moderation::default(),
            tx_moderation: Moderation::default(),
            rx_adaptive: false,
            tx_adaptive: false,
            joins: false,
            splits: false,
            split_above: 0,
            stamps: false,
            loops: false,
            mtu: description.mtu.into(),
            xdp: false,
        };
        let steering = Steering::new(&function, config.pairs)?;
        let watchdog = Watchdog::new()?;
        let firmware = function
            .fetch(Identify {})
            .map_or([0; 32], |((), identity)| identity.fw_running);
        Ok(try_pin_init!(Self {
            function,
            firmware,
            stats,
            speed: Atomic::new(0),
            born: Instant::now(),
            watchdog,
            sick <- Sick::new(),
            xdp: xdp::Slot::new(),
            clock_index: Atomic::new(-1),
            tx_stamps: Atomic::new(false),
            control <- new_mutex!(Control {
                pairs: KVec::new(),
                config,
                steering,
                resets: Resets::default(),
            }, "ferrite_net_control"),
            rules <- Rules::new(),
        }? Error))
    }

    /// Returns how many queue pairs are in use to begin with.
    pub(crate) fn default_pairs(function: &Function) -> u16 {
        // CAST: clamped.
        let cpus = nr_cpu_ids().min(u16::MAX.into()) as u16;
        max_pairs(function).min(cpus)
    }

    /// Returns how many queue pairs there can be.
    pub(crate) fn max_pairs(&self) -> u16 {
        max_pairs(&self.function)
    }

    /// Changes the configuration of the port, which goes down and up again if it is up.
    ///
    /// # Errors
    ///
    /// Those of [`up`]. The port is then as it was, or, if that fails too, down.
    pub(crate) fn reconfigure(
        device: &Device<Self>,
        locks: &Locks,
        change: impl FnOnce(&mut Config),
    ) -> Result {
        let port = device.data().get_ref();
        let mut control = port.control.lock();
        let before = control.config;
        let is_up = control.is_up();
        let is_users = device.is_rss_table_set(locks.device_lock());
        down(device, locks, &mut control);
        change(&mut control.config);
        let pairs = control.config.pairs;
        if pairs != before.pairs {
            control.steering.size_for(pairs, is_users);
        }
        let result = if is_up {
            up(device, locks, &mut control)
        } else {
            device.set_real_queues(locks, pairs, pairs)
        };
        if let Err(error) = result {
            control.config = before;
            if pairs != before.pairs {
                control.steering.size_for(before.pairs, is_users);
            }
            if is_up {
                if let Err(error) = up(device, locks, &mut control) {
                    dev_err!(device, "the port stays down: {:?}\n", error);
                }
            }
            return Err(error);
        }
        control.steering.keep_sizes();
        Ok(())
    }

    /// Changes what can be changed while the port is up: moderation and stamps.
    ///
    /// # Errors
    ///
    /// Those of [`CmdError`]. All is then as it was, as far as the device answers.
    pub(crate) fn tune(device: &Device<Self>, change: impl FnOnce(&mut Config)) -> Result {
        let port = device.data().get_ref();
        let mut control = port.control.lock();
        let before = control.config;
        change(&mut control.config);
        let tune = |control: &Control| {
            let (rx, tx) = (control.config.rx(), control.config.tx());
            let mut pairs = control.pairs.iter();
            pairs.try_for_each(|pair| pair.tune(&rx, &tx))
        };
        tune(&control).or_else(|error| {
            control.config = before;
            let _ = tune(&control);
            Err(error.into())
        })
    }

    /// Changes the MTU. The port goes down and up again only if its buffers are to be cut anew.
    ///
    /// # Errors
    ///
    /// `EINVAL` if packets do not fit, and those of [`Self::reconfigure`].
    pub(crate) fn set_mtu(device: &Device<Self>, locks: &Locks, mtu: u32) -> Result {
        let port = device.data().get_ref();
        {
            let mut control = port.control.lock();
            let now = control.config;
            let wanted = geometry(&port.function, &Config { mtu, ..now })?;
            if port.xdp.needs_one_buffer(locks) && !wanted.holds(mtu) {
                return Err(EINVAL);
            }
            if geometry(&port.function, &now) == Ok(wanted) {
                if control.is_up() {
                    tell_mtu(&port.function, mtu)?;
                }
                control.config.mtu = mtu;
                return Ok(());
            }
        }
        Self::reconfigure(device, locks, |config| config.mtu = mtu)
    }

    /// Counts a reset, and returns whether it is worth trying.
    pub(crate) fn may_reset(&self, control: &mut Control) -> bool {
        // CAST: an uptime is not negative.
        let now = self.born.elapsed().as_millis() as u64;
        control.resets.allow(now)
    }

    /// Makes the queues anew, because the device does not make sense.
    pub(crate) fn reset(device: &Device<Self>, locks: &Locks) {
        let port = device.data().get_ref();
        let mut control = port.control.lock();
        if !control.is_up() {
            // What users set while the port is down, the device is told at once: it must know the rest.
            // If it does not hear, it will when the port goes up.
            let _ = control.steering.apply(&port.function);
            return;
        }
        down(device, locks, &mut control);
        if !port.may_reset(&mut control) {
            dev_err!(
                device,
                "the device does not recover, the port stays down until it is opened anew\n"
            );
            return;
        }
        match up(device, locks, &mut control) {
            Ok(()) => dev_info!(device, "queues were reset\n"),
            Err(error) => dev_err!(device, "the port stays down after a reset: {:?}\n", error),
        }
    }
}

/// Returns how many queue pairs a function can have.
pub(crate) fn max_pairs(function: &Function) -> u16 {
    function.description().max_queues
}

impl Control {
    /// Returns whether the port is up.
    pub(crate) fn is_up(&self) -> bool {
        !self.pairs.is_empty()
    }

    /// Returns the queue pairs that are up.
    pub(crate) fn pairs(&self) -> &[QueuePair] {
        &self.pairs
    }

    /// Returns a queue pair, if it is up.
    pub(crate) fn pair_mut(&mut self, index: u16) -> Option<&mut QueuePair> {
        self.pairs.get_mut(usize::from(index))
    }
}

/// Returns how receive buffers are cut: for an MTU, with room for what an XDP program may do, and for
/// packets of segments that were joined.
///
/// # Errors
///
/// `EINVAL` if packets do not fit.
pub(crate) fn geometry(function: &Function, config: &Config) -> Result<RxGeometry> {
    let Config { mtu, joins, .. } = *config;
    let (headroom, tailroom) = page_pool::overhead();
    let scatter = function.has(Features::SCATTER_GATHER);
    // CAST: pages are smaller than that.
    let page = PAGE_SIZE as u32;
    match config.purpose() {
        Purpose::Data => RxGeometry::data(mtu, page, scatter),
        Purpose::Packets if joins => RxGeometry::joining(mtu, page, headroom, tailroom),
        Purpose::Packets => RxGeometry::of(mtu, page, headroom, tailroom, scatter),
        // What is joined is no packet that came: programs do without.
        Purpose::Programs => {
            let headroom = headroom.max(xdp::HEADROOM);
            RxGeometry::of(mtu, page, headroom, tailroom, scatter)
        }
    }
    .ok_or(EINVAL)
}

/// Returns how queue pairs are made.
///
/// # Errors
///
/// `EINVAL` for an MTU that buffers cannot be made for.
pub(crate) fn setup(function: &Function, config: &Config) -> Result<Setup> {
    Ok(Setup {
        rx_depth: config.rx_depth,
        tx_depth: config.tx_depth,
        geometry: geometry(function, config)?,
        purpose: config.purpose(),
        rx: config.rx(),
        tx: config.tx(),
    })
}

/// Brings the port up.
///
/// # Errors
///
/// `EINVAL` for an MTU that buffers cannot be made for, `ENOMEM`, `EBUSY` if a vector is taken, and
/// those of [`CmdError`]. The port is then down.
pub(crate) fn up(device: &Device<Port>, locks: &Locks, control: &mut Control) -> Result {
    try_up(device, locks, control).inspect_err(|_| down(device, locks, control))
}

fn try_up(device: &Device<Port>, locks: &Locks, control: &mut Control) -> Result {
    let port = device.data().get_ref();
    let function = &port.function;
    let config = control.config;
    let setup = setup(function, &config)?;
    device.set_real_queues(locks, config.pairs, config.pairs)?;
    tell_mtu(function, config.mtu)?;
    function.send(SetMac {
        mac: device.address(locks),
        rsvd: [0; 2],
    })?;
    for (index, stats) in (0..config.pairs).zip(&port.stats) {
        control.pairs.reserve(1, GFP_KERNEL)?;
        let (pair, sender) = QueuePair::start(device, locks.device_lock(), index, &setup, stats)?;
        control.pairs.push(pair, GFP_KERNEL)?;
        let previous = device
            .lock_tx(index)
            .and_then(|mut queue| queue.replace(sender));
        drop(previous);
    }
    watch(port, control)?;
    control.steering.apply(function)?;
    if function.has(Features::LOOPBACK) {
        diagnostics::set_loopback(device, config.loops)?;
    }
    function.send(EnablePort {
        enable: 1,
        rsvd: [0; 3],
    })?;
    link::update(device);
    port.is_well();
    device.wake_all_queues();
    Ok(())
}

/// Has the watchdog look at the queue pairs that are up.
fn watch(port: &Port, control: &Control) -> Result {
    let mut watched = KVec::with_capacity(control.pairs.len(), GFP_KERNEL)?;
    for pair in &control.pairs {
        watched.push(pair.watched(), GFP_KERNEL)?;
    }
    port.watchdog.watch(watched);
    Ok(())
}

/// Makes a queue pair anew, while the others go on. What is sent through it meanwhile is lost.
///
/// # Errors
///
/// `EINVAL` if it is not up, and those of [`QueuePair::start`]. The pair is then down.
pub(crate) fn restart(
    device: &Device<Port>,
    lock: &Lock,
    control: &mut Control,
    index: u16,
) -> Result {
    let port = device.data().get_ref();
    let setup = setup(&port.function, &control.config)?;
    let at = control.pairs.iter().position(|pair| pair.index() == index);
    let at = at.ok_or(EINVAL)?;
    port.watchdog.stop();
    let stopped = control.pairs.remove(at).map_err(|_| EINVAL)?;
    take_down(device, lock, stopped);
    let (pair, sender) =
        QueuePair::start(device, lock, index, &setup, &port.stats[usize::from(index)])?;
    control
        .pairs
        .insert_within_capacity(at, pair)
        .map_err(|_| ENOMEM)?;
    let previous = device
        .lock_tx(index)
        .and_then(|mut queue| queue.replace(sender));
    drop(previous);
    if let Some(queue) = device.tx_queue(index) {
        queue.wake();
    }
    watch(port, control)
}

/// Takes a queue pair down.
fn take_down(device: &Device<Port>, lock: &Lock, pair: QueuePair) {
    let index = pair.index();
    let sender = device.lock_tx(index).and_then(|mut queue| queue.take());
    pair.stop(lock);
    drop(sender);
    if let Some(queue) = device.tx_queue(index) {
        queue.reset();
    }
}

fn tell_mtu(function: &Function, mtu: u32) -> Result<(), CmdError> {
    function.send(SetMtu {
        // CAST: the largest MTU of a device is a `u16`.
        mtu: U16::new(mtu as u16),
        rsvd: [0; 2],
    })
}

/// Takes the port down. Does what it can if the device does not answer.
pub(crate) fn down(device: &Device<Port>, locks: &Locks, control: &mut Control) {
    let port = device.data().get_ref();
    device.stop_all_queues();
    link::lost(device);
    port.watchdog.stop();
    // The queues go in any case: it is enough if they are destroyed.
    let _ = port.function.send(EnablePort {
        enable: 0,
        rsvd: [0; 3],
    });
    while let Some(pair) = control.pairs.pop() {
        take_down(device, locks.device_lock(), pair);
    }
}
