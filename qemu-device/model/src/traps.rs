// SPDX-License-Identifier: GPL-2.0

//! Packets that are dropped: counted by cause, and those of some causes kept for the driver of the PF.

use std::collections::VecDeque;

use ferrite_abi::cmd::{
    TrapCause,
    MAX_TRAPPED,
    TRAP_POLICERS,
    UPLINK, //
};
use ferrite_abi::event::PacketTrapped;
use ferrite_abi::ids::FunctionId;
use ferrite_abi::wire::U16;

use crate::device::Device;
use crate::host::{
    Host,
    PciFn, //
};
use crate::save::{
    saved,
    LoadError, //
};
use crate::switch::Vport;

/// What a packet costs: policers count in parts of one.
const PACKET: u64 = 1_000_000_000;

/// Largest packet that is kept whole.
const KEPT: usize = 4096;

/// A cause.
#[derive(Clone, Debug, Default)]
struct Trap {
    /// Whether packets are kept for the driver.
    traps: bool,
    /// Number of the policer, 0 for none.
    policer: u16,
    dropped: u64,
}

saved!(Trap {
    traps,
    policer,
    dropped
});

/// A policer: a bucket that holds `burst` packets and is filled with `rate` a second.
#[derive(Clone, Debug)]
struct Policer {
    rate: u32,
    burst: u32,
    /// What is in the bucket, in parts of a packet.
    credit: u64,
    /// When it was last filled.
    filled: u64,
    dropped: u64,
}

saved!(Policer {
    rate,
    burst,
    credit,
    filled,
    dropped
});

impl Policer {
    fn new(rate: u32, burst: u32, now: u64) -> Self {
        Self {
            rate,
            burst,
            credit: u64::from(burst) * PACKET,
            filled: now,
            dropped: 0,
        }
    }

    /// Returns whether a packet may pass.
    fn admits(&mut self, now: u64) -> bool {
        let since = now.saturating_sub(self.filled);
        let full = u64::from(self.burst) * PACKET;
        let more = since.saturating_mul(self.rate.into());
        self.credit = self.credit.saturating_add(more).min(full);
        self.filled = now;
        match self.credit.checked_sub(PACKET) {
            Some(left) => {
                self.credit = left;
                true
            }
            None => {
                self.dropped += 1;
                false
            }
        }
    }
}

/// A packet that is kept.
#[derive(Clone, Debug)]
pub(crate) struct Trapped {
    pub(crate) cause: u16,
    /// Function that it is of, or the uplink.
    pub(crate) port: u16,
    /// Its length.
    pub(crate) length: u16,
    /// Its bytes, as far as they are kept.
    pub(crate) bytes: Vec<u8>,
}

saved!(Trapped {
    cause,
    port,
    length,
    bytes
});

/// All causes, policers, and packets that are kept.
#[derive(Clone, Debug)]
pub(crate) struct Traps {
    traps: Vec<Trap>,
    policers: Vec<Policer>,
    kept: VecDeque<Trapped>,
}

saved!(Traps {
    traps,
    policers,
    kept
});

impl Default for Traps {
    fn default() -> Self {
        let policer = Policer::new(1000, 128, 0);
        Self {
            traps: vec![Trap::default(); TrapCause::NAMED.len()],
            policers: vec![policer; TRAP_POLICERS.into()],
            kept: VecDeque::new(),
        }
    }
}

impl Traps {
    /// Sets what becomes of a cause. Returns whether there is such, and such a policer.
    pub(crate) fn set(&mut self, cause: u16, traps: bool, policer: u16) -> bool {
        match self.traps.get_mut(usize::from(cause)) {
            Some(trap) if policer <= TRAP_POLICERS => {
                trap.traps = traps;
                trap.policer = policer;
                true
            }
            _ => false,
        }
    }

    /// Sets what a policer lets through. Returns whether there is such, and can be.
    pub(crate) fn police(&mut self, policer: u16, rate: u32, burst: u32, now: u64) -> bool {
        let place = usize::from(policer).checked_sub(1);
        match place.and_then(|place| self.policers.get_mut(place)) {
            Some(policer) if rate > 0 && burst > 0 => {
                let dropped = policer.dropped;
                *policer = Policer {
                    dropped,
                    ..Policer::new(rate, burst, now)
                };
                true
            }
            _ => false,
        }
    }

    /// Returns how many packets were dropped for each cause, and by each policer.
    pub(crate) fn counters(
        &self,
    ) -> (
        impl Iterator<Item = u64> + '_,
        impl Iterator<Item = u64> + '_,
    ) {
        (
            self.traps.iter().map(|trap| trap.dropped),
            self.policers.iter().map(|policer| policer.dropped),
        )
    }

