// SPDX-License-Identifier: GPL-2.0

//! VFs that move to another device: suspended, saved, loaded, resumed.
//!
//! A suspended function keeps its [`State`](crate::state::State); what it may not do meanwhile is held
//! back where it would be done: DMA and interrupts by [`Device::can_move_packets`] and the admin
//! queue, changes of registers by [`Device::holds_back`]. What the driver would have been told is made up for when
//! the function resumes.

mod loading;
mod records;
mod saving;

use std::collections::BTreeSet;

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    FunctionCaps,
    LoadVerdict,
    MigrationActivity,
    MigrationCaps,
    MigrationInfo,
    QuerySaveDone,
    Rate,
    SavePass,
    SuspendLevel,
    MAX_LOG_PAGE_SHIFT,
    MAX_LOG_RANGES,
    MIN_LOG_PAGE_SHIFT, //
};
use ferrite_abi::event::{
    FunctionState,
    LinkChange,
    SaveChange, //
};
use ferrite_abi::ids::FunctionId;
use ferrite_abi::mig::{
    OLDEST_STREAM,
    STREAM_VERSION, //
};
use ferrite_abi::regs::{
    AdminCqHead,
    AdminSqTail,
    EventHead,
    Register, //
};
use ferrite_abi::wire::{
    U16,
    U32, //
};

use crate::config::Config;
use crate::device::Device;
use crate::dirty;
use crate::function::Function;
use crate::host::{
    Host,
    PciFn,
    Trace, //
};
use crate::mac::Mac;
use crate::migration::loading::Loading;
use crate::migration::saving::Saving;
use crate::queue::{
    Kind,
    Queue, //
};
use crate::save::{
    saved,
    LoadError, //
};
use crate::slot::Slot;

/// Length of a UUID in bytes.
pub(crate) const UUID: usize = 16;

/// Writes of registers that are carried out once the function may change: the last of each.
#[derive(Debug, Default)]
struct Latched {
    sq_tail: Option<u32>,
    cq_head: Option<u32>,
    event_head: Option<u32>,
}

saved!(Latched {
    sq_tail,
    cq_head,
    event_head
});

/// What came with a stream of what a function is provisioned with.
#[derive(Clone, Copy, Debug)]
struct Brought {
    mac: Mac,
    vlan: u16,
    rate: Rate,
}

saved!(Brought { mac, vlan, rate });

/// What a PCI function has to do with its migration.
#[derive(Debug, Default)]
pub(crate) struct Migration {
    level: SuspendLevel,
    latched: Latched,
    /// Whether there was an event that the driver was not told of.
    missed_event: bool,
    /// Vectors that are raised when it resumes.
    owed: BTreeSet<u16>,
    saving: Option<Box<Saving>>,
    loading: Option<Box<Loading>>,
    /// Identity that came with a stream; until then it follows from that of the board.
    uuid: Option<[u8; UUID]>,
    /// What else came with it.
    brought: Option<Brought>,
    /// Id that the driver knows the function by, if it is not its own.
    known_as: Option<u16>,
}

saved!(Migration {
    level,
    latched,
    missed_event,
    owed,
    saving,
    loading,
    uuid,
    brought,
    known_as
});

impl Migration {
    /// Forgets all but the identity, as a reset does.
    fn reset(&mut self) {
        *self = Self {
            uuid: self.uuid,
            brought: self.brought,
            ..Self::default()
        };
    }

    /// Returns whether the function is suspended in any way.
    pub(crate) fn is_suspended(&self) -> bool {
        self.level != SuspendLevel::RUNNING
    }

    /// Returns whether there is nothing to forget.
    fn is_idle(&self) -> bool {
        self.level == SuspendLevel::RUNNING && self.saving.is_none() && self.loading.is_none()
    }

    /// Checks what was loaded; `vectors` is the number that the function has, `may_move` whether it may
    /// be migrated.
    pub(crate) fn check(&self, vectors: u16, may_move: bool) -> Result<(), LoadError> {
        let levels = [
            SuspendLevel::RUNNING,
            SuspendLevel::INITIATOR,
            SuspendLevel::FULL,
        ];
        let full = self.level == SuspendLevel::FULL;
        let latches = self.latched.sq_tail.is_some()
            || self.latched.cq_head.is_some()
            || self.latched.event_head.is_some();
        let good = levels.contains(&self.level)
            && (may_move || self.is_idle())
            && (full || self.loading.is_none() && !latches)
            && (self.loading.is_none() || self.saving.is_none())
            && self.owed.last().is_none_or(|last| *last < vectors);
        if !good {
            return Err(LoadError::Invalid("migration"));
        }
        if let Some(saving) = &self.saving {
            saving.check()?;
        }
        self.loading
            .as_ref()
            .map_or(Ok(()), |loading| loading.check())
    }
}

