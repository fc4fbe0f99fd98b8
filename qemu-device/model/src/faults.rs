// SPDX-License-Identifier: GPL-2.0

//! Injected faults: which are armed, and when they take effect.

use std::fmt;
use std::str::FromStr;

use ferrite_abi::admin::Opcode;
use ferrite_abi::cmd::FaultKind;

use crate::save::saved;

/// Largest number of faults that can be armed at a time.
pub const MAX_FAULTS: usize = 64;

/// The opcode of a fault that is not limited to one command.
pub const ANY_OPCODE: u16 = 0xffff;

/// One armed fault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// Only for commands with this opcode, or [`ANY_OPCODE`].
    pub opcode: u16,
    /// Opportunities to let pass first.
    pub skip: u32,
    /// How often to fail, 0 for ever.
    pub count: u32,
    /// What the kind makes of it.
    pub param: u32,
}

saved!(Fault {
    kind,
    opcode,
    skip,
    count,
    param
});

/// The armed faults, in the order in which they were armed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    armed: Vec<Fault>,
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
        self.armed.push(fault);
        self.index();
        Ok(())
    }

    /// Disarms all faults.
    pub(crate) fn clear(&mut self) {
        self.armed.clear();
        self.index();
    }

    /// Takes an opportunity for a fault of `kind` to strike a command; returns its parameter if
    /// it does. Every fault that waits counts the opportunity; of those that are ready, only the
    /// first strikes.
    pub(crate) fn strike_command(&mut self, kind: FaultKind, opcode: u16) -> Option<u32> {
        if self.kinds & bit(kind) == 0 {
            return None;
        }
        self.strike(kind, Some(opcode))
    }

    /// Takes an opportunity for a fault of `kind`, as [`Self::strike_command`] does, where there
    /// is no command.
    #[inline]
    pub(crate) fn strike_any(&mut self, kind: FaultKind) -> Option<u32> {
        if self.kinds & bit(kind) == 0 {
            return None;
        }
        self.strike(kind, None)
    }

    #[cold]
    fn strike(&mut self, kind: FaultKind, opcode: Option<u16>) -> Option<u32> {
        let fits = |fault: &Fault| {
            fault.kind == kind
                && opcode.is_none_or(|opcode| [ANY_OPCODE, opcode].contains(&fault.opcode))
        };
        let mut struck = None;
        for (at, fault) in self.armed.iter_mut().enumerate() {
            if !fits(fault) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            struck = Some((at, fault.param));
            break;
        }
        let (at, param) = struck?;
        match self.armed[at].count {
            0 => {}
            1 => {
                self.armed.remove(at);
                self.index();
            }
            _ => self.armed[at].count -= 1,
        }
        Some(param)
    }

    /// Brings the summary up to date.
    fn index(&mut self) {
        self.kinds = self
            .armed
            .iter()
            .fold(0, |kinds, fault| kinds | bit(fault.kind));
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

/// A generator of bytes that look like garbage and are the same each time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Garbage(u64);

impl Garbage {
    /// Starts a sequence.
    pub(crate) fn seeded(seed: u32) -> Self {
        Self(u64::from(seed) ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// Fills `bytes` (xorshift64).
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = (self.0 >> 32) as u8;
        }
    }
}

/// Faults written down as text: `kind:key=value:...;kind:...`.
///
/// The kind is a name or number of [`FaultKind`], the keys are `opcode` (a name or number of
/// [`Opcode`], or `any`), `skip`, `count` and `param`. Case does not matter, `-` stands for `_`,
/// numbers may be hexadecimal with `0x`. What is not given is `opcode=any`, `skip=0`, `count=1`,
/// `param=0`.
///
/// ```
/// # use ferrite_model::faults::Script;
/// let script: Script = "lose-completion:opcode=create_queue:skip=2; hang:skip=20".parse()?;
/// assert_eq!(script.faults().len(), 2);
/// # Ok::<(), ferrite_model::faults::ScriptError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script(Vec<Fault>);

impl Script {
    /// Returns the faults in their order.
    pub fn faults(&self) -> &[Fault] {
        &self.0
    }

    /// Returns whether there is no fault in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let faults: Vec<_> = text
            .split(';')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(entry)
            .collect::<Result<_, _>>()?;
        if faults.len() > MAX_FAULTS {
            return Err(ScriptError::TooMany);
        }
        Ok(Self(faults))
    }
}

