// SPDX-License-Identifier: GPL-2.0

//! Slots: functions numbered without gaps, and sets of them.

use ferrite_abi::ids::{
    FunctionId,
    FunctionKind,
    MAX_SFS,
    MAX_VFS, //
};

use crate::host::PciFn;
use crate::save::{
    LoadError,
    Reader,
    Saved,
    Writer, //
};

/// Number of slots: the PF, the VFs, the SFs, and the representors of both.
pub(crate) const SLOTS: usize = 1 + 2 * (MAX_VFS as usize + MAX_SFS as usize);

const FIRST_SF: u16 = 1 + MAX_VFS;
const FIRST_REPRESENTOR: u16 = FIRST_SF + MAX_SFS;
/// From a VF or SF to its representor.
const TO_REPRESENTOR: u16 = FIRST_REPRESENTOR - 1;

/// Place of a function in the tables of the device: 0 for the PF, then the VFs, then the SFs,
/// then the representors. Always less than [`SLOTS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(u16);

impl Slot {
    /// The slot of the physical function.
    pub(crate) const PF: Self = Self(0);
    /// The last slot.
    pub(crate) const LAST: Self = Self(SLOTS as u16 - 1);

    /// Returns the slot of a function, if there can be one of this id.
    pub(crate) const fn of(id: FunctionId) -> Option<Self> {
        match id.kind() {
            Some(FunctionKind::Pf) => Some(Self::PF),
            Some(FunctionKind::Vf(index)) => Some(Self(1 + index)),
            Some(FunctionKind::Sf(index)) => Some(Self(FIRST_SF + index)),
            Some(FunctionKind::VfRepresentor(index)) => Some(Self(TO_REPRESENTOR + 1 + index)),
            Some(FunctionKind::SfRepresentor(index)) => {
                Some(Self(TO_REPRESENTOR + FIRST_SF + index))
            }
            None => None,
        }
    }

    /// Returns the slot of the function that a PCI function is.
    pub(crate) const fn of_pci(function: PciFn) -> Option<Self> {
        if function.0 <= MAX_VFS {
            Some(Self(function.0))
        } else {
            None
        }
    }

    /// Returns the slot of VF `index`, if there can be such a VF.
    pub(crate) const fn vf(index: u16) -> Option<Self> {
        if index < MAX_VFS {
            Some(Self(1 + index))
        } else {
            None
        }
    }

    /// Returns the slot at an index into a table.
    pub(crate) const fn from_index(index: usize) -> Option<Self> {
        if index < SLOTS {
            Some(Self(index as u16))
        } else {
            None
        }
    }

    /// Returns the index into a table of [`SLOTS`] entries.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the id of the function.
    pub(crate) const fn id(self) -> FunctionId {
        let (slot, representor) = if self.0 < FIRST_REPRESENTOR {
            (self.0, 0)
        } else {
            (self.0 - TO_REPRESENTOR, FunctionId::REPRESENTOR)
        };
        if slot < FIRST_SF {
            FunctionId(representor | slot)
        } else {
            FunctionId(representor | (FunctionId::FIRST_SF + slot - FIRST_SF))
        }
    }

    /// Returns the PCI function that does DMA and raises interrupts for this one.
    pub(crate) const fn pci(self) -> PciFn {
        if self.0 < FIRST_SF {
            PciFn(self.0)
        } else {
            PciFn::PF
        }
    }

    /// Returns the slots of all VFs that there can be.
    pub(crate) fn vfs() -> impl Iterator<Item = Self> {
        (1..FIRST_SF).map(Self)
    }

    /// Returns the slots of all SFs that there can be.
    pub(crate) fn sfs() -> impl Iterator<Item = Self> {
        (FIRST_SF..FIRST_REPRESENTOR).map(Self)
    }

    /// Returns the slot of the representor of a VF or SF.
    pub(crate) const fn representor(self) -> Option<Self> {
        if self.is_vf() || self.is_sf() {
            Some(Self(self.0 + TO_REPRESENTOR))
        } else {
            None
        }
    }

    /// Returns the slot of what a representor represents.
    pub(crate) const fn represented(self) -> Option<Self> {
        if self.is_representor() {
            Some(Self(self.0 - TO_REPRESENTOR))
        } else {
            None
        }
    }