/// Returns the UUID that a function of a board has unless it came with another.
fn uuid_of(config: &Config, function: PciFn) -> [u8; UUID] {
    let mut uuid = config.uuid;
    let [high, low] = function.0.to_be_bytes();
    uuid[14] ^= high;
    uuid[15] ^= low;
    // A version that says nothing of how it was made, and the variant of RFC 9562.
    uuid[6] = uuid[6] & 0x0f | 0x80;
    uuid[8] = uuid[8] & 0x3f | 0x80;
    uuid
}

impl Device {
    /// Returns what a PCI function has to do with its migration.
    fn migration(&self, slot: Slot) -> &Migration {
        // PANIC: there is one for each PCI function, and a slot has one that is there.
        &self.state.migrations[usize::from(slot.pci().0)]
    }

    fn migration_mut(&mut self, slot: Slot) -> &mut Migration {
        // PANIC: as for `migration`.
        &mut self.state.migrations[usize::from(slot.pci().0)]
    }

    /// Returns the id that the driver of a PCI function knows it by.
    pub(crate) fn known_as(&self, function: PciFn) -> FunctionId {
        let migration = self.state.migrations.get(usize::from(function.0));
        let other = migration.and_then(|migration| migration.known_as);
        FunctionId(other.unwrap_or(function.0))
    }

    /// Returns how far a function is suspended.
    pub(crate) fn level(&self, slot: Slot) -> SuspendLevel {
        let migration = self.state.migrations.get(usize::from(slot.pci().0));
        migration.map_or(SuspendLevel::RUNNING, |migration| migration.level)
    }

    /// Returns whether a function may begin DMA, as far as that is up to its migration.
    pub(crate) fn may_initiate(&self, slot: Slot) -> bool {
        self.level(slot) == SuspendLevel::RUNNING
    }

    /// Returns whether anything goes on about a function that its configuration must fit to.
    pub(crate) fn is_migrating(&self, slot: Slot) -> bool {
        !self.migration(slot).is_idle() || self.state.logs.has(slot.pci())
    }

    /// Takes note of an event that the driver of a PCI function is not told of, as the function is
    /// suspended. Returns whether that is so.
    pub(crate) fn misses_event(&mut self, function: PciFn) -> bool {
        let Some(migration) = self.state.migrations.get_mut(usize::from(function.0)) else {
            return false;
        };
        let suspended = migration.level != SuspendLevel::RUNNING;
        migration.missed_event |= suspended;
        suspended
    }

    /// Returns the function whose migration a PCI function has registers for: itself, if it is a VF of a device that
    /// has these, and may be moved.
    pub(crate) fn controls(&self, function: PciFn) -> Option<Slot> {
        let slot = Slot::of_pci(function)
            .filter(|_| self.config.vf_controls && function.vf_index().is_some())?;
        let movable = |caps: FunctionCaps| caps.contains(FunctionCaps::MIGRATABLE);
        self.function(slot)
            .is_some_and(|function| movable(function.provision.caps))
            .then_some(slot)
    }

    /// Suspends or resumes a function whose own register was written. What cannot be done has no effect.
    pub(crate) fn go_to_level(&mut self, host: &mut dyn Host, slot: Slot, level: SuspendLevel) {
        let now = self.level(slot);
        let _ = if level.0 < now.0 {
            self.resume(host, slot, level)
        } else {
            self.suspend(host, slot, level)
        };
    }

    /// Takes a write of a register of a function that must not change. Returns whether it is one.
    pub(crate) fn holds_back(&mut self, function: PciFn, offset: u32, value: u32) -> bool {
        let Some(migration) = self.state.migrations.get_mut(usize::from(function.0)) else {
            return false;
        };
        if migration.level != SuspendLevel::FULL {
            return false;
        }
        let latched = &mut migration.latched;
        match offset {
            AdminSqTail::OFFSET => latched.sq_tail = Some(value),
            AdminCqHead::OFFSET => latched.cq_head = Some(value),
            EventHead::OFFSET => latched.event_head = Some(value),
            // All others would change it at once.
            _ => {}
        }
        true
    }

