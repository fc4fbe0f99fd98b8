// SPDX-License-Identifier: GPL-2.0

//! How VFs and SFs are provisioned: what they are given, and their way from absent to active.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    ConfigureFunction,
    EswitchMode,
    FunctionCaps,
    FunctionFields, //
};
use ferrite_abi::event::FunctionState;
use ferrite_abi::ids::{
    FunctionId,
    FunctionKind, //
};

use crate::config::Config;
use crate::device::Device;
use crate::function::Function;
use crate::host::{
    Host,
    PciFn, //
};
use crate::mac::Mac;
use crate::rates::Rates;
use crate::save::{
    saved,
    LoadError, //
};
use crate::slot::Slot;

/// What a VF may be able to do.
const VF_CAPS: FunctionCaps = FunctionCaps::MIGRATABLE
    .with(FunctionCaps::ROCE)
    .with(FunctionCaps::TRUSTED)
    .with(FunctionCaps::SPOOF_CHECK)
    .with(LINK);
/// What an SF may be able to do.
const SF_CAPS: FunctionCaps = FunctionCaps::ROCE
    .with(FunctionCaps::TRUSTED)
    .with(FunctionCaps::SPOOF_CHECK)
    .with(LINK);
/// What says how the link is, which can be but one of them.
const LINK: FunctionCaps = FunctionCaps::LINK_UP.with(FunctionCaps::LINK_DOWN);
/// All that `mask` may name.
const FIELDS: FunctionFields = FunctionFields::MAC
    .with(FunctionFields::CAPS)
    .with(FunctionFields::MAX_EQS)
    .with(FunctionFields::VECTORS)
    .with(FunctionFields::VLAN);
/// Largest number of a VLAN.
pub(crate) const MAX_VLAN: u16 = 4094;
/// Vectors without which a PCI function is of no use: that of the admin queue and one for packets.
const MIN_VECTORS: u16 = 2;

/// What a function is given, and has after a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Provision {
    pub(crate) mac: Mac,
    pub(crate) caps: FunctionCaps,
    /// Completion vectors, and so queue pairs, at most.
    pub(crate) max_eqs: u16,
    /// MSI-X vectors of a PCI function; 0 for others.
    pub(crate) vectors: u16,
    /// VLAN in legacy mode, 0 for none.
    pub(crate) vlan: u16,
    /// Number that users know an SF by.
    pub(crate) sfnum: u32,
}

saved!(Provision {
    mac,
    caps,
    max_eqs,
    vectors,
    vlan,
    sfnum
});

impl Provision {
    /// Returns what the function in a slot comes with.
    pub(crate) fn new(config: &Config, slot: Slot) -> Self {
        let pf = Mac(config.mac);
        let id = slot.id();
        let (mac, caps, vectors) = match id.kind() {
            Some(FunctionKind::Vf(index)) => (
                pf.derived(1 + index),
                FunctionCaps::SPOOF_CHECK,
                config.vf_vectors,
            ),
            Some(FunctionKind::Sf(_)) => (pf.of_sf(id), FunctionCaps::SPOOF_CHECK, 0),
            Some(FunctionKind::VfRepresentor(_) | FunctionKind::SfRepresentor(_)) => {
                (pf.of_representor(id), FunctionCaps::TRUSTED, 0)
            }
            Some(FunctionKind::Pf) | None => (pf, FunctionCaps::TRUSTED, config.pf_vectors),
        };
        Self {
            mac,
            caps,
            max_eqs: config.num_queues,
            vectors,
            vlan: 0,
            sfnum: 0,
        }
    }

    /// Returns how many queues of each kind the function in a slot has with this: no more than
    /// there are vectors, one of which is that of the admin queue.
    pub(crate) fn queues(&self, config: &Config, slot: Slot) -> u16 {
        let vectors = if slot.is_vf() {
            self.vectors
        } else {
            config.pf_vectors
        };
        config
            .num_queues
            .min(self.max_eqs)
            .min(vectors.saturating_sub(1))
            .max(1)
    }