    /// Returns whether this is the slot of a VF.
    pub(crate) const fn is_vf(self) -> bool {
        self.0 != 0 && self.0 < FIRST_SF
    }

    /// Returns whether this is the slot of an SF.
    pub(crate) const fn is_sf(self) -> bool {
        FIRST_SF <= self.0 && self.0 < FIRST_REPRESENTOR
    }

    /// Returns whether this is the slot of a representor.
    pub(crate) const fn is_representor(self) -> bool {
        FIRST_REPRESENTOR <= self.0
    }

    /// Returns whether this function owns the embedded switch and is trusted with any address.
    pub(crate) const fn is_pf(self) -> bool {
        self.0 == 0
    }
}

impl Saved for Slot {
    fn save(&self, writer: &mut Writer) {
        self.id().0.save(writer);
    }

    fn load(reader: &mut Reader<'_>) -> Result<Self, LoadError> {
        Self::of(FunctionId(u16::load(reader)?)).ok_or(LoadError::Invalid("function id"))
    }
}

const WORDS: usize = SLOTS.div_ceil(64);

/// A set of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotSet([u64; WORDS]);

impl Default for SlotSet {
    fn default() -> Self {
        Self([0; WORDS])
    }
}

impl SlotSet {
    /// Adds a slot.
    pub(crate) fn insert(&mut self, slot: Slot) {
        self.0[slot.index() / 64] |= 1 << (slot.index() % 64);
    }

    /// Takes a slot out.
    pub(crate) fn remove(&mut self, slot: Slot) {
        self.0[slot.index() / 64] &= !(1 << (slot.index() % 64));
    }

    /// Adds a slot or takes it out.
    pub(crate) fn set(&mut self, slot: Slot, member: bool) {
        if member {
            self.insert(slot);
        } else {
            self.remove(slot);
        }
    }

    /// Returns whether the slot is in the set.
    #[cfg(test)]
    pub(crate) fn contains(&self, slot: Slot) -> bool {
        self.0[slot.index() / 64] & 1 << (slot.index() % 64) != 0
    }

    /// Adds all slots of `other`.
    pub(crate) fn union(&mut self, other: &Self) {
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word |= other;
        }
    }

    /// Returns whether the set is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Returns the slots in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.0.iter().enumerate().flat_map(|(word, bits)| {
            let mut bits = *bits;
            std::iter::from_fn(move || {
                let bit = (bits != 0).then(|| bits.trailing_zeros())?;
                bits &= bits - 1;
                Slot::from_index(word * 64 + bit as usize)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_an_id_of_its_own() {
        for index in 0..SLOTS {
            let slot = Slot::from_index(index).unwrap();
            assert_eq!(Slot::of(slot.id()), Some(slot));
        }
        assert_eq!(Slot::from_index(SLOTS), None);
    }

    #[test]
    fn representors_are_found_as_their_ids_say() {
        for slot in (0..SLOTS).filter_map(Slot::from_index) {
            let of = |id: Option<FunctionId>| id.and_then(Slot::of);
            assert_eq!(slot.representor(), of(slot.id().representor()));
            assert_eq!(slot.represented(), of(slot.id().represented()));
        }
    }

    #[test]
    fn sf_acts_as_the_pf_on_the_bus() {
        assert_eq!(
            Slot::of(FunctionId::sf(0).unwrap()).unwrap().pci(),
            PciFn::PF
        );
        assert_eq!(Slot::vf(63).unwrap().pci(), PciFn::vf(63));
        assert_eq!(Slot::of_pci(PciFn(65)), None);
    }

    #[test]
    fn set_holds_what_was_put_in() {
        let mut set = SlotSet::default();
        let members: Vec<_> = [0, 1, 63, 64, 65, SLOTS - 1]
            .map(|at| Slot::from_index(at).unwrap())
            .to_vec();
        for slot in &members {
            set.insert(*slot);
        }
        assert_eq!(set.iter().collect::<Vec<_>>(), members);
        set.remove(Slot::from_index(64).unwrap());
        assert!(!set.contains(Slot::from_index(64).unwrap()));
        assert!(set.contains(Slot::from_index(65).unwrap()));
        assert!(!set.is_empty());
        assert!(SlotSet::default().is_empty());
    }
}