    /// Forgets what goes on about a function, as its reset from outside does. The log of its writes
    /// stays: what was written was written.
    pub(crate) fn reset_migration(&mut self, function: PciFn) {
        if let Some(migration) = self.state.migrations.get_mut(usize::from(function.0)) {
            migration.reset();
        }
    }

    /// Forgets all of a function's migration, which is deactivated or gone.
    pub(crate) fn end_migration_of(&mut self, slot: Slot) {
        if !slot.is_vf() {
            return;
        }
        let function = slot.pci();
        if let Some(migration) = self.state.migrations.get_mut(usize::from(function.0)) {
            *migration = Migration::default();
        }
        self.state.logs.stop(function);
    }

    /// Ends the migration of all VFs, as nobody is left who would. A function that is suspended is
    /// reset: it must not go on where nobody watches it.
    pub(crate) fn end_migrations(&mut self, host: &mut dyn Host) {
        for slot in Slot::vfs() {
            let function = slot.pci();
            if self.slot_of(function).is_some() && self.is_migrating(slot) {
                if self.level(slot) != SuspendLevel::RUNNING {
                    self.reset_function(host, function);
                }
                self.reset_migration(function);
                self.state.logs.stop(function);
            }
        }
    }

    /// Tells what there is to know about a function's migration.
    pub(crate) fn migration_info(&mut self, host: &mut dyn Host, slot: Slot) -> MigrationInfo {
        let state_size = self.full_size(host, slot);
        let migration = self.migration(slot);
        let flag =
            |set: bool, flag: MigrationActivity| if set { flag } else { MigrationActivity(0) };
        let activity = flag(migration.saving.is_some(), MigrationActivity::SAVING)
            .with(flag(
                migration.loading.is_some(),
                MigrationActivity::LOADING,
            ))
            .with(flag(
                self.state.logs.has(slot.pci()),
                MigrationActivity::LOGGING,
            ));
        let controls = if self.config.vf_controls {
            MigrationCaps::VF_CONTROLS
        } else {
            MigrationCaps(0)
        };
        MigrationInfo {
            uuid: self.uuid(slot),
            stream_version: U16::new(STREAM_VERSION),
            oldest_version: U16::new(OLDEST_STREAM),
            caps: U16::new(
                MigrationCaps::P2P
                    .with(MigrationCaps::PRE_COPY)
                    .with(MigrationCaps::DIRTY_LOG)
                    .with(controls)
                    .0,
            ),
            level: U16::new(migration.level.0),
            activity: U16::new(activity.0),
            // CAST: a small constant.
            max_ranges: U16::new(MAX_LOG_RANGES as u16),
            min_page_shift: MIN_LOG_PAGE_SHIFT,
            max_page_shift: MAX_LOG_PAGE_SHIFT,
            max_runs: U32::new(dirty::MAX_RUNS),
            state_size: U32::new(state_size),
            ..MigrationInfo::default()
        }
    }

    /// Returns the identity of a function.
    fn uuid(&self, slot: Slot) -> [u8; UUID] {
        let own = || uuid_of(&self.config, slot.pci());
        self.migration(slot).uuid.unwrap_or_else(own)
    }

    /// Suspends a function further.
    pub(crate) fn suspend(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        level: SuspendLevel,
    ) -> Result<(), Status> {
        if ![SuspendLevel::INITIATOR, SuspendLevel::FULL].contains(&level) {
            return Err(Status::INVALID_FIELD);
        }
        self.check_movable(slot)?;
        if self.level(slot) > level {
            return Err(Status::BAD_STATE);
        }
        if self.level(slot) == SuspendLevel::RUNNING {
            self.quiesce(host, slot);
        }
        self.set_level(host, slot, level);
        Ok(())
    }

    /// Takes suspension back.
    pub(crate) fn resume(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        level: SuspendLevel,
    ) -> Result<(), Status> {
        if ![SuspendLevel::INITIATOR, SuspendLevel::RUNNING].contains(&level) {
            return Err(Status::INVALID_FIELD);
        }
        let migration = self.migration(slot);
        let saved = migration
            .saving
            .as_ref()
            .is_some_and(|saving| saving.is_final());
        if migration.level <= level {
            return Ok(());
        }
        if migration.loading.is_some() || saved {
            return Err(Status::BAD_STATE);
        }
        let was_full = migration.level == SuspendLevel::FULL;
        self.set_level(host, slot, level);
        if was_full {
            self.ring_latched(host, slot);
        }
        if level == SuspendLevel::RUNNING {
            self.wake(host, slot);
        }
        Ok(())
    }