    /// Returns this with what a command changes of it.
    fn changed(
        mut self,
        command: &ConfigureFunction,
        config: &Config,
        slot: Slot,
    ) -> Result<Self, Status> {
        let fields = FunctionFields(command.mask.get());
        let names = |field| fields.contains(field);
        if !FIELDS.contains(fields) || names(FunctionFields::VECTORS) && !slot.is_vf() {
            return Err(Status::INVALID_FIELD);
        }
        if names(FunctionFields::MAC) {
            self.mac = Mac(command.mac);
        }
        if names(FunctionFields::CAPS) {
            self.caps = FunctionCaps(command.caps.get());
        }
        if names(FunctionFields::MAX_EQS) {
            self.max_eqs = command.max_eqs.get();
        }
        if names(FunctionFields::VECTORS) {
            self.vectors = command.vectors.get();
        }
        if names(FunctionFields::VLAN) {
            self.vlan = command.vlan.get();
        }
        if self.is_possible(config, slot) {
            Ok(self)
        } else {
            Err(Status::INVALID_FIELD)
        }
    }

    /// Returns whether the function in a slot can be provisioned like this.
    fn is_possible(&self, config: &Config, slot: Slot) -> bool {
        let caps = if slot.is_vf() { VF_CAPS } else { SF_CAPS };
        let vectors = if slot.is_vf() {
            (MIN_VECTORS..=config.max_vf_vectors()).contains(&self.vectors)
        } else {
            self.vectors == 0
        };
        self.mac.is_station()
            && caps.contains(self.caps)
            && !self.caps.contains(LINK)
            && (1..=config.num_queues).contains(&self.max_eqs)
            && vectors
            && self.vlan <= MAX_VLAN
            && (slot.is_sf() || self.sfnum == 0)
    }

    /// Checks what was loaded for a slot.
    pub(crate) fn check(&self, config: &Config, slot: Slot) -> Result<(), LoadError> {
        let possible = if slot.is_vf() || slot.is_sf() {
            self.is_possible(config, slot)
        } else {
            // Another address is no other set-up.
            let mac = self.mac;
            let expected = Self::new(config, slot);
            mac.is_station() && *self == Self { mac, ..expected }
        };
        if possible {
            Ok(())
        } else {
            Err(LoadError::Invalid("provision of a function"))
        }
    }
}

impl Device {
    /// Returns the number of MSI-X vectors of a PCI function.
    pub(crate) fn vectors(&self, function: PciFn) -> u16 {
        let there = Slot::of_pci(function).and_then(|slot| self.function(slot));
        there.map_or(self.config.vectors(function), |function| {
            function.provision.vectors
        })
    }

    /// Provisions a function in an empty slot.
    pub(crate) fn provision(&mut self, host: &mut dyn Host, slot: Slot, state: FunctionState) {
        self.provision_as(host, slot, state, Provision::new(&self.config, slot));
    }

    fn provision_as(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        state: FunctionState,
        provision: Provision,
    ) {
        let function = Function::new(state, provision, provision.queues(&self.config, slot));
        self.state
            .switch
            .plug(slot, &function.port, function.is_trusted());
        self.state.functions[slot.index()] = Some(Box::new(function));
        self.tell_state(host, slot);
        self.represent(host, slot);
    }

    /// Ends the function in a slot, if there is one.
    pub(crate) fn end(&mut self, host: &mut dyn Host, slot: Slot) {
        if self.function(slot).is_none() {
            return;
        }
        self.end_migration_of(slot);
        self.clear_function(slot);
        self.unplug(slot);
        self.tell_vectors(host, slot, self.config.vectors(slot.pci()));
        self.state.functions[slot.index()] = None;
        self.state.rates.remove(slot);
        self.forget_function(host, slot);
        self.tell_state(host, slot);
    }

    /// Ends all that lives on the PF, which is reset.
    pub(crate) fn end_all_on_pf(&mut self, host: &mut dyn Host) {
        self.end_migrations(host);
        self.set_mode(host, EswitchMode::LEGACY);
        for slot in Slot::sfs() {
            self.end(host, slot);
        }
        self.state.vf_policy = FunctionState::ACTIVE;
        self.state.rates = Rates::default();
        // What waited for its turn is free to go.
        for slot in Slot::vfs() {
            self.look_at_queues(slot);
        }
        host.schedule();
    }

