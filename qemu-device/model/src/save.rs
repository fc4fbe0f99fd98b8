// SPDX-License-Identifier: GPL-2.0

//! The device's state as bytes, for save, restore and migration of the whole DPU.
//!
//! Little-endian, fields in the order of declaration, no padding. [`saved!`] makes both directions
//! from one list of fields, so that they cannot differ. A stream may come from anywhere: reading
//! it checks every length and range, and changes nothing unless all of it is good.

use std::collections::{
    BTreeMap,
    BTreeSet,
    VecDeque, //
};
use std::fmt;

use ferrite_abi::ring::{
    Depth,
    Index, //
};

use crate::mac::Mac;

/// First bytes of a stream.
pub(crate) const MAGIC: [u8; 8] = *b"FERRITE\0";

/// Version of the stream. A device reads this one only.
pub const SAVE_VERSION: u32 = 10;

/// Why a stream cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// It does not begin as a stream of this device does.
    Magic,
    /// It is of another version.
    Version(u32),
    /// It ends too early.
    Truncated,
    /// It goes on after its end.
    Trailing,
    /// It was saved by a device that was set up in another way; what differs.
    Setup(&'static str),
    /// A value is impossible; which.
    Invalid(&'static str),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("not a saved Ferrite device"),
            Self::Version(version) => {
                write!(
                    f,
                    "saved with version {version}, this device reads {SAVE_VERSION}"
                )
            }
            Self::Truncated => f.write_str("the saved state ends too early"),
            Self::Trailing => f.write_str("the saved state has bytes after its end"),
            Self::Setup(what) => write!(f, "saved by a device with another {what}"),
            Self::Invalid(what) => write!(f, "impossible {what} in the saved state"),
        }
    }
}

impl std::error::Error for LoadError {}

/// Where state is written to.
#[derive(Debug, Default)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// Appends bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Returns all that was written.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Where state is read from: what is left of a stream.
#[derive(Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Begins to read.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Takes the next `count` bytes.
    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'a [u8], LoadError> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or(LoadError::Truncated)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Reads a number of elements, each of which takes at least one byte of the stream.
    fn count(&mut self) -> Result<usize, LoadError> {
        let count = u32::load(self)? as usize;
        if count > self.0.len() {
            return Err(LoadError::Truncated);
        }
        Ok(count)
    }

    /// Returns whether all was read.
    pub(crate) fn finish(self) -> Result<(), LoadError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(LoadError::Trailing)
        }
    }
}

/// State that is saved.
pub(crate) trait Saved: Sized {
    /// Appends the state to a stream.
    fn save(&self, writer: &mut Writer);

    /// Reads the state from a stream and checks what can be checked of it alone.
    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError>;
}

/// Implements [`Saved`] for a struct, from the list of its fields.
macro_rules! saved {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::save::Saved for $name {
            fn save(&self, writer: &mut $crate::save::Writer) {
                $( $crate::save::Saved::save(&self.$field, writer); )*
            }

            fn load(
                reader: &mut $crate::save::Reader<'_>,
            ) -> Result<Self, $crate::save::LoadError> {
                Ok(Self { $( $field: $crate::save::Saved::load(reader)? ),* })
            }
        }
    };
}
pub(crate) use saved;

macro_rules! saved_integers {
    ($($ty:ty),*) => {
        $(
            impl Saved for $ty {
                fn save(&self, writer: &mut Writer) {
                    writer.bytes(&self.to_le_bytes());
                }

                fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
                    let mut bytes = [0; size_of::<$ty>()];
                    bytes.copy_from_slice(reader.bytes(size_of::<$ty>())?);
                    Ok(Self::from_le_bytes(bytes))
                }
            }
        )*
    };
}
saved_integers!(u8, u16, u32, u64);

/// Implements [`Saved`] for newtypes of integers.
macro_rules! saved_newtypes {
    ($($name:path),* $(,)?) => {
        $(
            impl Saved for $name {
                fn save(&self, writer: &mut Writer) {
                    self.0.save(writer);
                }

                fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
                    Ok(Self(Saved::load(reader)?))
                }
            }
        )*
    };
}
saved_newtypes!(
    Index,
    Mac,
    crate::host::PciFn,
    ferrite_abi::cmd::DirtyFlags,
    ferrite_abi::cmd::EswitchMode,
    ferrite_abi::cmd::FaultKind,
    ferrite_abi::cmd::FilterAction,
    ferrite_abi::cmd::FlashOverwrite,
    ferrite_abi::cmd::FunctionCaps,
    ferrite_abi::cmd::QueueFlags,
    ferrite_abi::cmd::RssTransform,
    ferrite_abi::cmd::RxMode,
    ferrite_abi::cmd::SuspendLevel,
    ferrite_abi::event::FunctionState,
    ferrite_abi::event::QueueSyndrome,
    ferrite_abi::event::Syndrome,
    ferrite_abi::mig::StreamFault,
    ferrite_abi::regs::AdminError,
);