    /// Returns that a function is not active, if so.
    pub(crate) fn check_active(&self, slot: Slot) -> Result<(), Status> {
        let active = |function: &Function| function.state != FunctionState::INACTIVE;
        if self.function(slot).is_some_and(active) {
            Ok(())
        } else {
            Err(Status::BAD_STATE)
        }
    }

    /// Returns why a function cannot be moved as it is: it is not active, or it is a virtio-net device,
    /// whose state no stream holds.
    fn check_movable(&self, slot: Slot) -> Result<(), Status> {
        self.check_active(slot)?;
        let is_virtio = |function: &Function| function.virtio.is_some();
        if self.function(slot).is_some_and(is_virtio) {
            return Err(Status::NOT_SUPPORTED);
        }
        Ok(())
    }

    fn set_level(&mut self, host: &mut dyn Host, slot: Slot, level: SuspendLevel) {
        let migration = self.migration_mut(slot);
        if migration.level != level {
            migration.level = level;
            host.trace(&Trace::Suspended {
                function: slot.pci(),
                level: level.0,
            });
        }
    }

    /// Ends what a function has begun: segments that wait for others are handed over, completions
    /// are written, interrupts that wait for their time are raised.
    fn quiesce(&mut self, host: &mut dyn Host, slot: Slot) {
        self.timers.cancel(|timer| timer.owner() == Some(slot));
        self.work.remove(slot);
        self.pending.remove(slot);
        self.state.rates.stop(slot);
        let usable = self.can_move_packets(slot);
        let queues = self.function(slot).map_or(0, |function| function.rx.len());
        // CAST: no more queues than a number of 16 bits was asked for.
        for index in 0..queues as u16 {
            self.quiesce_rx(host, slot, index, usable);
            for kind in [Kind::Tx, Kind::Rx] {
                self.see_to_interrupt(host, slot, kind, index, usable, Queue::interrupt_now);
            }
        }
        if let Err(addr) = self.complete_all_commands(host, slot.pci()) {
            self.admin_fault(host, slot.pci(), addr);
        }
    }

    /// Carries out the writes that were held back.
    fn ring_latched(&mut self, host: &mut dyn Host, slot: Slot) {
        let latched = std::mem::take(&mut self.migration_mut(slot).latched);
        for (offset, value) in [
            (AdminCqHead::OFFSET, latched.cq_head),
            (AdminSqTail::OFFSET, latched.sq_tail),
            (EventHead::OFFSET, latched.event_head),
        ] {
            if let Some(value) = value {
                self.set_register(host, slot.pci(), offset, value);
            }
        }
    }

    /// Has a function do what it could not while it was suspended, and tells its driver what that was
    /// not told.
    fn wake(&mut self, host: &mut dyn Host, slot: Slot) {
        let migration = self.migration_mut(slot);
        let missed = std::mem::take(&mut migration.missed_event);
        let owed = std::mem::take(&mut migration.owed);
        for vector in owed {
            self.bus(host, slot.pci()).raise(vector);
        }
        let used = |function: &Function| function.state == FunctionState::IN_USE;
        if missed && self.function(slot).is_some_and(used) {
            // Whatever it was: the gap in the numbers tells that there was something.
            let (speed, up) = self.link_of(slot);
            self.skip_event(slot.pci());
            let change = LinkChange {
                speed: U32::new(speed),
                up: up.into(),
                rsvd: [0; 3],
            };
            self.post_event(host, slot.pci(), slot.id(), change);
        }
        self.look_at_queues(slot);
        host.schedule();
    }