    /// Provisions an SF. Returns its id.
    pub(crate) fn create_sf(
        &mut self,
        host: &mut dyn Host,
        sfnum: u32,
    ) -> Result<FunctionId, Status> {
        let count = self.config.max_sfs;
        // From the one that follows the last that was given out, so that an id rests for long.
        let free = (0..count).find_map(|n| {
            let index = (self.state.next_sf + n) % count;
            let slot = Slot::of(FunctionId::sf(index)?)?;
            self.function(slot).is_none().then_some((index, slot))
        });
        let (index, slot) = free.ok_or(Status::NO_RESOURCE)?;
        self.state.next_sf = (index + 1) % count;
        let provision = Provision {
            sfnum,
            ..Provision::new(&self.config, slot)
        };
        self.provision_as(host, slot, FunctionState::INACTIVE, provision);
        Ok(slot.id())
    }

    /// Changes how a VF or SF is provisioned.
    pub(crate) fn configure(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        command: &ConfigureFunction,
    ) -> Result<(), Status> {
        let function = self.function(slot).ok_or(Status::INVALID_FUNCTION)?;
        let before = function.provision;
        // Queues of a VF outlive its admin queue.
        let in_use = function.state == FunctionState::IN_USE || function.queues().next().is_some();
        let after = before.changed(command, &self.config, slot)?;
        let link = self.link_of(slot);
        if after.vectors != before.vectors {
            if in_use {
                return Err(Status::BAD_STATE);
            }
            if self.vf_vectors_but(slot) + u32::from(after.vectors) > self.config.total_vf_vectors()
            {
                return Err(Status::NO_RESOURCE);
            }
        }
        self.tell_vectors(host, slot, after.vectors);
        if let Some(function) = self.function_mut(slot) {
            function.provision = after;
        }
        if in_use {
            // The switch learns whether it is trusted.
            self.change_port(slot, |_| {});
            if self.link_of(slot) != link {
                self.link_changed(host, slot);
            }
        } else {
            self.clear_function(slot);
        }
        Ok(())
    }

    /// Returns how many vectors the VFs have that are there, without one of them.
    fn vf_vectors_but(&self, slot: Slot) -> u32 {
        Slot::vfs()
            .filter(|vf| *vf != slot)
            .filter_map(|vf| self.function(vf))
            .map(|vf| u32::from(vf.provision.vectors))
            .sum()
    }

    /// Tells the host how many vectors a VF is going to have, if that changes.
    fn tell_vectors(&mut self, host: &mut dyn Host, slot: Slot, vectors: u16) {
        let changes = |function: &Function| function.provision.vectors != vectors;
        if slot.is_vf() && self.function(slot).is_some_and(changes) {
            host.set_vectors(slot.pci(), vectors);
        }
    }

    /// Activates or deactivates a VF or SF.
    pub(crate) fn set_active(&mut self, host: &mut dyn Host, slot: Slot, active: bool) {
        let now = self.now;
        if !active {
            self.end_migration_of(slot);
        }
        let Some(function) = self.function_mut(slot) else {
            return;
        };
        let was_active = function.state != FunctionState::INACTIVE;
        if was_active == active {
            return;
        }
        function.state = if active {
            FunctionState::ACTIVE
        } else {
            FunctionState::INACTIVE
        };
        self.clear_function(slot);
        if slot.is_vf() {
            let pci = &mut self.state.pci[slot.index()];
            // A reset that is under way goes on.
            pci.reset(pci.reset_until.max(now));
        }
        self.tell_state(host, slot);
    }

    /// Takes an SF into use, or lets go of it.
    pub(crate) fn attach(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        attach: bool,
    ) -> Result<(), Status> {
        let function = self.function_mut(slot).ok_or(Status::INVALID_FUNCTION)?;
        let needed = if attach {
            FunctionState::ACTIVE
        } else {
            FunctionState::IN_USE
        };
        if function.state != needed {
            return Err(Status::BAD_STATE);
        }
        if attach {
            function.state = FunctionState::IN_USE;
        } else {
            self.clear_function(slot);
        }
        self.tell_state(host, slot);
        Ok(())
    }
}
