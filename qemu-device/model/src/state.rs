// SPDX-License-Identifier: GPL-2.0

//! What is saved of a device.

use ferrite_abi::cmd::{
    EswitchMode,
    FunctionCaps, //
};
use ferrite_abi::event::FunctionState;
use ferrite_abi::ids::FunctionKind;

use crate::config::Config;
use crate::crash::Trail;
use crate::dirty::DirtyLogs;
use crate::faults::{
    Faults,
    Script, //
};
use crate::firmware::Firmware;
use crate::function::Function;
use crate::host::PciFn;
use crate::migration::Migration;
use crate::pci::PciFunction;
use crate::provision::Provision;
use crate::rates::Rates;
use crate::rules::Rules;
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
use crate::switch::{
    Switch,
    Vport, //
};
use crate::traps::Traps;

/// The state of a device: all of it that does not follow from the rest.
#[derive(Debug)]
pub(crate) struct State {
    /// The functions, by slot.
    pub(crate) functions: Vec<Option<Box<Function>>>,
    /// The PCI functions, those of VFs that are off included.
    pub(crate) pci: Vec<PciFunction>,
    /// What goes on to migrate each of them.
    pub(crate) migrations: Vec<Migration>,
    /// What they write to memory.
    pub(crate) logs: DirtyLogs,
    pub(crate) switch: Switch,
    /// How the switch works.
    pub(crate) mode: EswitchMode,
    /// What it follows unless in legacy mode.
    pub(crate) rules: Rules,
    /// How VFs and SFs share.
    pub(crate) rates: Rates,
    pub(crate) faults: Faults,
    /// What the board keeps whatever happens.
    pub(crate) firmware: Firmware,
    pub(crate) traps: Traps,
    /// What the firmware did last.
    pub(crate) trail: Trail,
    /// The state in which VFs come.
    pub(crate) vf_policy: FunctionState,
    /// Index of the SF that is tried first when one is created.
    pub(crate) next_sf: u16,
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
    migrations,
    logs,
    switch,
    mode,
    rules,
    rates,
    faults,
    firmware,
    traps,
    trail,
    vf_policy,
    next_sf,
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
        let provision = Provision::new(config, Slot::PF);
        let queues = provision.queues(config, Slot::PF);
        let pf = Function::new(FunctionState::ACTIVE, provision, queues);
        let mut switch = Switch::default();
        switch.plug(Slot::PF, &pf.port, pf.is_trusted());
        functions[Slot::PF.index()] = Some(Box::new(pf));
        let mut faults = Faults::default();
        faults.follow(script);
        Self {
            functions,
            pci: (0..=config.max_vfs)
                .map(|_| PciFunction::default())
                .collect(),
            migrations: (0..=config.max_vfs).map(|_| Migration::default()).collect(),
            logs: DirtyLogs::default(),
            switch,
            mode: EswitchMode::LEGACY,
            rules: Rules::default(),
            rates: Rates::default(),
            faults,
            firmware: Firmware::default(),
            traps: Traps::default(),
            trail: Trail::default(),
            vf_policy: FunctionState::ACTIVE,
            next_sf: 0,
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
                state
                    .switch
                    .plug(slot, &function.port, function.is_trusted());
            }
        }
        Ok(state)
    }

    /// Checks what was loaded: that each part is possible, and that they fit together.
    fn check(&self, config: &Config) -> Result<(), LoadError> {
        let pci = 1 + usize::from(config.max_vfs);
        if self.functions.len() != SLOTS || self.pci.len() != pci || self.migrations.len() != pci {
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
            if !possible {
                return Err(LoadError::Invalid("function"));
            }
            function.check(slot, config, self.vectors(slot.pci()))?;
        }
        for (function, pci) in (0..).map(PciFn).zip(&self.pci) {
            pci.admin.check()?;
            if let Some(events) = &pci.events {
                events.check(self.vectors(function))?;
            }
            // An inactive function has none, one that is off has none either.
            let there = Slot::of_pci(function)
                .and_then(|slot| self.functions[slot.index()].as_deref())
                .is_some_and(|function| function.state != FunctionState::INACTIVE);
            if !there && (pci.admin.running.is_some() || pci.events.is_some()) {
                return Err(LoadError::Invalid("queue of an inactive function"));
            }
        }
        let vectors: u32 = Slot::vfs()
            .map(|vf| u32::from(self.vectors(vf.pci())))
            .sum();
        if vectors > config.total_vf_vectors() {
            return Err(LoadError::Invalid("number of vectors"));
        }
        self.firmware.check()?;
        self.traps.check()?;
        self.trail.check()?;
        self.check_migrations()?;
        self.check_switch()?;
        self.rates.check(|slot| {
            (slot.is_vf() || slot.is_sf()) && self.functions[slot.index()].is_some()
        })?;
        let policies = [FunctionState::ACTIVE, FunctionState::INACTIVE];
        if !policies.contains(&self.vf_policy) || self.next_sf >= config.max_sfs.max(1) {
            return Err(LoadError::Invalid("provisioning"));
        }
        Ok(())
    }

    /// Checks that only what can be migrated is.
    fn check_migrations(&self) -> Result<(), LoadError> {
        let may_move = |function: PciFn| {
            let there = Slot::of_pci(function)
                .filter(|slot| slot.is_vf())
                .and_then(|slot| self.functions[slot.index()].as_deref());
            there.is_some_and(|function| {
                function.state != FunctionState::INACTIVE
                    && function.provision.caps.contains(FunctionCaps::MIGRATABLE)
            })
        };
        for (function, migration) in (0..).map(PciFn).zip(&self.migrations) {
            let virtio = Slot::of_pci(function)
                .and_then(|slot| self.functions[slot.index()].as_deref())
                .is_some_and(|function| function.virtio.is_some());
            let suspends = may_move(function) && (!virtio || !migration.is_suspended());
            migration.check(self.vectors(function), suspends)?;
        }
        self.logs.check(may_move)
    }

    /// Checks that representors and rules are those of the mode.
    fn check_switch(&self) -> Result<(), LoadError> {
        let is_there = |slot: Slot| self.functions[slot.index()].is_some();
        let legacy = self.mode == EswitchMode::LEGACY;
        for slot in Slot::vfs().chain(Slot::sfs()) {
            let represented = slot.representor().is_some_and(is_there);
            if represented != (is_there(slot) && !legacy) {
                return Err(LoadError::Invalid("representor"));
            }
        }
        if self.mode.name().is_none() || legacy && self.rules.count() > 0 {
            return Err(LoadError::Invalid("mode of the switch"));
        }
        self.rules.check(|port| match port {
            Vport::Uplink => true,
            Vport::Function(slot) => is_there(slot),
        })
    }

    /// Returns the number of vectors of a PCI function, 0 if it is off.
    fn vectors(&self, function: PciFn) -> u16 {
        Slot::of_pci(function)
            .and_then(|slot| self.functions[slot.index()].as_deref())
            .map_or(0, |function| function.provision.vectors)
    }
}
