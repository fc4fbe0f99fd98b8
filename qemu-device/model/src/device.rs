// SPDX-License-Identifier: GPL-2.0

//! The board: its functions, and what the machine asks of it.

use std::sync::Arc;

use ferrite_abi::cmd::FunctionCaps;
use ferrite_abi::event::{
    FunctionState,
    LinkChange,
    QueueSyndrome, //
};
use ferrite_abi::wire::U32;

use crate::backlog::Pool;
use crate::bus::{
    bus,
    Bus, //
};
use crate::config::{
    Config,
    ConfigError, //
};
use crate::faults::Script;
use crate::function::Function;
use crate::host::{
    Host,
    PciFn,
    Trace, //
};
use crate::latch::Latch;
use crate::packet::ETH_HEADER;
use crate::pci::PciFunction;
use crate::queue::{
    Kind,
    Queue, //
};
use crate::save::LoadError;
use crate::slot::Slot;
use crate::state::State;
use crate::switch::Vport;
use crate::timers::{
    Timer,
    Timers, //
};
use crate::tx::Scratch;
use crate::work::Work;

/// How long a reset of a function takes, in nanoseconds. Meanwhile it reads as all ones.
const RESET_NS: u64 = 1_000_000;

/// Frames from the uplink that are taken between two runs.
const UPLINK_BURST: u32 = 1024;

/// A Ferrite DPU.
///
/// The methods are called one at a time, by whatever thread; none is called from within the
/// [`Host`]'s. Only the [`Latch`] is shared.
#[derive(Debug)]
pub struct Device {
    pub(crate) config: Config,
    /// The faults that a power-on arms.
    script: Script,
    latch: Arc<Latch>,
    pub(crate) state: State,
    /// The time, as it was when the host last called.
    pub(crate) now: u64,
    /// What becomes due. Follows from the state.
    pub(crate) timers: Timers,
    /// When queues that wait for their turn have to be looked at. Follows from the state.
    pub(crate) rates_timer: Option<u64>,
    /// When the host was asked to call.
    timer_set: Option<u64>,
    /// Queues whose doorbell was rung.
    pub(crate) work: Work,
    /// RX queues with completions that are not written yet.
    pub(crate) pending: Work,
    pub(crate) pool: Pool,
    pub(crate) scratch: Option<Scratch>,
    /// Memory for a frame that a rule changes.
    pub(crate) edited: Vec<u8>,
    /// Frames that the uplink may still bring before the next run.
    uplink_credit: u32,
    /// Whether a frame of the uplink was turned away.
    uplink_waits: bool,
}

/// What became of a frame from the uplink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It was delivered, kept or dropped: the device is done with it.
    Taken,
    /// Not now: [`Host::uplink_ready`] tells when to offer it again.
    Full,
}

