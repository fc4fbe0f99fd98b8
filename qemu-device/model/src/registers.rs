// SPDX-License-Identifier: GPL-2.0

//! Register accesses.

use ferrite_abi::bar::PF_DOORBELL_PAGES;
use ferrite_abi::cmd::{
    FaultKind,
    SuspendLevel, //
};
use ferrite_abi::event::{
    FunctionState,
    Syndrome, //
};
use ferrite_abi::regs::{
    AbiVersion,
    Access,
    AdminControl,
    AdminCqBaseHi,
    AdminCqBaseLo,
    AdminCqHead,
    AdminError,
    AdminSize,
    AdminSqBaseHi,
    AdminSqBaseLo,
    AdminSqTail,
    AdminStatus,
    AdminVector,
    Control,
    EventHead,
    FeaturesHi,
    FeaturesLo,
    FirmwareVersion,
    Function,
    Heartbeat,
    Limits,
    Magic,
    MigrationControl,
    Register,
    RegisterInfo,
    Scratch,
    ScratchNot,
    Status,
    SyndromeCode,
    REGISTERS, //
};
use ferrite_abi::ring::Index;

use crate::device::Device;
use crate::host::{
    GuestError,
    Host,
    PciFn,
    Trace, //
};

/// Time between two heartbeats in nanoseconds.
const HEARTBEAT_NS: u64 = 100_000_000;

/// Time without heartbeat after which a watchdog declares the firmware hung, in nanoseconds.
const WATCHDOG_NS: u64 = 5_000_000_000;

impl Device {
    /// Reads a register of a PCI function.
    pub fn reg_read(&mut self, host: &mut dyn Host, function: PciFn, offset: u64, size: u8) -> u64 {
        let all_ones = u64::MAX >> (64 - 8 * u32::from(size.clamp(1, 8)));
        let now = host.now_ns();
        if !self.answers(function, now) {
            return all_ones;
        }
        if size != 4 || offset % 4 != 0 {
            self.blame(host, function, GuestError::RegisterAccess, offset);
            return all_ones;
        }
        let Ok(offset) = u32::try_from(offset) else {
            return 0;
        };
        let value = if offset == MigrationControl::OFFSET {
            let level = self.controls(function).map_or(0, |slot| self.level(slot).0);
            level.into()
        } else {
            self.register(function, offset, now)
        };
        // CAST: registers end below that, and what is past them reads as 0 however it is called.
        let strike = self.strike_at(host, FaultKind::CORRUPT_REGISTER, offset as u16);
        strike.map_or(value, |strike| strike.word(value)).into()
    }

    /// Writes a register of a PCI function.
    pub fn reg_write(
        &mut self,
        host: &mut dyn Host,
        function: PciFn,
        offset: u64,
        size: u8,
        value: u64,
    ) {
        if !self.answers(function, host.now_ns()) {
            return;
        }
        if size != 4 || offset % 4 != 0 {
            return self.blame(host, function, GuestError::RegisterAccess, offset);
        }
        match u32::try_from(offset).ok().and_then(info) {
            Some(info) if info.access != Access::Ro => {
                // CAST: the access is 32 bits wide.
                let value = value as u32 & writable(info);
                if info.offset == MigrationControl::OFFSET {
                    if let Some(slot) = self.controls(function) {
                        // CAST: two bits.
                        self.go_to_level(host, slot, SuspendLevel(value as u16));
                    }
                    return;
                }
                if !self.holds_back(function, info.offset, value) {
                    self.set_register(host, function, info.offset, value);
                }
            }
            _ => self.blame(host, function, GuestError::ReadOnlyRegister, offset),
        }
    }

    /// Returns whether a PCI function answers on the bus.
    fn answers(&self, function: PciFn, now: u64) -> bool {
        let Some(pci) = self.state.pci.get(usize::from(function.0)) else {
            return false;
        };
        !self.state.vanished && self.slot_of(function).is_some() && now >= pci.reset_until
    }

