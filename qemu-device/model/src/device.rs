// SPDX-License-Identifier: GPL-2.0

//! The board: its functions, and what the machine asks of it.

use std::sync::Arc;

use ferrite_abi::event::FunctionState;
use ferrite_abi::regs::AdminError;

use crate::config::{
    Config,
    ConfigError, //
};
use crate::faults::{
    Faults,
    Script, //
};
use crate::function::Function;
use crate::host::{
    Host,
    PciFn,
    Trace, //
};
use crate::latch::Latch;
use crate::mac::Mac;
use crate::pci::PciFunction;
use crate::save::{
    saved,
    LoadError, //
};
use crate::slot::{
    Slot,
    SLOTS, //
};

/// How long a reset of a function takes, in nanoseconds. Meanwhile it reads as all ones.
const RESET_NS: u64 = 1_000_000;

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
}

/// What is saved of a device.
#[derive(Debug)]
pub(crate) struct State {
    /// The functions, by slot.
    pub(crate) functions: Vec<Option<Box<Function>>>,
    /// The PCI functions, those of VFs that are off included.
    pub(crate) pci: Vec<PciFunction>,
    pub(crate) faults: Faults,
    /// Whether the uplink is up.
    pub(crate) uplink_up: bool,
    /// When the firmware hung, if it did.
    pub(crate) hung_at: Option<u64>,
    /// Whether the device is gone from the bus.
    pub(crate) vanished: bool,
}

saved!(State {
    functions,
    pci,
    faults,
    uplink_up,
    hung_at,
    vanished
});

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
        })
    }

    /// Returns how the device was set up.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the latch that doorbell writes go to.
    pub fn doorbells(&self) -> Arc<Latch> {
        self.latch.clone()
    }

    /// Does what there is to do: doorbells, admin commands, packets; `budget` bounds the number of
    /// packets. Returns whether there is more to do, so that it is to be called again soon.
    #[must_use]
    pub fn run(&mut self, host: &mut dyn Host, budget: u32) -> bool {
        let _ = (host, budget);
        self.latch.begin();
        self.latch.take(|_, _, _| {});
        false
    }

    /// Does what has become due.
    pub fn timer(&mut self, host: &mut dyn Host) {
        host.set_timer(None);
    }

    /// Returns whether [`Self::uplink_receive`] would take a frame.
    pub fn uplink_can_receive(&self) -> bool {
        true
    }

    /// Takes a frame from the uplink, from the destination address to the end of the payload.
    pub fn uplink_receive(&mut self, host: &mut dyn Host, frame: &[u8]) -> Received {
        let _ = (host, frame);
        Received::Taken
    }

    /// Plugs the uplink's cable in or out.
    pub fn set_uplink(&mut self, host: &mut dyn Host, up: bool) {
        if self.state.uplink_up != up {
            self.state.uplink_up = up;
            host.trace(&Trace::Uplink { up });
        }
    }

    /// Resets a PCI function, as a function-level reset does.
    pub fn reset_function(&mut self, host: &mut dyn Host, function: PciFn) {
        let Some(pci) = self.state.pci.get_mut(usize::from(function.0)) else {
            return;
        };
        pci.reset(host.now_ns().saturating_add(RESET_NS));
        host.trace(&Trace::Reset { function });
    }

    /// Resets the whole device, as power-on does. The uplink keeps its state, VFs are off.
    pub fn reset(&mut self, host: &mut dyn Host) {
        let uplink_up = self.state.uplink_up;
        self.state = State {
            uplink_up,
            ..State::power_on(&self.config, &self.script)
        };
        self.latch.take(|_, _, _| {});
        host.set_timer(None);
        host.trace(&Trace::Reset {
            function: PciFn::PF,
        });
    }

    /// Turns the first `count` VFs on and the others off.
    pub fn set_vfs(&mut self, host: &mut dyn Host, count: u16) {
        let count = count.min(self.config.max_vfs);
        for (index, slot) in (0..self.config.max_vfs).filter_map(|vf| Some((vf, Slot::vf(vf)?))) {
            let on = index < count;
            if self.function(slot).is_some() == on {
                continue;
            }
            self.state.functions[slot.index()] =
                on.then(|| Box::new(Function::new(Mac(self.config.mac).derived(1 + index))));
            self.state.pci[slot.index()] = PciFunction::default();
        }
        host.trace(&Trace::Vfs { count });
    }

    /// Lets a PCI function do DMA and raise interrupts, or not.
    pub fn set_bus_master(&mut self, host: &mut dyn Host, function: PciFn, on: bool) {
        if let Some(pci) = self.state.pci.get_mut(usize::from(function.0)) {
            pci.bus_master = on;
            host.schedule();
        }
    }

    /// Returns the whole state as bytes.
    pub fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes over a state that a device of the same set-up saved. [`Self::run`] must be scheduled
    /// afterwards.
    ///
    /// # Errors
    ///
    /// Refuses what is not such a state, and then is as it was before.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), LoadError> {
        let _ = bytes;
        Err(LoadError::Magic)
    }

    /// Returns the function in a slot, if it is provisioned.
    pub(crate) fn function(&self, slot: Slot) -> Option<&Function> {
        self.state.functions[slot.index()].as_deref()
    }

    /// Stops the admin queue of a PCI function after an error.
    pub(crate) fn fail_admin(&mut self, host: &mut dyn Host, function: PciFn, error: AdminError) {
        self.state.pci[usize::from(function.0)].admin.fail(error);
        host.trace(&Trace::AdminQueue {
            function,
            enabled: false,
            error: error.0,
        });
    }

    /// Takes note that a driver turned the admin queue of a PCI function on or off.
    pub(crate) fn driver_came_or_went(&mut self, host: &mut dyn Host, function: PciFn) {
        let _ = host;
        let running = self.state.pci[usize::from(function.0)]
            .admin
            .running
            .is_some();
        let slot = Slot::of_pci(function);
        if let Some(function) =
            slot.and_then(|slot| self.state.functions[slot.index()].as_deref_mut())
        {
            function.state = if running {
                FunctionState::IN_USE
            } else {
                FunctionState::ACTIVE
            };
        }
    }
}

impl State {
    /// Returns the state after power-on: the PF alone.
    fn power_on(config: &Config, script: &Script) -> Self {
        let mut functions: Vec<_> = (0..SLOTS).map(|_| None).collect();
        functions[Slot::PF.index()] = Some(Box::new(Function::new(Mac(config.mac))));
        let mut faults = Faults::default();
        for fault in script.faults() {
            // PANIC: a script is no longer than what can be armed.
            faults.arm(*fault).expect("script too long");
        }
        Self {
            functions,
            pci: (0..=config.max_vfs)
                .map(|_| PciFunction::default())
                .collect(),
            faults,
            uplink_up: false,
            hung_at: None,
            vanished: false,
        }
    }
}