impl Device {
    /// Makes a device, powered on and reset, with the uplink down.
    ///
    /// # Errors
    ///
    /// Refuses a set-up that the hardware cannot have.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        let script = config.check()?;
        let state = State::power_on(&config, &script);
        Ok(Self {
            config,
            script,
            latch: Arc::new(Latch::new()),
            state,
            now: 0,
            timers: Timers::default(),
            rates_timer: None,
            timer_set: None,
            work: Work::default(),
            pending: Work::default(),
            pool: Pool::default(),
            scratch: None,
            edited: Vec::new(),
            uplink_credit: UPLINK_BURST,
            uplink_waits: false,
        })
    }

    /// Returns how the device was set up.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Disarms all faults and arms those of a script, which a reset of the whole device arms from now
    /// on, too.
    ///
    /// # Errors
    ///
    /// Refuses a script that cannot be read, and any on a device without faults.
    pub fn set_fault_script(&mut self, text: &str) -> Result<(), ConfigError> {
        let script = self.config.read_script(text)?;
        self.state.faults.follow(&script);
        self.script = script;
        Ok(())
    }

    /// Returns the latch that doorbell writes go to.
    pub fn doorbells(&self) -> Arc<Latch> {
        self.latch.clone()
    }

    /// Does what there is to do: doorbells, admin commands, packets; `budget` is the number of
    /// descriptors after which it returns. Returns whether there is more to do, so that it is to
    /// be called again soon.
    #[must_use]
    pub fn run(&mut self, host: &mut dyn Host, budget: u32) -> bool {
        self.latch.begin();
        let work = &mut self.work;
        self.latch.take(|slot, tx, rx| work.add(slot, tx, rx));
        self.now = host.now_ns();
        if self.state.vanished {
            return false;
        }
        let more = self.run_admin(host);
        let more = self.run_queues(host, budget) || more;
        self.publish_received(host);
        self.set_timer(host);
        self.uplink_credit = UPLINK_BURST;
        if std::mem::take(&mut self.uplink_waits) {
            host.uplink_ready();
        }
        more
    }

    /// Does what has become due.
    pub fn timer(&mut self, host: &mut dyn Host) {
        self.now = host.now_ns();
        self.timer_set = None;
        while let Some(timer) = self.timers.take_due(self.now) {
            match timer {
                Timer::Admin(function) => self.admin_is_due(host, function),
                Timer::Interrupt(slot, kind, index) => {
                    self.interrupt_is_due(host, slot, kind, index);
                }
                Timer::Rates => {
                    self.rates_timer = None;
                    host.schedule();
                }
                Timer::Coalesce(slot, index) => self.coalescing_is_due(host, slot, index),
            }
        }
        self.set_timer(host);
    }

    /// Returns whether [`Self::uplink_receive`] would take a frame.
    pub fn uplink_can_receive(&self) -> bool {
        self.uplink_credit > 0
    }

    /// Takes a frame from the uplink, from the destination address to the end of the payload.
    pub fn uplink_receive(&mut self, host: &mut dyn Host, frame: &[u8]) -> Received {
        if self.uplink_credit == 0 {
            self.uplink_waits = true;
            return Received::Full;
        }
        if !self.state.uplink_up || self.state.vanished || frame.len() < ETH_HEADER {
            return Received::Taken;
        }
        self.uplink_credit -= 1;
        self.now = host.now_ns();
        let path = self.path(Vport::Uplink, frame);
        self.pass(host, Vport::Uplink, &path, frame);
        // Completions are written, for many frames at once, by the run.
        host.schedule();
        Received::Taken
    }

    /// Plugs the uplink's cable in or out.
    pub fn set_uplink(&mut self, host: &mut dyn Host, up: bool) {
        if self.state.uplink_up == up {
            return;
        }
        self.now = host.now_ns();
        self.state.uplink_up = up;
        host.trace(&Trace::Uplink { up });
        for slot in (0..self.state.functions.len()).filter_map(Slot::from_index) {
            self.tell_link(host, slot);
        }
    }

    /// Tells who uses a function how its link is.
    fn tell_link(&mut self, host: &mut dyn Host, slot: Slot) {
        let is_used = |function: &Function| function.state == FunctionState::IN_USE;
        if !self.function(slot).is_some_and(is_used) {
            return;
        }
        let (speed, up) = self.link_of(slot);
        let change = LinkChange {
            speed: U32::new(speed),
            up: up.into(),
            rsvd: [0; 3],
        };
        self.post_event(host, slot.pci(), slot.id(), change);
        self.virtio_config_changed(host, slot);
    }

    /// Sees to a function whose link was provisioned anew.
    pub(crate) fn link_changed(&mut self, host: &mut dyn Host, slot: Slot) {
        self.tell_link(host, slot);
        let Some(function) = self.state.functions[slot.index()].as_deref_mut() else {
            return;
        };
        if function.has_link() {
            // What it was to send waited.
            self.look_at_queues(slot);
            host.schedule();
        } else {
            function.drop_waiting(&mut self.pool);
        }
    }

    /// Resets a PCI function, as a function-level reset does. For a millisecond it reads as all
    /// ones. Whatever went on to migrate it is forgotten, but for the log of its writes.
    pub fn reset_function(&mut self, host: &mut dyn Host, function: PciFn) {
        self.reset_migration(function);
        self.reset_by_driver(host, function);
    }

    /// Resets a PCI function, as its own driver asks for. One that is suspended stays so.
    pub(crate) fn reset_by_driver(&mut self, host: &mut dyn Host, function: PciFn) {
        self.now = host.now_ns();
        let Some(slot) = self.slot_of(function) else {
            return;
        };
        self.clear_function(slot);
        self.state.pci[usize::from(function.0)].reset(self.now.saturating_add(RESET_NS));
        if function == PciFn::PF {
            self.end_all_on_pf(host);
            // The firmware starts again.
            self.state.hung_at = None;
            self.state.firmware.reset();
            self.state.traps.reset();
        }
        host.trace(&Trace::Reset { function });
        self.tell_state(host, slot);
        self.setup_changed(host, slot);
        self.set_timer(host);
    }

    /// Resets the whole device, as power-on does. The uplink keeps its state, VFs are off.
    pub fn reset(&mut self, host: &mut dyn Host) {
        for slot in Slot::vfs() {
            self.end(host, slot);
        }
        let uplink_up = self.state.uplink_up;
        self.state = State {
            uplink_up,
            firmware: self.state.firmware.clone().power_on(),
            ..State::power_on(&self.config, &self.script)
        };
        self.forget();
        self.set_timer(host);
        host.trace(&Trace::Reset {
            function: PciFn::PF,
        });
    }

    /// Turns the first `count` VFs on and the others off.
    pub fn set_vfs(&mut self, host: &mut dyn Host, count: u16) {
        self.now = host.now_ns();
        let count = count.min(self.config.max_vfs);
        for index in 0..self.config.max_vfs {
            let Some(slot) = Slot::vf(index) else {
                continue;
            };
            let on = index < count;
            if self.function(slot).is_some() == on {
                continue;
            }
            self.state.pci[slot.index()] = PciFunction::default();
            if on {
                self.provision(host, slot, self.state.vf_policy);
            } else {
                self.end(host, slot);
            }
        }
        self.set_timer(host);
        host.trace(&Trace::Vfs { count });
    }

    /// Lets a PCI function do DMA and raise interrupts, or not.
    pub fn set_bus_master(&mut self, host: &mut dyn Host, function: PciFn, on: bool) {
        let Some(pci) = self.state.pci.get_mut(usize::from(function.0)) else {
            return;
        };
        pci.bus_master = on;
        if on {
            // What was rung meanwhile was not looked at.
            for slot in (0..self.state.functions.len()).filter_map(Slot::from_index) {
                if slot.pci() == function {
                    self.look_at_queues(slot);
                }
            }
            host.schedule();
        }
    }

    /// Returns the whole state as bytes, to be given to [`Self::load`] of another device.
    pub fn save(&self) -> Vec<u8> {
        self.state.to_bytes(&self.config)
    }

    /// Takes over a state that a device of the same set-up saved. [`Self::run`] must be called
    /// soon afterwards.
    ///
    /// # Errors
    ///
    /// Refuses what is not such a state, and then is as it was before.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        self.state = State::from_bytes(bytes, &self.config)?;
        self.forget();
        for pci in (0..).map(PciFn).zip(&self.state.pci) {
            for due in pci.1.admin.delays() {
                self.timers.add(due, Timer::Admin(pci.0));
            }
        }
        for slot in (0..self.state.functions.len()).filter_map(Slot::from_index) {
            let Some(function) = self.state.functions[slot.index()].as_deref() else {
                continue;
            };
            for (due, timer) in function.queues().filter_map(|queue| queue.pending_timer()) {
                self.timers.add(due, timer);
            }
            for queue in function.rx.iter().flatten() {
                if let Some(due) = queue.adopt(&mut self.pool) {
                    self.timers
                        .add(due, Timer::Coalesce(slot, queue.queue.index));
                }
            }
            if let Some(virtio) = &function.virtio {
                virtio.adopt(&mut self.pool);
            }
            self.pending.add(slot, 0, u64::MAX);
            self.look_at_queues(slot);
        }
        Ok(())
    }

    /// Forgets all that follows from the state.
    fn forget(&mut self) {
        self.latch.take(|_, _, _| {});
        self.timers.clear();
        self.rates_timer = None;
        self.work = Work::default();
        self.pending = Work::default();
        self.pool.clear();
    }

    /// Returns all PCI functions, VFs that are off included.
    pub(crate) fn pci_functions(&self) -> impl Iterator<Item = PciFn> {
        (0..=self.config.max_vfs).map(PciFn)
    }

    /// Returns the function in a slot, if it is provisioned.
    pub(crate) fn function(&self, slot: Slot) -> Option<&Function> {
        self.state.functions[slot.index()].as_deref()
    }

    /// Returns the function in a slot, if it is provisioned, to change it.
    pub(crate) fn function_mut(&mut self, slot: Slot) -> Option<&mut Function> {
        self.state.functions[slot.index()].as_deref_mut()
    }

    /// Returns the slot of a PCI function that is there.
    pub(crate) fn slot_of(&self, function: PciFn) -> Option<Slot> {
        Slot::of_pci(function).filter(|slot| self.function(*slot).is_some())
    }

    /// Returns the host as a PCI function sees it.
    pub(crate) fn bus<'a>(&'a mut self, host: &'a mut dyn Host, function: PciFn) -> Bus<'a> {
        bus!(self, host, function)
    }

    /// Returns speed and state of the link.
    fn link(&self) -> (u32, bool) {
        let up = self.state.uplink_up;
        (if up { self.config.speed } else { 0 }, up)
    }

    /// Returns speed and state of a function's link.
    pub(crate) fn link_of(&self, slot: Slot) -> (u32, bool) {
        let Some(function) = self.function(slot) else {
            return (0, false);
        };
        let caps = function.provision.caps;
        if function.port.loops || caps.contains(FunctionCaps::LINK_UP) {
            (self.config.speed, true)
        } else if function.has_link() {
            self.link()
        } else {
            (0, false)
        }
    }

    /// Returns whether a function's queues may work: its PCI function is well, may do DMA and is not
    /// suspended.
    pub(crate) fn can_move_packets(&self, slot: Slot) -> bool {
        self.is_usable(slot) && self.may_initiate(slot)
    }

    /// Returns whether a function's queues may work, unless it is suspended.
    pub(crate) fn is_usable(&self, slot: Slot) -> bool {
        let pci = self.state.pci.get(usize::from(slot.pci().0));
        pci.is_some_and(|pci| pci.bus_master && pci.is_ready(self.now)) && !self.state.vanished
    }

    /// Takes the device off the bus.
    pub(crate) fn vanish(&mut self, host: &mut dyn Host) {
        self.state.vanished = true;
        self.forget();
        self.set_timer(host);
    }

    /// Raises an interrupt that had to wait.
    fn interrupt_is_due(&mut self, host: &mut dyn Host, slot: Slot, kind: Kind, index: u16) {
        let usable = self.can_move_packets(slot);
        self.see_to_interrupt(host, slot, kind, index, usable, Queue::interrupt_is_due);
    }

    /// Does something about the interrupt of a queue that waits, or has it forgotten if the queue is
    /// not usable.
    pub(crate) fn see_to_interrupt(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        kind: Kind,
        index: u16,
        usable: bool,
        act: impl FnOnce(&mut Queue, &mut Bus<'_>) -> Result<(), QueueSyndrome>,
    ) {
        let Some(function) = self.state.functions[slot.index()].as_deref_mut() else {
            return;
        };
        let Some(queue) = function.queue_mut(kind, index) else {
            return;
        };
        if !usable || !queue.runs() {
            return queue.forget_interrupt();
        }
        let mut bus = bus!(self, host, slot.pci());
        if let Err(syndrome) = act(queue, &mut bus) {
            self.stop_queue(host, slot, kind, index, syndrome);
        }
    }

    /// Asks the host to call when the next thing is due, if that changed.
    fn set_timer(&mut self, host: &mut dyn Host) {
        let next = self.timers.next();
        if self.timer_set != next {
            self.timer_set = next;
            host.set_timer(next);
        }
    }
}

/// Returns the numbers of the bits that are set.
pub(crate) fn bits(mut word: u64) -> impl Iterator<Item = u16> {
    std::iter::from_fn(move || {
        // CAST: a bit number.
        let bit = (word != 0).then(|| word.trailing_zeros() as u16)?;
        word &= word - 1;
        Some(bit)
    })
}