/// Reads one fault.
fn entry(text: &str) -> Result<Fault, ScriptError> {
    let mut parts = text.split(':').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let kind = named(FaultKind::NAMED, kind)
        .filter(|kind| FaultKind(*kind).name().is_some())
        .map(FaultKind)
        .ok_or_else(|| ScriptError::Kind(kind.to_owned()))?;
    let mut fault = Fault {
        kind,
        opcode: ANY_OPCODE,
        skip: 0,
        count: 1,
        param: 0,
    };
    for part in parts {
        let (key, value) = part
            .split_once('=')
            .map(|(key, value)| (key.trim(), value.trim()))
            .ok_or_else(|| ScriptError::Pair(part.to_owned()))?;
        let number = || number(value).ok_or_else(|| ScriptError::Value(part.to_owned()));
        match key.to_ascii_lowercase().as_str() {
            "opcode" if value.eq_ignore_ascii_case("any") => fault.opcode = ANY_OPCODE,
            "opcode" => {
                fault.opcode = named(Opcode::NAMED, value)
                    .ok_or_else(|| ScriptError::Value(part.to_owned()))?;
            }
            "skip" => fault.skip = number()?,
            "count" => fault.count = number()?,
            "param" => fault.param = number()?,
            _ => return Err(ScriptError::Key(key.to_owned())),
        }
    }
    Ok(fault)
}

/// Reads a name of the table, or a number.
fn named(names: &[(&str, u16)], text: &str) -> Option<u16> {
    let wanted = text.replace('-', "_");
    names
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(&wanted))
        .map(|(_, value)| *value)
        .or_else(|| number(text).and_then(|number| number.try_into().ok()))
}

/// Reads a number, decimal or hexadecimal.
fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Why a fault script cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScriptError {
    /// There is no such kind.
    Kind(String),
    /// This is not `key=value`.
    Pair(String),
    /// There is no such key.
    Key(String),
    /// The value is not a number, or not a known opcode.
    Value(String),
    /// More than [`MAX_FAULTS`].
    TooMany,
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(text) => {
                write!(f, "no fault is called '{text}'; there are")?;
                for (at, (name, _)) in FaultKind::NAMED.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    write!(f, "{comma} {}", name.to_ascii_lowercase())?;
                }
                Ok(())
            }
            Self::Pair(text) => write!(f, "'{text}' is not key=value"),
            Self::Key(text) => {
                write!(
                    f,
                    "no key is called '{text}'; there are opcode, skip, count, param"
                )
            }
            Self::Value(text) => write!(f, "the value in '{text}' cannot be read"),
            Self::TooMany => write!(f, "more than {MAX_FAULTS} faults"),
        }
    }
}

impl std::error::Error for ScriptError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: FaultKind) -> Fault {
        Fault {
            kind,
            opcode: ANY_OPCODE,
            skip: 0,
            count: 1,
            param: 7,
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
            .map(|_| faults.strike_command(FaultKind::WRONG_TAG, 1))
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
        assert_eq!(faults.strike_command(FaultKind::FAIL_COMMAND, 0x101), None);
        assert_eq!(
            faults.strike_command(FaultKind::LOSE_COMPLETION, 0x100),
            None
        );
        assert_eq!(
            faults.strike_command(FaultKind::FAIL_COMMAND, 0x100),
            Some(7)
        );
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
    fn script_is_read_with_names_numbers_and_defaults() {
        let script: Script =
            " LOSE-completion:opcode=0x100:skip=2:count=0 ;; 5:opcode=Echo:param=0x10;"
                .parse()
                .unwrap();
        assert_eq!(
            script.faults(),
            [
                Fault {
                    kind: FaultKind::LOSE_COMPLETION,
                    opcode: 0x100,
                    skip: 2,
                    count: 0,
                    param: 0
                },
                Fault {
                    kind: FaultKind::WRONG_OPCODE,
                    opcode: 0,
                    skip: 0,
                    count: 1,
                    param: 0x10
                },
            ]
        );
    }

    #[test]
    fn script_errors_say_what_is_wrong() {
        let error = |text: &str| text.parse::<Script>().unwrap_err();
        assert_eq!(error("sleep"), ScriptError::Kind("sleep".into()));
        assert_eq!(error("99"), ScriptError::Kind("99".into()));
        assert_eq!(error("hang:skip"), ScriptError::Pair("skip".into()));
        assert_eq!(error("hang:when=1"), ScriptError::Key("when".into()));
        assert_eq!(error("hang:skip=-1"), ScriptError::Value("skip=-1".into()));
        assert_eq!(
            error("hang:opcode=0x10000"),
            ScriptError::Value("opcode=0x10000".into())
        );
        assert_eq!(error(&"hang;".repeat(MAX_FAULTS + 1)), ScriptError::TooMany);
        assert!(error("sleep").to_string().contains("lose_completion"));
    }
}