    /// Takes the packet that was kept the longest. Returns how many are left, too.
    pub(crate) fn take(&mut self) -> Option<(Trapped, u16)> {
        let packet = self.kept.pop_front()?;
        // CAST: there are no more than `MAX_TRAPPED`.
        Some((packet, self.kept.len() as u16))
    }

    /// Forgets what the driver set, which is reset, and what was kept for it.
    pub(crate) fn reset(&mut self) {
        self.kept.clear();
        for trap in &mut self.traps {
            trap.traps = false;
            trap.policer = 0;
        }
    }

    /// Counts a packet, and keeps it if the driver wants that. Returns whether it is the only one that is kept.
    fn drop(&mut self, cause: TrapCause, port: u16, frame: &[u8], now: u64) -> bool {
        let Some(trap) = self.traps.get_mut(usize::from(cause.0)) else {
            return false;
        };
        if !trap.traps {
            trap.dropped += 1;
            return false;
        }
        let place = usize::from(trap.policer).checked_sub(1);
        let policer = place.and_then(|place| self.policers.get_mut(place));
        let full = self.kept.len() >= MAX_TRAPPED.into();
        let admitted = match policer {
            Some(policer) if full => {
                policer.dropped += 1;
                false
            }
            Some(policer) => policer.admits(now),
            None => !full,
        };
        if !admitted {
            return false;
        }
        self.kept.push_back(Trapped {
            cause: cause.0,
            port,
            length: frame.len().try_into().unwrap_or(u16::MAX),
            bytes: frame[..frame.len().min(KEPT)].to_vec(),
        });
        self.kept.len() == 1
    }

    /// Checks what was loaded.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let possible = self.traps.len() == TrapCause::NAMED.len()
            && self.policers.len() == usize::from(TRAP_POLICERS)
            && self.kept.len() <= MAX_TRAPPED.into()
            && (self.traps.iter())
                .all(|trap| trap.policer <= TRAP_POLICERS && trap.dropped <= u64::MAX / 2)
            && (self.policers.iter()).all(|policer| {
                policer.rate > 0 && policer.burst > 0 && policer.dropped <= u64::MAX / 2
            })
            && self.kept.iter().all(|packet| packet.bytes.len() <= KEPT);
        possible.then_some(()).ok_or(LoadError::Invalid("trap"))
    }
}

impl Device {
    /// Drops a frame that came from a port, or was to go to one.
    pub(crate) fn drop_frame(
        &mut self,
        host: &mut dyn Host,
        cause: TrapCause,
        port: Vport,
        frame: &[u8],
    ) {
        let port = match port {
            Vport::Uplink => UPLINK,
            Vport::Function(slot) => slot.id().0,
        };
        if self.state.traps.drop(cause, port, frame, self.now) {
            let event = PacketTrapped {
                cause: U16::new(cause.0),
                rsvd: [0; 2],
            };
            self.post_event(host, PciFn::PF, FunctionId::PF, event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policer_lets_bursts_through_and_then_its_rate() {
        let mut policer = Policer::new(10, 3, 0);
        let admitted = (0..5).filter(|_| policer.admits(0)).count();
        assert_eq!((admitted, policer.dropped), (3, 2));
        assert!(!policer.admits(99_000_000));
        assert!(policer.admits(100_000_000));
        assert!(!policer.admits(100_000_000));
        // The bucket does not overflow.
        let admitted = (0..5).filter(|_| policer.admits(u64::MAX)).count();
        assert_eq!(admitted, 3);
    }

    #[test]
    fn no_more_are_kept_than_there_is_room_for() {
        let mut traps = Traps::default();
        assert!(traps.set(TrapCause::RULE.0, true, 0));
        assert!(traps.drop(TrapCause::RULE, 1, &[1; 60], 0));
        for _ in 0..2 * MAX_TRAPPED {
            assert!(!traps.drop(TrapCause::RULE, 1, &[1; 60], 0));
        }
        let (_, left) = traps.take().unwrap();
        assert_eq!(left, MAX_TRAPPED - 1);
    }

    #[test]
    fn only_what_there_is_can_be_set() {
        let mut traps = Traps::default();
        assert!(!traps.set(99, true, 0));
        assert!(!traps.set(0, true, TRAP_POLICERS + 1));
        for (policer, rate, burst) in [(0, 1, 1), (TRAP_POLICERS + 1, 1, 1), (1, 0, 1), (1, 1, 0)] {
            assert!(!traps.police(policer, rate, burst, 0));
        }
        assert!(traps.police(1, 1, 1, 0));
    }
}