    /// Begins to save a function, or goes on. Returns the length of the part.
    pub(crate) fn begin_save(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        pass: SavePass,
        version: u16,
    ) -> Result<u32, Status> {
        let last = match pass {
            SavePass::SETUP => false,
            SavePass::FINAL => true,
            _ => return Err(Status::INVALID_FIELD),
        };
        let version = if version == 0 {
            STREAM_VERSION
        } else {
            version
        };
        if !(OLDEST_STREAM..=STREAM_VERSION).contains(&version) {
            return Err(Status::NOT_SUPPORTED);
        }
        self.check_movable(slot)?;
        let migration = self.migration(slot);
        let frozen = migration.level == SuspendLevel::FULL;
        if migration.loading.is_some() || last && !frozen {
            return Err(Status::BAD_STATE);
        }
        let may_go_on = |saving: &Saving| saving.may_go_on(version);
        if migration
            .saving
            .as_deref()
            .is_some_and(|saving| !may_go_on(saving))
        {
            return Err(Status::BAD_STATE);
        }
        let begun = self.migration_mut(slot).saving.take();
        let mut saving = begun.unwrap_or_else(|| Box::new(Saving::new(version)));
        let length = saving.pass(&self.records(host, slot, version), last);
        self.migration_mut(slot).saving = Some(saving);
        Ok(length)
    }

    /// Returns the bytes that saving a function from nothing would take.
    fn full_size(&mut self, host: &mut dyn Host, slot: Slot) -> u32 {
        let mut saving = Saving::new(STREAM_VERSION);
        saving.pass(&self.records(host, slot, STREAM_VERSION), true)
    }

    /// Tells how much there is to save of a function.
    pub(crate) fn query_save(&mut self, host: &mut dyn Host, slot: Slot) -> QuerySaveDone {
        let full = self.full_size(host, slot);
        let own = Saving::new(STREAM_VERSION);
        let saving = self.migration(slot).saving.as_deref().unwrap_or(&own);
        let answer = saving.query(&self.records(host, slot, saving.version()));
        if let Some(saving) = self.saving(slot) {
            saving.told(answer.dirty.get() > 0);
        }
        QuerySaveDone {
            full: U32::new(full),
            ..answer
        }
    }

    /// Sees to a function whose set-up may have changed: tells the PF if it waits for something to save.
    pub(crate) fn setup_changed(&mut self, host: &mut dyn Host, slot: Slot) {
        let waits = |saving: &&Saving| saving.waits();
        if !slot.is_vf() {
            return;
        }
        let Some(saving) = self.migration(slot).saving.as_deref().filter(waits) else {
            return;
        };
        let records = self.records(host, slot, saving.version());
        if saving.query(&records).dirty.get() == 0 {
            return;
        }
        if let Some(saving) = self.saving(slot) {
            saving.told(true);
        }
        self.post_event(host, PciFn::PF, slot.id(), SaveChange {});
    }

    /// Returns the saving of a function that is under way.
    pub(crate) fn saving(&mut self, slot: Slot) -> Option<&mut Saving> {
        self.migration_mut(slot).saving.as_deref_mut()
    }

    /// Ends saving.
    pub(crate) fn end_save(&mut self, slot: Slot) {
        self.migration_mut(slot).saving = None;
    }

    /// Begins to load a function.
    pub(crate) fn begin_load(&mut self, slot: Slot) -> Result<(), Status> {
        self.check_movable(slot)?;
        let migration = self.migration(slot);
        if migration.level != SuspendLevel::FULL || migration.saving.is_some() {
            return Err(Status::BAD_STATE);
        }
        self.migration_mut(slot).loading = Some(Box::default());
        Ok(())
    }

    /// Takes a piece of the stream that a function is loaded with.
    pub(crate) fn write_load(
        &mut self,
        slot: Slot,
        offset: u64,
        piece: &[u8],
    ) -> Result<LoadVerdict, Status> {
        let places = self
            .function(slot)
            .map_or(0, |function| function.provision.queues(&self.config, slot));
        let ours = self.stream_header(slot, STREAM_VERSION, places);
        let loading = self.migration_mut(slot).loading.as_deref_mut();
        let loading = loading.ok_or(Status::BAD_STATE)?;
        loading
            .write(offset, piece, &ours)
            .ok_or(Status::INVALID_FIELD)
    }

    /// Ends loading, and has the function be what was loaded if that is wanted and good.
    pub(crate) fn end_load(
        &mut self,
        host: &mut dyn Host,
        slot: Slot,
        commit: bool,
    ) -> Result<LoadVerdict, Status> {
        let loading = self.migration_mut(slot).loading.take();
        if !commit {
            return Ok(loading.map_or_else(LoadVerdict::default, |loading| loading.verdict()));
        }
        let loading = loading.ok_or(Status::BAD_STATE)?;
        Ok(self.commit(host, slot, *loading))
    }
}
