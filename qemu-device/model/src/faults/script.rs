// SPDX-License-Identifier: GPL-2.0

//! Faults written down as text.

use std::fmt;
use std::str::FromStr;

use ferrite_abi::admin::Opcode;
use ferrite_abi::cmd::FaultKind;

use super::{
    Fault,
    ANY_OPCODE,
    MAX_FAULTS, //
};

/// Faults written down as text: `kind:key=value:...;kind:...`.
///
/// The kind is a name or number of [`FaultKind`], the keys are `opcode` (a name or number of
/// [`Opcode`], or `any`), `skip`, `count`, `param`, `chance` and `seed`. Case does not matter, `-`
/// stands for `_`, numbers may be hexadecimal with `0x`. What is not given is `opcode=any`,
/// `count=1`, and 0 for the others.
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
        count: 1,
        ..Fault::default()
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
            "chance" => fault.chance = number()?,
            "seed" => fault.seed = number()?,
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
                    "no key is called '{text}'; there are opcode, skip, count, param, chance, seed"
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

    #[test]
    fn script_is_read_with_names_numbers_and_defaults() {
        let script: Script =
            " LOSE-completion:opcode=0x100:skip=2:count=0 ;; 5:opcode=Echo:param=0x10:chance=3:seed=9;"
                .parse()
                .unwrap();
        assert_eq!(
            script.faults(),
            [
                Fault {
                    kind: FaultKind::LOSE_COMPLETION,
                    opcode: 0x100,
                    skip: 2,
                    ..Fault::default()
                },
                Fault {
                    kind: FaultKind::WRONG_OPCODE,
                    opcode: 0,
                    count: 1,
                    param: 0x10,
                    chance: 3,
                    seed: 9,
                    ..Fault::default()
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
