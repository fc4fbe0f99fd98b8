// SPDX-License-Identifier: GPL-2.0

//! Injected faults: which are armed, and when they take effect.

mod script;

use ferrite_abi::cmd::{
    FaultKind,
    ANY_OPCODE,
    ONE_QUEUE, //
};

pub use self::script::{
    Script,
    ScriptError, //
};
use crate::save::saved;

/// Largest number of faults that can be armed at a time.
pub const MAX_FAULTS: usize = 64;

/// A fault that is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Only for commands with this opcode, or for the register at this offset, or [`ANY_OPCODE`].
    pub opcode: u16,
    /// Opportunities to let pass first.
    pub skip: u32,
    /// How often to fail, 0 for ever.
    pub count: u32,
    /// What the kind makes of it.
    pub param: u32,
    /// One opportunity in so many is taken, drawn at random; 0 and 1 for each.
    pub chance: u32,
    /// What is drawn at random follows from this.
    pub seed: u32,
}

impl Default for Fault {
    fn default() -> Self {
        Self {
            kind: FaultKind::default(),
            opcode: ANY_OPCODE,
            skip: 0,
            count: 0,
            param: 0,
            chance: 0,
            seed: 0,
        }
    }
}

saved!(Fault {
    kind,
    opcode,
    skip,
    count,
    param,
    chance,
    seed
});

/// A fault that waits for its opportunities.
#[derive(Clone, Copy, Debug)]
struct Armed {
    fault: Fault,
    draws: Generator,
}

saved!(Armed { fault, draws });

/// What a fault does when it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Strike {
    /// Its parameter.
    pub(crate) param: u32,
    /// Drawn at random, and the same in each run.
    draw: u64,
}

impl Strike {
    /// Returns a word with the bits of the parameter flipped; where that is 0, some word.
    pub(crate) fn word(self, word: u32) -> u32 {
        // CAST: a part of what was drawn.
        let drawn = (self.draw >> 32) as u32;
        match self.param {
            0 => match self.draw % 8 {
                0 => 0,
                1 => u32::MAX,
                2 => drawn,
                3 => word.wrapping_add(drawn % 64),
                4 => word.wrapping_sub(drawn % 64),
                _ => word ^ 1 << (drawn % 32),
            },
            bits => word ^ bits,
        }
    }

    /// Alters an aligned word of `bytes` like [`Self::word`], or else a byte.
    pub(crate) fn block(self, bytes: &mut [u8]) {
        // CAST: only the low bits matter.
        let place = (self.draw >> 3) as usize;
        if let Some(at) = place.checked_rem(bytes.len() / 4) {
            let mut word = [0; 4];
            let place = &mut bytes[4 * at..][..4];
            word.copy_from_slice(place);
            place.copy_from_slice(&self.word(u32::from_le_bytes(word)).to_le_bytes());
        } else if let Some(at) = place.checked_rem(bytes.len()) {
            bytes[at] ^= 1 << (self.draw % 8);
        }
    }

    /// Flips the bit of `bytes` whose number is the parameter, modulo their number; any for
    /// `u32::MAX`.
    pub(crate) fn bit(self, bytes: &mut [u8]) {
        let number = match self.param {
            u32::MAX => self.draw,
            param => param.into(),
        };
        // CAST: less than the number of bits.
        if let Some(bit) = number.checked_rem(8 * bytes.len() as u64) {
            bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
    }
}

/// The armed faults, in the order in which they were armed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    armed: Vec<Armed>,
    /// Bit `k` is set when a fault of kind `k` is armed, so that a healthy device pays little.
    kinds: u64,
}

impl Faults {
    /// Arms a fault.
    ///
    /// # Errors
    ///
    /// Gives the fault back when [`MAX_FAULTS`] are armed already.
    pub(crate) fn arm(&mut self, fault: Fault) -> Result<(), Fault> {
        if self.armed.len() >= MAX_FAULTS {
            return Err(fault);
        }
        self.armed.push(Armed {
            fault,
            draws: Generator::seeded(fault.seed),
        });
        self.index();
        Ok(())
    }

