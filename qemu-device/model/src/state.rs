// SPDX-License-Identifier: GPL-2.0

//! What is saved of a device.

use ferrite_abi::event::FunctionState;
use ferrite_abi::ids::FunctionKind;

use crate::config::Config;
use crate::faults::{
    Faults,
    Script, //
};
use crate::function::Function;
use crate::host::PciFn;
use crate::mac::Mac;
use crate::pci::PciFunction;
use crate::save::{
    saved,
    LoadError,
    Reader,
    Saved,
    Writer,
    MAGIC,
    SAVE_VERSION, //
};
use crate::slot::{
    Slot,
    SLOTS, //
};
use crate::switch::Switch;

/// The state of a device: all of it that does not follow from the rest.
#[derive(Debug)]
pub(crate) struct State {
    /// The functions, by slot.
    pub(crate) functions: Vec<Option<Box<Function>>>,
    /// The PCI functions, those of VFs that are off included.
    pub(crate) pci: Vec<PciFunction>,
    pub(crate) switch: Switch,
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
    switch,
    faults,
    uplink_up,
    hung_at,
    vanished
});

/// What two devices must have in common to take over each other's state.
#[derive(Debug, PartialEq, Eq)]
struct Setup {
    num_queues: u16,
    max_vfs: u16,
    max_sfs: u16,
    pf_vectors: u16,
    vf_vectors: u16,
    faults: bool,
}

saved!(Setup {
    num_queues,
    max_vfs,
    max_sfs,
    pf_vectors,
    vf_vectors,
    faults
});

impl Setup {
    fn of(config: &Config) -> Self {
        Self {
            num_queues: config.num_queues,
            max_vfs: config.max_vfs,
            max_sfs: config.max_sfs,
            pf_vectors: config.pf_vectors,
            vf_vectors: config.vf_vectors,
            faults: config.faults,
        }
    }

    /// Returns what differs, if anything.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        [
            ("number of queues", self.num_queues == other.num_queues),
            ("number of VFs", self.max_vfs == other.max_vfs),
            ("number of SFs", self.max_sfs == other.max_sfs),
            ("number of vectors", self.pf_vectors == other.pf_vectors),
            ("number of VF vectors", self.vf_vectors == other.vf_vectors),
            ("setting of faults", self.faults == other.faults),
        ]
        .into_iter()
        .find_map(|(what, same)| (!same).then_some(what))
    }
}

impl State {
    /// Returns the state after power-on: the PF alone.
    pub(crate) fn power_on(config: &Config, script: &Script) -> Self {
        let mut functions: Vec<_> = (0..SLOTS).map(|_| None).collect();
        let pf = Function::new(Mac(config.mac), config.num_queues_of(PciFn::PF));
        let mut switch = Switch::default();
        switch.plug(Slot::PF, &pf.port);
        functions[Slot::PF.index()] = Some(Box::new(pf));
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
            switch,
            faults,
            uplink_up: false,
            hung_at: None,
            vanished: false,
        }
    }

    /// Writes the state as a stream.
    pub(crate) fn to_bytes(&self, config: &Config) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes(&MAGIC);
        SAVE_VERSION.save(&mut writer);
        Setup::of(config).save(&mut writer);
        self.save(&mut writer);
        writer.finish()
    }

    /// Reads the state from a stream, and checks it.
    pub(crate) fn from_bytes(bytes: &[u8], config: &Config) -> Result<Self, LoadError> {
        let mut reader = Reader::new(bytes);
        if reader.bytes(MAGIC.len())? != MAGIC {
            return Err(LoadError::Magic);
        }
        match u32::load(&mut reader)? {
            SAVE_VERSION => {}
            version => return Err(LoadError::Version(version)),
        }
        if let Some(what) = Setup::load(&mut reader)?.difference(&Setup::of(config)) {
            return Err(LoadError::Setup(what));
        }
        let mut state = Self::load(&mut reader)?;
        reader.finish()?;
        state.check(config)?;
        for slot in (0..SLOTS).filter_map(Slot::from_index) {
            if let Some(function) = state.functions[slot.index()].as_deref() {
                state.switch.plug(slot, &function.port);
            }
        }
        Ok(state)
    }

    /// Checks what was loaded: that each part is possible, and that they fit together.
    fn check(&self, config: &Config) -> Result<(), LoadError> {
        if self.functions.len() != SLOTS || self.pci.len() != 1 + usize::from(config.max_vfs) {
            return Err(LoadError::Invalid("number of functions"));
        }
        if self.functions[Slot::PF.index()].is_none() {
            return Err(LoadError::Invalid("absence of the PF"));
        }
        for slot in (0..SLOTS).filter_map(Slot::from_index) {
            let Some(function) = self.functions[slot.index()].as_deref() else {
                continue;
            };
            let possible = match slot.id().kind() {
                Some(FunctionKind::Pf) => true,
                Some(FunctionKind::Vf(index) | FunctionKind::VfRepresentor(index)) => {
                    index < config.max_vfs
                }
                Some(FunctionKind::Sf(index) | FunctionKind::SfRepresentor(index)) => {
                    index < config.max_sfs
                }
                None => false,
            };
            if !possible || function.state == FunctionState::ABSENT {
                return Err(LoadError::Invalid("function"));
            }
            let pci = slot.pci();
            function.check(slot, config.num_queues_of(pci), config.vectors(pci))?;
        }
        for (function, pci) in (0..).map(PciFn).zip(&self.pci) {
            pci.admin.check()?;
            if let Some(events) = &pci.events {
                events.check(config.vectors(function))?;
            }
        }
        Ok(())
    }
}