/// Implements [`Saved`] for what has a layout on the wire.
macro_rules! saved_wire {
    ($($name:ty),* $(,)?) => {
        $(
            impl Saved for $name {
                fn save(&self, writer: &mut Writer) {
                    writer.bytes(zerocopy::IntoBytes::as_bytes(self));
                }

                fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
                    zerocopy::FromBytes::read_from_bytes(reader.bytes(size_of::<Self>())?)
                        .map_err(|_| LoadError::Truncated)
                }
            }
        )*
    };
}
saved_wire!(
    ferrite_abi::admin::Completion,
    ferrite_abi::cmd::CrashCommand,
    ferrite_abi::cmd::FrameStats,
    ferrite_abi::cmd::PortStats,
    ferrite_abi::cmd::Rate,
    ferrite_abi::cmd::Rule,
    ferrite_abi::cmd::RuleKey,
    ferrite_abi::cmd::VirtqueueStats,
    ferrite_abi::desc::RxCompletion,
    ferrite_abi::desc::TxCompletion,
);

impl Saved for bool {
    fn save(&self, writer: &mut Writer) {
        writer.bytes(&[u8::from(*self)]);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        match u8::load(reader)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(LoadError::Invalid("truth value")),
        }
    }
}

impl Saved for Depth {
    fn save(&self, writer: &mut Writer) {
        self.log2().save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        Depth::from_log2(u8::load(reader)?).ok_or(LoadError::Invalid("depth"))
    }
}

impl<const N: usize> Saved for [u8; N] {
    fn save(&self, writer: &mut Writer) {
        writer.bytes(self);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(reader.bytes(N)?);
        Ok(bytes)
    }
}

impl<T: Saved> Saved for Option<T> {
    fn save(&self, writer: &mut Writer) {
        self.is_some().save(writer);
        if let Some(value) = self {
            value.save(writer);
        }
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        bool::load(reader)?.then(|| T::load(reader)).transpose()
    }
}

impl<T: Saved> Saved for Box<T> {
    fn save(&self, writer: &mut Writer) {
        (**self).save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        T::load(reader).map(Self::new)
    }
}

impl<A: Saved, B: Saved> Saved for (A, B) {
    fn save(&self, writer: &mut Writer) {
        self.0.save(writer);
        self.1.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        Ok((A::load(reader)?, B::load(reader)?))
    }
}

macro_rules! saved_sequences {
    ($($name:ident: $bound:path),*) => {
        $(
            impl<T: Saved + $bound> Saved for $name<T> {
                fn save(&self, writer: &mut Writer) {
                    // CAST: no sequence of the device comes near 2^32 elements.
                    (self.len() as u32).save(writer);
                    for element in self {
                        element.save(writer);
                    }
                }

                fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
                    let count = reader.count()?;
                    (0..count).map(|_| T::load(reader)).collect()
                }
            }
        )*
    };
}
saved_sequences!(Vec: Sized, VecDeque: Sized, BTreeSet: Ord);

impl<K: Saved + Ord, V: Saved> Saved for BTreeMap<K, V> {
    fn save(&self, writer: &mut Writer) {
        // CAST: as for sequences.
        (self.len() as u32).save(writer);
        for (key, value) in self {
            key.save(writer);
            value.save(writer);
        }
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        let count = reader.count()?;
        (0..count)
            .map(|_| Ok((K::load(reader)?, V::load(reader)?)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Sample {
        number: u32,
        list: Vec<u16>,
        maybe: Option<Mac>,
    }
    saved!(Sample {
        number,
        list,
        maybe
    });

    fn sample() -> (Sample, Vec<u8>) {
        let sample = Sample {
            number: 7,
            list: vec![1, 2],
            maybe: Some(Mac([1, 2, 3, 4, 5, 6])),
        };
        let mut writer = Writer::default();
        sample.save(&mut writer);
        (sample, writer.finish())
    }

    #[test]
    fn bytes_are_the_fields_in_order() {
        let (sample, bytes) = sample();
        assert_eq!(
            bytes,
            [7, 0, 0, 0, 2, 0, 0, 0, 1, 0, 2, 0, 1, 1, 2, 3, 4, 5, 6]
        );
        let mut reader = Reader::new(&bytes);
        assert_eq!(Sample::load(&mut reader), Ok(sample));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn every_cut_is_noticed() {
        let (_, bytes) = sample();
        for length in 0..bytes.len() {
            assert_eq!(
                Sample::load(&mut Reader::new(&bytes[..length])),
                Err(LoadError::Truncated),
                "{length}"
            );
        }
    }

    #[test]
    fn count_beyond_the_stream_allocates_nothing() {
        let bytes = [0xff; 8];
        assert_eq!(
            Vec::<u8>::load(&mut Reader::new(&bytes)),
            Err(LoadError::Truncated)
        );
    }

    #[test]
    fn truth_is_zero_or_one() {
        assert_eq!(
            bool::load(&mut Reader::new(&[2])),
            Err(LoadError::Invalid("truth value"))
        );
    }
}