    /// Disarms all faults and arms those of a script.
    pub(crate) fn follow(&mut self, script: &Script) {
        self.clear();
        for fault in script.faults() {
            // PANIC: a script is no longer than what can be armed.
            self.arm(*fault).expect("script too long");
        }
    }

    /// Disarms all faults.
    pub(crate) fn clear(&mut self) {
        self.armed.clear();
        self.index();
    }

    /// Takes an opportunity for a fault of `kind` to strike a command, or a register by its offset;
    /// returns what it does if it strikes. Every fault that waits counts the opportunity; of those
    /// that are ready, only the first strikes.
    #[inline]
    pub(crate) fn strike_at(&mut self, kind: FaultKind, opcode: u16) -> Option<Strike> {
        if self.kinds & bit(kind) == 0 {
            return None;
        }
        self.strike(|fault| fault.kind == kind && [ANY_OPCODE, opcode].contains(&fault.opcode))
    }

    /// Takes an opportunity for a fault of `kind`, as [`Self::strike_at`] does, where there
    /// is no command.
    #[inline]
    pub(crate) fn strike_any(&mut self, kind: FaultKind) -> Option<Strike> {
        if self.kinds & bit(kind) == 0 {
            return None;
        }
        self.strike(|fault| fault.kind == kind)
    }

    /// Takes an opportunity for a queue to be stopped: the one that [`one_queue`](ferrite_abi::cmd::one_queue) names with `name`. Returns whether it
    /// is.
    #[inline]
    pub(crate) fn stop_queue(&mut self, name: u32) -> bool {
        if self.kinds & bit(FaultKind::STOP_QUEUE) == 0 {
            return false;
        }
        let struck = self.strike(|fault| {
            let names_one = fault.param & ONE_QUEUE != 0;
            fault.kind == FaultKind::STOP_QUEUE && (!names_one || fault.param == name)
        });
        struck.is_some()
    }

    #[cold]
    fn strike(&mut self, fits: impl Fn(&Fault) -> bool) -> Option<Strike> {
        let mut struck = None;
        for (at, Armed { fault, draws }) in self.armed.iter_mut().enumerate() {
            if !fits(fault) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            if fault.chance > 1 && draws.draw() % u64::from(fault.chance) != 0 {
                continue;
            }
            let strike = Strike {
                param: fault.param,
                draw: draws.draw(),
            };
            struck = Some((at, strike));
            break;
        }
        let (at, strike) = struck?;
        match self.armed[at].fault.count {
            0 => {}
            1 => {
                self.armed.remove(at);
                self.index();
            }
            _ => self.armed[at].fault.count -= 1,
        }
        Some(strike)
    }

    /// Brings the summary up to date.
    fn index(&mut self) {
        self.kinds = self
            .armed
            .iter()
            .fold(0, |kinds, armed| kinds | bit(armed.fault.kind));
    }
}

impl crate::save::Saved for Faults {
    fn save(&self, writer: &mut crate::save::Writer) {
        self.armed.save(writer);
    }

    fn load(reader: &mut crate::save::Reader<'_>) -> Result<Self, crate::save::LoadError> {
        let armed = Vec::load(reader)?;
        if armed.len() > MAX_FAULTS {
            return Err(crate::save::LoadError::Invalid("number of faults"));
        }
        let mut faults = Self { armed, kinds: 0 };
        faults.index();
        Ok(faults)
    }
}

/// Returns the bit of a kind in the summary; kinds past the last bit share it.
const fn bit(kind: FaultKind) -> u64 {
    1 << if kind.0 < 63 { kind.0 } else { 63 }
}

/// A generator of what looks like garbage and is the same each time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Generator {
    state: u64,
}

saved!(Generator { state });