    /// Returns whether a PCI function was activated.
    fn is_active(&self, function: PciFn) -> bool {
        self.slot_of(function)
            .and_then(|slot| self.function(slot))
            .is_some_and(|function| function.state != FunctionState::INACTIVE)
    }

    /// Returns what a register holds.
    fn register(&self, function: PciFn, offset: u32, now: u64) -> u32 {
        let pci = &self.state.pci[usize::from(function.0)];
        let admin = &pci.admin;
        let (features_lo, features_hi) = self.config.features(function).split();
        match offset {
            Magic::OFFSET => Magic::INFO.reset.unwrap_or_default(),
            AbiVersion::OFFSET => ferrite_abi::ABI_VERSION,
            Function::OFFSET => Function(0).with_id(self.known_as(function).0.into()).raw(),
            Limits::OFFSET => Limits(0)
                .with_vectors(self.vectors(function).into())
                .with_doorbell_pages(match function.vf_index() {
                    None => u32::from(PF_DOORBELL_PAGES),
                    Some(_) => 1,
                })
                .raw(),
            FeaturesLo::OFFSET => features_lo.raw(),
            FeaturesHi::OFFSET => features_hi.raw(),
            Status::OFFSET => {
                let well = self.syndrome(function, now) == Syndrome::NONE;
                Status(0)
                    .with_ready((well && self.is_active(function)).into())
                    .with_fatal((!well).into())
                    .raw()
            }
            Heartbeat::OFFSET => {
                let lived = self.state.hung_at.unwrap_or(now).min(now);
                // CAST: less than 2^32 - 1 by the remainder.
                (lived / HEARTBEAT_NS % u64::from(u32::MAX)) as u32
            }
            SyndromeCode::OFFSET => self.syndrome(function, now).0,
            Scratch::OFFSET => pci.scratch,
            ScratchNot::OFFSET => !pci.scratch,
            FirmwareVersion::OFFSET => self.state.firmware.versions().0,
            AdminSqBaseLo::OFFSET => admin.sq_addr as u32,
            AdminSqBaseHi::OFFSET => (admin.sq_addr >> 32) as u32,
            AdminCqBaseLo::OFFSET => admin.cq_addr as u32,
            AdminCqBaseHi::OFFSET => (admin.cq_addr >> 32) as u32,
            AdminSize::OFFSET => admin.size,
            AdminVector::OFFSET => admin.vector,
            AdminControl::OFFSET => admin.control,
            AdminStatus::OFFSET => AdminStatus(0)
                .with_error(admin.error.0.into())
                .with_enabled(admin.running.is_some().into())
                .raw(),
            // Write-only registers, and offsets without register.
            _ => 0,
        }
    }

    /// Returns what ails a PCI function: its own error, or firmware that its watchdog found hung.
    fn syndrome(&self, function: PciFn, now: u64) -> Syndrome {
        let hung = self
            .state
            .hung_at
            .is_some_and(|at| now.saturating_sub(at) >= WATCHDOG_NS);
        match self.state.pci[usize::from(function.0)].syndrome {
            Syndrome::NONE if hung => Syndrome::FIRMWARE_HUNG,
            syndrome => syndrome,
        }
    }