impl Generator {
    /// Starts a sequence.
    pub(crate) fn seeded(seed: u32) -> Self {
        Self {
            state: u64::from(seed) ^ 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// Returns the next number (xorshift64).
    pub(crate) fn draw(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// Fills `bytes`.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            // CAST: a part of the number.
            *byte = (self.draw() >> 32) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind) -> Fault {
        Fault {
            kind,
            count: 1,
            param: 7,
            ..Fault::default()
        }
    }

    #[test]
    fn fault_strikes_after_skip_and_as_often_as_count() {
        let mut faults = Faults::default();
        faults
            .arm(Fault {
                skip: 1,
                count: 2,
                ..fault(FaultKind::WRONG_TAG)
            })
            .unwrap();
        let struck: Vec<_> = (0..5)
            .map(|_| faults.strike_at(FaultKind::WRONG_TAG, 1))
            .map(|strike| strike.map(|strike| strike.param))
            .collect();
        assert_eq!(struck, [None, Some(7), Some(7), None, None]);
    }

    #[test]
    fn count_of_zero_strikes_for_ever() {
        let mut faults = Faults::default();
        faults
            .arm(Fault {
                count: 0,
                ..fault(FaultKind::LOSE_INTERRUPT)
            })
            .unwrap();
        assert!((0..100).all(|_| faults.strike_any(FaultKind::LOSE_INTERRUPT).is_some()));
        faults.clear();
        assert_eq!(faults.strike_any(FaultKind::LOSE_INTERRUPT), None);
    }

    #[test]
    fn only_the_named_opcode_is_struck() {
        let mut faults = Faults::default();
        faults
            .arm(Fault {
                opcode: 0x100,
                ..fault(FaultKind::FAIL_COMMAND)
            })
            .unwrap();
        assert_eq!(faults.strike_at(FaultKind::FAIL_COMMAND, 0x101), None);
        assert_eq!(faults.strike_at(FaultKind::LOSE_COMPLETION, 0x100), None);
        assert!(faults.strike_at(FaultKind::FAIL_COMMAND, 0x100).is_some());
    }

    #[test]
    fn faults_past_the_limit_are_given_back() {
        let mut faults = Faults::default();
        for _ in 0..MAX_FAULTS {
            faults.arm(fault(FaultKind::HANG)).unwrap();
        }
        assert_eq!(
            faults.arm(fault(FaultKind::HANG)),
            Err(fault(FaultKind::HANG))
        );
    }

    #[test]
    fn chance_takes_one_opportunity_in_so_many_and_the_same_ones_each_time() {
        let taken = |seed| {
            let mut faults = Faults::default();
            let order = Fault {
                count: 0,
                chance: 10,
                seed,
                ..fault(FaultKind::LOSE_INTERRUPT)
            };
            faults.arm(order).unwrap();
            (0..1000)
                .map(|_| faults.strike_any(FaultKind::LOSE_INTERRUPT))
                .collect::<Vec<_>>()
        };
        assert_eq!(taken(1), taken(1));
        assert_ne!(taken(1), taken(2));
        let struck = taken(1).iter().flatten().count();
        assert!((50..200).contains(&struck), "{struck}");
    }

    #[test]
    fn strike_alters_one_word_of_a_block_or_one_bit() {
        let strike = |param, draw| Strike { param, draw };
        assert_eq!(strike(0xf0, 5).word(0xff), 0x0f);
        assert_eq!(strike(0, 5 | 7 << 32).word(0), 1 << 7);
        let mut block = [0; 12];
        strike(1, 5 << 3).block(&mut block);
        assert_eq!(block, [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
        let mut odd = [0; 3];
        strike(1, 1 << 3 | 2).block(&mut odd);
        assert_eq!(odd, [0, 4, 0]);
        strike(26, 0).bit(&mut odd);
        assert_eq!(odd, [4, 4, 0]);
        strike(u32::MAX, 9).bit(&mut odd);
        assert_eq!(odd, [4, 6, 0]);
        // Where there is nothing, nothing is altered.
        strike(1, 0).block(&mut []);
        strike(1, 0).bit(&mut []);
    }
}