    /// Carries out a write of a register that can be written.
    pub(crate) fn set_register(
        &mut self,
        host: &mut dyn Host,
        function: PciFn,
        offset: u32,
        value: u32,
    ) {
        let pci = &mut self.state.pci[usize::from(function.0)];
        let admin = &mut pci.admin;
        let set_up = (AdminSqBaseLo::OFFSET..=AdminSize::OFFSET).contains(&offset);
        if set_up && admin.running.is_some() {
            return self.blame(host, function, GuestError::AdminRunning, offset.into());
        }
        match offset {
            Scratch::OFFSET => pci.scratch = value,
            AdminSqBaseLo::OFFSET => set_low(&mut admin.sq_addr, value),
            AdminSqBaseHi::OFFSET => set_high(&mut admin.sq_addr, value),
            AdminCqBaseLo::OFFSET => set_low(&mut admin.cq_addr, value),
            AdminCqBaseHi::OFFSET => set_high(&mut admin.cq_addr, value),
            AdminSize::OFFSET => admin.size = value,
            AdminVector::OFFSET => admin.vector = value,
            AdminControl::OFFSET => self.set_admin_control(host, function, AdminControl(value)),
            AdminSqTail::OFFSET => self.set_admin_tail(host, function, Index(value)),
            AdminCqHead::OFFSET => {
                let Some(running) = &mut admin.running else {
                    return;
                };
                if running.set_head(Index(value)) {
                    host.schedule();
                } else {
                    self.blame(host, function, GuestError::AdminHead, value.into());
                }
            }
            EventHead::OFFSET => {
                let Some(events) = &mut pci.events else {
                    return;
                };
                if !events.set_head(Index(value)) {
                    self.blame(host, function, GuestError::EventHead, value.into());
                }
            }
            Control::OFFSET if Control(value).reset() == 1 => self.reset_by_driver(host, function),
            _ => {}
        }
    }

    /// Turns the admin queue on or off.
    fn set_admin_control(&mut self, host: &mut dyn Host, function: PciFn, control: AdminControl) {
        let active = self.is_active(function);
        let pci = &mut self.state.pci[usize::from(function.0)];
        let (before, enable) = (AdminControl(pci.admin.control).enable(), control.enable());
        pci.admin.control = control.raw();
        if before == enable {
            return;
        }
        if enable == 0 {
            pci.admin.disable(pci.syndrome == Syndrome::NONE);
        } else if !active {
            pci.admin.error = AdminError::INACTIVE;
        } else if pci.syndrome == Syndrome::NONE {
            pci.admin.enable();
            if pci.admin.error == AdminError::BAD_SETUP {
                let size = pci.admin.size;
                self.blame(host, function, GuestError::AdminSetup, size.into());
            }
        }
        let admin = &self.state.pci[usize::from(function.0)].admin;
        host.trace(&Trace::AdminQueue {
            function,
            enabled: admin.running.is_some(),
            error: admin.error.0,
        });
        self.driver_came_or_went(host, function);
    }

    /// Takes the tail of the admin queue.
    fn set_admin_tail(&mut self, host: &mut dyn Host, function: PciFn, tail: Index) {
        let Some(running) = &mut self.state.pci[usize::from(function.0)].admin.running else {
            return;
        };
        if running.set_tail(tail) {
            host.schedule();
        } else {
            self.blame(host, function, GuestError::AdminTail, tail.0.into());
            self.fail_admin(host, function, AdminError::BAD_TAIL);
        }
    }

    /// Records a mistake of a driver.
    pub(crate) fn blame(
        &mut self,
        host: &mut dyn Host,
        function: PciFn,
        error: GuestError,
        value: u64,
    ) {
        host.trace(&Trace::GuestError {
            function,
            error,
            value,
        });
    }
}

/// Returns what the table says of the register at `offset`, if there is one.
fn info(offset: u32) -> Option<&'static RegisterInfo> {
    let at = REGISTERS
        .binary_search_by_key(&offset, |info| info.offset)
        .ok()?;
    REGISTERS.get(at)
}

/// Returns the bits of a register that belong to a field.
fn writable(info: &RegisterInfo) -> u32 {
    info.fields.iter().fold(0, |bits, (_, hi, lo)| {
        bits | (u32::MAX >> (31 - hi)) >> lo << lo
    })
}

/// Sets the low half of an address.
fn set_low(addr: &mut u64, value: u32) {
    *addr = *addr >> 32 << 32 | u64::from(value);
}

/// Sets the high half of an address.
fn set_high(addr: &mut u64, value: u32) {
    *addr = u64::from(value) << 32 | *addr & u64::from(u32::MAX);
}
